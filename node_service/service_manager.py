"""Tells systemd how the service is, by the protocol of sd_notify(3): a datagram to the socket that the environment names.

Without such a socket, as when it is started by hand, nothing is told.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping

from node_service.errors import StalledError

_log = logging.getLogger(__name__)
_US_PER_S = 1e6
# Of the time after which systemd takes the service for dead: so that one beat may be late.
_SHARE = 0.5
# A service manager that reads nothing must not hold up the event loop.
_TELL_TIMEOUT_S = 1.0


class ServiceManager:
    """The service manager that started this process, if one did."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        # Names in the abstract namespace begin with a zero byte, which no variable can hold.
        self._address = f"\0{name[1:]}" if name.startswith("@") else name
        self._watchdog_s: float | None = None
        usec, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
        if usec.isdigit() and int(usec) and (not pid or pid == str(os.getpid())):
            self._watchdog_s = int(usec) / _US_PER_S

    def ready(self, status: str) -> None:
        """The service serves. Args: status: for `systemctl status`."""
        self._tell(f"READY=1\nSTATUS={status}")

    def stopping(self) -> None:
        """The service will end by itself."""
        self._tell("STOPPING=1\nSTATUS=draining")

    async def beat(self, standstill: Callable[[], StalledError | None]) -> None:
        """Says again and again that the service lives, as long as it does: from the event loop, and while no stage stands still.

        A runtime that hangs in a frame cannot be stopped within the process: the service manager ends it, and starts another one.
        Args: standstill: what is wrong; None while all is well.
        """
        if self._watchdog_s is None:
            return
        was_stalled = False
        while True:
            stalled = standstill()
            if stalled is None:
                self._tell("WATCHDOG=1")
            elif not was_stalled:
                _log.error("the service manager will restart this service unless that ends: %s", stalled)
            was_stalled = stalled is not None
            await asyncio.sleep(self._watchdog_s * _SHARE)

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
                notify.settimeout(_TELL_TIMEOUT_S)
                notify.connect(self._address)
                notify.sendall(text.encode())
        except OSError as error:
            _log.warning("the service manager cannot be told %s: %s", text.split("\n")[0], error)
