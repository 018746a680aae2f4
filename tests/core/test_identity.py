import datetime as dt
import uuid

from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.identity import QueueFileKey, new_message_id

_MOMENTS = st.datetimes(dt.datetime(1970, 1, 2), dt.datetime(9999, 1, 1), timezones=st.just(dt.UTC))  # noqa: DTZ001


@given(_MOMENTS)
def test_a_message_id_is_a_uuid_7_of_its_moment(now: dt.datetime) -> None:
    message_id = new_message_id(now)
    assert (message_id.version, message_id.variant) == (7, uuid.RFC_4122)
    assert message_id.int >> 80 == int(now.timestamp() * 1000)


@given(_MOMENTS, st.integers(min_value=1, max_value=10**9))
def test_message_ids_sort_by_time(now: dt.datetime, milliseconds: int) -> None:
    later = new_message_id(now + dt.timedelta(milliseconds=milliseconds + 1))
    assert new_message_id(now) < later


def test_message_ids_of_one_moment_differ() -> None:
    now = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
    assert len({new_message_id(now) for _ in range(1000)}) == 1000


def test_every_random_bit_is_used() -> None:
    now = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
    seen = changed = 0
    first = new_message_id(now).int
    for _ in range(200):
        seen |= new_message_id(now).int ^ first
    changed = seen.bit_count()
    assert changed == 74


def test_a_queue_id_is_known_by_its_host_and_instance() -> None:
    assert QueueFileKey("a", "postfix", "4Z") != QueueFileKey("b", "postfix", "4Z")
    assert QueueFileKey("a", "postfix", "4Z") != QueueFileKey("a", "postfix-out", "4Z")
