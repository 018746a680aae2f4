import datetime as dt

from sendproof_core import clock


def test_now_is_aware_and_utc() -> None:
    assert clock.now().utcoffset() == dt.timedelta()


def test_monotonic_seconds_never_step_back() -> None:
    first = clock.monotonic_seconds()
    assert clock.monotonic_seconds() >= first
