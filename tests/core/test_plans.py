import datetime as dt
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.plans import OverQuota, day_window, zone

_ZONES = st.sampled_from(sorted(zoneinfo.available_timezones()))
_MOMENTS = st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2037, 1, 1), timezones=st.just(dt.UTC))  # noqa: DTZ001


def _utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("now", "time_zone", "begins", "ends"),
    [
        ("2026-11-22T13:00", "UTC", "2026-11-22T00:00", "2026-11-23T00:00"),
        ("2026-11-22T13:00", "Europe/Vienna", "2026-11-21T23:00", "2026-11-22T23:00"),
        ("2026-11-22T23:00", "Europe/Vienna", "2026-11-22T23:00", "2026-11-23T23:00"),
        ("2026-11-22T13:00", "Pacific/Auckland", "2026-11-22T11:00", "2026-11-23T11:00"),
        ("2026-11-22T03:00", "America/Los_Angeles", "2026-11-21T08:00", "2026-11-22T08:00"),
        # 23 and 25 hours
        ("2026-03-29T12:00", "Europe/Vienna", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("2026-10-25T12:00", "Europe/Vienna", "2026-10-24T22:00", "2026-10-25T23:00"),
        # a day that begins at 01:00, because the clock is put forward at midnight
        ("2018-11-04T12:00", "America/Sao_Paulo", "2018-11-04T03:00", "2018-11-05T02:00"),
        # a midnight that comes twice
        ("2026-11-01T12:00", "America/Havana", "2026-11-01T04:00", "2026-11-02T05:00"),
        # the day before one that Samoa left out
        ("2011-12-30T09:00", "Pacific/Apia", "2011-12-29T10:00", "2011-12-30T10:00"),
        ("2026-11-22T13:00", "No/Such_Zone", "2026-11-22T00:00", "2026-11-23T00:00"),
    ],
)
def test_a_day_is_the_accounts_own_calendar_day(now: str, time_zone: str, begins: str, ends: str) -> None:
    window = day_window(_utc(now), time_zone)
    assert (window.begins, window.ends) == (_utc(begins), _utc(ends))


@given(_MOMENTS, _ZONES)
def test_every_moment_is_in_its_window_and_windows_touch(now: dt.datetime, time_zone: str) -> None:
    window = day_window(now, time_zone)
    assert window.begins <= now < window.ends
    assert day_window(window.begins, time_zone) == window
    assert day_window(window.ends, time_zone).begins == window.ends
    assert window.begins.utcoffset() == window.ends.utcoffset() == dt.timedelta()


@given(st.text(st.characters(), max_size=20) | st.sampled_from(["Europe", "", ".", "../etc/passwd", "/etc/passwd"]))
def test_any_name_gives_a_zone(name: str) -> None:
    assert isinstance(zone(name), dt.tzinfo)


def test_a_refusal_names_the_limit_the_use_what_was_asked_and_the_reset() -> None:
    over = OverQuota(limit=200, used=198, asked=5, resets=_utc("2026-11-22T23:00"))
    assert over.reply_text("Europe/Vienna") == (
        "Plan limit reached: 200 recipients per day, 198 used, this message has 5; "
        "the count resets at 2026-11-23 00:00 CET"
    )


@given(_MOMENTS, _ZONES)
def test_a_refusal_is_one_line_of_ascii(now: dt.datetime, time_zone: str) -> None:
    text = OverQuota(1, 1, 1, now).reply_text(time_zone)
    assert text.isascii()
    assert text.isprintable()
