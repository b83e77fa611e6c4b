"""What the service says of keywords and settings that cannot be meant: in their own names."""

import dataclasses
from typing import Any

import pytest
from pipecat.transports.base_transport import BaseTransport, TransportParams
from pipecat.transports.daily.transport import DailyTransport

from pipecat_lemonslice import LemonSliceVideoService
from pipecat_lemonslice.api import CreateSessionRequest, LemonSliceApi
from pipecat_lemonslice.emulator import Emulator
from pipecat_lemonslice.errors import ApiStatusError, ConfigurationError
from pipecat_lemonslice.settings import Config


def refusal(**kwargs: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        LemonSliceVideoService(api_key="key-0123", agent_id="agent", **kwargs)
    return str(caught.value)


class OwnTransport(BaseTransport):
    def input(self) -> Any:
        raise NotImplementedError

    def output(self) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("transport", "kind"),
    [
        (OwnTransport(), "OwnTransport"),
        (TransportParams(), "TransportParams"),
        ("https://x.daily.co/r", "str"),
        (DailyTransport, "the class DailyTransport"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_transport_that_cannot_be_shared_is_refused(transport: Any, kind: str) -> None:
    """The error says which can, and to leave it out for others."""
    said = refusal(transport=transport)
    assert said.startswith("transport: ")
    assert kind in said
    assert "DailyTransport" in said
    assert "leave it out" in said.lower()


async def test_the_browsers_transport_is_refused_likewise() -> None:
    """The one that people give by mistake."""
    pytest.importorskip("aiortc", reason="the browser's transport is an extra of Pipecat")
    from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
    from pipecat.transports.smallwebrtc.transport import SmallWebRTCTransport

    connection = SmallWebRTCConnection()
    said = refusal(transport=SmallWebRTCTransport(connection, TransportParams()))
    assert "SmallWebRTCTransport" in said
    await connection.disconnect()


@pytest.mark.parametrize("url", ["x.daily.co/r", "http://x.daily.co/r", "", "https://", 7])
def test_an_address_that_is_none_is_named_as_it_was_given(url: Any) -> None:
    """The keyword is daily_room_url, and so the error calls it."""
    said = refusal(daily_room_url=url)
    assert said.startswith("daily_room_url ")
    assert " room_url" not in said


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"daily_token": "S3CR3T-token"}, ("daily_token needs daily_room_url",)),
        ({"daily_token": "", "daily_room_url": "https://x.daily.co/r"}, ("daily_token is empty",)),
        ({"daily_token": 7, "daily_room_url": "https://x.daily.co/r"}, ("daily_token", "string")),
    ],
)
def test_what_is_wrong_with_a_token_is_said_in_its_own_name(kwargs: dict[str, Any], words: tuple[str, ...]) -> None:
    """And the token itself is not shown."""
    said = refusal(**kwargs)
    assert all(word in said for word in words), said
    assert " room_url" not in said
    assert "S3CR3T" not in said


SOUND: dict[str, Any] = {
    "api_key": "key-0123",
    "agent_id": "agent",
    "daily_room_url": "https://x.daily.co/r",
    "daily_token": "token",
    "session_response_done_timeout": 2.0,
}
WRONG = (5, -3, "x", b"x", ["x"], {"x": 1}, object(), True)
TAKEN: dict[str, tuple[Any, ...]] = {
    "agent_id": ("x",),
    "agent_image": (),
    "agent_image_url": (),
    "api_key": ("x",),
    "api_url": (),
    "aspect_ratio": (),
    "audio_sample_rate": (),
    "avatar_name": ("x",),
    "bot_token": ("x",),
    "daily_room_url": (),
    "daily_token": ("x",),
    "extra": ({"x": 1},),
    "fallback": (),
    "idle_timeout": (5, -3),
    "keep_alive": (True,),
    "model": (),
    "recording": (),
    "session": (),
    "session_response_done_timeout": (5,),
    "settings": (),
    "transport": (),
}
"""Of the wrong values above, those that are right for a keyword."""


@pytest.mark.parametrize("keyword", sorted(TAKEN))
async def test_what_cannot_be_meant_is_refused_in_the_keywords_own_name(keyword: str) -> None:
    """Whatever its type, and never with any other error."""
    for value in WRONG:
        if any(value is taken or (value == taken and type(value) is type(taken)) for taken in TAKEN[keyword]):
            LemonSliceVideoService(**{**SOUND, keyword: value})
            continue
        with pytest.raises(ConfigurationError) as caught:
            LemonSliceVideoService(**{**SOUND, keyword: value})
        assert keyword in str(caught.value), caught.value
        assert keyword != "session_response_done_timeout" or str(caught.value).startswith(keyword)


@pytest.mark.parametrize(
    ("kwargs", "name"),
    [
        ({"agent_id": None}, "agent_id"),
        ({"agent_image_url": "https://x.test/a.png"}, "agent_image_url"),
        ({"audio_sample_rate": 22050}, "audio_sample_rate"),
        ({"extra": {"simulcast": True}}, "simulcast"),
        ({"extra": {"agent_id": "other"}}, "agent_id"),
        ({"session_response_done_timeout": -1.0}, "session_response_done_timeout"),
        ({"recording": {"enable_recording": "everything"}}, "enable_recording"),
        ({"recording": {"enable_recoding": "cloud"}}, "enable_recoding"),
    ],
)
def test_a_value_that_the_api_would_refuse_is_refused_at_construction(kwargs: dict[str, Any], name: str) -> None:
    """The error names the field."""
    with pytest.raises(ConfigurationError, match=name):
        LemonSliceVideoService(**{"api_key": "key-0123", "agent_id": "agent", **kwargs})


SETTINGS = {field.name for field in dataclasses.fields(LemonSliceVideoService.Settings)} - {"model", "extra"}


@pytest.mark.parametrize("setting", sorted(SETTINGS - {"agent_image", "agent_image_url"}))
def test_a_setting_given_as_a_keyword_is_told_where_it_belongs(setting: str) -> None:
    """The line to write is in the error."""
    assert f"{setting} belongs in settings=LemonSliceVideoService.Settings({setting}=…)" in refusal(**{setting: 1.0})


def test_a_keyword_that_does_not_exist_is_pythons_own_error() -> None:
    """As with every function."""
    with pytest.raises(TypeError, match=r"__init__\(\) got an unexpected keyword argument 'agent_idd'"):
        LemonSliceVideoService(api_key="key-0123", agent_id="agent", agent_idd="x")


def test_a_setting_that_does_not_exist_is_refused_with_those_that_do() -> None:
    """In the constructor of the settings and in a mapping alike."""
    wrong: dict[str, Any] = {"agent_promt": "friendly"}
    with pytest.raises(ConfigurationError, match=r"agent_promt: no such setting\. There are .*agent_prompt"):
        LemonSliceVideoService.Settings(**wrong)
    given = LemonSliceVideoService.Settings.from_mapping(wrong)
    assert "agent_promt: no such setting. There are " in refusal(settings=given)


def test_a_keyword_given_as_a_setting_is_told_where_it_belongs() -> None:
    """The reverse of a setting given as a keyword."""
    make: Any = LemonSliceVideoService.Settings
    with pytest.raises(ConfigurationError, match=r"keep_alive: no such setting.* a keyword of LemonSliceVideoService"):
        make(keep_alive=False)


CHECKS = ("join_timeout", "first_frame_timeout", "frozen_timeout", "mute_timeout")


@pytest.mark.parametrize("check", CHECKS)
def test_a_timeout_is_a_number_above_0_or_none(check: str) -> None:
    """None switches the check off."""
    make: Any = LemonSliceVideoService.Settings
    LemonSliceVideoService(api_key="key-0123", agent_id="agent", settings=make(**{check: None}))
    for value in (0, -1, "5", True, float("inf")):
        said = refusal(settings=make(**{check: value}))
        assert said.startswith(check)
        assert "None" in said


async def test_an_address_without_its_path_is_named_beside_the_agent() -> None:
    """A server that knows nothing of the API answers 404 like one that knows nothing of the agent."""
    async with Emulator() as emulator:
        address = emulator.api_url.removesuffix("/api")
        async with LemonSliceApi(api_key="key-0123", api_url=address) as api:
            with pytest.raises(ApiStatusError) as caught:
                await api.create_session(CreateSessionRequest(agent_id="agent"))
    assert "404" in str(caught.value)
    assert "agent" in str(caught.value)
    assert "api_url or LEMONSLICE_API_URL" in str(caught.value)
    assert "/api" in str(caught.value)


def test_no_secret_is_shown() -> None:
    """The token, the recording and further fields are not in the repr of what was configured."""
    shown = repr(Config(agent_id="agent", daily_token="secret", recording={"x": "secret"}, extra={"y": "secret"}))
    assert "secret" not in shown
