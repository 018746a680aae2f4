"""The days of ids: every id says its day, in order, and JavaScript can hold it."""

import datetime as dt
import uuid

from hypothesis import given
from hypothesis import strategies as st

from sendproof_core import record_days
from sendproof_core.identity import new_message_id

_MOMENTS = st.datetimes(
    min_value=dt.datetime(1970, 1, 2),  # noqa: DTZ001 - Hypothesis wants them without
    max_value=dt.datetime(2300, 1, 1),  # noqa: DTZ001 - as above
    timezones=st.just(dt.UTC),
)
_NUMBERS = st.integers(min_value=1, max_value=(1 << 63) - 1)


@given(_MOMENTS, _NUMBERS)
def test_an_id_carries_its_day_and_fits_into_javascript(at: dt.datetime, number: int) -> None:
    day = record_days.day_number(at)
    row_id = record_days.dated_id(day, number)
    assert record_days.day_of_id(row_id) == day
    assert record_days.date_of(day) == at.date()
    assert record_days.first_id(day) <= row_id < record_days.first_id(day + 1)
    assert row_id < 1 << 53
    assert record_days.begin_of(day) <= at < record_days.begin_of(day + 1)


@given(st.datetimes(timezones=st.just(dt.UTC)))
def test_a_clock_that_is_wrong_by_centuries_still_has_a_day(at: dt.datetime) -> None:
    day = record_days.day_number(at)
    assert day >= 1
    assert record_days.date_of(day + 1) > record_days.date_of(day)


@given(_MOMENTS)
def test_a_message_id_lies_within_its_day(at: dt.datetime) -> None:
    day, message_id = record_days.day_number(at), new_message_id(at)
    assert record_days.first_message_id(day) <= message_id < record_days.first_message_id(day + 1)
    assert record_days.day_of_message_id(message_id) == day


@given(_MOMENTS, _MOMENTS, _NUMBERS)
def test_ids_of_a_later_day_are_higher(one: dt.datetime, other: dt.datetime, number: int) -> None:
    first, last = sorted((one, other))
    if first.date() < last.date():
        days = record_days.day_number(first), record_days.day_number(last)
        assert record_days.dated_id(days[0], number) < record_days.dated_id(days[1], 0)


def test_the_span_of_ids_is_that_of_their_days_unless_one_carries_none() -> None:
    ids = [record_days.dated_id(day, 7) for day in (20_003, 20_001, 20_002)]
    assert record_days.span_of_ids(ids) == (20_001, 20_003)
    assert record_days.span_of_ids([*ids, 7]) is None
    assert record_days.span_of_ids([]) is None


def test_an_id_that_is_no_uuid_version_7_has_some_day() -> None:
    assert record_days.day_of_message_id(uuid.UUID(int=7)) == 0
