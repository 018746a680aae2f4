"""How many opens of one pixel are written down: the first few of each minute. Pure.

Whoever has a mail has its pixel's address, and could fill the journal with it. The image is answered all the same.
"""

import datetime as dt
import threading
import uuid

_PER_MINUTE = 10
# Far more pixels than are opened in a minute; what comes beyond is written down uncounted.
_MOST_PIXELS = 50_000


class OpenLimit:
    """Counts, in one process, since the current minute began."""

    def __init__(self, per_minute: int = _PER_MINUTE) -> None:
        self._per_minute = per_minute
        self._lock = threading.Lock()
        self._minute = dt.datetime.min.replace(tzinfo=dt.UTC)
        self._counts: dict[tuple[uuid.UUID, int], int] = {}
        self._left_out = 0

    def admits(self, message_id: uuid.UUID, recipient_number: int, now: dt.datetime) -> bool:
        """Whether this open is still to be written down."""
        pixel = message_id, recipient_number
        with self._lock:
            minute = now.replace(second=0, microsecond=0)
            if minute != self._minute:
                self._minute = minute
                self._counts.clear()
            count = self._counts.get(pixel, 0)
            if count >= self._per_minute:
                self._left_out += 1
                return False
            if count or len(self._counts) < _MOST_PIXELS:
                self._counts[pixel] = count + 1
            return True

    def left_out(self) -> int:
        """How many were not, since this was last asked."""
        with self._lock:
            count, self._left_out = self._left_out, 0
            return count
