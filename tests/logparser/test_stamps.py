import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_logparser import stamps
from sendproof_logparser.stamps import Clues, Local

VIENNA = ZoneInfo("Europe/Vienna")
NOW = dt.datetime(2026, 11, 22, 13, 0, tzinfo=dt.UTC)
LAST_LINE = Local(None, 12, 31, 23, 59, 59)
FIRST_LINE = Local(None, 1, 1, 0, 0, 9)
# In 2026, Vienna's clocks are put back on 25 October at 01:00 UTC: 02:00 to 03:00 comes twice.
FIRST_TIME = dt.datetime(2026, 10, 25, 0, 30, tzinfo=dt.UTC)
SECOND_TIME = dt.datetime(2026, 10, 25, 1, 30, tzinfo=dt.UTC)
REPEATED = Local(None, 10, 25, 2, 30, 0)


def _utc(*fields: int) -> dt.datetime:
    return dt.datetime(*fields, tzinfo=dt.UTC)  # type: ignore[arg-type, misc]


def _place(
    local: Local,
    reference: dt.datetime | None = None,
    *,
    latest: dt.datetime = NOW,
    born: dt.datetime | None = None,
    is_birth: bool = False,
    zone: dt.tzinfo = dt.UTC,
) -> dt.datetime | None:
    return stamps.place(local, zone, Clues(reference, latest, born, is_birth))


def test_the_first_stamp_means_the_last_such_day_before_the_files_time() -> None:
    assert _place(LAST_LINE) == _utc(2025, 12, 31, 23, 59, 59)
    assert _place(Local(None, 11, 23, 5, 0, 0)) == _utc(2026, 11, 23, 5)  # a clock that is ahead
    assert _place(Local(None, 2, 29, 0, 0, 0)) == _utc(2024, 2, 29)


@pytest.mark.parametrize(
    ("reference", "local", "year"),
    [
        (_utc(2026, 12, 31, 23, 59, 58), LAST_LINE, 2026),
        (_utc(2026, 12, 31, 23, 59, 58), FIRST_LINE, 2027),
        (_utc(2027, 1, 1, 0, 0, 3), LAST_LINE, 2026),  # out of order
        (_utc(2027, 1, 1, 0, 0, 3), FIRST_LINE, 2027),
        (_utc(2026, 3, 1), Local(None, 12, 1, 0, 0, 0), 2026),  # nine months without a line
    ],
)
def test_later_stamps_are_near_the_line_before(reference: dt.datetime, local: Local, year: int) -> None:
    at = _place(local, reference, latest=_utc(2027, 6, 1))
    assert at is not None
    assert at.year == year


def test_no_line_is_from_long_after_the_file_was_written_to() -> None:
    """A machine that starts with its clock at 1 January must not carry all later lines into the next year."""
    august = _utc(2026, 8, 10)
    assert _place(FIRST_LINE, august, latest=august) == _utc(2026, 1, 1, 0, 0, 9)


def test_a_line_is_not_older_than_the_queue_file_that_it_speaks_of() -> None:
    born = _utc(2023, 3, 14, 5, 27, 35)
    assert _place(Local(None, 3, 16, 0, 0, 0), born=born) == _utc(2023, 3, 16)
    assert _place(Local(None, 3, 16, 0, 0, 0), _utc(2022, 3, 16), born=born) == _utc(2023, 3, 16)


def test_a_line_about_an_old_queue_file_is_as_old_as_its_neighbours() -> None:
    assert _place(Local(None, 3, 16, 0, 0, 0), _utc(2026, 3, 15), born=_utc(2024, 12, 1)) == _utc(2026, 3, 16)


def test_a_birth_is_right_whatever_the_neighbours_say() -> None:
    born = _utc(2023, 3, 14, 5, 27, 35)
    assert _place(Local(None, 3, 14, 5, 27, 35), NOW, born=born, is_birth=True) == born


@pytest.mark.parametrize(
    ("reference", "moment"),
    [
        (None, FIRST_TIME),
        (_utc(2026, 10, 24, 23, 59), FIRST_TIME),
        (_utc(2026, 10, 25, 0, 29), FIRST_TIME),
        (_utc(2026, 10, 25, 0, 31), FIRST_TIME),  # out of order
        (_utc(2026, 10, 25, 0, 59), SECOND_TIME),
        (_utc(2026, 10, 25, 1, 31), SECOND_TIME),  # out of order
        (_utc(2026, 10, 25, 2, 10), SECOND_TIME),
    ],
)
def test_the_hour_that_comes_twice_is_told_apart_by_the_line_before(
    reference: dt.datetime | None, moment: dt.datetime
) -> None:
    assert _place(REPEATED, reference, zone=VIENNA) == moment


def test_the_hour_that_comes_twice_is_told_apart_by_queue_files() -> None:
    assert _place(REPEATED, FIRST_TIME, born=_utc(2026, 10, 25, 0, 31), zone=VIENNA) == SECOND_TIME
    assert _place(REPEATED, SECOND_TIME, born=FIRST_TIME, is_birth=True, zone=VIENNA) == FIRST_TIME
    assert _place(REPEATED, FIRST_TIME, born=SECOND_TIME, is_birth=True, zone=VIENNA) == SECOND_TIME


def test_the_hour_that_does_not_exist_is_still_a_moment() -> None:
    at = _place(Local(2026, 3, 29, 2, 30, 0), zone=VIENNA)
    assert at == _utc(2026, 3, 29, 1, 30)


@pytest.mark.parametrize(
    "local",
    [Local(None, 2, 30, 0, 0, 0), Local(None, 13, 1, 0, 0, 0), Local(2026, 2, 29, 0, 0, 0), Local(0, 1, 1, 0, 0, 0)],
)
def test_what_is_no_day_is_no_moment(local: Local) -> None:
    assert _place(local) is None


@pytest.mark.parametrize(
    ("local", "is_plain"),
    [
        (Local(2026, 10, 25, 1, 0, 0), True),
        (Local(2026, 10, 25, 2, 0, 0), False),
        (Local(2026, 10, 25, 3, 0, 0), True),
        (Local(2026, 3, 29, 2, 0, 0), False),
        (Local(2026, 2, 29, 2, 0, 0), False),
    ],
)
def test_an_hour_is_plain_where_no_clock_is_changed(local: Local, is_plain: bool) -> None:
    assert stamps.begins_plain_hour(local, VIENNA) == is_plain


def test_half_an_hour_of_summer_time_is_not_plain_either() -> None:
    lord_howe = ZoneInfo("Australia/Lord_Howe")
    assert not stamps.begins_plain_hour(Local(2026, 4, 5, 1, 0, 0), lord_howe)
    assert stamps.begins_plain_hour(Local(2026, 4, 5, 3, 0, 0), lord_howe)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Vienna", "Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati"])
def test_a_birth_tells_the_zone(zone: str) -> None:
    born = _utc(2026, 12, 31, 21, 7, 35)
    written = (born + dt.timedelta(seconds=1)).astimezone(ZoneInfo(zone))
    local = Local(None, *written.timetuple()[1:6])
    found = stamps.zone_at_birth(local, dt.timezone(dt.timedelta(hours=-3)), born)
    assert found is not None
    assert found.utcoffset(None) == written.utcoffset()


def test_a_birth_in_the_expected_zone_tells_no_other() -> None:
    for born in (FIRST_TIME, SECOND_TIME):
        assert stamps.zone_at_birth(REPEATED, VIENNA, born) is VIENNA


def test_a_line_long_after_the_birth_tells_no_zone() -> None:
    assert stamps.zone_at_birth(Local(None, 3, 14, 5, 31, 35), dt.UTC, _utc(2023, 3, 14, 5, 27, 35)) is None


@given(
    st.integers(31_536_000, 253_000_000_000),
    st.integers(-250, 55),
    st.sampled_from([dt.UTC, VIENNA, ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe")]),
)
def test_a_stamp_gets_back_the_year_that_was_left_out(second: int, days: int, zone: dt.tzinfo) -> None:
    at = dt.datetime.fromtimestamp(second, dt.UTC)
    local = Local(None, *at.astimezone(zone).timetuple()[1:6])
    reference = at + dt.timedelta(days=days)
    placed = _place(local, reference, latest=max(at, reference), zone=zone)
    assert placed is not None
    assert placed.astimezone(zone).replace(tzinfo=None) == at.astimezone(zone).replace(tzinfo=None)
