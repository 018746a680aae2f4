"""The only reader of the clock: everything else takes ``now`` as an argument."""

import datetime as dt
import time
from collections.abc import Callable

Clock = Callable[[], dt.datetime]


def now() -> dt.datetime:
    """The present moment, aware, UTC."""
    return dt.datetime.now(dt.UTC)


def monotonic_seconds() -> float:
    """Seconds on a clock that never steps; only differences mean something."""
    return time.monotonic()
