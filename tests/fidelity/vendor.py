"""LemonSlice's REST API by hand, with an avatar that comes to the stand-in's room when a session is created."""

import json
from collections.abc import Callable
from typing import Any, Self

from aiohttp import web

from tests.fidelity.installed import URL, Native
from tests.fidelity.rooms import AvatarPerson

SESSION = "session-1"


class Vendor:
    """Keeps every request; each session brings an avatar into its room."""

    def __init__(
        self,
        native: Native,
        *,
        avatar_after: float | None = 0.05,
        echo_after: float | None = 0.1,
        carries_id: bool = True,
    ) -> None:
        self.native = native
        self.requests: list[dict[str, Any]] = []
        self.created: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.controls: list[dict[str, Any]] = []
        self.log: list[str] = []
        self.avatars: list[AvatarPerson] = []
        self.root = ""
        self.on_terminate: Callable[[], None] = lambda: None
        self._tokens: dict[str, dict[str, Any]] = {}
        self._carries_id = carries_id
        self._avatar_after = avatar_after
        self._echo_after = echo_after
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"{self.root}/api"

    @property
    def avatar(self) -> AvatarPerson:
        return self.avatars[-1]

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/api/liveai/sessions", self._create)
        app.router.add_get("/api/liveai/sessions/{id}", self._get)
        app.router.add_post("/api/liveai/sessions/{id}/control", self._control)
        app.router.add_post("/v1/meeting-tokens", self._token)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.root = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _create(self, request: web.Request) -> web.Response:
        self.requests.append(json.loads(await request.read()))
        self.headers.append({key.lower(): value for key, value in request.headers.items()})
        self.created.append({"properties": {}, **self.requests[-1]})
        self.log.append("create")
        if self._avatar_after is not None:
            self.send_avatar(self._avatar_after)
        control = f"{self.url}/liveai/sessions/{SESSION}/control"
        room_url = self.requests[-1].get("properties", {}).get("daily_url", URL)
        return web.json_response({"session_id": SESSION, "room_url": room_url, "control_url": control}, status=201)

    def send_avatar(self, after: float = 0.0) -> AvatarPerson:
        """Let the newest session's avatar join, with what its token says if that is used."""
        avatar = AvatarPerson(self.native.world, URL, echo_after=self._echo_after)
        token = next((one["properties"].get("daily_token") for one in reversed(self.created)), None)
        if self._carries_id and (minted := self._tokens.get(str(token))):
            avatar.user_id, avatar.name = minted.get("user_id", avatar.user_id), minted.get("user_name", avatar.name)
        avatar.arrive(after=after)
        self.avatars.append(avatar)
        return avatar

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response({"session_id": SESSION, "session_status": "COMPLETED", "cost": 1.5})

    async def _control(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.controls.append(body)
        self.log.append(body["event"])
        if body["event"] == "terminate":
            self.log.append("bot in room" if self._bot_there() else "bot gone")
            self.on_terminate()
        return web.json_response({"success": True})

    async def _token(self, request: web.Request) -> web.Response:
        self.log.append("token")
        self.requests.append(json.loads(await request.read()))
        self.headers.append({key.lower(): value for key, value in request.headers.items()})
        token = f"minted-token-{len(self._tokens) + 1}"
        self._tokens[token] = self.requests[-1]["properties"]
        return web.json_response({"token": token})

    def _bot_there(self) -> bool:
        return any(member.name == "Pipecat" for member in self.native.room().members.values())
