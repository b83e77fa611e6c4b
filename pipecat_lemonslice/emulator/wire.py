"""The messages of the rooms' WebSockets: what may come in, and how sound and pictures are packed.

Texts are JSON objects with a `type`; binary messages begin with their kind and the sender's id.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

SOUND, PICTURE = 1, 2
_SOUND_HEAD = struct.Struct("<B16sBI")
_PICTURE_HEAD = struct.Struct("<B16sHH")
_RATES = range(8000, 96001, 50)
"""Sample rates of which 20 ms are a whole number of samples."""


_MOST_TEXT = 64 * 1024
"""Characters of a text message."""


class WireError(Exception):
    """A message that breaks the rules of the wire; its text says which."""


@dataclass(frozen=True)
class Sound:
    """Sound of one participant: interleaved signed 16 bit samples."""

    pcm: bytes
    sample_rate: int
    channels: int = 1


@dataclass(frozen=True)
class Join:
    """The first message of a participant.

    Parameters:
        user_name: Name shown to the others.
        token: Room token, None if it has none.
        tracks: Sample rate of each audio track it publishes, by name.
        voice_sample_rate: Rate in Hz at which it wants to hear.
        subscribe: User name whose camera and microphone it wants; None: nobody's.
    """

    user_name: str
    token: str | None
    tracks: Mapping[str, int]
    voice_sample_rate: int
    subscribe: str | None


@dataclass(frozen=True)
class AppMessage:
    """A message for the other participants, or for one of them."""

    message: Mapping[str, Any]
    recipient: str | None


@dataclass(frozen=True)
class Clear:
    """Sound that has been sent and not been played is not wanted.

    Parameters:
        end: Samples of it, counted from the first one sent, that are still to be played.
    """

    end: int


@dataclass(frozen=True)
class Leave:
    """The participant goes."""


def parse_join(text: str) -> Join:
    """The first message.

    Raises:
        WireError: It is no correct join.
    """
    data = _object(text)
    _need(data.get("type") == "join", "the first message must be a join")
    _need(isinstance(data.get("user_name"), str), "user_name: a string is required")
    _need(isinstance(data.get("token"), str | None), "token: a string or null")
    _need(isinstance(data.get("subscribe"), str | None), "subscribe: a string or null")
    rate = _rate(data.get("voice_sample_rate"), "voice_sample_rate")
    tracks = data.get("tracks", [])
    _need(isinstance(tracks, list), "tracks: a list is required")
    return Join(data["user_name"], data.get("token"), dict(map(_track, tracks)), rate, data.get("subscribe"))


def _track(track: Any) -> tuple[str, int]:
    _need(isinstance(track, dict), "tracks: objects are required")
    _need(isinstance(track.get("name"), str), "tracks.name: a string is required")
    _need(track.get("channels") in (1, 2), "tracks.channels: 1 or 2")
    return track["name"], _rate(track.get("sample_rate"), "tracks.sample_rate")


def _rate(value: Any, name: str) -> int:
    _need(type(value) is int and value in _RATES, f"{name}: 8000 to 96000, a multiple of 50")
    return value


def parse_text(text: str) -> AppMessage | Clear | Leave:
    """A later text message.

    Raises:
        WireError: It is none that is known, or not correct.
    """
    data = _object(text)
    match data.get("type"):
        case "leave":
            return Leave()
        case "app_message":
            message, recipient = data.get("message"), data.get("recipient")
            _need(isinstance(message, dict), "app_message.message: an object is required")
            _need(isinstance(recipient, str | None), "app_message.recipient: a string or null")
            return AppMessage(cast("dict[str, Any]", message), recipient)
        case "clear":
            end = data.get("end")
            _need(type(end) is int and end >= 0, "clear.end: a number of samples, 0 or more")
            return Clear(cast("int", end))
        case unknown:
            raise WireError(f"unknown message type {unknown!r}"[:120])


def parse_sound(data: bytes, sender: UUID) -> Sound:
    """A binary message from a participant.

    Raises:
        WireError: It is no correct sound of this participant.
    """
    _need(len(data) >= _SOUND_HEAD.size, "binary message too short")
    kind, source, channels, rate = _SOUND_HEAD.unpack_from(data)
    pcm = data[_SOUND_HEAD.size :]
    _need(kind == SOUND, f"participants send sound (1), not {kind}")
    _need(source == sender.bytes, "source is not the id given to this participant")
    _need(channels in (1, 2), "channels: 1 or 2")
    _need(rate in _RATES, "sample_rate: 8000 to 96000, a multiple of 50")
    _need(len(pcm) % (2 * channels) == 0, "PCM must be a whole number of samples")
    return Sound(pcm, rate, channels)


def pack_sound(source: UUID, pcm: bytes, sample_rate: int) -> bytes:
    """Mono sound for a participant."""
    return _SOUND_HEAD.pack(SOUND, source.bytes, 1, sample_rate) + pcm


def picture_header(source: UUID, width: int, height: int) -> bytes:
    """What stands before the RGB bytes of a picture."""
    return _PICTURE_HEAD.pack(PICTURE, source.bytes, width, height)


def _object(text: str) -> dict[str, Any]:
    _need(len(text) <= _MOST_TEXT, f"text messages have at most {_MOST_TEXT} characters")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    _need(isinstance(data, dict), "text messages are JSON objects")
    return cast("dict[str, Any]", data)


def _need(holds: bool, reason: str) -> None:
    if not holds:
        raise WireError(reason)
