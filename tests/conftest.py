import pytest

from tests.support.beside import Beside


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Beside(config.getini("filterwarnings")))
