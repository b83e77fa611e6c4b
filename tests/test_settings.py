"""What can change while the service runs, and what it makes of requests and control events."""

import dataclasses
from typing import Any

import pytest
from pipecat.services.settings import ServiceSettings
from pipecat.utils.types import NOT_GIVEN

from pipecat_lemonslice.api import UpdateAgentPrompt, UpdateIdlePrompt, UpdateImage
from pipecat_lemonslice.errors import ConfigurationError
from pipecat_lemonslice.settings import (
    PICTURE,
    Config,
    LemonSliceVideoSettings,
    Timeouts,
    check_settings,
    control_event,
    default_settings,
    merged,
    timeouts,
    with_one_picture,
)

URL, OTHER = "https://x.test/a.png", "https://x.test/b.png"
PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde"
    b"\x00\x00\x00\x0cIDATx\x9cc\xf8\xff\xff?\x00\x05\xfe\x02\xfe\xa75\x81\x84\x00\x00\x00\x00IEND\xaeB`\x82"
)


def config(**fields: Any) -> Config:
    return Config(**{"agent_id": "agent", **fields})


def changed(**fields: Any) -> LemonSliceVideoSettings:
    return merged(default_settings(), with_one_picture(LemonSliceVideoSettings(**fields)))


def test_the_defaults_are_complete_and_as_documented() -> None:
    """Every field is given."""
    settings = default_settings()
    settings.validate_complete()
    assert timeouts(settings) == Timeouts(
        response_done=0.5, response_hold=3.0, ready=8.0, join=180.0, first_frame=15.0, frozen=15.0, mute=5.0
    )
    check_settings(settings)


def test_a_change_touches_nothing_but_what_it_names() -> None:
    """Neither the settings nor the change are altered by merging."""
    settings, delta = default_settings(), LemonSliceVideoSettings(ready_timeout=1.0)
    assert timeouts(merged(settings, delta)) == dataclasses.replace(timeouts(settings), ready=1.0)
    assert timeouts(settings).ready == 8.0
    assert delta.agent_prompt is NOT_GIVEN


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"response_done_timeout": 0}, "response_done_timeout"),
        ({"response_done_timeout": -0.5}, "response_done_timeout"),
        ({"response_hold_timeout": float("nan")}, "response_hold_timeout"),
        ({"ready_timeout": float("inf")}, "ready_timeout"),
        ({"ready_timeout": "8"}, "ready_timeout"),
        ({"ready_timeout": None}, "ready_timeout"),
        ({"ready_timeout": True}, "ready_timeout"),
        ({"model": "flash"}, "model"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(fields: dict[str, Any], names: str) -> None:
    """The error names the setting."""
    with pytest.raises(ConfigurationError, match=names):
        check_settings(LemonSliceVideoSettings(**fields))


def test_the_request_carries_settings_and_config() -> None:
    """And the longest that our own detection may take, unless told otherwise."""
    request = config(model="lite").request(changed(agent_prompt="happy", response_hold_timeout=4.0))
    payload = request.payload()
    assert payload["agent_id"] == "agent"
    assert payload["agent_prompt"] == "happy"
    assert payload["transport_type"] == "daily"
    assert payload["response_done_timeout"] == 4.0
    assert payload["model"] == "lite"
    assert config().request(changed(response_done_timeout=9.0)).response_done_timeout == 9.0
    assert config(session_response_done_timeout=1.0).request(default_settings()).response_done_timeout == 1.0


def test_a_new_picture_takes_the_place_of_the_avatar_and_of_each_other() -> None:
    """By address, by picture and back: a request after it has exactly one source."""
    settings = changed(agent_image_url=URL)
    assert config().request(settings).agent_image_url == URL
    assert config().request(settings).agent_id is None
    settings = merged(settings, with_one_picture(LemonSliceVideoSettings(agent_image=PNG)))
    assert config().request(settings).agent_image == PNG
    assert config().request(settings).agent_image_url is None
    settings = merged(settings, with_one_picture(LemonSliceVideoSettings(agent_image_url=OTHER)))
    assert config().request(settings).agent_image_url == OTHER
    assert config().request(settings).agent_image is None


def test_other_changes_leave_the_picture_alone() -> None:
    """Also those of another kind of settings."""
    delta = LemonSliceVideoSettings(agent_prompt="x")
    assert with_one_picture(delta) is delta
    foreign = ServiceSettings()
    assert with_one_picture(foreign) is foreign


@pytest.mark.parametrize(
    ("fields", "event"),
    [
        ({"agent_prompt": "a"}, UpdateAgentPrompt("a")),
        ({"agent_idle_prompt": "b"}, UpdateIdlePrompt("b")),
        ({"agent_image_url": URL}, UpdateImage(image_url=URL)),
        ({"agent_image": PNG}, UpdateImage(image=PNG)),
    ],
)
def test_what_a_running_session_is_told(fields: dict[str, Any], event: Any) -> None:
    """Only what differs from what it was told before and has a value."""
    nothing = config().session_settings(default_settings())
    now = config().session_settings(changed(**fields))
    wanted = {name: now[name] for name in (PICTURE if {*fields} & {*PICTURE} else fields)}
    assert control_event(wanted, nothing) == event
    assert control_event(wanted, now) is None
    assert control_event({name: nothing[name] for name in wanted}, now) is None


@pytest.mark.parametrize("fields", [{"agent_image_url": URL}, {"agent_image": PNG}])
def test_one_source_in_all(fields: dict[str, Any]) -> None:
    """Here or in the settings, not both."""
    config(agent_id=None).check(changed(**fields))
    with pytest.raises(ConfigurationError, match="exactly one"):
        config().check(changed(**fields))
    with pytest.raises(ConfigurationError, match="exactly one"):
        config(agent_id=None).check(default_settings())


def test_no_secret_is_shown() -> None:
    """The token, the recording and further fields are not in the repr."""
    shown = repr(config(daily_token="secret", recording={"x": "secret"}, extra={"y": "secret"}))
    assert "secret" not in shown
