"""A network within one process, for virtual time: TCP as protocols see it, over pairs of sockets.

`NetworkLoop` is a `VirtualTimeLoop` on which servers listen and clients connect, as on any other loop: asyncio streams,
aiohttp's server and its client run on it unchanged, down to the last byte of HTTP and WebSockets.

    async def test_it():
        async with Emulator() as emulator, aiohttp.ClientSession() as http:
            ...

What one end writes the other can read at once, so it takes no time. TLS is left out: nobody listens in. Of addresses
only the port counts, names lead where ``network.names`` has it, and a connection to where nobody listens is refused.
"""

import asyncio
import errno
import itertools
import os
import socket
import weakref
from collections.abc import Callable
from typing import Any

from tests.support.virtual_time import VirtualTimeLoop

__all__ = ["Network", "NetworkLoop"]

Factory = Callable[[], asyncio.BaseProtocol]
Address = tuple[str, int]


class Network:
    """Who listens where, and the connections that there are."""

    def __init__(self) -> None:
        self.names: dict[str, Address] = {}
        """Where names lead."""
        self.listening: dict[int, Factory] = {}
        self.connections: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()
        self.ports = itertools.count(49152)
        self.refusing_until = 0.0

    def refuse(self, seconds: float) -> None:
        """Let no further connection come about for a while."""
        self.refusing_until = asyncio.get_running_loop().time() + seconds

    def stall(self) -> None:
        """Let nothing come through any connection that there is, not even its end; new ones are sound."""
        for transport in self.connections:
            transport.pause_reading()


class _Listener(asyncio.AbstractServer):
    """What `create_server` gives; where a real one has sockets, this one has itself."""

    def __init__(self, network: Network, address: Address) -> None:
        self._network, self._address = network, address

    @property
    def sockets(self) -> "tuple[_Listener, ...]":
        return (self,)

    def getsockname(self) -> Address:
        return self._address

    def close(self) -> None:
        self._network.listening.pop(self._address[1], None)

    async def wait_closed(self) -> None:
        pass


class NetworkLoop(VirtualTimeLoop):
    """A virtual loop with a network; see the module."""

    def __init__(self, *, limit: float = 3600.0) -> None:
        self.network = Network()
        super().__init__(limit=limit)

    async def create_server(  # type: ignore[override]
        self, protocol_factory: Factory, host: str = "127.0.0.1", port: int = 0, **_: Any
    ) -> asyncio.AbstractServer:
        port = port or next(self.network.ports)
        if port in self.network.listening:
            raise OSError(errno.EADDRINUSE, "address already in use")
        self.network.listening[port] = protocol_factory
        return _Listener(self.network, (host, port))

    async def getaddrinfo(  # type: ignore[override]
        self, host: str, port: int, **_: Any
    ) -> list[tuple[int, int, int, str, Address]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", self.network.names.get(host, ("127.0.0.1", port)))]

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Make a socket one end of a pair, of which who listens there gets the other."""
        accept = self.network.listening.get(address[1])
        if accept is None or self.time() < self.network.refusing_until:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"Connect call failed {address}")
        here, there = socket.socketpair()
        os.dup2(here.fileno(), sock.fileno())
        here.close()
        extra = {"peername": ("127.0.0.1", next(self.network.ports))}
        self._make_socket_transport(there, accept(), extra=extra)

    def _make_socket_transport(self, sock: socket.socket, *args: Any, **options: Any) -> asyncio.Transport:
        sock = socket.socket(fileno=sock.detach())  # finds out that it is not one of TCP any more
        sock.setblocking(False)
        transport = super()._make_socket_transport(sock, *args, **options)  # type: ignore[misc]
        self.network.connections.add(transport)
        return transport
