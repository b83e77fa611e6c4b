"""What is installed: the releases that the package supports, and the modules that its extras bring."""

import platform
import re
from importlib.metadata import metadata, requires, version
from importlib.util import find_spec

PACKAGE = "pipecat-lemonslice"

_EXTRAS = {
    "emulator": ("resvg_py",),
    "local": ("aiortc", "av", "cv2", "dotenv", "espeakng_loader", "fastapi", "pocketsphinx", "uvicorn"),
}


def missing_modules(extra: str) -> list[str]:
    """Return the modules of an extra that cannot be imported; those of other extras within it are left out."""
    return [name for name in _EXTRAS[extra] if find_spec(name) is None]


def releases(*distributions: str) -> list[tuple[str, str, str]]:
    """Return name, release and supported range of Python and of dependencies of this package."""
    ranges = {"Python": metadata(PACKAGE)["Requires-Python"]}
    for requirement in requires(PACKAGE) or []:
        if found := re.match(r"([\w.-]+)(?:\[[^]]*\])?([^;]*)$", requirement):
            ranges[found[1]] = found[2]
    return [
        (name, platform.python_version() if name == "Python" else version(name), ranges[name])
        for name in ("Python", *distributions)
    ]


def is_within(release: str, supported: str) -> bool:
    """Return whether a release is within a range that is written with ``>=`` and ``<``, such as ``<2,>=1.12``."""
    for operator, bound in re.findall(r"(>=|<)\s*([\d.]+)", supported):
        if (_numbers(release) >= _numbers(bound)) != (operator == ">="):
            return False
    return True


def _numbers(release: str) -> list[int]:
    """The numbers before any word such as ``rc1``; without zeros at the end, so that 2.0 is 2."""
    found = re.match(r"[\d.]*", release)
    numbers = [int(number) for number in found[0].split(".") if number] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers
