"""The stand-in's `CallClient`: a member of a room that answers as daily-python does."""

import threading
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID, uuid4

from tests.fidelity.native import Classes, Source, VideoFrame, World
from tests.fidelity.rooms import DailyRoomState, Member, Renderer, entry, room

MEDIA = ("camera", "microphone", "screenVideo", "screenAudio")
Completion = Callable[..., None] | None


def make_call_client(world: World, classes: Classes) -> type:
    """Return the class, bound to a world."""

    class CallClient:
        def __init__(self, event_handler: Any = None) -> None:
            self._handler = event_handler
            self.id = str(uuid4())
            self.name = ""
            self.user_id = self.id
            self.joined_at = 0.0
            self.tracks: dict[str, Source] = {}
            self.camera = False
            self._room: DailyRoomState | None = None
            self._joining = threading.Event()
            self._joining.set()
            self.released = False
            self._profile: dict[str, Any] = dict.fromkeys(MEDIA, "subscribed")
            self._subscriptions: dict[str, dict[str, Any]] = {}
            self._audio: dict[tuple[str, str], Renderer] = {}
            self._video: dict[tuple[str, str], Callable[..., None]] = {}
            self._custom: dict[str, Source] = {}
            self.publishing_settings: list[Mapping[str, Any]] = []
            self.custom_tracks: dict[str, Any] = {}
            self.join_arguments: tuple[Any, ...] = ()
            made.append(self)

        # The call.

        def join(
            self,
            meeting_url: str,
            meeting_token: str | None = None,
            client_settings: Mapping[str, Any] | None = None,
            completion: Completion = None,
        ) -> None:
            self._check()
            self.join_arguments = (meeting_url, meeting_token, client_settings)
            target = room(world, meeting_url)
            self._joining.clear()
            refusal = target.refuses(meeting_token)
            if refusal:
                world.later(lambda: self._refuse(refusal, completion), target.hangs or target.latency)
            else:
                world.later(lambda: self._enter(target, client_settings or {}, completion), target.latency)

        def _refuse(self, refusal: str, completion: Completion) -> None:
            self.emit("on_error", refusal)
            self.emit("on_call_state_updated", "leaving")
            self._complete(completion, None, refusal)
            self.emit("on_error", f"Error handling join: {refusal}")
            self.emit("on_call_state_updated", "left")
            self._joining.set()

        def _enter(self, target: DailyRoomState, settings: Mapping[str, Any], completion: Completion) -> None:
            self._room = target
            self.emit("on_call_state_updated", "joined")
            target.add(self)
            microphone = settings.get("inputs", {}).get("microphone", False)
            if isinstance(microphone, Mapping) and microphone.get("isEnabled"):
                source = classes.tracks[microphone["settings"]["customTrack"]["id"]]
                target.publish(self, "microphone", source)
            data = {"participants": self.participants(), "meetingSession": {"id": "meeting"}}
            self._complete(completion, data, None)
            self._joining.set()

        def leave(self, completion: Completion = None) -> None:
            self._check()
            world.later(lambda: self._leave(completion))

        def _leave(self, completion: Completion, reason: str = "leftCall") -> None:
            left, self._room = self._room, None
            if left:
                self.emit("on_call_state_updated", "leaving")
                left.remove(self, reason)
                self.emit("on_call_state_updated", "left")
            self._complete(completion, None)

        def release(self) -> None:
            self._check()
            if world.on_native_thread:
                world.hazard("release on the native thread")
            self._joining.wait(30.0)
            if self._room:
                self._room.remove(self)
            for member in list(self._room.members.values()) if self._room else []:
                for source in member.tracks.values():
                    source.listeners.pop(self, None)
            self._room = None
            self.released = True
            self._audio.clear()
            self._video.clear()
            self._handler = None

        # Who is there.

        def set_user_name(self, user_name: str) -> None:
            self._check()
            self.name = user_name

        def participants(self) -> Mapping[str, Any]:
            self._check()
            others = self._room.others(self) if self._room else []
            return {"local": entry(self, local=True), **{other.id: self._entry(other) for other in others}}

        def participant_counts(self) -> Mapping[str, Any]:
            self._check()
            return {"hidden": 0, "present": len(self._room.members) if self._room else 0}

        def update_remote_participants(self, remote_participants: Any, completion: Completion = None) -> None:
            self._later(completion)

        def start_transcription(
            self, settings: Any = None, stream_id: str | None = None, completion: Completion = None
        ) -> None:
            self._check()
            world.later(lambda: self._complete(completion, None, "UserMustBeAdmin"))

        def stop_transcription(self, stream_id: str | None = None, completion: Completion = None) -> None:
            self._later(completion)

        # What is sent.

        def update_inputs(self, input_settings: Any, completion: Completion = None) -> None:
            self._later(completion)

        def update_publishing(self, publishing_settings: Mapping[str, Any], completion: Completion = None) -> None:
            self._check()
            self.publishing_settings.append(publishing_settings)
            world.later(lambda: self._publish(publishing_settings.get("customAudio", {}), completion))

        def _publish(self, custom: Mapping[str, Any], completion: Completion) -> None:
            for name, setting in custom.items():
                if setting and self._room and name in self._custom:
                    self._room.publish(self, name, self._custom[name])
            self._complete(completion, None)

        def add_custom_audio_track(
            self,
            track_name: str,
            audio_track: Any,
            ignore_audio_level: bool | None = None,
            completion: Completion = None,
        ) -> None:
            self._check()
            state: Source = audio_track.state
            self._custom[track_name] = state
            self.custom_tracks[track_name] = (state.sample_rate, state.channels, ignore_audio_level)
            world.later(lambda: self._complete(completion, None))

        def remove_custom_audio_track(self, track_name: str, completion: Completion = None) -> None:
            self._check()
            self._custom.pop(track_name, None)
            source = self.tracks.pop(track_name, None)
            if source:
                source.listeners.clear()
            self._later(completion)

        def send_app_message(
            self,
            message: Any,
            participant_id: str | None = None,
            serialize_none: bool = True,
            completion: Completion = None,
        ) -> None:
            self._check()
            world.later(lambda: self._send(message, participant_id, completion))

        def _send(self, message: Any, recipient: str | None, completion: Completion) -> None:
            error = None if self._room else "AppMessage(Signalling(ChannelNotOpen))"
            if self._room and self._room.message_refusals:
                error = self._room.message_refusals.pop()
            elif self._room:
                self._room.send(self, message, recipient)
            self._complete(completion, error)
            if error:
                self.emit("on_error", f"Error handling sendAppMessage: {error}")

        # What is received.

        def subscription_profiles(self) -> Mapping[str, Any]:
            return {"base": dict(self._profile)}

        def update_subscription_profiles(
            self, profile_settings: Mapping[str, Any], completion: Completion = None
        ) -> None:
            self._check()
            self._profile.update(profile_settings.get("base", {}))
            self._later(completion)

        def subscriptions(self) -> Mapping[str, Any]:
            return dict(self._subscriptions)

        def update_subscriptions(
            self,
            participant_settings: Mapping[str, Any] | None = None,
            profile_settings: Mapping[str, Any] | None = None,
            completion: Completion = None,
        ) -> None:
            self._check()
            self._profile.update((profile_settings or {}).get("base", {}))
            for participant_id, settings in (participant_settings or {}).items():
                self._subscriptions.setdefault(participant_id, {}).update(settings.get("media", {}))
            world.later(lambda: self._subscribed(list(participant_settings or {}), completion))

        def _subscribed(self, changed: list[str], completion: Completion) -> None:
            self._complete(completion, None)
            for other in self._room.others(self) if self._room else []:
                if other.id in changed:
                    self.updated(other)

        def set_audio_renderer(
            self,
            participant_id: str,
            callback: Callable[..., None],
            audio_source: str = "microphone",
            sample_rate: int = 16000,
            callback_interval_ms: int = 20,
        ) -> None:
            self._check()
            renderer = Renderer(callback, audio_source, sample_rate, callback_interval_ms // 10)
            self._audio[participant_id, audio_source] = renderer

        def set_video_renderer(
            self,
            participant_id: str,
            callback: Callable[..., None],
            video_source: str = "camera",
            color_format: str = "RGBA",
        ) -> None:
            self._check()
            try:
                UUID(participant_id)
            except ValueError:
                world.hazard("a video renderer for an id that is no UUID")
            self._video[participant_id, video_source] = callback

        # What the room asks for, on the native thread.

        def joined(self, other: Member) -> None:
            self.emit("on_participant_joined", self._entry(other))

        def left(self, other: Member, reason: str) -> None:
            for source in other.tracks.values():
                source.listeners.pop(self, None)
            self.emit("on_participant_left", self._entry(other), reason)

        def updated(self, other: Member) -> None:
            self.emit("on_participant_updated", self._entry(other))

        def message(self, message: Any, sender: str) -> None:
            self.emit("on_app_message", message, sender)

        def picture(self, other: Member, frame: VideoFrame) -> None:
            callback = self._video.get((other.id, "camera"))
            if callback and self.subscribed(other.id, "camera"):
                callback(other.id, frame, "camera")

        def published(self, other: Member, track: str, source: Source) -> None:
            source.listeners[self] = lambda _at, pcm, _written: self._hear(other.id, track, pcm, source.sample_rate)

        def ejected(self, reason: str) -> None:
            self.emit("on_error", reason)
            world.later(lambda: self._leave(None, "ejected"))

        def _hear(self, participant_id: str, track: str, pcm: bytes, rate: int) -> None:
            renderer = self._audio.get((participant_id, track))
            if renderer and self.subscribed(participant_id, track):
                renderer.feed(participant_id, pcm, rate)

        def subscribed(self, participant_id: str, track: str) -> bool:
            own = self._subscriptions.get(participant_id, {}).get(track)
            return (own or self._profile.get(track, "subscribed")) == "subscribed"

        # Small steps.

        def _entry(self, other: Member) -> dict[str, Any]:
            states = {name: "subscribed" if self.subscribed(other.id, name) else "unsubscribed" for name in MEDIA}
            return entry(other, subscribed=states)

        def _check(self) -> None:
            if self.released:
                world.hazard("a call after release")
                raise RuntimeError("this object has already been released")

        def _later(self, completion: Completion) -> None:
            self._check()
            world.later(lambda: self._complete(completion, None))

        def _complete(self, completion: Completion, *results: Any) -> None:
            if completion:
                completion(*results)

        def emit(self, event: str, *args: Any) -> None:
            handler = getattr(self._handler, event, None)
            if handler:
                handler(*args)

    made: list[CallClient] = []
    CallClient.made = made  # type: ignore[attr-defined]
    return CallClient
