"""A whole call in virtual time with the emulator in the place of LemonSlice.

Nothing is replaced but the network: the service's REST client and its room speak HTTP and WebSockets to the emulator's
server, byte for byte, on a `NetworkLoop`. Faults are asked of the emulator, and of its avatars; only what a gateway on
the way would do to an answer is done here. The face is a picture of six pixels, as nobody looks at it.
"""

import asyncio
import json
import math
from dataclasses import replace
from typing import Any, cast

from yarl import URL

from pipecat_lemonslice.api.http import HttpClient, Request
from pipecat_lemonslice.api.responses import Response
from pipecat_lemonslice.emulator import Emulator, EmulatorOptions, Kind, Session, Status
from pipecat_lemonslice.emulator.face import Face, HeadPosition
from pipecat_lemonslice.emulator.room import AppMessage
from pipecat_lemonslice.errors import RoomError
from pipecat_lemonslice.rooms import Room, RoomOptions, open_room
from pipecat_lemonslice.rooms.websocket import WebSocketRoom
from tests.faults.vendor import AVATAR_TOKEN, BOT_TOKEN, KEY, Break, Fault, Hang, Refuse, Slow, Spoil, Vendor
from tests.faults.world import JOIN_SECONDS, LAG, World
from tests.support.network import NetworkLoop

PORT = 8900
PICTURES = 2.0
"""Pictures a second: enough to be seen, as the service counts none of them."""

FACE = Face(2, 3, {0: HeadPosition(bytes(2 * 3 * 3), {})})
PATHS = {"create": "create", "cost": "get", "terminate": "control", "reset-idle-timeout": "control"}
ASTRAY = (Kind.IGNORED, Kind.RESPONSE_DONE_TIMEOUT)
TOLD = (Kind.RESPONSE_STARTED, Kind.RESPONSE_FINISHED, Kind.INTERRUPT)
LOBBY = f"ws://127.0.0.1:{PORT}/rooms/lobby?t=S3CR3T-room"
ELSEWHERE = "elsewhere.test"
"""A host on which a session may be controlled without the key; the emulator answers for it, too."""


# The API.


class EmulatedLemonSlice(Vendor):
    """The emulator as the vendor of a call."""

    url = f"http://127.0.0.1:{PORT}/api"

    def __init__(self, join_delay: float) -> None:
        super().__init__()
        self.emulator = Emulator(
            EmulatorOptions(
                port=PORT,
                latency=LAG,
                join_delay=join_delay,
                pictures_per_second=PICTURES,
                api_keys=frozenset({KEY}),
                face=FACE,
            )
        )
        self.knows_token = False
        """Whether it was told the avatar's token, so that it may repeat it."""
        self._expired: set[str] = set()

    async def start(self) -> None:
        """Listen; every answer takes its time from now on."""
        network = cast("NetworkLoop", asyncio.get_running_loop()).network
        network.names[ELSEWHERE] = ("127.0.0.1", PORT)
        await self.emulator.start()
        if self.latency:
            self.emulator.delay(self.latency, times=math.inf, path="any")

    @property
    def created(self) -> list[str]:  # type: ignore[override]
        return [session.id for session in self.emulator.sessions]

    @property
    def terminated(self) -> list[str]:  # type: ignore[override]
        """Those that were terminated by a request, or have been expired here. One whose idle timeout passed leaked."""
        sessions = self.emulator.sessions
        return [one.id for one in sessions if one.status is Status.COMPLETED or one.id in self._expired]

    def expire(self) -> None:
        for session in self.emulator.running:
            self._expired.add(session.id)
            session.end(Status.TIMED_OUT)

    def session_in(self, room_url: str) -> Session:
        """The newest session whose avatar belongs in a room."""
        return next(one for one in reversed(self.emulator.sessions) if one.room.name == URL(room_url).name)

    def arrange(self, event: str, fault: Fault | None) -> None:
        """Have the emulator do to the request that goes out now what a fault wants."""
        path = PATHS[event]
        match fault:
            case Refuse(status, body, retry_after, acted=acted):
                detail = _detail(body) if self.knows_token else _detail(body).replace(AVATAR_TOKEN, "")
                page = None if detail else body
                when = "after" if acted else "before"
                self.emulator.reject(status, detail=detail, retry_after=retry_after, body=page, when=when, path=path)
            case Break("connect"):
                cast("NetworkLoop", asyncio.get_running_loop()).network.refusals += 1
            case Break(when):
                self.emulator.reset(when=when, path=path)
            case Hang(acts):
                self.emulator.hang(when="after" if acts else "before", path=path)
            case Slow(seconds):
                self.emulator.delay(seconds, path=path)
            case Spoil() | None:
                pass


def _detail(body: str) -> str:
    """The detail that the emulator puts into JSON of its own; empty for everything else."""
    try:
        return str(json.loads(body).get("detail", ""))
    except ValueError:
        return ""


class EmulatedRest(HttpClient):
    """The REST client, on its way past a gateway that may spoil answers."""

    def __init__(self, server: EmulatedLemonSlice) -> None:
        super().__init__(KEY, URL(server.url), None, timeout=30.0)
        self._server = server

    async def exchange(self, request: Request) -> Response:
        event, fault = self._server.receive(request, self.headers(request.url))
        self._server.arrange(event, fault)
        answer = await super().exchange(request)
        if event == "create" and answer.status == 201 and (control := self._server.control_url):
            answer = replace(answer, text=_controlled_at(answer.text, control))
        match fault:
            case Spoil(change):
                return replace(answer, text=change(answer.text))
            case Refuse(location=str() as location):
                return replace(answer, location=location)
            case _:
                return answer


def _controlled_at(text: str, address: str) -> str:
    body = json.loads(text)
    return json.dumps({**body, "control_url": address.format(id=body["session_id"])})


# The rooms.


class EmulatedRoom:
    """A room of the emulator's that the bot has joined, with the avatar whose room it is; see `Site`."""

    def __init__(self, joined: WebSocketRoom, session: Session) -> None:
        self.left = False
        self._joined = joined
        self._session = session

    @property
    def closed(self) -> bool:
        """The bot has let go of the room, and the room of the bot."""
        return self._joined._http.closed and all(one.user_name != "Pipecat" for one in self._session.room.participants)

    @property
    def watched(self) -> object:
        return self._joined._watched

    @property
    def events(self) -> list[str]:
        return [str(event.kind) for event in self._session.avatar.events if event.kind in TOLD]

    @property
    def astray(self) -> list[str]:
        """Messages to another session, and responses of whose end the avatar was not told."""
        return [str(event.kind) for event in self._session.avatar.events if event.kind in ASTRAY]

    def leave(self) -> None:
        self.left = True
        self._session.avatar.leave()

    def arrive(self) -> None:
        """Unless the session is over; always with a new id, as in Daily's rooms."""
        if not self._session.ended:
            self._session.avatar.rejoin()

    def join(self, name: str = "LemonSlice", participant_id: str = "") -> None:
        self.arrive()

    def _show_again(self) -> None:
        """It shows itself as soon as it is there."""

    def say(self, message: Any) -> None:
        self._session.room.send(self._session.avatar, AppMessage(message))

    def mute(self) -> None:
        self._session.avatar.mute()

    def freeze_video(self) -> None:
        self._session.avatar.freeze_video()

    def go_silent(self) -> None:
        cast("NetworkLoop", asyncio.get_running_loop()).network.stall()

    def lose(self, reason: str) -> None:
        """Whatever the reason, the bot only sees that the connection is reset."""
        self._session.room.drop_connections()


class EmulatedWorld(World):
    """A call over the emulator; see the module.

    Args:
        join_delay: Seconds from the creation of a session until its avatar comes, unless it is kept away.
        lobby: Whether all sessions meet in one room that exists before; else each has its own.
    """

    loop = NetworkLoop

    def __init__(self, *, join_delay: float = 1.5, lobby: bool = False, **kwargs: Any) -> None:
        self._lobby = lobby
        self._emulated = EmulatedLemonSlice(join_delay)
        super().__init__(**kwargs)
        self.coming = None

    def keep_away(self, seconds: float | None = None) -> None:
        self._emulated.emulator.fault("never_join")
        super().keep_away(seconds)

    def _vendor(self) -> tuple[EmulatedLemonSlice, HttpClient]:
        return self._emulated, EmulatedRest(self._emulated)

    def _order(self) -> dict[str, Any]:
        order = {"agent_id": "agent", "bot_token": BOT_TOKEN}
        if not self._lobby:
            return order
        self._emulated.knows_token = True
        self._emulated.emulator.open_room("lobby", (BOT_TOKEN, AVATAR_TOKEN))
        return {**order, "daily_token": AVATAR_TOKEN, "daily_room_url": LOBBY}

    async def __aenter__(self) -> "EmulatedWorld":
        await self._emulated.start()
        await super().__aenter__()
        return self

    async def __aexit__(self, *details: Any) -> None:
        await super().__aexit__(*details)
        await self._emulated.emulator.close()

    async def _open(self, url: str, options: RoomOptions) -> Room:
        await asyncio.sleep(JOIN_SECONDS)
        refusal = self.join_refusals.popleft() if self.join_refusals else None
        if refusal is not None and not isinstance(refusal, RoomError):
            raise refusal
        if refusal is not None:
            self._emulated.emulator.fault(f"1*refuse_rooms={refusal}")
        room = cast("WebSocketRoom", await open_room(url, options))
        self._enter(EmulatedRoom(room, self._emulated.session_in(url)))
        return room
