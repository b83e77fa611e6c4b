import json
import struct
from typing import Any
from uuid import UUID

import pytest

from pipecat_lemonslice.emulator.wire import (
    AppMessage,
    Join,
    Leave,
    Sound,
    WireError,
    pack_sound,
    parse_join,
    parse_sound,
    parse_text,
    picture_header,
)

ME = UUID("00112233-4455-6677-8899-aabbccddeeff")
JOIN: dict[str, Any] = {
    "type": "join",
    "user_name": "Pipecat",
    "token": "t",
    "tracks": [{"name": "stream", "sample_rate": 24000, "channels": 1}],
    "voice_sample_rate": 48000,
    "subscribe": "LemonSlice",
}


def test_join_is_understood():
    """All fields of a join arrive; token and subscription may be null."""
    assert parse_join(json.dumps(JOIN)) == Join("Pipecat", "t", {"stream": 24000}, 48000, "LemonSlice")
    bare = {**JOIN, "token": None, "subscribe": None, "tracks": []}
    assert parse_join(json.dumps(bare)) == Join("Pipecat", None, {}, 48000, None)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"type": "hello"}, "join"),
        ({"user_name": 7}, "user_name"),
        ({"token": 7}, "token"),
        ({"subscribe": []}, "subscribe"),
        ({"voice_sample_rate": 11025}, "voice_sample_rate"),
        ({"voice_sample_rate": True}, "voice_sample_rate"),
        ({"tracks": "stream"}, "tracks"),
        ({"tracks": [{"name": "stream", "sample_rate": 7, "channels": 1}]}, "tracks.sample_rate"),
        ({"tracks": [{"name": "stream", "sample_rate": 24000, "channels": 6}]}, "tracks.channels"),
    ],
)
def test_a_wrong_join_is_refused_by_name(change: dict[str, Any], names: str):
    """The error names the field."""
    with pytest.raises(WireError, match=names):
        parse_join(json.dumps({**JOIN, **change}))


def test_long_texts_are_refused():
    """A text message has a limit, far above what anybody says."""
    with pytest.raises(WireError, match="at most 65536 characters"):
        parse_text(json.dumps({"type": "app_message", "message": {"text": "x" * 65536}, "recipient": None}))


@pytest.mark.parametrize("text", ["", "[]", "nonsense", "[" * 60000, '{"type": "dance"}'])
def test_other_texts_are_refused(text: str):
    """What is no known message is an error, whatever it is."""
    with pytest.raises(WireError):
        parse_text(text)


def test_later_texts_are_understood():
    """App messages and leaving."""
    assert parse_text('{"type": "leave"}') == Leave()
    text = '{"type": "app_message", "message": {"a": 1}, "recipient": null}'
    assert parse_text(text) == AppMessage({"a": 1}, None)


def test_sound_bytes():
    """The header is kind, source, channels, rate, little endian, 22 bytes; the samples follow."""
    packet = b"\x01" + ME.bytes + b"\x02" + b"\x80\xbb\x00\x00" + b"\x01\x00\x02\x00"
    assert parse_sound(packet, ME) == Sound(b"\x01\x00\x02\x00", 48000, 2)
    assert pack_sound(ME, b"\x05\x00", 16000) == b"\x01" + ME.bytes + b"\x01\x80\x3e\x00\x00\x05\x00"


def test_picture_header_bytes():
    """The header is kind, source, width, height, 21 bytes."""
    assert picture_header(ME, 368, 560) == b"\x02" + ME.bytes + b"\x70\x01\x30\x02"


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x01",
        struct.pack("<B16sBI", 2, ME.bytes, 1, 24000),
        struct.pack("<B16sBI", 1, bytes(16), 1, 24000),
        struct.pack("<B16sBI", 1, ME.bytes, 3, 24000),
        struct.pack("<B16sBI", 1, ME.bytes, 1, 7),
        struct.pack("<B16sBI", 1, ME.bytes, 1, 24000) + b"\x00",
        struct.pack("<B16sBI", 1, ME.bytes, 2, 24000) + b"\x00\x00",
    ],
)
def test_wrong_packets_are_refused(packet: bytes):
    """Too short, another kind, somebody else's id, impossible formats, half samples."""
    with pytest.raises(WireError):
        parse_sound(packet, ME)
