"""Tells systemd how a service fares: ready, stopping, alive, and a word on its status (sd_notify(3)). Decides nothing.

No library: the well-known one (sdnotify) knows no watchdog, others time it by a clock that steps, and both let the
service fail with the socket. Without systemd all of it does nothing.
"""

import logging
import socket
import unicodedata
from collections.abc import Callable, Mapping

# sd_watchdog_enabled(3) recommends half of the time; a loop that comes by every now and then needs some in hand.
_SHARE_OF_WATCHDOG = 0.25
_STATUS_LENGTH = 200
_UINT64_DIGITS = 20
_log = logging.getLogger(__name__)


class ServiceNotifier:
    """One service's line to systemd. No method raises, or waits."""

    def __init__(self, environment: Mapping[str, str], own_pid: int, monotonic: Callable[[], float]) -> None:
        """``environment``: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID; ``monotonic``: seconds that never step."""
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._watchdog_seconds = _watchdog_seconds(environment, own_pid) if self._address else None
        self._monotonic = monotonic
        self._alive_at = float("-inf")
        self._status = ""
        self._has_failed = False

    @property
    def watchdog_seconds(self) -> float | None:
        """After how long without `alive` systemd ends the service; None: it does not look."""
        return self._watchdog_seconds

    def ready(self) -> None:
        """The service has started: what comes after it may start now."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The service has begun to end."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``; the same one again is not sent."""
        line = "".join(" " if unicodedata.category(character) == "Cc" else character for character in text)
        if line != self._status and self._send(f"STATUS={line[:_STATUS_LENGTH]}"):
            self._status = line

    def alive(self) -> None:
        """To be called in every round of the service's loop: sends no more often than the watchdog needs."""
        if self._watchdog_seconds is None:
            return
        now = self._monotonic()
        if now - self._alive_at >= self._watchdog_seconds * _SHARE_OF_WATCHDOG and self._send("WATCHDOG=1"):
            self._alive_at = now

    def _send(self, message: str) -> bool:
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
                line.setblocking(False)
                line.sendto(message.encode("utf-8", "replace"), self._address)
        except OSError as error:  # gone, or full: the service's own work goes on
            if not self._has_failed:
                _log.warning("event=notify-failed error=%s", error.strerror)
            self._has_failed = True
            return False
        self._has_failed = False
        return True


def _address(name: str) -> str:
    """A path, or "@" and the name of an abstract socket; "" for what else there is (vsock, for virtual machines)."""
    if name.startswith("@"):
        return f"\0{name[1:]}"
    return name if name.startswith("/") else ""


def _watchdog_seconds(environment: Mapping[str, str], own_pid: int) -> float | None:
    microseconds, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if pid and pid != str(own_pid):
        return None
    is_number = microseconds.isascii() and microseconds.isdigit() and len(microseconds) <= _UINT64_DIGITS
    return int(microseconds) / 1_000_000 if is_number and int(microseconds) else None
