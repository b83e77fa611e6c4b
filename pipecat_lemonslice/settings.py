"""The service's settings: what can change while it runs, and what they make of a session request."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, cast

from pipecat.services.settings import ServiceSettings
from pipecat.utils.types import NOT_GIVEN, NotGiven

from pipecat_lemonslice.api import (
    ControlEvent,
    CreateSessionRequest,
    DailyProperties,
    PictureSource,
    UpdateAgentPrompt,
    UpdateIdlePrompt,
    UpdateImage,
)
from pipecat_lemonslice.errors import ConfigurationError


def _not_given() -> Any:
    return NOT_GIVEN


@dataclass
class LemonSliceVideoSettings(ServiceSettings):
    """What can change while the service runs, with a ``ServiceUpdateSettingsFrame``.

    Attributes:
        agent_prompt: The avatar's demeanour while it speaks; None for the vendor's default.
        agent_idle_prompt: Its demeanour while it is idle; None for the vendor's default.
        agent_image_url: Address of its picture; None, with the next one None too, for the avatar's own.
        agent_image: Its picture (PIL image, bytes of a PNG or JPEG, or a path).
        response_done_timeout: Seconds without new audio bytes before a response is complete. 0.5 unless given.
        response_hold_timeout: The most seconds that an unfinished LLM response may hold a response open. 3 unless
            given.
        ready_timeout: Seconds that speech waits for the avatar before it is heard without it. 8 unless given.
        join_timeout: Seconds in which the avatar must have joined its room. 180 unless given, since a cold start takes
            two and a half minutes. None here and in the next three switches the check off.
        first_frame_timeout: Seconds from its joining to its first picture. 15 unless given.
        frozen_timeout: Seconds without a picture after which the avatar is taken for lost. 15 unless given.
        mute_timeout: Seconds in which it must be heard once it is given speech. 5 unless given.

    A session that exists follows a change. LemonSlice cannot be told of a default or of an agent's own picture, so None
    is part of the next session; its own detection of the end of a response stays as it was, too. What it does not take
    is one ErrorFrame, and the old value stays. A new picture waits until the avatar has said what it was given, because
    it would cut the voice.

    Raises:
        ConfigurationError: There is no setting of a name that was given.
    """

    agent_prompt: str | NotGiven | None = field(default_factory=_not_given)
    agent_idle_prompt: str | NotGiven | None = field(default_factory=_not_given)
    agent_image_url: str | NotGiven | None = field(default_factory=_not_given)
    agent_image: PictureSource | NotGiven | None = field(default_factory=_not_given)
    response_done_timeout: float | NotGiven = field(default_factory=_not_given)
    response_hold_timeout: float | NotGiven = field(default_factory=_not_given)
    ready_timeout: float | NotGiven = field(default_factory=_not_given)
    join_timeout: float | NotGiven | None = field(default_factory=_not_given)
    first_frame_timeout: float | NotGiven | None = field(default_factory=_not_given)
    frozen_timeout: float | NotGiven | None = field(default_factory=_not_given)
    mute_timeout: float | NotGiven | None = field(default_factory=_not_given)

    def __new__(cls, *_args: Any, **given: Any) -> Self:
        """Refuse a name that no field has, with an error that lists the names."""
        if unknown := sorted(given.keys() - {one.name for one in dataclasses.fields(cls)}):
            raise _no_setting(unknown)
        return super().__new__(cls)


def _no_setting(unknown: list[str]) -> ConfigurationError:
    return ConfigurationError(
        f"{', '.join(unknown)}: no such setting. There are {', '.join(setting_names())}. "
        "Everything else is a keyword of LemonSliceVideoService."
    )


def setting_names() -> list[str]:
    """Return the names of all settings that may be given."""
    return sorted({one.name for one in dataclasses.fields(LemonSliceVideoSettings)} - {"model", "extra"})


PICTURE = ("agent_image_url", "agent_image")
"""The two settings that are one picture: at most one of them is not None."""

SESSION_SETTINGS = ("agent_prompt", "agent_idle_prompt", *PICTURE)
"""Settings that are part of a session; a running one is told when they change."""

TIMEOUTS = ("response_done_timeout", "response_hold_timeout", "ready_timeout")
CHECKS = ("join_timeout", "first_frame_timeout", "frozen_timeout", "mute_timeout")
"""Timeouts that may be None, which switches the check off."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The settings that are durations, in seconds; None for a check that is switched off."""

    response_done: float
    response_hold: float
    ready: float
    join: float | None
    first_frame: float | None
    frozen: float | None
    mute: float | None


def default_settings() -> LemonSliceVideoSettings:
    """Return settings in which everything is given."""
    return LemonSliceVideoSettings(
        model=None,
        agent_prompt=None,
        agent_idle_prompt=None,
        agent_image_url=None,
        agent_image=None,
        response_done_timeout=0.5,
        response_hold_timeout=3.0,
        ready_timeout=8.0,
        join_timeout=180.0,
        first_frame_timeout=15.0,
        frozen_timeout=15.0,
        mute_timeout=5.0,
    )


def check_settings(settings: ServiceSettings) -> None:
    """Refuse invalid settings.

    Args:
        settings: Complete settings, or a change to some.

    Raises:
        ConfigurationError: Names the setting and the remedy.
    """
    given = settings.given_fields()
    if unknown := sorted(settings.extra):
        raise _no_setting(unknown)
    if all(given.get(name) is not None for name in PICTURE):
        raise ConfigurationError("agent_image_url, agent_image: exactly one picture can be given at a time.")
    if given.get("model") is not None:
        raise ConfigurationError("model cannot change while the service runs; give it to LemonSliceVideoService.")
    for name in given.keys() & {*TIMEOUTS, *CHECKS}:
        value = given[name]
        if value is None and name in CHECKS:
            continue
        if not _is_duration(value):
            remedy = ", or None to switch the check off" if name in CHECKS else ""
            raise ConfigurationError(f"{name} must be a number of seconds, 0 or more{remedy}; not {value!r}.")
        if value == 0 and name in CHECKS:
            raise ConfigurationError(f"{name} must be more than 0 s; None switches the check off.")
    if given.get("response_done_timeout") == 0:
        raise ConfigurationError("response_done_timeout must be more than 0 s, or every pause ends a response.")


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0.0 <= value < float("inf")


def merged(settings: LemonSliceVideoSettings, delta: ServiceSettings) -> LemonSliceVideoSettings:
    """Return complete settings as they would be after a change; neither of the two is touched."""
    copy = dataclasses.replace(settings)
    copy.apply_update(cast("LemonSliceVideoSettings", delta))
    return copy


def timeouts(settings: ServiceSettings) -> Timeouts:
    """Return the durations of complete settings."""
    given = settings.given_fields()
    return Timeouts(
        *(float(given[name]) for name in TIMEOUTS),
        *(None if given[name] is None else float(given[name]) for name in CHECKS),
    )


Fallback = Literal["voice", "silent", "fatal"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """All that the constructor of the service was given and that cannot change. Fields as there."""

    agent_id: str | None = None
    agent_image_url: str | None = field(default=None, repr=False)
    agent_image: PictureSource | None = field(default=None, repr=False)
    idle_timeout: int = 60
    model: str | None = None
    aspect_ratio: str | None = None
    audio_sample_rate: int = 24000
    daily_room_url: str | None = field(default=None, repr=False)
    daily_token: str | None = field(default=None, repr=False)
    bot_token: str | None = field(default=None, repr=False)
    avatar_name: str = "LemonSlice"
    recording: Mapping[str, Any] | None = field(default=None, repr=False)
    extra: Mapping[str, Any] | None = field(default=None, repr=False)
    fallback: Fallback = "voice"
    keep_alive: bool = True
    session_response_done_timeout: float | None = None

    def request(self, settings: ServiceSettings, room: DailyProperties | None = None) -> CreateSessionRequest:
        """Return the request for a session.

        Args:
            settings: Complete settings. A picture there takes the place of the avatar given here.
            room: The room, where it is not the one given at construction.

        Raises:
            ConfigurationError: A field is wrong.
        """
        given, durations = settings.given_fields(), timeouts(settings)
        # LemonSlice's own detection is the net below ours: it must never end a response in a pause that we bridge.
        longest = max(durations.response_done, durations.response_hold)
        return CreateSessionRequest(
            **self._source(given),
            transport_type="daily",
            agent_prompt=given["agent_prompt"],
            agent_idle_prompt=given["agent_idle_prompt"],
            idle_timeout=self.idle_timeout,
            response_done_timeout=self.session_response_done_timeout or longest,
            model=cast("Any", self.model),
            aspect_ratio=cast("Any", self.aspect_ratio),
            audio_sample_rate=cast("Any", self.audio_sample_rate),
            properties=room or self.properties(self.daily_room_url, self.daily_token),
            extra=self.extra or {},
        )

    def change(self, settings: ServiceSettings, delta: ServiceSettings) -> ServiceSettings:
        """Check a change, except for the pixels of its picture, and return it with one picture at the most.

        Raises:
            ConfigurationError: Names the setting and the remedy.
        """
        check_settings(delta)
        delta = with_one_picture(delta)
        self.request(merged(cast("LemonSliceVideoSettings", settings), delta))
        return delta

    def session_settings(self, settings: ServiceSettings) -> dict[str, Any]:
        """Return the settings that are part of a session created now, the avatar's own picture included."""
        given = settings.given_fields()
        source = self._source(given)
        return {name: given[name] for name in SESSION_SETTINGS} | {name: source.get(name) for name in PICTURE}

    def picture(self, settings: ServiceSettings) -> PictureSource | None:
        """Return the picture of the avatar; None if only its address is known."""
        return self._source(settings.given_fields()).get("agent_image")

    def check(self, settings: ServiceSettings) -> None:
        """Refuse invalid values, before anything is started.

        Raises:
            ConfigurationError: Names the field and the remedy.
        """
        self._check_types()
        given = settings.given_fields()
        own = (self.agent_id, self.agent_image_url, self.agent_image)
        pictures = (given["agent_image_url"], given["agent_image"])
        if sum(source is not None for source in (*own, *pictures)) > 1:
            raise ConfigurationError(
                "agent_id, agent_image_url, agent_image: exactly one must be given, here or in settings"
            )
        self.request(settings)
        if self.audio_sample_rate % 100:
            raise ConfigurationError(
                f"audio_sample_rate {self.audio_sample_rate} cannot be sent over Daily, which takes whole 10 ms "
                "of samples. Use 16000, 24000, 44100 or 48000."
            )

    def _check_types(self) -> None:
        """Check what the request does not: fields that are not part of it, and those that have other names there."""
        given: dict[str, object] = vars(self)
        if self.fallback not in ("voice", "silent", "fatal"):
            raise ConfigurationError(f"fallback must be 'voice', 'silent' or 'fatal', not {self.fallback!r}")
        if not isinstance(given["keep_alive"], bool):
            raise ConfigurationError(
                f"keep_alive must be True or False, not of type {type(given['keep_alive']).__name__}"
            )
        if not isinstance(given["avatar_name"], str) or not self.avatar_name.strip():
            raise ConfigurationError("avatar_name must be the user name with which the avatar joins")
        if self.bot_token is not None and (not isinstance(given["bot_token"], str) or not self.bot_token):
            raise ConfigurationError("bot_token must be the bot's token for the room, a text, or left out")
        recording = given["recording"]
        if recording is not None and not isinstance(recording, Mapping):
            raise ConfigurationError(
                "recording must be a mapping of enable_recording and recordings_bucket, "
                f"not of type {type(recording).__name__}."
            )
        if unknown := sorted(map(str, (self.recording or {}).keys() - {"enable_recording", "recordings_bucket"})):
            raise ConfigurationError(
                f"recording: {', '.join(unknown)} does not belong there; enable_recording and recordings_bucket do."
            )
        timeout = self.session_response_done_timeout
        if timeout is not None and not (_is_duration(timeout) and timeout > 0):
            raise ConfigurationError(
                f"session_response_done_timeout must be a number of seconds above 0, or left out; not {timeout!r}."
            )

    def properties(self, room_url: str | None, token: str | None) -> DailyProperties | None:
        """Return the part of the request that is about the room, None if there is nothing to say."""
        if room_url is None and token is None and self.recording is None:
            return None
        return DailyProperties(daily_room_url=room_url, daily_token=token, **(self.recording or {}))

    def _source(self, given: Mapping[str, Any]) -> dict[str, Any]:
        changed = {name: given[name] for name in PICTURE if given[name] is not None}
        if changed:
            return changed
        return {
            "agent_id": self.agent_id,
            "agent_image_url": self.agent_image_url,
            "agent_image": self.agent_image,
        }


def with_one_picture(delta: ServiceSettings) -> ServiceSettings:
    """Return a change of settings in which a new picture takes the place of the old one, of whichever kind."""
    given = delta.given_fields()
    if not isinstance(delta, LemonSliceVideoSettings):
        return delta
    if given.get("agent_image") is not None:
        return dataclasses.replace(delta, agent_image_url=None)
    if given.get("agent_image_url") is not None:
        return dataclasses.replace(delta, agent_image=None)
    return delta


BASE_KEYWORDS = frozenset({"name", "enable_direct_mode", "metrics"})
"""Keywords of Pipecat's own base class that are passed on to it."""


def check_keywords(given: Iterable[str]) -> None:
    """Refuse settings that were given as keywords, and keywords that nobody takes.

    Args:
        given: Keywords that the service does not know.

    Raises:
        ConfigurationError: It is a setting; says where it belongs.
        TypeError: There is no such keyword.
    """
    for name in sorted(set(given) - BASE_KEYWORDS):
        if name in setting_names():
            raise ConfigurationError(f"{name} belongs in settings=LemonSliceVideoService.Settings({name}=…).")
        raise TypeError(f"LemonSliceVideoService.__init__() got an unexpected keyword argument {name!r}")


def control_event(wanted: Mapping[str, Any], told: Mapping[str, Any]) -> ControlEvent | None:
    """Return the control event that brings a running session up to date with one setting.

    Args:
        wanted: The setting by its name; ``PICTURE`` are the two names of one. None can be told to no session.
        told: What the session has been told; see :meth:`Config.session_settings`.

    Returns:
        None if there is nothing to tell.
    """
    # A picture may be a Pillow image, which compares its pixels: another object is another picture.
    new = {
        name: value
        for name, value in wanted.items()
        if value is not None and value is not told[name] and (name == "agent_image" or value != told[name])
    }
    match new:
        case {"agent_prompt": prompt}:
            return UpdateAgentPrompt(prompt)
        case {"agent_idle_prompt": prompt}:
            return UpdateIdlePrompt(prompt)
        case {"agent_image_url": url}:
            return UpdateImage(image_url=url)
        case {"agent_image": image}:
            return UpdateImage(image=image)
        case _:
            return None
