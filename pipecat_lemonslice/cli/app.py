"""The commands of ``pipecat-lemonslice``, put together."""

import typer

app = typer.Typer(
    name="pipecat-lemonslice",
    help="LemonSlice avatars for Pipecat bots: try one, look after sessions, find out what is missing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
