"""Prints figures: ``python -m tests.bench [soak] [first_byte] [calls]``; all of them by default."""

import importlib
import sys

BENCHES = ("soak", "first_byte", "calls")


def main(names: list[str]) -> None:
    """Run the benches of these names, one after the other."""
    for name in names or BENCHES:
        importlib.import_module(f"tests.bench.{name}").run()


if __name__ == "__main__":
    main(sys.argv[1:])
