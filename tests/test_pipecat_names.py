"""Every name of Pipecat that the package and the bots use, so that a rename in a new release fails with its name."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.services.ai_service import AIService
from pipecat.services.settings import ServiceSettings
from pipecat.transports.base_output import BaseOutputTransport

import pipecat_lemonslice

PACKAGE = Path(pipecat_lemonslice.__file__).parent
BOTS = PACKAGE.parent / "bots"

MEMBERS = {
    AIService: (
        "setup start stop cancel cleanup process_frame push_frame push_error broadcast_frame create_task get_clock "
        "start_ttfb_metrics stop_ttfb_metrics can_generate_metrics processor_setup is_usable add_event_handler "
        "_register_event_handler _call_event_handler _update_settings"
    ),
    ServiceSettings: "given_fields apply_update from_mapping",
    BaseOutputTransport: "register_audio_destination write_audio_frame send_message next processors",
}
"""Methods and properties that are called or overridden. Those with an underscore are for subclasses."""


def imported_names() -> Iterator[tuple[str, str]]:
    """Module and name of each import from Pipecat in the package and the bots."""
    for path in (*PACKAGE.rglob("*.py"), *BOTS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0] == "pipecat":
                    yield from ((module, alias.name) for alias in names)
                case ast.Import(names=names):
                    assert all(alias.name.split(".")[0] != "pipecat" for alias in names), f"use from … import: {path}"
                case _:
                    pass


@pytest.mark.parametrize(("module", "name"), sorted(set(imported_names())))
def test_the_installed_pipecat_has_each_name_that_is_imported(module: str, name: str) -> None:
    """A name that is missing fails with its module; a module whose own extra is not installed is skipped."""
    try:
        home = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "pipecat").split(".")[0] == "pipecat":
            raise
        pytest.skip(f"{module} needs {error.name}")
    except Exception as error:  # Pipecat turns a missing extra into an exception of its own
        if not isinstance(error.__cause__ or error.__context__, ModuleNotFoundError):
            raise
        pytest.skip(f"{module} needs an extra that is not installed")
    assert hasattr(home, name), f"{module} has no {name} any more"


@pytest.mark.parametrize(
    ("owner", "member"), [(owner, member) for owner, members in MEMBERS.items() for member in members.split()]
)
def test_the_installed_pipecat_has_each_member_that_is_used(owner: type, member: str) -> None:
    """A method or property that is missing fails with its name."""
    assert hasattr(owner, member), f"{owner.__name__} has no {member} any more"


@pytest.mark.parametrize(
    "field",
    ["clock", "task_manager", "audio_out_sample_rate", "enable_usage_metrics", "enable_tracing", "tracing_context"],
)
def test_the_setup_of_a_processor_has_each_field_that_is_read(field: str) -> None:
    """`FrameProcessorSetup` is where a processor learns sample rate and metrics before StartFrame."""
    assert field in FrameProcessorSetup.__dataclass_fields__
