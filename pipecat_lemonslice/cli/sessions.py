"""The commands ``sessions …``: which there are, what they cost, and an end for those that should not run."""

import asyncio
import json
import math
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from pipecat_lemonslice.cli.output import console, fail, failures_told

if TYPE_CHECKING:
    from rich.console import Group

    from pipecat_lemonslice.api import LemonSliceApi, SessionInfo, SessionSummary

app = typer.Typer(
    name="sessions",
    help="Look after the sessions of your account, which cost while they run.",
    epilog="The API key is read from LEMONSLICE_API_KEY, the address of the API from LEMONSLICE_API_URL if that is "
    "set. The key is no option: the list of processes and the shell's history would show it. A .env file is read by "
    "`uv run --env-file .env pipecat-lemonslice …`.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_ENDED = ("COMPLETED", "TIMED_OUT", "FAILED")
_COLOURS = {"QUEUED": "yellow", "ACTIVE": "green", "FAILED": "red"}

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_sessions(
    running: Annotated[bool, typer.Option("--running", help="Only those that have not ended.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many. [default: all]")] = None,
    as_json: Json = False,
) -> None:
    """List sessions, with what they have cost."""
    with failures_told():
        _show(asyncio.run(_listed(running, limit)), as_json)


@app.command()
def show(session_id: str, as_json: Json = False) -> None:
    """Show one session, with what it has cost."""

    async def get() -> "SessionInfo":
        async with _api() as api:
            return await api.get_session(session_id)

    with failures_told():
        session = asyncio.run(get())
        if as_json:
            typer.echo(session.model_dump_json())
        else:
            _show([session])


@app.command()
def watch(
    every: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="How often to ask.")] = 2.0,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many to show.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one line each time.")] = False,
) -> None:
    """Show the first sessions of the list again and again, until Ctrl-C."""
    with failures_told(), suppress(KeyboardInterrupt):
        asyncio.run(_watch(every, limit, as_json))


@app.command()
def terminate(
    session_ids: Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Which sessions.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that run; other bots' too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Terminate sessions, and show what they have cost. One that has ended already is fine."""
    ids = list(dict.fromkeys(session_ids or ()))
    if bool(ids) == everything:
        raise typer.BadParameter("Give the ids of sessions, or --all.")
    with failures_told():
        if everything:
            ids = [session.session_id for session in asyncio.run(_listed(running=True))]
        if not ids:
            typer.echo("No session is running.")
            return
        if not yes:
            typer.confirm("\n".join((*ids, f"Terminate {len(ids)} in all?")), abort=True, err=True)
        ended, errors = asyncio.run(_terminate(ids))
        if ended:
            _show(ended)
        if errors:
            fail("\n".join(errors))


def _api() -> "LemonSliceApi":
    from pipecat_lemonslice.api import LemonSliceApi

    return LemonSliceApi()


async def _listed(running: bool, limit: int | None = None) -> "list[SessionSummary]":
    found: list[SessionSummary] = []
    async with _api() as api:
        async for session in api.iter_sessions():
            if not running or session.status not in _ENDED:
                found.append(session)
            if len(found) == limit:
                break
    return found


async def _watch(every: float, limit: int, as_json: bool) -> None:
    from rich.live import Live

    out = console()
    redrawn = Live(console=out, auto_refresh=False) if out.is_terminal and not as_json else nullcontext()
    async with _api() as api:
        with redrawn as screen:
            while True:
                sessions = (await api.list_sessions(limit=limit)).sessions
                if screen:
                    screen.update(_table(sessions), refresh=True)
                else:
                    _show(sessions, as_json)
                await asyncio.sleep(every)


async def _terminate(ids: Sequence[str]) -> "tuple[list[SessionInfo], list[str]]":
    """End sessions at the same time. Returns those that have ended, and why others have not."""
    from pipecat_lemonslice.errors import LemonSliceError

    async def end(session_id: str) -> "SessionInfo | str":
        try:
            # Terminating a session that does not exist succeeds, so ask for it first.
            if (session := await api.get_session(session_id)).status in _ENDED:
                return session
            await api.terminate(session_id)
            return await api.get_session(session_id)
        except LemonSliceError as error:
            return str(error)

    async with _api() as api:
        results = await asyncio.gather(*map(end, ids))
    errors = [result for result in results if isinstance(result, str)]
    return [result for result in results if not isinstance(result, str)], errors


def _show(sessions: "Sequence[SessionSummary | SessionInfo]", as_json: bool = False) -> None:
    if as_json:
        listed = [session.model_dump(mode="json") for session in sessions]
        typer.echo(json.dumps({"sessions": listed, "credits": _sum(sessions)}))
    else:
        console().print(_table(sessions))


def _table(sessions: "Sequence[SessionSummary | SessionInfo]") -> "Group":
    """Columns without lines around them, and a line that sums them up."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table("SESSION", "STATUS", box=None, pad_edge=False, header_style="bold")
    table.add_column("CREDITS", justify="right")
    table.add_column("CREATED")
    for session in sessions:
        credits, created = _credits(session), getattr(session, "created_at", None)
        table.add_row(
            Text(session.session_id, overflow="fold"),
            Text(session.status, style=_COLOURS.get(session.status, "")),
            "-" if credits is None else f"{credits:.2f}",
            f"{created.astimezone():%Y-%m-%d %H:%M:%S}" if created else "-",
        )
    running = sum(session.status not in _ENDED for session in sessions)
    return Group(table, f"sessions: {len(sessions)}, running: {running}, credits: {_sum(sessions):.2f}")


def _sum(sessions: "Sequence[SessionSummary | SessionInfo]") -> float:
    return round(math.fsum(_credits(session) or 0.0 for session in sessions), 6)


def _credits(session: "SessionSummary | SessionInfo") -> float | None:
    """What a session has cost, once that is known. The API has a name for it in lists, and one for a single session."""
    from pipecat_lemonslice.api import SessionSummary

    return session.credits_used if isinstance(session, SessionSummary) else session.cost
