"""Slow down guessing: after some failures for one key it must wait. Holds counters in memory; reads no clock.

One per process and forgotten at a restart: with several workers a guesser has so many times the failures.
"""

import collections
import datetime as dt
import threading


class Throttle:
    """Counts failures of a key in a sliding span; remembers the keys that failed last, a bounded number."""

    def __init__(self, *, failures: int, span: dt.timedelta, keys: int = 10_000) -> None:
        self._failures = failures
        self._span = span
        self._keys = keys
        self._failed_at: collections.OrderedDict[tuple[str, str], list[dt.datetime]] = collections.OrderedDict()
        self._lock = threading.Lock()

    def must_wait(self, key: tuple[str, str], now: dt.datetime) -> dt.timedelta | None:
        """How long the key must wait; None if it may try."""
        with self._lock:
            recent = self._recent(key, now)
        return recent[-self._failures] + self._span - now if len(recent) >= self._failures else None

    def failed(self, key: tuple[str, str], now: dt.datetime) -> None:
        """Count a failure."""
        with self._lock:
            self._failed_at[key] = [*self._recent(key, now), now][-self._failures :]
            self._failed_at.move_to_end(key)
            while len(self._failed_at) > self._keys:
                self._failed_at.popitem(last=False)

    def succeeded(self, key: tuple[str, str]) -> None:
        """Forget the key's failures."""
        with self._lock:
            self._failed_at.pop(key, None)

    def _recent(self, key: tuple[str, str], now: dt.datetime) -> list[dt.datetime]:
        return [at for at in self._failed_at.get(key, []) if now - at < self._span]
