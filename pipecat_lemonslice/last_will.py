"""What ends a session when no event loop can do it any more: a plain, blocking request, sent once.

A loop that is closed, or that cancels everything, takes the orderly way with it; the session would go on and cost
until its idle timeout. A last will is carried out at the latest when the interpreter exits. Nothing helps against
``kill -9``.
"""

import atexit
import http.client
import json
import threading
from collections.abc import Mapping
from contextlib import suppress

from yarl import URL

WILL_TIMEOUT = 3.0
"""Seconds that the request may take; the interpreter waits for it."""


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
        atexit.register(self.execute)

    def __repr__(self) -> str:
        return "LastWill(…)"

    def revoke(self) -> None:
        """Forget it: what it was for has been done."""
        atexit.unregister(self.execute)

    def hasten(self) -> None:
        """Carry it out now, in a thread that the interpreter waits for."""
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
