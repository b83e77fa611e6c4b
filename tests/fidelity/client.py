"""The stand-in's `CallClient`: a member of a room that answers as daily-python does."""

import threading
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from tests.fidelity.native import Source, World
from tests.fidelity.rooms import MEDIA, DailyRoomState, Member, Slice, room

Completion = Callable[..., None] | None


@dataclass(eq=False)
class Renderer:
    """Collects slices into pieces of an interval, and hands them over at a rate."""

    callback: Callable[[str, Any, str], None]
    rate: int
    slices: int
    waiting: list[bytes] = field(default_factory=list)

    def feed(self, participant_id: str, track: str, pcm: bytes, source_rate: int) -> None:
        """Take 10 ms, resampled by the nearest sample: enough to count and to tell apart."""
        samples, count = array("h", pcm), self.rate // 100
        nearest = array("h", [samples[index * source_rate // self.rate] for index in range(count)])
        self.waiting.append(nearest.tobytes())
        if len(self.waiting) == self.slices:
            pcm, self.waiting = b"".join(self.waiting), []
            data = SimpleNamespace(
                audio_frames=pcm, sample_rate=self.rate, num_channels=1, num_audio_frames=len(pcm) // 2
            )
            self.callback(participant_id, data, track)


class CallClient(Member):
    """As in the module ``daily``; the world is bound to a subclass."""

    world: World

    def __init__(self, event_handler: Any = None) -> None:
        super().__init__("")
        self.released = False
        self.settings: Mapping[str, Any] = {}
        self.profile: dict[str, Any] = dict.fromkeys(MEDIA, "subscribed")
        self.subscriptions: dict[str, dict[str, Any]] = {}
        self.custom_tracks: dict[str, tuple[int, int, bool]] = {}
        self.published: list[Mapping[str, Any]] = []
        self._handler = event_handler
        self._room: DailyRoomState | None = None
        self._joining = threading.Event()
        self._joining.set()
        self._audio: dict[tuple[str, str], Renderer] = {}
        self._video: dict[str, Callable[..., None]] = {}
        self._custom: dict[str, Source] = {}
        self.world.clients.append(self)

    # The call.

    def join(self, url: str, token: str | None, client_settings: Mapping[str, Any], completion: Completion) -> None:
        self._check()
        self.settings = client_settings
        target = room(self.world, url)
        self._joining.clear()

        def joined() -> None:
            if refusal := target.refuses(token):
                self._refuse(refusal, completion)
            else:
                self._enter(target, client_settings, completion)
            self._joining.set()

        self.world.later(joined, target.latency)

    def _refuse(self, refusal: str, completion: Completion) -> None:
        self.emit("on_error", refusal)
        self.emit("on_call_state_updated", "leaving")
        _complete(completion, None, refusal)
        self.emit("on_error", f"Error handling join: {refusal}")
        self.emit("on_call_state_updated", "left")

    def _enter(self, target: DailyRoomState, settings: Mapping[str, Any], completion: Completion) -> None:
        self._room = target
        self.emit("on_call_state_updated", "joined")
        target.add(self)
        microphone = settings["inputs"]["microphone"]
        if isinstance(microphone, Mapping) and microphone.get("isEnabled"):
            target.publish(self, "microphone", self.world.tracks[microphone["settings"]["customTrack"]["id"]])
        _complete(completion, {"participants": self.participants(), "meetingSession": {"id": "meeting"}}, None)

    def leave(self, completion: Completion = None) -> None:
        self._check()
        self.world.later(lambda: self._leave("leftCall", completion))

    def _leave(self, reason: str, completion: Completion = None) -> None:
        left, self._room = self._room, None
        if left:
            self.emit("on_call_state_updated", "leaving")
            left.remove(self, reason)
            self.emit("on_call_state_updated", "left")
        _complete(completion, None)

    def release(self) -> None:
        self._check()
        if self.world.on_native_thread:
            self.world.hazards.append("release on the native thread")
        self._joining.wait(30.0)
        if self._room:
            self._room.remove(self)
        self._room = self._handler = None
        self.released = True
        self._audio.clear()
        self._video.clear()

    def set_user_name(self, user_name: str) -> None:
        self._check()
        self.name = user_name

    def participants(self) -> Mapping[str, Any]:
        self._check()
        others = {other.id: self._entry(other) for other in self._others()}
        return {"local": self.entry({}, local=True), **others}

    def start_transcription(self, settings: Any, completion: Completion) -> None:
        self._later(completion, None, "UserMustBeAdmin")

    def stop_transcription(self, completion: Completion) -> None:
        self._later(completion, None)

    # What is sent.

    def update_publishing(self, publishing_settings: Mapping[str, Any], completion: Completion = None) -> None:
        self._check()
        self.published.append(publishing_settings["customAudio"])
        self.world.later(lambda: self._publish(publishing_settings["customAudio"], completion))

    def _publish(self, custom: Mapping[str, Any], completion: Completion) -> None:
        for name in custom:
            if self._room and name in self._custom:
                self._room.publish(self, name, self._custom[name])
        _complete(completion, None)

    def add_custom_audio_track(
        self, track_name: str, audio_track: Any, ignore_audio_level: bool, completion: Completion
    ) -> None:
        self._check()
        self._custom[track_name] = state = audio_track.state
        self.custom_tracks[track_name] = (state.sample_rate, state.channels, ignore_audio_level)
        self._later(completion, None)

    def remove_custom_audio_track(self, track_name: str, completion: Completion) -> None:
        self._check()
        self._custom.pop(track_name).heard = None
        self._later(completion, None)

    def send_app_message(self, message: Any, participant_id: str | None = None, completion: Completion = None) -> None:
        self._check()
        self.world.later(lambda: self._send(message, participant_id, completion))

    def _send(self, message: Any, recipient: str | None, completion: Completion) -> None:
        error = None if self._room else "AppMessage(Signalling(ChannelNotOpen))"
        if self._room and self._room.message_refusals:
            error = self._room.message_refusals.pop()
        elif self._room:
            self._room.send(self, message, recipient)
        _complete(completion, error)
        if error:
            self.emit("on_error", f"Error handling sendAppMessage: {error}")

    # What is received.

    def update_subscription_profiles(self, profile_settings: Mapping[str, Any], completion: Completion = None) -> None:
        self._check()
        self.profile.update(profile_settings["base"])
        self._later(completion, None)

    def update_subscriptions(
        self, participant_settings: Mapping[str, Any], completion: Completion, profile_settings: Any = None
    ) -> None:
        self._check()
        for participant_id, settings in participant_settings.items():
            self.subscriptions.setdefault(participant_id, {}).update(settings["media"])

        def done() -> None:
            _complete(completion, None)
            for other in self._others():
                if other.id in participant_settings:
                    self.updated(other)

        self.world.later(done)

    def set_audio_renderer(
        self,
        participant_id: str,
        callback: Callable[..., None],
        audio_source: str = "microphone",
        sample_rate: int = 16000,
        callback_interval_ms: int = 20,
    ) -> None:
        self._check()
        self._audio[participant_id, audio_source] = Renderer(callback, sample_rate, callback_interval_ms // 10)

    def set_video_renderer(
        self, participant_id: str, callback: Callable[..., None], video_source: str = "camera", color_format: str = ""
    ) -> None:
        self._check()
        try:
            UUID(participant_id)
        except ValueError:
            self.world.hazards.append("a video renderer for an id that is no UUID")
        self._video[participant_id] = callback

    # What happens in the room, on the native thread.

    def joined(self, other: Member) -> None:
        self.emit("on_participant_joined", self._entry(other))

    def left(self, other: Member, reason: str) -> None:
        self.emit("on_participant_left", self._entry(other), reason)

    def updated(self, other: Member) -> None:
        self.emit("on_participant_updated", self._entry(other))

    def message(self, message: Any, sender: str) -> None:
        self.emit("on_app_message", message, sender)

    def picture(self, other: Member, frame: Any) -> None:
        callback = self._video.get(other.id)
        if callback and self._subscribed(other, "camera"):
            callback(other.id, frame, "camera")

    def hear(self, other: Member, track: str, piece: Slice) -> None:
        renderer = self._audio.get((other.id, track))
        if renderer and self._subscribed(other, track):
            renderer.feed(other.id, track, piece.pcm, other.tracks[track].sample_rate)

    def ejected(self, reason: str) -> None:
        self.emit("on_error", reason)
        self.world.later(lambda: self._leave("ejected"))

    def emit(self, event: str, *args: Any) -> None:
        if handler := getattr(self._handler, event, None):
            handler(*args)

    def _others(self) -> list[Member]:
        return self._room.others(self) if self._room else []

    def _subscribed(self, other: Member, track: str) -> bool:
        own = self.subscriptions.get(other.id, {}).get(track)
        return (own or self.profile.get(track, "subscribed")) == "subscribed"

    def _entry(self, other: Member) -> dict[str, Any]:
        return other.entry({name: self._subscribed(other, name) for name in MEDIA})

    def _later(self, completion: Completion, *results: Any) -> None:
        self._check()
        self.world.later(lambda: _complete(completion, *results))

    def _check(self) -> None:
        if self.released:
            self.world.hazards.append("a call after release")
            raise RuntimeError("this object has already been released")


def _complete(completion: Completion, *results: Any) -> None:
    if completion:
        completion(*results)
