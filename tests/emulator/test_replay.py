"""A bug report played back: what was measured against LemonSlice is measured against the emulator."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipecat_lemonslice.api import CreateSessionRequest
from pipecat_lemonslice.cli.report import Answer, Log, Measured, Message, Moment, Person, Reached, Report, make_report
from pipecat_lemonslice.emulator import Emulator, EmulatorOptions
from pipecat_lemonslice.emulator.faults import parse
from pipecat_lemonslice.emulator.replay import read_report
from tests.cli.conftest import CommandLine
from tests.emulator.conftest import Says
from tests.emulator.test_main import running

REACHED: tuple[Reached, ...] = (
    *("created", "room_joined", "active", "avatar_joined", "first_picture"),
    *("speaking", "first_sound", "response_ended", "terminated"),
)
READY = {"type": "bot_ready", "session_id": "session-1"}
TROUBLE = {"type": "video_generation_error", "error": "text-1"}


def written(
    path: Path, *entries: Answer | Person | Message | Moment, reached: tuple[Reached, ...], **fields: Any
) -> str:
    """A report, written to a file as the command line writes it."""
    log = Log(lambda: 0.0, lambda *_: None)
    log.entries += [*entries, *(Moment(at=5.0 + at, what=what) for at, what in enumerate(reached))]
    report = make_report(log, CreateSessionRequest(agent_id="a"), "done", Measured(**fields))
    path.write_text(report.model_dump_json())
    return str(path)


def created(status: int, retry_after: float | None = None) -> Answer:
    return Answer(at=0.5, operation="create", status=status, seconds=0.3, retry_after=retry_after, body=None)


def person(at: float, event: Any) -> Person:
    return Person(at=at, event=event, who="participant-1", avatar=True)


def received(at: float, body: Any) -> Message:
    return Message(at=at, direction="received", who="participant-1", body=body)


async def test_a_replayed_report_measures_about_the_same(tmp_path: Path) -> None:
    """Refusals, delays, lag, noise, pictures a second and messages, through the command line on both sides."""
    figures = {"create": 0.4, "queue": 0.5, "join": 0.6, "first_picture": 0.7, "lag": 0.8}
    file = written(
        tmp_path / "report.json",
        *(created(429), created(201), person(4.0, "joined"), received(4.0, READY), received(4.5, TROUBLE)),
        reached=REACHED,
        noise=-55.0,
        fps=12.5,
        **figures,
    )
    again = tmp_path / "again.json"
    async with running("--replay", file) as (url, _):
        command = CommandLine(Emulator())  # this one never starts
        arguments = ("try", "--agent", "a", "--say", "Hello", "--report", str(again))
        ended = await command.run(*arguments, LEMONSLICE_API_URL=url)
    assert ended.code == 0, ended.err
    report = Report.model_validate_json(again.read_text())
    measured = report.measured.model_dump()
    assert measured | figures == pytest.approx(measured, abs=0.35)
    assert report.measured.fps == pytest.approx(12.5, rel=0.2)
    assert report.measured.noise == pytest.approx(-55, abs=1)
    assert [entry.status for entry in report.entries if isinstance(entry, Answer)][:2] == [429, 201]
    joined_at = next(entry.at for entry in report.entries if isinstance(entry, Person))
    messages = [entry for entry in report.entries if isinstance(entry, Message) and entry.direction == "received"]
    assert messages[0].body == READY
    assert messages[1].body == TROUBLE | {"error": "text-2"}  # after what the refusal said
    assert [entry.at - joined_at for entry in messages] == pytest.approx([0.0, 0.5], abs=0.35)


@pytest.mark.parametrize(
    ("reached", "entries", "fault"),
    [
        (2, (), "never_join"),
        (4, (person(1.0, "joined"),), "freeze_video=0"),
        (6, (person(1.0, "joined"), person(11.5, "left")), "leave_after=1.5"),
        (8, (person(1.0, "joined"),), "mute=0"),
    ],
)
def test_what_went_wrong_goes_wrong_again(tmp_path: Path, reached: int, entries: tuple[Any, ...], fault: str) -> None:
    """An avatar that never came, showed nothing, left in mid-speech, or was mute: of all sessions from then on."""
    steps: tuple[Reached, ...] = (*(step for step in REACHED[:reached] if step != "first_sound"), "terminated")
    replay = read_report(written(tmp_path / "report.json", created(201), *entries, reached=steps))
    (one,) = replay.faults()
    assert parse(one) == parse(fault)


def test_what_was_not_measured_stays_as_it_is(tmp_path: Path) -> None:
    """A report of a trial that was refused at once changes no lag and no picture rate, and refuses once."""
    replay = read_report(written(tmp_path / "report.json", created(401), reached=()))
    options = EmulatorOptions(latency=0.4, pictures_per_second=10.0)
    assert replace(replay.options(options), messages=options.messages) == options
    assert replay.faults() == ["reject=401"]


def test_a_file_that_cannot_be_played_back_is_one_line(tmp_path: Path, says: Says) -> None:
    """None, no JSON, no report, one of another version, one with a time that no emulator can wait: status 2."""
    path = tmp_path / "report.json"
    assert f"argument --replay: {path} cannot be played back: No such file" in says(2, "--replay", str(path))
    whole = json.loads(Path(written(path, reached=REACHED)).read_text())
    for text, why in (
        ("<html>", "it is not a report"),
        ("{}", "it is not a report"),
        (json.dumps({**whole, "version": 2}), "another version; this emulator plays back version 1"),
        (json.dumps({**whole, "measured": {**whole["measured"], "queue": -1}}), "measured.queue"),
    ):
        path.write_text(text)
        assert why in says(2, "--replay", str(path))
