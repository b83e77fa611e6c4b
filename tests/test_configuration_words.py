"""What the service says of keywords and settings that cannot be meant: in their own names, when it is made."""

import dataclasses
import re
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pipecat.transports.base_transport import BaseTransport, TransportParams
from pipecat.transports.daily.transport import DailyTransport

from pipecat_lemonslice import LemonSliceVideoService
from pipecat_lemonslice.api import CreateSessionRequest, LemonSliceApi
from pipecat_lemonslice.emulator import Emulator
from pipecat_lemonslice.errors import ApiStatusError, ConfigurationError
from pipecat_lemonslice.settings import Config

Settings: Any = LemonSliceVideoService.Settings
ROOM = "https://x.daily.co/r"


def make(**kwargs: Any) -> LemonSliceVideoService:
    return LemonSliceVideoService(**{"api_key": "key-0123", "agent_id": "agent", **kwargs})


def refusal(**kwargs: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        make(**kwargs)
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
        (ROOM, "str"),
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


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        *(({"daily_room_url": url}, "daily_room_url ") for url in ("x.co/r", "http://x.co/r", "", "https://", 7)),
        ({"daily_token": "S3CR3T-token"}, "daily_token needs daily_room_url"),
        ({"daily_token": "", "daily_room_url": ROOM}, "daily_token is empty"),
        ({"daily_token": 7, "daily_room_url": ROOM}, "daily_token should be a valid string"),
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
def test_a_value_that_the_api_would_refuse_is_refused_at_construction(kwargs: dict[str, Any], says: str) -> None:
    """The error names the keyword as it was given, and shows no token."""
    said = refusal(**kwargs)
    assert says in said
    assert " room_url" not in said
    assert "S3CR3T" not in said


SOUND: dict[str, Any] = {
    "daily_room_url": "https://x.daily.co/r",
    "daily_token": "token",
    "session_response_done_timeout": 2.0,
}
WRONG = (5, -3, "x", b"x", ["x"], {"x": 1}, object(), True)
TAKEN: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("agent_id", "api_key", "avatar_name", "bot_token", "daily_token"), ("x",)),
    **dict.fromkeys(("agent_image", "agent_image_url", "api_url", "aspect_ratio", "audio_sample_rate"), ()),
    **dict.fromkeys(("daily_room_url", "fallback", "model", "recording", "session", "settings", "transport"), ()),
    "extra": ({"x": 1},),
    "idle_timeout": (5, -3),
    "keep_alive": (True,),
    "session_response_done_timeout": (5,),
}
"""Of the wrong values above, those that are right for a keyword."""


@pytest.mark.parametrize("keyword", sorted(TAKEN))
async def test_what_cannot_be_meant_is_refused_in_the_keywords_own_name(keyword: str) -> None:
    """Whatever its type, and never with any other error."""
    for value in WRONG:
        if any(value is taken or (value == taken and type(value) is type(taken)) for taken in TAKEN[keyword]):
            make(**{**SOUND, keyword: value})
            continue
        said = refusal(**{**SOUND, keyword: value})
        assert keyword in said
        assert keyword != "session_response_done_timeout" or said.startswith(keyword)


# Settings and keywords.

SETTINGS = {field.name for field in dataclasses.fields(Settings)} - {"model", "extra"}


@pytest.mark.parametrize("setting", sorted(SETTINGS - {"agent_image", "agent_image_url"}))
def test_a_setting_given_as_a_keyword_is_told_where_it_belongs(setting: str) -> None:
    """The line to write is in the error."""
    assert f"{setting} belongs in settings=LemonSliceVideoService.Settings({setting}=…)" in refusal(**{setting: 1.0})


def test_a_keyword_that_does_not_exist_is_pythons_own_error() -> None:
    """As with every function."""
    with pytest.raises(TypeError, match=r"__init__\(\) got an unexpected keyword argument 'agent_idd'"):
        make(agent_idd="x")


def test_a_setting_that_does_not_exist_is_refused_with_those_that_do() -> None:
    """In the constructor of the settings and in a mapping alike; a keyword among them is told where it belongs."""
    with pytest.raises(ConfigurationError, match=r"agent_promt: no such setting\. There are .*agent_prompt"):
        Settings(agent_promt="friendly")
    given = Settings.from_mapping({"agent_promt": "friendly"})
    assert "agent_promt: no such setting. There are " in refusal(settings=given)
    with pytest.raises(ConfigurationError, match=r"keep_alive: no such setting.* a keyword of LemonSliceVideoService"):
        Settings(keep_alive=False)


@pytest.mark.parametrize("check", ["join_timeout", "first_frame_timeout", "frozen_timeout", "mute_timeout"])
def test_a_timeout_is_a_number_above_0_or_none(check: str) -> None:
    """None switches the check off."""
    make(settings=Settings(**{check: None}))
    for value in (0, -1, "5", True, float("inf")):
        said = refusal(settings=Settings(**{check: value}))
        assert said.startswith(check)
        assert "None" in said


def test_no_secret_is_shown() -> None:
    """The token, the recording and further fields are not in the repr of what was configured."""
    shown = repr(Config(agent_id="agent", daily_token="secret", recording={"x": "secret"}, extra={"y": "secret"}))
    assert "secret" not in shown


# Pictures.


def encoded(kind: str, size: tuple[int, int] = (368, 560)) -> bytes:
    buffer = BytesIO()
    Image.new("1" if kind == "PNG" else "L", size).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "PIL"])
async def test_a_cameras_picture_does_not_hold_the_loop_up(kind: str) -> None:
    """A bot is often made where others talk already: of 24 million pixels only what the header says is looked at."""
    picture = Image.new("RGB", (6000, 4000)) if kind == "PIL" else encoded(kind, (6000, 4000))
    make()
    began = time.process_time()
    make(agent_id=None, agent_image=picture)
    make(agent_id=None, settings=Settings(agent_image=picture))
    assert time.process_time() - began < 0.02


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (lambda _: b"no picture", "not an image"),
        (lambda _: b"", "empty"),
        (lambda _: encoded("PNG")[:20], "not an image|damaged"),
        (lambda _: encoded("PNG", (9000, 9000)), "80,000,000 pixels"),
        (lambda _: Image.new("1", (9000, 9000)), "80,000,000 pixels"),
        (lambda _: Image.new("RGB", (0, 5)), "no pixels"),
        (lambda folder: folder / "none.png", "not a file"),
        (lambda _: "https://example.test/a.png", "agent_image_url"),
        (lambda _: 5, "type int"),
    ],
)
async def test_what_is_no_picture_is_refused_at_construction(
    picture: Callable[[Path], Any], words: str, tmp_path: Path
) -> None:
    """The error names the field, here and in settings."""
    given = {"agent_image": picture(tmp_path)}
    for kwargs in (given, {"settings": Settings(**given)}):
        assert re.search(f"agent_image.*({words})", refusal(agent_id=None, **kwargs))


async def test_an_address_without_its_path_is_named_beside_the_agent() -> None:
    """A server that knows nothing of the API answers 404 like one that knows nothing of the agent."""
    async with Emulator() as emulator:
        address = emulator.api_url.removesuffix("/api")
        async with LemonSliceApi(api_key="key-0123", api_url=address) as api:
            with pytest.raises(ApiStatusError, match=r"404.*agent.*api_url or LEMONSLICE_API_URL.*/api"):
                await api.create_session(CreateSessionRequest(agent_id="agent"))
