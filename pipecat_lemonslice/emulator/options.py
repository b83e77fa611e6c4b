"""How an emulator is set up: everything that is decided before it starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipecat_lemonslice.emulator.face import Face

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class EmulatorOptions:
    """Settings of one emulator. Faults are added to the running ``Emulator`` instead.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        latency: Seconds from hearing speech to speaking it.
        cold_start: Seconds for which a new session is QUEUED.
        join_delay: Seconds from then until the avatar joins its room.
        first_picture_delay: Seconds from then until its first picture.
        messages: App messages that it sends, each so many seconds after it has joined. A ``session_id`` in one
            becomes that of its session.
        avatar_name: User name of the avatar in its room.
        api_keys: Accepted keys; empty: any that is not blank.
        agents: Known agent ids; empty: any.
        room_tokens: Tokens accepted besides the avatar's own in rooms of sessions created with a ``daily_token``;
            empty: those rooms admit anybody.
        max_body: Largest request body in bytes; larger ones answer 413.
        max_sessions: Sessions running at once; more answer 429.
        image_cuts_voice: A new picture drops the speech that has not been spoken yet, as the real model may.
        credits_per_minute: Cost of an active session.
        pictures_per_second: Pictures that each avatar sends, from 1 to 25.
        record_seconds: Seconds of speech kept in ``avatar.heard`` and ``avatar.sounded``, counted from the first.
        marks: Least seconds between two marks while an avatar speaks; 0 for none. A mark is one white picture, and
            20 ms at full volume that begin at the same instant: it shows how far picture and voice are apart.
        face: Shown in place of the drawn face, in every aspect ratio.
    """

    host: str = "127.0.0.1"
    port: int = 0
    latency: float = 0.25
    cold_start: float = 0.0
    join_delay: float = 0.0
    first_picture_delay: float = 0.0
    messages: tuple[tuple[float, Mapping[str, Any]], ...] = ((0.0, {"type": "bot_ready", "session_id": ""}),)
    avatar_name: str = "LemonSlice"
    api_keys: frozenset[str] = frozenset()
    agents: frozenset[str] = frozenset()
    room_tokens: frozenset[str] = frozenset()
    max_body: int = 4 * MEBIBYTE
    max_sessions: int = 100
    image_cuts_voice: bool = False
    credits_per_minute: float = 10.0
    pictures_per_second: float = 25.0
    record_seconds: float = 600.0
    marks: float = 0.0
    face: Face | None = None
