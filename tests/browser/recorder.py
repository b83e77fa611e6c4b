"""Records the avatar as it is shown and heard, in the page: how loud it is, and how much its mouth moves.

The recording is made from the pixels of the video element and the page's meter, and asked of ``window.record``.
"""

from tests.browser.driver import Visitor

VOICED = 0.012
"""Root mean square from which on a moment counts as sounding; WebRTC's silence is below 0.001."""

SILENT = 0.004

RECORD = """([voiced, silent]) => {
    const video = document.getElementById("picture");
    const [left, top, right, bottom] = [0.34, 0.5, 0.66, 0.7];
    const canvas = new OffscreenCanvas(60, 56);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const sound = [], mouth = [];  // time in seconds, and loudness or the mean change of the mouth's pixels, 0 to 255
    let before = null;
    const look = (now, { width, height }) => {
        context.drawImage(video, left * width, top * height, (right - left) * width, (bottom - top) * height,
                          0, 0, canvas.width, canvas.height);
        const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
        let sum = 0;
        if (before) for (let i = 0; i < data.length; i += 4) sum += Math.abs(data[i + 1] - before[i + 1]);
        mouth.push([now / 1000, sum / (canvas.width * canvas.height)]);
        before = data;
        video.requestVideoFrameCallback(look);
    };
    video.requestVideoFrameCallback(look);
    const now = () => performance.now() / 1000;
    setInterval(() => sound.push([now(), page.level]), 20);
    window.record = {
        now,
        // When the voice was first and last heard after a time.
        voiced(start) {
            const times = sound.filter(([at, level]) => at >= start && level > voiced).map(([at]) => at);
            return [times[0], times.at(-1)];
        },
        // How much the mouth moved per picture, on average, between two times; NaN without a picture.
        movement(start, end) {
            const changes = mouth.filter(([at]) => start <= at && at < end).map(([, change]) => change);
            return changes.reduce((sum, change) => sum + change, 0) / changes.length;
        },
        // Whether at some time between the start and the end it has become quiet, and has stayed so for a while.
        quiet(start, seconds, end) {
            let since = null;
            for (const [at, level] of sound) {
                if (at < start || level > silent) since = null;
                else if (at - (since ??= at) >= seconds) return since <= end;
            }
            return false;
        },
    };
}"""


async def record(visitor: Visitor) -> None:
    """Start recording."""
    await visitor.look(RECORD, [VOICED, SILENT])


async def now(visitor: Visitor) -> float:
    """The page's clock in seconds."""
    return await visitor.look("record.now()")


async def quiet(visitor: Visitor, start: float, seconds: float, bound: float) -> None:
    """Wait until it was quiet for a while, which must begin within the bound after the start."""
    await visitor.until(f"record.quiet({start}, {seconds}, {start + bound})", seconds + bound + 2.0)
