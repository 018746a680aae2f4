import datetime as dt

import pytest

from sendproof_core.queue_times import QueueTimes

AT = dt.datetime(2026, 11, 22, 13, 0, tzinfo=dt.UTC)
TIMES = QueueTimes(minimal_backoff_seconds=300, maximal_backoff_seconds=4000, queue_run_seconds=300)


@pytest.mark.parametrize(("age_seconds", "waits_seconds"), [(0.5, 300), (300, 300), (936, 936), (86_400, 4000)])
def test_postfix_waits_as_long_as_the_message_is_old_within_its_two_backoffs(
    age_seconds: float, waits_seconds: int
) -> None:
    assert TIMES.next_attempt(AT, age_seconds) == AT + dt.timedelta(seconds=waits_seconds)


def test_an_attempt_is_overdue_after_two_queue_runs() -> None:
    assert not TIMES.overdue(AT, AT + dt.timedelta(seconds=600))
    assert TIMES.overdue(AT, AT + dt.timedelta(seconds=601))


def test_a_message_is_given_up_after_its_lifetime() -> None:
    assert TIMES.gives_up(AT) == AT + dt.timedelta(days=5)
