"""A whole call in virtual time, with the emulator in the place of LemonSlice.

Nothing is replaced but the network: the service's REST client and its room speak HTTP and WebSockets to the emulator's
server, byte for byte, on a `NetworkLoop`. Faults are asked of the emulator, of its avatars, and of the network. The
face is a picture of six pixels, as nobody looks at it.
"""

import asyncio
import itertools
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from loguru import logger
from pipecat.frames.frames import EndFrame, StartFrame
from yarl import URL

from pipecat_lemonslice import AvatarImageFrame
from pipecat_lemonslice.emulator import Emulator, EmulatorOptions, Kind, Session, Status
from pipecat_lemonslice.emulator.face import Face, HeadPosition
from pipecat_lemonslice.emulator.room import AppMessage
from pipecat_lemonslice.rooms import Room, RoomOptions, open_room
from tests.faults.hearing import FIRST_CODE, LAST_CODE, SLICE, SLICE_SAMPLES, Sounding, Utterance, played, spoken
from tests.support.network import Network, NetworkLoop
from tests.support.no_secret import texts
from tests.support.stage import RATE, Stage

LAG = 0.25
"""By how much the avatar's voice follows its speech, in seconds."""

JOIN_SECONDS = 0.5
"""Seconds that joining a room takes."""

LOOK = 0.1
"""Seconds between two looks whether the end has come."""

TURNS = 15
"""Turns of the loop in which a frame has gone through the pipeline."""

SECRET = "S3CR3T"
"""In everything that must not be seen."""

KEY = "lsk-S3CR3T-key-0123456789abcdef"
BOT_TOKEN = "S3CR3T-token-of-the-bot"
AVATAR_TOKEN = "S3CR3T-token-of-the-avatar"
PORT = 9
"""Where the emulator listens; outside of the virtual network, nobody does."""

LOBBY = f"ws://127.0.0.1:{PORT}/rooms/lobby?t=S3CR3T-room"
ELSEWHERE = "elsewhere.test"
"""A host on which a session may be controlled without the key; the emulator answers for it, too."""

TOLD = (Kind.RESPONSE_STARTED, Kind.RESPONSE_FINISHED, Kind.INTERRUPT)
ASTRAY = (Kind.IGNORED, Kind.RESPONSE_DONE_TIMEOUT)


class Site:
    """One session's avatar and its room, as a test of faults strikes them."""

    def __init__(self, world: "World", session: Session) -> None:
        self.session = session
        self.left = False
        """Whether the avatar has ever left."""
        self.frozen = False
        """Whether writes to the avatar's track never complete; in a shared room only."""
        self.refuses_messages = False
        """Likewise whether messages are refused."""
        self._world = world

    @property
    def closed(self) -> bool:
        """Whether the bot has let go of the room."""
        return self._world.has_left(self.session)

    @property
    def avatar_is_there(self) -> bool:
        return self.session.avatar.present

    @property
    def events(self) -> list[str]:
        """The app messages that the avatar obeyed."""
        return [str(event.kind) for event in self.session.avatar.events if event.kind in TOLD]

    @property
    def astray(self) -> list[str]:
        """Messages to another session, and responses of whose end the avatar was not told."""
        return [str(event.kind) for event in self.session.avatar.events if event.kind in ASTRAY]

    def leave(self) -> None:
        self.left = True
        self.session.avatar.leave()

    def arrive(self) -> None:
        """The avatar comes (back), with a new participant id as in Daily's rooms, unless the session is over."""
        if not self.session.ended:
            self.session.avatar.rejoin()

    def say(self, message: Any) -> None:
        """The avatar sends an app message."""
        self.session.room.send(self.session.avatar, AppMessage(message))


class World(Stage):
    """A call that can be driven through faults; see the module.

    Args:
        observed: Whether logs are kept.
        join_delay: Seconds from the creation of a session until its avatar comes, unless it is kept away.
        latency: Seconds until the API answers.
        lobby: Whether all sessions meet in one room that exists before; else each has its own.
        **kwargs: Arguments of the service.
    """

    unknown_lag = 0.0
    """Seconds of words of which the bot cannot know whether the avatar has been heard saying them."""

    rooms: list[Any]

    def __init__(
        self,
        *,
        observed: bool = True,
        join_delay: float = 1.5,
        latency: float = 1.0,
        lobby: bool = False,
        **kwargs: Any,
    ) -> None:
        face = Face(2, 3, {0: HeadPosition(bytes(2 * 3 * 3), {})})
        self.emulator = Emulator(
            EmulatorOptions(
                port=PORT,
                latency=LAG,
                join_delay=join_delay,
                pictures_per_second=2.0,  # enough to be seen, as the service counts none of them
                api_keys=frozenset({KEY}),
                face=face,
            )
        )
        self._latency, self._expired = latency, set[str]()
        self.logs: list[str] = []
        self.tracebacks: list[str] = []
        self.strays: list[str] = []
        """What the loop could not place."""
        self.said: list[Utterance] = []
        self.on_site: list[Callable[[Site], None]] = []
        """What is to happen as soon as the next room has been joined."""
        self.most_running = 0
        """How many sessions have run at the same time, at most."""
        self._late: float | None = None
        self._codes = itertools.count(FIRST_CODE)
        self._heard: tuple[int, list[Sounding]] | None = None
        order = {"api_key": KEY, "api_url": f"http://127.0.0.1:{PORT}/api", "bot_token": BOT_TOKEN}
        if lobby:
            self.emulator.open_room("lobby", (BOT_TOKEN, AVATAR_TOKEN))
            order |= {"daily_token": AVATAR_TOKEN, "daily_room_url": LOBBY}
        super().__init__(**{**order, **kwargs})
        self._sinks = [self._listen_in()] if observed else []
        self.service.add_event_handler("on_session_created", self._on_session_created)

    def seams(self) -> dict[str, Any]:
        """Only joining a room takes its time, and may fail as it likes."""
        return {"_open_room": self._open}

    async def __aenter__(self) -> "World":
        asyncio.get_running_loop().set_exception_handler(self._note_stray)
        self.network.names[ELSEWHERE] = ("127.0.0.1", PORT)
        await self.emulator.start()
        if self._latency:
            self.emulator.fault(f"always*delay={self._latency}@any")
        await super().__aenter__()
        return self

    async def __aexit__(self, *details: Any) -> None:
        try:
            await super().__aexit__(*details)
            await self.settle()
            await self.emulator.close()
        finally:
            for sink in self._sinks:
                logger.remove(sink)

    # The vendor.

    @property
    def created(self) -> list[str]:
        """The sessions."""
        return [session.id for session in self.emulator.sessions]

    @property
    def leaked(self) -> list[str]:
        """Those that nobody terminated, also if their idle timeout has passed, unless that was the test's wish."""
        done = (session.id for session in self.emulator.sessions if session.status is Status.COMPLETED)
        return sorted({*self.created} - {*done} - self._expired)

    def expire(self) -> None:
        """Let the sessions that run end by themselves."""
        for session in self.emulator.running:
            self._expired.add(session.id)
            session.end(Status.TIMED_OUT)

    def keep_away(self, seconds: float | None = None) -> None:
        """Let avatars come only so long after the bot, or never."""
        self.emulator.fault("never_join")
        self._late = seconds

    @property
    def network(self) -> Network:
        return cast("NetworkLoop", asyncio.get_running_loop()).network

    # The rooms.

    def has_left(self, session: Session) -> bool:
        """Whether the bot is out of a session's room."""
        return all(member.user_name != "Pipecat" for member in session.room.participants)

    async def _open(self, url: str, options: RoomOptions) -> Room:
        await asyncio.sleep(JOIN_SECONDS)
        if self.join_refusals:
            raise self.join_refusals.popleft()
        room = await open_room(url, options)
        self._enter(next(one for one in reversed(self.emulator.sessions) if one.room.name == URL(url).name))
        return room

    def _enter(self, session: Session) -> None:
        """The bot is in a room; what is to happen there, does."""
        site = Site(self, session)
        self.rooms.append(site)
        if self._late is not None:
            asyncio.get_running_loop().call_later(self._late, site.arrive)
        for change in self.on_site:
            change(site)
        self.on_site.clear()

    async def _on_session_created(self, _service: object, _session_id: str) -> None:
        self.most_running = max(self.most_running, len(self.emulator.running))

    # What is said, and what is heard.

    async def say(
        self, seconds: float, *, chunk: float = 0.2, stop: bool = True, llm: bool = True, interruptible: bool = True
    ) -> Utterance:
        """Have the bot say something coded, in chunks that come at once."""
        utterance = Utterance(self.now, self._next_codes(round(seconds / SLICE)), interruptible)
        self.said.append(utterance)
        for frame in spoken(utterance.codes, max(1, round(chunk / SLICE)), stop, llm):
            frame.interruptible = interruptible
            await self.send(frame)
        return utterance

    def heard(self) -> list[Sounding]:
        """What the user hears."""
        if self._heard is None or self._heard[0] != len(self.sink.frames):
            self._heard = (len(self.sink.frames), list(self._play()))
        return self._heard[1]

    def _play(self) -> Iterator[Sounding]:
        return played(self.sink.frames)

    def heard_by(self, utterance: Utterance) -> set[str]:
        """By whom the user hears something: the avatar, or the plain voice."""
        return {sounding.by for sounding in self.heard() if sounding.code in utterance.codes}

    def missing(self, codes: Iterable[int]) -> float:
        """Seconds of something that the user has never heard."""
        samples = self._samples()
        return sum(max(0, SLICE_SAMPLES - samples[code]) for code in codes) / RATE

    def doubled(self) -> float:
        """Seconds that the user has heard twice."""
        return sum(max(0, samples - SLICE_SAMPLES) for samples in self._samples().values()) / RATE

    def _samples(self) -> Counter[int]:
        samples = Counter[int]()
        for sounding in self.heard():
            samples[sounding.code] += sounding.samples
        return samples

    def _next_codes(self, count: int) -> range:
        first = next(self._codes)
        if first + count > LAST_CODE:
            first = FIRST_CODE
        self._codes = itertools.count(first + count)
        return range(first, first + count)

    # The call.

    async def settle(self, seconds: float = 0.0) -> None:
        """Let time pass, and everything happen that is due; in fewer turns than the stage takes, as there are many."""
        await asyncio.sleep(seconds)
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def end(self) -> None:
        """End the call and wait until the EndFrame has come through."""
        await self.send(EndFrame())
        while not any(isinstance(frame, EndFrame) for _, frame in self.sink.frames[-20:]):  # noqa: ASYNC110
            await asyncio.sleep(LOOK)

    def secrets_seen(self) -> list[str]:
        """Texts with a secret in them: logs, frames, events, errors, their causes, tracebacks with local variables."""
        return [text for text in self._seen() if SECRET in text]

    def _seen(self) -> Iterator[str]:
        yield from self.logs
        for end in (self.source, self.sink):
            for _, frame in end.frames:
                # The frame that a bot makes of a signed address is its own.
                if not isinstance(frame, StartFrame | AvatarImageFrame) and not hasattr(frame, "audio"):
                    yield from (repr(frame), str(frame))
        yield from map(str, self.page)
        yield from (repr(event) for event in self.events)
        for error in (frame.exception for frame in self.errors if frame.exception):
            yield from texts(error)
            yield "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
        yield repr(self.service)

    def _listen_in(self) -> int:
        return logger.add(self._note_log, level="TRACE", diagnose=True, backtrace=True, format="{name} {message}")

    def _note_log(self, message: Any) -> None:
        if message.record["name"].startswith("pipecat_lemonslice.emulator"):
            return  # the vendor's own, who knows the keys and is told what to do wrong
        self.logs.append(str(message))
        if message.record["exception"] is not None:
            self.tracebacks.append(str(message))

    def _note_stray(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.strays.append(f"{context.get('message')}: {context.get('exception')!r}")
