"""How many pictures may be on their way to the user. Pure: times are seconds on one monotonic clock.

The gate is told which pictures are sent and which reach the output transport. It knows nothing of pipelines.
"""

from weakref import WeakValueDictionary

from pipecat.frames.frames import OutputImageRawFrame

WAITING_PICTURES = 6
"""Pictures that may wait to be shown, about a quarter of a second of them."""

MOST_WAITING_PICTURES = 32
"""Pictures that may wait when somebody seems to keep some of them: a good second."""

STILL_SECONDS = 1.0
"""After so long without a picture being taken, those that wait may be kept by somebody."""

PROBE_SECONDS = 0.1
"""One more picture may then wait for each of these."""

KEPT_PICTURES = 250
"""Pictures that a pipeline may keep, ten seconds of them, before it gets fewer."""

TRICKLE_SECONDS = 1.0
"""Time between two pictures when more than that are kept."""


class PictureGate:
    """Lets no more pictures go downstream than are taken there, and lets nobody there stop them.

    Output transports queue pictures without bound and say nothing of it. Other processors may keep pictures for
    themselves, which must not be taken for a queue. Its laws:

    1. A picture waits from when it is sent until it, or a later one, reaches the output, or until nobody has it; and
       then in the queues of the output. At most ``WAITING_PICTURES`` wait.
    2. If none is taken for ``STILL_SECONDS``, somebody in front of the output may be keeping them and passing none
       on. One more may then wait every ``PROBE_SECONDS``, up to ``MOST_WAITING_PICTURES``. Whoever keeps his last few
       begins to let go of one for each that comes.
    3. A picture that is taken while none is sent was waiting, and not kept. The bound is ``WAITING_PICTURES`` again.
    4. With ``KEPT_PICTURES`` in memory, one goes every ``TRICKLE_SECONDS``.
    """

    def __init__(self) -> None:
        """Create a gate through which nothing has gone."""
        self._living: WeakValueDictionary[int, OutputImageRawFrame] = WeakValueDictionary()
        self._arrived = -1
        self._limit = WAITING_PICTURES
        self._waiting = 0
        self._sent = False
        self._sent_at = self._moved_at = float("-inf")

    @property
    def kept(self) -> int:
        """Pictures that somebody still has."""
        return len(self._living)

    def send(self, frame: OutputImageRawFrame, now: float) -> None:
        """Take note of a picture that goes downstream now."""
        self._living[frame.id] = frame
        self._waiting += 1
        self._sent, self._sent_at = True, now

    def arrive(self, frame: OutputImageRawFrame) -> None:
        """Take note that a picture has reached the output, and so that those before it wait no more."""
        if frame.id in self._living:
            self._arrived = max(self._arrived, frame.id)

    def is_open(self, queued: int, now: float) -> bool:
        """Whether another picture may go now.

        Args:
            queued: Pictures in the queues of the output.
            now: The time.
        """
        self._look(sum(number > self._arrived for number in list(self._living)), now)
        if self.kept >= KEPT_PICTURES and now - self._sent_at < TRICKLE_SECONDS:
            return False
        return self._waiting + queued < self._limit and queued < WAITING_PICTURES

    def _look(self, waiting: int, now: float) -> None:
        """Adapt the bound to what has been taken since the last look."""
        taken = waiting < self._waiting
        if waiting < WAITING_PICTURES or (taken and not self._sent):
            self._limit = WAITING_PICTURES
        if waiting < WAITING_PICTURES or taken:
            self._moved_at = now
        elif now - self._moved_at >= STILL_SECONDS:
            self._limit = min(MOST_WAITING_PICTURES, waiting + 1)
            self._moved_at = now - STILL_SECONDS + PROBE_SECONDS
        self._waiting, self._sent = waiting, False
