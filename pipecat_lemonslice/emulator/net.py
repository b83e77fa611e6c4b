"""Two things done to connections below the level of HTTP."""

from __future__ import annotations

import asyncio
import socket
import struct

_KERNEL_BUFFER = 512 * 1024
"""Bytes that the kernel may hold back for a slow reader: less than one picture."""


def reset(transport: asyncio.BaseTransport) -> None:
    """Break a connection so that the other side sees a reset, not an end."""
    sock = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


def keep_fresh(transport: asyncio.BaseTransport) -> None:
    """Let no more than about one picture lie in the buffers of a connection."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER)
    if isinstance(transport, asyncio.WriteTransport):
        transport.set_write_buffer_limits(high=0)
