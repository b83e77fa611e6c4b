"""Pictures for the avatar: uploaded, in a data URL or behind a link.

A link comes from whoever can reach the emulator, so it is followed with care: http and https only, public
addresses only (also after a redirect, also if a name resolves to others), bounded in size and time.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import ipaddress
import socket
from urllib.parse import unquote_to_bytes

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from PIL import Image
from yarl import URL

from pipecat_lemonslice.emulator.options import MEBIBYTE

_MOST_BYTES = 16 * MEBIBYTE
_MOST_PIXELS = 40_000_000
_MOST_REDIRECTS = 3
_FETCH_SECONDS = 10.0
_FORMATS = ("PNG", "JPEG", "WEBP")
_LARGEST_SIDE = 1600


class PictureError(Exception):
    """A picture that cannot be had; its text says why."""


async def load(source: bytes | str, *, private: bool = False) -> Image.Image:
    """The picture from its file's bytes, from a data URL or from a link.

    Args:
        source: Bytes of a PNG, JPEG or WebP file, or a URL.
        private: Also follow links to private and loopback addresses.

    Raises:
        PictureError: There is no picture to be had.
    """
    if isinstance(source, str):
        source = data_url(source) if source.startswith("data:") else await _fetch(source, private)
    return await asyncio.to_thread(_decode, source)


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height of a picture file.

    Raises:
        PictureError: It is none.
    """
    return _open(data).size


def data_url(url: str) -> bytes:
    """The bytes within a data URL.

    Raises:
        PictureError: It is not correct.
    """
    head, comma, body = url.partition(",")
    if not comma:
        raise PictureError("the data URL has no data")
    return base64_bytes(body) if head.endswith(";base64") else unquote_to_bytes(body)


def base64_bytes(text: str) -> bytes:
    """The bytes in base64.

    Raises:
        PictureError: It is not base64.
    """
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise PictureError("not correct base64") from error


def _decode(data: bytes) -> Image.Image:
    picture = _open(data)
    try:
        picture.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
        return picture.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise PictureError("the picture is damaged") from error


def _open(data: bytes) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(data), formats=_FORMATS)
    except Exception as error:  # Pillow raises whatever a damaged header leads it to
        raise PictureError("not a PNG, JPEG or WebP picture") from error
    if picture.width * picture.height > _MOST_PIXELS:
        raise PictureError("the picture has too many pixels")
    return picture


async def _fetch(url: str, private: bool) -> bytes:
    resolver = None if private else _PublicResolver()
    connector = aiohttp.TCPConnector(resolver=resolver, force_close=True)
    timeout = aiohttp.ClientTimeout(total=_FETCH_SECONDS)
    try:
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            return await _follow(session, URL(url), private)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise PictureError(f"the picture could not be fetched: {type(error).__name__}") from error


async def _follow(session: aiohttp.ClientSession, url: URL, private: bool) -> bytes:
    for _ in range(_MOST_REDIRECTS + 1):
        if url.scheme not in ("http", "https") or not url.host:
            raise PictureError("only http, https and data URLs are followed")
        if not private and not _is_public(url.host, named=True):
            raise PictureError("private addresses are not followed")
        async with session.get(url, allow_redirects=False) as response:
            if response.status in (301, 302, 303, 307, 308) and "Location" in response.headers:
                url = url.join(URL(response.headers["Location"]))
            elif response.status == 200:
                return await _body(response)
            else:
                raise PictureError(f"the picture's server answered {response.status}")
    raise PictureError("too many redirects")


async def _body(response: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_chunked(65536):
        data += chunk
        if len(data) > _MOST_BYTES:
            raise PictureError("the picture is too large")
    return bytes(data)


class _PublicResolver(AbstractResolver):
    """Resolves names, but only to public addresses: the connection is made to what was checked."""

    def __init__(self):
        self._inner = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        public = [address for address in found if _is_public(address["host"])]
        if not public:
            raise OSError("no public address")
        return public

    async def close(self) -> None:
        await self._inner.close()


def _is_public(host: str, *, named: bool = False) -> bool:
    """Whether an address is public; names pass if `named`, their addresses are looked at later."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return named
    inner = getattr(address, "ipv4_mapped", None) or address
    return inner.is_global and not inner.is_multicast
