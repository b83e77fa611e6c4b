"""How far the avatar has said what it was given: the one place that knows sound, silence, the lag and a mute avatar.

Pure: it is told what is *played* to the avatar and what is *heard* from it. Times are seconds on one monotonic clock.

The avatar says what is played to it one *lag* later. A response gives the lag, from its first sound played to the first
sound heard after a pause, unless that sound may still belong to the response before; the last lag then stays. When
unsure, assume less was heard: a repeated syllable is better than a lost one.

The avatar is *mute* when sound was played to it and none was heard for ``mute_timeout`` seconds. Neither silence nor
what was interrupted has to be heard.
"""

from collections.abc import Sequence
from enum import Enum, auto
from math import inf

from pipecat_lemonslice.media.sound import SoundDetector

MAX_LAG_SECONDS = 3.0
"""The longest that the avatar's voice is waited for once the speech it was given has been played."""

LISTEN_AGAIN_SECONDS = 0.04
"""Time between two looks at whether a response whose lag is unknown is heard yet."""

MUTE_SECONDS = 1.0
"""Sound that must be unheard before the avatar is mute: a vendor may drop a syllable."""

EXCUSED_SECONDS = 6.0
"""An interruption excuses the avatar from saying what was played to it in these last seconds, and nothing older."""

UNWANTED_SILENCE_SECONDS = 0.1
UNWANTED_LEAST_SECONDS = 0.25
UNWANTED_MOST_SECONDS = 2.0
"""After an interruption the voice is unwanted until the avatar has been silent for a moment. In the first quarter of a
second it may be silent and go on; a voice that never pauses is wanted again after two seconds."""

EARLY_SECONDS = 0.1
"""A response may be heard so much earlier than the last lag says."""


class Sound(Enum):
    """What a piece of the avatar's voice is."""

    UNWANTED = auto()
    """Not for the user: it belongs to an interrupted response, or to none."""

    SILENT = auto()
    """No more than the noise floor of the track."""

    FAINT = auto()
    """Above the noise floor, but not yet sound: sound may begin in it."""

    FIRST = auto()
    """The first sound after a pause."""

    ONGOING = auto()
    """Sound after sound."""


class _Voice(Enum):
    """What the avatar may be saying."""

    UNASKED = auto()
    """It was given nothing to say, so whatever it says is not for this user."""

    INTERRUPTED = auto()
    """It may still be saying what was interrupted."""

    WANTED = auto()
    """It says the response under way, or the last one."""


class Playback:
    """Measures one avatar after the other.

    Attributes:
        mute_timeout: Seconds in which the avatar must be heard after sound was played to it; None for any time.
        played_at: When speech was played to an avatar last.
        sounded_at: When there was sound in it last.
    """

    PAUSE_SECONDS = 0.2
    """Quiet after which the avatar has paused."""

    FINISHED_SECONDS = 0.4
    """Quiet after which the avatar has finished speaking."""

    def __init__(self) -> None:
        """Begin without an avatar."""
        self.mute_timeout: float | None = None
        self.played_at = self.sounded_at = -inf
        self.avatar_changed()

    # Inputs.

    def avatar_changed(self) -> None:
        """Forget what was measured: the avatar has left, or is another one."""
        self._detector = SoundDetector()
        self._voice = _Voice.UNASKED
        self._lag: float | None = None
        self._heard_at = -inf
        self._silent_seconds = 0.0
        self._interrupted_at = self._wanted_from = -inf
        self._responding = False
        """Whether a response is played to it."""
        self._over_at = -inf
        """When the last response had been played."""
        self._forget_played()
        self._excuse()

    def response_began(self, now: float) -> None:
        """The avatar is given a response; what is heard after about one lag belongs to it."""
        self._responding = True
        if self._voice is _Voice.UNASKED:
            self._voice = _Voice.WANTED
        lag = UNWANTED_LEAST_SECONDS if self._lag is None else self._lag
        self._wanted_from = min(self._wanted_from, max(self._interrupted_at, now + lag - EARLY_SECONDS))
        self._lag_due = True
        self._first_played_at = self._first_heard_at = None

    def response_over(self, now: float) -> None:
        """All of the response has been played; it is heard for one lag longer."""
        if self._lag is None and self._earlier_played_at is None:
            self._earlier_played_at = self._first_played_at
        self._responding, self._over_at = False, now

    def interrupted(self, now: float) -> None:
        """The avatar was told to stop, and what was played is not to be heard."""
        if self._voice is not _Voice.UNASKED:
            self._voice = _Voice.INTERRUPTED
        self._interrupted_at, self._wanted_from = now, now + UNWANTED_MOST_SECONDS
        self._heard_at = self._over_at = -inf
        self._silent_seconds = 0.0
        if now - self._sound_played_at < EXCUSED_SECONDS:
            self._excuse()
        self._forget_played()

    def played(self, begin: float, seconds: float, sounds: Sequence[bool]) -> None:
        """Speech has been played to the avatar without a gap. May be told a little late.

        Args:
            begin: When it began to be played.
            seconds: Its duration.
            sounds: Whether there is sound in each of its equal parts.
        """
        self._note_played(begin, seconds, sounds)
        if not any(sounds):
            return
        part = seconds / len(sounds)
        first = begin + sounds.index(True) * part
        self._sound_played_at = self.sounded_at - part
        if self._unheard_since is None:
            self._unheard_since = first
        self._unheard_seconds += sum(sounds) * part
        if self._first_played_at is None:
            self._first_played_at = first
            if self._first_heard_at is not None:
                self._measure(self._first_heard_at)

    def heard(self, pcm: bytes, sample_rate: int, now: float) -> Sound:
        """Take in the next piece of the avatar's track.

        Args:
            pcm: Signed 16-bit little-endian mono samples.
            sample_rate: In Hz, greater than zero.
            now: The time.

        Returns:
            What it is.
        """
        sounds, faint = any(self._detector.feed(pcm, sample_rate)), self._detector.faint
        if sounds:
            self._excuse()
        self._silent_seconds = 0.0 if faint else self._silent_seconds + len(pcm) / (2 * sample_rate)
        if self._voice is _Voice.INTERRUPTED:
            since = now - self._interrupted_at
            stopped = self._silent_seconds >= UNWANTED_SILENCE_SECONDS and since >= UNWANTED_LEAST_SECONDS
            if stopped or now >= self._wanted_from:
                self._voice = _Voice.WANTED
        if self._voice is not _Voice.WANTED:
            return Sound.UNWANTED
        if not sounds:
            return Sound.FAINT if faint else Sound.SILENT
        paused, self._heard_at = now - self._heard_at > self.PAUSE_SECONDS, now
        if not paused:
            return Sound.ONGOING
        self._measure(now)
        return Sound.FIRST

    # Answers.

    @property
    def lag(self) -> float | None:
        """Seconds from sound that is played to the same sound being heard, as measured last; None if unknown."""
        return self._lag

    def quiet_for(self, now: float) -> float:
        """Return for how many seconds no sound that is wanted has been heard; infinity if there was none."""
        return now - self._heard_at

    def sounds(self, now: float) -> bool:
        """Whether the avatar is heard, and has not paused."""
        return self.quiet_for(now) < self.PAUSE_SECONDS

    def heard_until(self, now: float) -> float:
        """Return until when speech must have been played to have been heard; minus infinity if none was heard."""
        return -inf if self._lag is None else now - self.quiet_for(now) - self._lag

    @property
    def unheard(self) -> bool:
        """Whether nothing has been heard since sound was played last."""
        return self._sound_played_at > self._heard_at

    def silent(self, now: float) -> bool:
        """Whether the avatar has said everything that it was given."""
        return not self._responding and not self.speaks_for(now)

    def speaks_for(self, now: float) -> float:
        """Return for how many seconds at least the avatar may still say the last response; 0 if it has said it."""
        over_for = now - self._over_at
        if over_for >= MAX_LAG_SECONDS:
            return 0.0
        if self._lag is None and self._lag_due:
            return LISTEN_AGAIN_SECONDS
        return max(0.0, min(self._lag or 0.0, MAX_LAG_SECONDS) - over_for, self.FINISHED_SECONDS - self.quiet_for(now))

    @property
    def mute_deadline(self) -> float | None:
        """When the avatar is mute, unless it is heard before; None if it need not be heard."""
        if self.mute_timeout is None or self._unheard_since is None or self._unheard_seconds < MUTE_SECONDS - 1e-6:
            return None
        return self._unheard_since + self.mute_timeout

    def mute(self, now: float) -> bool:
        """Whether the avatar is mute."""
        return self.mute_deadline is not None and now >= self.mute_deadline

    # Helpers.

    def _note_played(self, begin: float, seconds: float, sounds: Sequence[bool]) -> None:
        self.played_at = begin + seconds
        if any(sounds):
            silent_parts = sounds[::-1].index(True)
            self.sounded_at = self.played_at - silent_parts * seconds / len(sounds)

    def _measure(self, heard_at: float) -> None:
        """Measure the lag by a first sound, if it is the first of a response."""
        if self._earlier_played_at is not None:
            self._lag, self._earlier_played_at = heard_at - self._earlier_played_at, None
        elif self._lag_due and heard_at >= self._over_at + (self._lag or 0.0):
            if self._first_played_at is None:  # it may have been played and not been told of yet
                self._first_heard_at = heard_at
            elif self._first_played_at < heard_at:
                self._lag, self._lag_due = heard_at - self._first_played_at, False

    def _forget_played(self) -> None:
        """No sound that is heard from now on belongs to what was played before."""
        self._lag_due = False
        """Whether the response that began last has not given its lag."""
        self._first_played_at: float | None = None
        """When its first sound was played."""
        self._first_heard_at: float | None = None
        """When a sound was heard that may be its first."""
        self._earlier_played_at: float | None = None
        """When the first sound was played of a response that was over before any lag was known."""
        self._sound_played_at = -inf
        """When sound was played last."""

    def _excuse(self) -> None:
        """The avatar need not be heard for what was played so far."""
        self._unheard_since: float | None = None
        self._unheard_seconds = 0.0


class SharedPlayback(Playback):
    """The avatar in a room where people hear it and the bot does not: whatever was played counts as heard."""

    PAUSE_SECONDS = FINISHED_SECONDS = 1.0
    """Time in which the avatar is taken to say its last words."""

    def response_began(self, now: float) -> None:
        """The avatar is given a response, and may be heard until it is over and for a second longer."""
        self._responding = True

    def played(self, begin: float, seconds: float, sounds: Sequence[bool]) -> None:
        """Take note of when; nothing can be measured by it."""
        self._note_played(begin, seconds, sounds)

    def heard(self, pcm: bytes, sample_rate: int, now: float) -> Sound:
        """No voice is wanted here: people have it from the room."""
        return Sound.UNWANTED

    def quiet_for(self, now: float) -> float:
        """Return for how many seconds no response has been under way."""
        return 0.0 if self._responding else now - self._over_at

    def heard_until(self, now: float) -> float:
        """Return infinity."""
        return inf
