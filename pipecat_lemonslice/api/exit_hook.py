"""Ends sessions when no event loop is left to do it: plain, blocking requests, each sent once.

Without a running loop the client cannot terminate a session, which would cost until its idle timeout. These requests
are sent when the interpreter exits, at the latest. Nothing helps against ``kill -9``, nor against a signal that nobody
handles: taking an application's signals is not for a library.
"""

import atexit
import http.client
import json
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress

from yarl import URL

REQUEST_TIMEOUT = 3.0
"""Seconds that one request may take."""

EXIT_TIMEOUT = 6.0
"""Seconds after which no further request is begun when the process ends."""

MAX_HOOKS = 256
"""Requests that are kept. Beyond that the oldest is dropped: its session has ended by its idle timeout long since."""

_registered: "dict[int, ExitHook]" = {}


class ExitHook:
    """A request that is sent at exit, unless it is cancelled before."""

    def __init__(self, url: URL, headers: Mapping[str, str], payload: Mapping[str, str]) -> None:
        """Register the request.

        Args:
            url: Where it goes.
            headers: What goes with it; secret.
            payload: Its JSON body.
        """
        self._url = url
        self._headers = {"Content-Type": "application/json", **headers}
        self._body = json.dumps(dict(payload))
        _registered[id(self)] = self
        if len(_registered) > MAX_HOOKS:
            _registered.pop(next(iter(_registered)))

    def __repr__(self) -> str:
        return "ExitHook(…)"

    def cancel(self) -> None:
        """Cancel the request: the session has ended."""
        _registered.pop(id(self), None)

    def run_in_thread(self) -> None:
        """Send it now, in a thread that the interpreter waits for."""
        with suppress(RuntimeError):  # no thread can be started now: it is sent at exit
            threading.Thread(target=self.run, name="lemonslice-exit-hook").start()

    def run(self) -> None:
        """Send the request and wait for the response, whatever it is; never raises."""
        self.cancel()
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        with suppress(OSError, http.client.HTTPException):
            connection = kind(self._url.host or "", self._url.port, timeout=REQUEST_TIMEOUT)
            try:
                connection.request("POST", self._url.raw_path_qs, self._body, self._headers)
                connection.getresponse().read(1024)
            finally:
                connection.close()


def run_all() -> None:
    """Send all requests, the newest first, in bounded time. One by one: a process that ends takes no new threads."""
    give_up_at = time.monotonic() + EXIT_TIMEOUT
    with suppress(KeyError):  # there are no more
        while time.monotonic() < give_up_at:
            _registered.popitem()[1].run()


atexit.register(run_all)
if hasattr(os, "register_at_fork"):
    # Child processes must not send what their parent has registered.
    os.register_at_fork(after_in_child=_registered.clear)
