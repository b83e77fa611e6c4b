"""The command line: ``pipecat-lemonslice`` and ``python -m pipecat_lemonslice``."""

import sys


def main() -> None:
    """Run a command; without the packages of the extra ``cli``, say how to install them."""
    try:
        from pipecat_lemonslice.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.exit("The command line needs typer and rich: pip install 'pipecat-lemonslice[cli]'")
    app()


if __name__ == "__main__":
    main()
