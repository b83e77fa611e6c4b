"""Records the avatar as it is shown and heard, in the page: how loud it is, and how much its mouth moves.

The recording is made by a script of the tests' own, from the pixels of the video element and the page's meter;
what it says is judged here, in plain functions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Self

from tests.browser.driver import Visitor

VOICED = 0.012
"""Root mean square from which on a moment counts as sounding; WebRTC's silence is below 0.001."""

SILENT = 0.004

RECORD = """() => {
    const video = document.getElementById("picture");
    const [left, top, right, bottom] = [0.34, 0.5, 0.66, 0.7];
    const canvas = new OffscreenCanvas(60, 56);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const record = { sound: [], mouth: [] };
    let before = null;
    const look = (now, { width, height }) => {
        context.drawImage(video, left * width, top * height, (right - left) * width, (bottom - top) * height,
                          0, 0, canvas.width, canvas.height);
        const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
        let sum = 0;
        if (before) for (let i = 0; i < data.length; i += 4) sum += Math.abs(data[i + 1] - before[i + 1]);
        record.mouth.push([now / 1000, sum / (canvas.width * canvas.height)]);
        before = data;
        video.requestVideoFrameCallback(look);
    };
    video.requestVideoFrameCallback(look);
    setInterval(() => record.sound.push([performance.now() / 1000, page.level]), 20);
    window.record = record;
}"""

Series = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Recording:
    """What was heard and seen.

    Attributes:
        sound: Time in seconds and loudness (root mean square), every 20 ms.
        mouth: Time in seconds and mean change of the mouth's pixels (0 to 255) since the picture before.
    """

    sound: Series
    mouth: Series

    @classmethod
    async def take(cls, visitor: Visitor) -> Self:
        """What has been recorded so far."""
        record: dict[str, Any] = await visitor.look("record")
        return cls(*[[(at, value) for at, value in record[name]] for name in ("sound", "mouth")])

    def since(self, start: float) -> Self:
        """What came after a time."""
        return type(self)(*[[one for one in series if one[0] >= start] for series in (self.sound, self.mouth)])

    def voiced(self) -> tuple[float, float]:
        """When the voice was first and last heard."""
        times = [at for at, level in self.sound if level > VOICED]
        assert times, "nothing was heard"
        return times[0], times[-1]

    def movement(self, start: float, end: float) -> float:
        """How much the mouth moved per picture, on average, between two times."""
        changes = [change for at, change in self.mouth if start <= at < end]
        assert changes, f"no picture between {start:.2f} and {end:.2f} s"
        return fmean(changes)

    def quiet_from(self, start: float, seconds: float) -> float | None:
        """When after a time it was first quiet, and stayed so for that long; None: not yet."""
        since: float | None = None
        for at, level in self.sound:
            if at < start or level > SILENT:
                since = None
            else:
                since = at if since is None else since
                if at - since >= seconds:
                    return since
        return None


async def record(visitor: Visitor) -> None:
    """Start recording."""
    await visitor.page.evaluate(RECORD)


async def now(visitor: Visitor) -> float:
    """The page's clock in seconds."""
    return await visitor.look("performance.now() / 1000")
