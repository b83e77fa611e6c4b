"""How each fault is written: the table that is made of the declarations in `faults`, for the grammar and `--help`."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, get_args, get_type_hints

from pipecat_lemonslice.emulator.faults import Fault, RefuseRooms, RequestFault, SessionFault
from pipecat_lemonslice.emulator.terms import Term

_COLUMN = 31
"""Where the explanations begin."""


@dataclass(frozen=True)
class Sort:
    """What some faults happen to.

    Parameters:
        title: What TIMES counts.
        times: How many of them, unless it is said.
        paths: Whether there is a PATH to choose among them.
    """

    title: str
    times: float
    paths: bool = False


REQUESTS = Sort("requests", 1, paths=True)
SESSIONS = Sort("sessions created from then on", math.inf)
PEOPLE = Sort("people at the doors of rooms", math.inf)


@dataclass(frozen=True)
class Part:
    """One value of a fault.

    Parameters:
        name: Field of the fault.
        term: How it is written.
        default: What it is unless it is said.
    """

    name: str
    term: Term
    default: Any

    @property
    def needed(self) -> bool:
        """Whether it must be said."""
        return self.default is MISSING


@dataclass(frozen=True)
class Form:
    """How a fault is written.

    Parameters:
        name: Its name.
        make: Makes it of its values.
        sort: What it happens to.
        value: What follows its name.
        keys: What may follow that.
        says: What it does.
    """

    name: str
    make: Callable[..., Fault]
    sort: Sort
    value: Part | None
    keys: Mapping[str, Part]
    says: str

    @property
    def parts(self) -> list[Part]:
        """All its values."""
        return ([] if self.value is None else [self.value]) + list(self.keys.values())

    @property
    def usage(self) -> str:
        """How it is written."""
        keys = "".join(f"[,{key.name}={key.term.name}]" for key in self.keys.values())
        if self.value is None:
            return self.name + keys
        value = f"={self.value.term.name}"
        return self.name + (value if self.value.needed else f"[{value}]") + keys

    @property
    def example(self) -> str:
        """One that is correct."""
        return self.name if self.value is None else f"{self.name}={self.value.term.example}"

    def example_of(self, key: str) -> str:
        """One that is correct, with this KEY."""
        return f"{self.example},{key}={self.keys[key].term.example}"


def form_of(fault: Fault) -> Form:
    """How a fault is written."""
    return FORMS[_name(type(fault))]


def table() -> str:
    """All faults in lines, grouped by what they happen to."""
    return "\n".join(line for sort in (REQUESTS, SESSIONS, PEOPLE) for line in _group(sort))


def _group(sort: Sort) -> Iterator[str]:
    default = "all" if sort.times == math.inf else f"{sort.times:g}"
    yield f"  {sort.title} (TIMES: {default})"
    for form in FORMS.values():
        if form.sort is sort:
            usage = f"    {form.usage}"
            yield (usage.ljust(_COLUMN) if len(usage) < _COLUMN else f"{usage}\n{'':{_COLUMN}}") + form.says


def _name(kind: type[Any]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()


def _form(kind: type[Any], sort: Sort) -> Form:
    hints = get_type_hints(kind, include_extras=True)
    parts = [Part(each.name, hints[each.name].__metadata__[0], each.default) for each in fields(kind)]
    says = (inspect.getdoc(kind) or "").partition("\n")[0].rstrip(".")
    return Form(_name(kind), kind, sort, next(iter(parts), None), {part.name: part for part in parts[1:]}, says)


_SORTS: tuple[tuple[Sort, tuple[Any, ...]], ...] = (
    (REQUESTS, get_args(RequestFault)),
    (SESSIONS, get_args(SessionFault)),
    (PEOPLE, (RefuseRooms,)),
)

FORMS: Mapping[str, Form] = {_name(kind): _form(kind, sort) for sort, kinds in _SORTS for kind in kinds}
"""The forms of all faults by name."""
