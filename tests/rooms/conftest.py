from tests.fidelity.installed import native

__all__ = ["native"]
