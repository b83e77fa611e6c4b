"""``pipecat-lemonslice doctor``: each line is ok, a note, or what to fix."""

import asyncio
from pathlib import Path

from tests.cli.conftest import CommandLine

ROOT = Path(__file__).parents[2]
BOT = """
from pipecat.transports.base_transport import TransportParams
transport_params = {
    "webrtc": lambda: TransportParams(audio_out_enabled=True, video_out_enabled=%s, video_out_width=%s),
}
"""


async def test_a_call_could_be_made_or_not(command: CommandLine, tmp_path: Path) -> None:
    """With a key that is taken and bots that fit it could; else the exit code is 1 and the line says what to do."""
    files = {"blind": BOT % (False, 368), "wide": BOT % (True, 1280), "broken": "raise ValueError('no such thing')"}
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
    relay = str(ROOT / "bots" / "relay.py")
    good, refused, blind, wide, broken, missing = await asyncio.gather(
        command.run("doctor", relay),
        command.run("doctor", LEMONSLICE_API_KEY="wrong-0123456789"),
        *(command.run("doctor", str(tmp_path / f"{name}.py")) for name in files),
        command.run("doctor", str(tmp_path / "missing.py")),
    )
    assert good.code == 0, good.out + good.err
    assert "fix" not in good.out
    for line in ("ok   daily-python loads", f"ok   {command.emulator.api_url} takes the key", "ok   relay.py, webrtc:"):
        assert line in good.out
    assert refused.code == 1
    assert "invalid API key" in refused.out
    assert "wrong-0123456789" not in refused.out + refused.err
    assert blind.code == 1
    assert "fix  blind.py, webrtc: the avatar is not seen; write video_out_enabled=True" in blind.out
    assert wide.code == 0
    assert "note wide.py, webrtc: 1280x" in wide.out
    assert broken.code == 1
    assert "fix  broken.py cannot be imported: ValueError: no such thing" in broken.out
    assert missing.code == 2
    assert all("Traceback" not in ended.err for ended in (good, refused, blind, wide, broken, missing))
