"""Prints figures: ``python -m tests.bench [name …]``; all benches by default."""

import argparse
import importlib

BENCHES = ("soak", "first_byte", "calls", "journey", "lip_sync")


def main() -> None:
    """Run the benches that the command line names, one after the other."""
    parser = argparse.ArgumentParser("python -m tests.bench", description="Prints figures; asserts nothing.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"any of {', '.join(BENCHES)}; all if none is given")
    names: list[str] = parser.parse_args().names
    if unknown := [name for name in names if name not in BENCHES]:
        parser.error(f"there is no bench {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    for name in names or BENCHES:
        importlib.import_module(f"tests.bench.{name}").run()


if __name__ == "__main__":
    main()
