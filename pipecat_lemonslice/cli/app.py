"""The commands of ``pipecat-lemonslice``, put together.

A command imports what it needs when it runs, so that help, and a word about what is missing, come at once.
"""

import typer

from pipecat_lemonslice.cli import doctor, programs, sessions, trial

app = typer.Typer(
    name="pipecat-lemonslice",
    help="LemonSlice avatars for Pipecat bots: try one, look after sessions, find out what is missing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

# These two parse their own arguments, --help too.
UNPARSED = {"allow_extra_args": True, "ignore_unknown_options": True}
app.command(add_help_option=False, context_settings=UNPARSED)(programs.demo)
app.command(add_help_option=False, context_settings=UNPARSED)(programs.emulator)
app.command("try")(trial.try_avatar)
app.add_typer(sessions.app)
app.command()(doctor.doctor)
