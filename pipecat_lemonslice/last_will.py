"""What ends sessions when no event loop can do it any more: plain, blocking requests, each sent once.

A loop that is closed, or that cancels everything, takes the orderly way with it; the session would go on and cost
until its idle timeout. Last wills are carried out at the latest when the interpreter exits, or when a signal that
nobody handles ends the process. Nothing helps against ``kill -9``.
"""

import atexit
import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress

from yarl import URL

WILL_TIMEOUT = 3.0
"""Seconds that one request may take."""

ALL_WILLS_SECONDS = 6.0
"""Seconds after which no further request is begun when a process ends."""

MAX_WILLS = 256
"""Wills that are kept. Beyond that the oldest is dropped: its session has ended by its idle timeout long since."""

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))

_registered: "dict[int, LastWill]" = {}


class LastWill:
    """A request that is sent at exit, unless it is revoked."""

    def __init__(self, url: URL, headers: Mapping[str, str], payload: Mapping[str, str]) -> None:
        """Register the will.

        Args:
            url: Where it goes.
            headers: What goes with it; secret.
            payload: Its JSON body.
        """
        self._url = url
        self._headers = {"Content-Type": "application/json", **headers}
        self._body = json.dumps(dict(payload))
        _answer_signals()
        _registered[id(self)] = self
        if len(_registered) > MAX_WILLS:
            _registered.pop(next(iter(_registered)))

    def __repr__(self) -> str:
        return "LastWill(…)"

    def revoke(self) -> None:
        """Forget it: what it was for has been done."""
        _registered.pop(id(self), None)

    def hasten(self) -> None:
        """Carry it out now, in a thread that the interpreter waits for."""
        with suppress(RuntimeError):  # no thread can be started any more: it is carried out at exit, then
            threading.Thread(target=self.execute, name="lemonslice-last-will").start()

    def execute(self) -> None:
        """Send the request and wait for the answer, whatever it is; never raises."""
        self.revoke()
        secure = self._url.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        with suppress(OSError, http.client.HTTPException):
            connection = kind(self._url.host or "", self._url.port, timeout=WILL_TIMEOUT)
            try:
                connection.request("POST", self._url.raw_path_qs, self._body, self._headers)
                connection.getresponse().read(1024)
            finally:
                connection.close()


def execute_all() -> None:
    """Carry all wills out, the newest first, in bounded time. One by one: a process that ends takes no new threads."""
    give_up_at = time.monotonic() + ALL_WILLS_SECONDS
    with suppress(KeyError):  # there are no more
        while time.monotonic() < give_up_at:
            _registered.popitem()[1].execute()


def _end(number: int, _frame: object) -> None:
    """End as the signal would have ended the process, once no session is left."""
    execute_all()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


def _answer_signals() -> None:
    """Where nobody handles a signal that ends the process, no exit handler runs: see to the sessions before.

    Whoever handles such a signal, then or later, takes the place of this.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def _forget_all() -> None:
    """What a process provides for is not for its children to carry out."""
    _registered.clear()


atexit.register(execute_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
