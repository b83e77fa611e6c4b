"""A network within one process, for virtual time: TCP as protocols see it, without sockets.

`NetworkLoop` is a `VirtualTimeLoop` on which servers listen and clients connect, as on any other loop: asyncio streams,
aiohttp's server and its client run on it unchanged, down to the last byte of HTTP and WebSockets.

    async def test_it():
        async with Emulator() as emulator, aiohttp.ClientSession() as http:
            ...

It takes no time, and holds no more than `WIRE_BYTES` one way: whoever writes on is told to pause. A transport that is
aborted resets the connection. TLS is left out: nobody listens in. Of addresses only the port counts, names lead where
``network.names`` has it, and a connection to where nobody listens is refused.
"""

import asyncio
import errno
import itertools
import socket
import weakref
from asyncio import transports
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.support.virtual_time import VirtualTimeLoop

__all__ = ["Network", "NetworkLoop", "Wire"]

WIRE_BYTES = 256 * 1024
"""What is on its way in one direction at the most, but for the last write."""

Factory = Callable[[], asyncio.BaseProtocol]
Address = tuple[str, int]


class Wire(transports._FlowControlMixin, asyncio.Transport):
    """One end of a connection. Bytes wait here until there is space on their way, then at the other end."""

    peer: "Wire"
    _loop: asyncio.AbstractEventLoop

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.BaseProtocol, own: Address, other: Address):
        super().__init__({"sockname": own, "peername": other}, loop)
        self._protocol: Any = protocol
        self._unsent = deque[bytes]()
        self._arrived = deque[bytes]()
        self._ending: list[Exception | None] = []
        self._due = False
        self._reading = True
        self._closing = False
        self._lost = False
        self._stalled = False

    # What a protocol asks of it.

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if data and not self._closing:
            self._unsent.append(bytes(data))
            self._push()
            self._maybe_pause_protocol()  # type: ignore[attr-defined]

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self._unsent))

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._expect()

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._push()

    def abort(self) -> None:
        """Reset the connection: what has not arrived never does."""
        if not self._lost:
            self._unsent.clear()
            self._closing = True
            self._loop.call_soon(self._lose, None)
            self.peer.end(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))

    # What the other end does to it.

    def arrive(self, data: bytes) -> None:
        """Bytes come."""
        self._arrived.append(data)
        self._expect()

    def end(self, error: Exception | None) -> None:
        """Nothing more comes; with an error, nothing can be sent any more either."""
        self._ending.append(error)
        self._expect()

    def stall(self) -> None:
        """Nothing comes any more, not even the end: a cable has been pulled somewhere."""
        self._stalled = True

    @property
    def congested(self) -> bool:
        """Whether no more can be on its way to here."""
        return sum(map(len, self._arrived)) >= WIRE_BYTES

    # Moving bytes.

    def _push(self) -> None:
        while self._unsent and not self.peer.congested:
            self.peer.arrive(self._unsent.popleft())
        self._maybe_resume_protocol()  # type: ignore[attr-defined]
        if self._closing and not self._unsent:
            self._loop.call_soon(self._lose, None)

    def _expect(self) -> None:
        if not self._due and self._reading:
            self._due = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._due = False
        if self._stalled:
            return
        if self._closing or not self._reading:
            self._notice_end()
        elif self._arrived:
            data = b"".join(self._arrived)
            self._arrived.clear()
            self._protocol.data_received(data)
            self.peer._push()
            self._expect()
        elif self._ending:
            self._end_here(self._ending[0])

    def _notice_end(self) -> None:
        """What still waits to be sent to somebody who has gone is lost."""
        if self._closing and self._ending:
            self._lose(self._ending[0])

    def _end_here(self, error: Exception | None) -> None:
        if error is not None:
            self._closing = True
            self._lose(error)
        elif not self._protocol.eof_received():
            self.close()

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self._protocol.connection_lost(error)
            self.peer.end(None)


class Network:
    """Who listens where."""

    def __init__(self) -> None:
        self.names: dict[str, Address] = {}
        """Where names lead."""
        self._refusing_until = 0.0
        self._listening: dict[int, Factory] = {}
        self._ports = itertools.count(49152)
        self._wires: weakref.WeakSet[Wire] = weakref.WeakSet()

    def refuse(self, seconds: float) -> None:
        """Let no further connection come about for a while."""
        self._refusing_until = asyncio.get_running_loop().time() + seconds

    def stall(self) -> None:
        """Let nothing come through any connection that there is; new ones are sound."""
        for wire in self._wires:
            wire.stall()

    def listen(self, port: int, factory: Factory) -> int:
        """Answer connections to a port; 0 takes a free one."""
        port = port or next(self._ports)
        if port in self._listening:
            raise OSError(errno.EADDRINUSE, "address already in use")
        self._listening[port] = factory
        return port

    def forget(self, port: int) -> None:
        """Answer no more of them."""
        self._listening.pop(port, None)

    def dial(self, address: Address) -> None:
        """Find out whether somebody listens."""
        if asyncio.get_running_loop().time() < self._refusing_until or address[1] not in self._listening:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"Connect call failed {address}")

    def connect(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.BaseProtocol, address: Address) -> Wire:
        """Connect a client to who listens there."""
        own = ("127.0.0.1", next(self._ports))
        server = self._listening[address[1]]()
        here, there = Wire(loop, protocol, own, address), Wire(loop, server, address, own)
        here.peer, there.peer = there, here
        self._wires.update((here, there))
        loop.call_soon(server.connection_made, there)
        protocol.connection_made(here)
        return here


class _Listener(asyncio.AbstractServer):
    """What `create_server` gives; where a real one has sockets, this one has itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop, network: Network, host: str, port: int):
        self._loop, self._network, self._address = loop, network, (host, port)

    @property
    def sockets(self) -> "tuple[_Listener, ...]":
        return (self,)

    def getsockname(self) -> Address:
        return self._address

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def is_serving(self) -> bool:
        return True

    def close(self) -> None:
        self._network.forget(self._address[1])

    async def wait_closed(self) -> None:
        pass


class NetworkLoop(VirtualTimeLoop):
    """A virtual loop with a network; see the module."""

    def __init__(self, *, limit: float = 3600.0) -> None:
        super().__init__(limit=limit)
        self.network = Network()
        self._dialled: dict[socket.socket, Address] = {}

    async def create_server(  # type: ignore[override]
        self, protocol_factory: Factory, host: str = "127.0.0.1", port: int = 0, **_: Any
    ) -> asyncio.AbstractServer:
        return _Listener(self, self.network, host, self.network.listen(port, protocol_factory))

    async def getaddrinfo(  # type: ignore[override]
        self, host: str, port: int, **_: Any
    ) -> list[tuple[int, int, int, str, Address]]:
        address = self.network.names.get(host, ("127.0.0.1", port))
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)]

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Dial; the socket is only the ticket for `create_connection`, as aiohttp connects in these two steps."""
        self.network.dial(address)
        self._dialled[sock] = address

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Factory,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        sock: socket.socket | None = None,
        **_: Any,
    ) -> tuple[Wire, asyncio.BaseProtocol]:
        if sock is None:
            address = (host, port)
            self.network.dial(address)
        else:
            address = self._dialled.pop(sock)
            sock.close()
        protocol = protocol_factory()
        return self.network.connect(self, protocol, address), protocol
