import datetime as dt

from sendproof_web.throttle import Throttle

NOW = dt.datetime(2026, 11, 22, 13, 0, tzinfo=dt.UTC)
SPAN = dt.timedelta(minutes=15)
MAX, EVE = ("max", "192.0.2.1"), ("eve", "192.0.2.1")


def test_a_key_waits_after_its_failures_until_the_first_of_them_is_old() -> None:
    throttle = Throttle(failures=2, span=SPAN)
    throttle.failed(MAX, NOW)
    assert throttle.must_wait(MAX, NOW) is None
    throttle.failed(MAX, NOW + dt.timedelta(minutes=5))
    assert throttle.must_wait(MAX, NOW + dt.timedelta(minutes=6)) == dt.timedelta(minutes=9)
    assert throttle.must_wait(EVE, NOW + dt.timedelta(minutes=6)) is None
    assert throttle.must_wait(MAX, NOW + SPAN) is None


def test_success_forgets_the_failures() -> None:
    throttle = Throttle(failures=1, span=SPAN)
    throttle.failed(MAX, NOW)
    throttle.succeeded(MAX)
    assert throttle.must_wait(MAX, NOW) is None


def test_only_so_many_keys_are_remembered() -> None:
    throttle = Throttle(failures=1, span=SPAN, keys=1)
    throttle.failed(MAX, NOW)
    throttle.failed(EVE, NOW)
    assert throttle.must_wait(MAX, NOW) is None
    assert throttle.must_wait(EVE, NOW) == SPAN
