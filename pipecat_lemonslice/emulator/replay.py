"""A bug report of ``pipecat-lemonslice try``, played back: the emulator behaves as LemonSlice did for its author.

Delays, refusals, messages, lag and noise are those of the report; where the avatar never came, showed nothing, was
mute or left, it does so again. Only what is needed is read: the format is described by the command line's own model.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, JsonValue, ValidationError

from pipecat_lemonslice.emulator.faults import Level, Seconds, WrongText
from pipecat_lemonslice.emulator.models import EmulatorOptions


class _Measured(BaseModel):
    create: Seconds | None
    queue: Seconds | None
    join: Seconds | None
    first_picture: Seconds | None
    lag: Seconds | None
    fps: Seconds | None
    noise: Level | None


class _Entry(BaseModel):
    kind: str
    at: Seconds
    operation: str = ""
    status: int = 200
    retry_after: Seconds | None = None
    event: str = ""
    avatar: bool = False
    direction: str = ""
    what: str = ""
    body: JsonValue = None


class Replay(BaseModel):
    """What a report says of LemonSlice."""

    version: Literal[1]
    measured: _Measured
    entries: list[_Entry]

    def options(self, options: EmulatorOptions) -> EmulatorOptions:
        """Return options in which times and messages are those of the report."""
        measured, joined_at = self.measured, self._time("participant", event="joined", avatar=True)
        received = [entry for entry in self.entries if entry.direction == "received"]
        return replace(
            options,
            cold_start=measured.queue or 0.0,
            join_delay=measured.join or 0.0,
            first_picture_delay=measured.first_picture or 0.0,
            latency=options.latency if measured.lag is None else measured.lag,
            pictures_per_second=options.pictures_per_second if measured.fps is None else measured.fps,
            messages=tuple(
                (max(0.0, entry.at - joined_at), entry.body)
                for entry in received
                if joined_at is not None and isinstance(entry.body, dict)
            ),
        )

    def faults(self) -> list[str]:
        """Return the faults by which it goes wrong as in the report."""
        reached = {entry.what for entry in self.entries if entry.kind == "moment"}
        faults = [
            f"reject={entry.status}" + ("" if entry.retry_after is None else f",retry_after={entry.retry_after}")
            for entry in self.entries
            if entry.kind == "answer" and entry.operation == "create" and 300 <= entry.status <= 599
        ]
        if self.measured.create:
            faults.append(f"always*delay={self.measured.create}")
        if self.measured.noise is not None:
            faults.append(f"noise={self.measured.noise}")
        if "created" in reached and "avatar_joined" not in reached:
            faults.append("never_join")
        if "avatar_joined" in reached and "first_picture" not in reached:
            faults.append("freeze_video")
        if "response_ended" in reached and "first_sound" not in reached:
            faults.append("mute")
        left_at, spoke_at = self._time("participant", event="left", avatar=True), self._time("moment", what="speaking")
        if left_at is not None and spoke_at is not None:
            faults.append(f"leave_after={max(0.0, left_at - spoke_at)}")
        return faults

    def _time(self, kind: str, **fields: object) -> float | None:
        """Return when something of a kind happened first."""
        for entry in self.entries:
            if entry.kind == kind and all(getattr(entry, name) == value for name, value in fields.items()):
                return entry.at
        return None


def read_report(path: str) -> Replay:
    """Read a report.

    Raises:
        WrongText: There is none, or it is of another version.
    """
    try:
        return Replay.model_validate_json(Path(path).read_bytes())
    except OSError as error:
        problem = error.strerror or type(error).__name__
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        problem = f"it is not a report of 'pipecat-lemonslice try' ({where or 'JSON'}: {first['msg']})"
        if where == "version" and first["type"] == "literal_error":
            problem = "it is a report of another version; this emulator plays back version 1"
    raise WrongText(f"{path} cannot be played back: {problem}")
