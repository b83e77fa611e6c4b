"""LemonSlice's REST API by hand, with an avatar that comes to the stand-in's room when a session is created."""

from typing import Any, Self

from aiohttp import web

from tests.fidelity.installed import URL, Native
from tests.fidelity.rooms import AvatarPerson

SESSION = "session-1"


class Vendor:
    """Keeps every request.

    Args:
        native: Where the rooms are; None if the avatars never come.
        avatar_after: Seconds from the creation of a session until its avatar comes; None: the test sends it.
        uses_token: Whether avatars join with the token that they are given.
    """

    def __init__(self, native: Native | None, *, avatar_after: float | None = 0.05, uses_token: bool = True) -> None:
        self.created: list[dict[str, Any]] = []
        self.minted: list[dict[str, Any]] = []
        self.controls: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.log: list[str] = []
        self.avatars: list[AvatarPerson] = []
        self.root = ""
        self._native = native
        self._avatar_after = avatar_after
        self._uses_token = uses_token

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
        app.router.add_post("/v1/meeting-tokens", self._mint)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.root = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def send_avatar(self, after: float = 0.0) -> AvatarPerson:
        """Let the newest session's avatar join, with what its token says if that is used."""
        assert self._native
        avatar = AvatarPerson(self._native.world, URL, echo_after=0.1)
        if self._uses_token and self.minted:
            avatar.user_id, avatar.name = self.minted[-1]["user_id"], self.minted[-1]["user_name"]
        avatar.arrive(after=after)
        self.avatars.append(avatar)
        return avatar

    async def _create(self, request: web.Request) -> web.Response:
        body = await self._note("create", request)
        self.created.append(body)
        if self._avatar_after is not None:
            self.send_avatar(self._avatar_after)
        control = f"{self.url}/liveai/sessions/{SESSION}/control"
        room_url = body.get("properties", {}).get("daily_url", URL)
        return web.json_response({"session_id": SESSION, "room_url": room_url, "control_url": control}, status=201)

    async def _get(self, _request: web.Request) -> web.Response:
        return web.json_response({"session_id": SESSION, "session_status": "COMPLETED", "cost": 1.5})

    async def _control(self, request: web.Request) -> web.Response:
        self.controls.append(await self._note((await request.json())["event"], request))
        if self._native and self.log[-1] == "terminate":
            names = [member.name for member in self._native.room().members.values()]
            self.log.append("bot in room" if "Pipecat" in names else "bot gone")
        return web.json_response({"success": True})

    async def _mint(self, request: web.Request) -> web.Response:
        self.minted.append((await self._note("mint", request))["properties"])
        return web.json_response({"token": f"minted-token-{len(self.minted)}"})

    async def _note(self, what: str, request: web.Request) -> dict[str, Any]:
        self.log.append(what)
        self.headers.append({key.lower(): value for key, value in request.headers.items()})
        return await request.json()
