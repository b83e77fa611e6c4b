import base64
import io
import struct
import zlib
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from PIL import Image

from pipecat_lemonslice.emulator.pictures import PictureError, base64_bytes, data_url, load, size_of


def png(width: int = 4, height: int = 6, colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


def bomb() -> bytes:
    """A small file that claims to be 50000x50000 pixels."""
    header = struct.pack(">IIBBBBB", 50000, 50000, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.fixture
async def gallery() -> AsyncIterator[str]:
    """A web server on the loopback address with a picture, a redirect to it and one to nowhere."""

    async def picture(_: web.Request) -> web.Response:
        return web.Response(body=png())

    async def moved(_: web.Request) -> web.Response:
        raise web.HTTPFound("/picture")

    async def loop(_: web.Request) -> web.Response:
        raise web.HTTPFound("/loop")

    app = web.Application()
    app.add_routes([web.get("/picture", picture), web.get("/moved", moved), web.get("/loop", loop)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_bytes_and_data_urls_are_pictures():
    """A file's bytes and a data URL give the same picture."""
    url = "data:image/png;base64," + base64.b64encode(png()).decode()
    assert (await load(png())).size == (await load(url)).size == (4, 6)


async def test_pictures_are_reduced():
    """Nothing larger than the avatar needs is kept."""
    assert max((await load(png(3000, 2000))).size) == 1600


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"nonsense", png()[:40], bomb()])
async def test_what_is_no_picture_is_an_error(data: bytes):
    """Other files, damaged ones and bombs raise PictureError and nothing else."""
    with pytest.raises(PictureError):
        await load(data)


def test_size_is_read_from_the_header():
    """The size comes without decoding the picture."""
    assert size_of(png(7, 9)) == (7, 9)
    with pytest.raises(PictureError):
        size_of(b"nonsense")


def test_data_urls_come_in_two_kinds():
    """Base64 and percent-encoded; anything else is an error."""
    assert data_url("data:,a%20b") == b"a b"
    assert data_url("data:x;base64,YWI=") == b"ab"
    assert base64_bytes("Y W\nI=") == b"ab"
    for wrong in ("data:nothing", "data:x;base64,%%%"):
        with pytest.raises(PictureError):
            data_url(wrong)


async def test_links_are_followed_when_allowed(gallery: str):
    """With `private`, a picture on the loopback address is fetched, also after a redirect."""
    assert (await load(gallery + "/picture", private=True)).size == (4, 6)
    assert (await load(gallery + "/moved", private=True)).size == (4, 6)
    with pytest.raises(PictureError, match="redirects"):
        await load(gallery + "/loop", private=True)
    with pytest.raises(PictureError, match="404"):
        await load(gallery + "/none", private=True)


async def test_private_addresses_are_not_followed(gallery: str):
    """Without it no private address is connected to, by number or by name."""
    port = gallery.rpartition(":")[2]
    with pytest.raises(PictureError, match="private"):
        await load(gallery + "/picture")
    with pytest.raises(PictureError):
        await load(f"http://localhost:{port}/picture")


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/x.png",
        "http://192.168.1.1/x.png",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/x.png",
        "http://[::ffff:127.0.0.1]/x.png",
        "http://0.0.0.0/x.png",
        "file:///etc/passwd",
        "ftp://example.com/x.png",
        "nonsense",
        "http://",
    ],
)
async def test_unwelcome_links_are_not_followed(url: str):
    """Private, link-local and mapped addresses and other schemes are refused without a connection."""
    with pytest.raises(PictureError):
        await load(url)
