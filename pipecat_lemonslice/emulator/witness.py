"""What a test may ask of an avatar: what it heard, said and lived through, and to wait for it."""

from __future__ import annotations

from collections.abc import Callable

from pipecat_lemonslice.emulator.record import AvatarEvent, Record
from pipecat_lemonslice.emulator.stage import Stage


class Witness:
    """The side of an avatar that is there to be looked at."""

    def __init__(self, record: Record, stage: Stage):
        self._record = record
        self._stage = stage

    @property
    def heard(self) -> bytes:
        """All speech heard, in order: mono PCM at `sample_rate`."""
        return bytes(self._record.heard)

    @property
    def sounded(self) -> bytes:
        """All speech given back, in order, without silence around it or a noise floor: mono PCM at `sample_rate`."""
        return bytes(self._record.sounded)

    @property
    def sample_rate(self) -> int:
        """Rate in Hz of its hearing and its voice: that declared for the track that it heard first."""
        return self._stage.sample_rate

    @property
    def speaking(self) -> bool:
        """Whether it shows the demeanour of speaking."""
        return self._stage.expression.speaking

    @property
    def events(self) -> list[AvatarEvent]:
        """Everything that happened, in order."""
        return list(self._record.events)

    @property
    def last_audio_time(self) -> float | None:
        """When the last byte heard has been played, or cut off by an interrupt, on the loop's clock.

        As it was heard, without the latency of the avatar's own voice. None before the first.
        """
        return self._stage.response.audio_until

    @property
    def last_sounded_time(self) -> float | None:
        """When the last speech given back has been played, on the loop's clock; None before it."""
        return self._stage.sounded_until

    def events_of(self, kind: str) -> list[AvatarEvent]:
        """The events of one kind, in order."""
        return self._record.of(kind)

    async def wait_for(self, kind: str, n: int = 1, timeout: float = 10.0) -> AvatarEvent:
        """The n-th event of a kind since the session began, waiting for it if it has not happened yet.

        Raises:
            TimeoutError: It did not happen within `timeout` seconds.
        """
        return await self._record.wait(lambda: next(iter(self.events_of(kind)[n - 1 :]), None), kind, timeout)

    async def wait_until(self, condition: Callable[[], bool], timeout: float = 10.0) -> None:
        """Wait until a condition holds, looking again whenever something happened.

        Raises:
            TimeoutError: It did not hold within `timeout` seconds.
        """
        await self._record.wait(lambda: condition() or None, "such state", timeout)
