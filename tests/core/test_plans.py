import datetime as dt
import itertools
import zoneinfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sendproof_core import schema
from sendproof_core.plans import OverQuota, QuotaLimits, Use, Window, over_quota, windows, zone
from sendproof_core.states import Span

_ZONES = st.sampled_from(sorted(zoneinfo.available_timezones()))
_MOMENTS = st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2037, 1, 1), timezones=st.just(dt.UTC))  # noqa: DTZ001


def _utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def _window(begins: str, ends: str) -> Window:
    return Window(_utc(begins), _utc(ends))


_NOW = _utc("2026-11-22T13:30")
_WINDOWS = windows(_NOW, "Europe/Vienna")
_NOTHING = Use()


@pytest.mark.parametrize(
    ("now", "time_zone", "begins", "ends"),
    [
        ("2026-11-22T13:00", "UTC", "2026-11-22T00:00", "2026-11-23T00:00"),
        ("2026-11-22T13:00", "Europe/Vienna", "2026-11-21T23:00", "2026-11-22T23:00"),
        ("2026-11-22T23:00", "Europe/Vienna", "2026-11-22T23:00", "2026-11-23T23:00"),
        ("2026-11-22T13:00", "Pacific/Auckland", "2026-11-22T11:00", "2026-11-23T11:00"),
        ("2026-11-22T03:00", "America/Los_Angeles", "2026-11-21T08:00", "2026-11-22T08:00"),
        ("2026-11-22T18:14", "Asia/Kathmandu", "2026-11-21T18:15", "2026-11-22T18:15"),
        ("2026-11-22T18:15", "Asia/Kathmandu", "2026-11-22T18:15", "2026-11-23T18:15"),
        # 23 and 25 hours
        ("2026-03-29T12:00", "Europe/Vienna", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("2026-10-25T12:00", "Europe/Vienna", "2026-10-24T22:00", "2026-10-25T23:00"),
        # a day that begins at 01:00, because the clock is put forward at midnight
        ("2018-11-04T12:00", "America/Sao_Paulo", "2018-11-04T03:00", "2018-11-05T02:00"),
        # a midnight that comes twice
        ("2026-11-01T12:00", "America/Havana", "2026-11-01T04:00", "2026-11-02T05:00"),
        # the day before one that Samoa left out
        ("2011-12-30T09:00", "Pacific/Apia", "2011-12-29T10:00", "2011-12-30T10:00"),
        # 23:20 of the day before, after a minute of the new day
        ("2010-11-07T02:50", "America/St_Johns", "2010-11-07T02:30", "2010-11-08T03:30"),
        ("2026-11-22T13:00", "No/Such_Zone", "2026-11-22T00:00", "2026-11-23T00:00"),
    ],
)
def test_a_day_is_the_accounts_own_calendar_day(now: str, time_zone: str, begins: str, ends: str) -> None:
    assert windows(_utc(now), time_zone).day == _window(begins, ends)


@pytest.mark.parametrize(
    ("now", "time_zone", "begins", "ends"),
    [
        ("2026-11-22T13:00", "UTC", "2026-11-01T00:00", "2026-12-01T00:00"),
        ("2026-12-31T22:59:59.999999", "Europe/Vienna", "2026-11-30T23:00", "2026-12-31T23:00"),
        ("2026-12-31T23:00", "Europe/Vienna", "2026-12-31T23:00", "2027-01-31T23:00"),
        ("2028-02-29T12:00", "Europe/Vienna", "2028-01-31T23:00", "2028-02-29T23:00"),
        ("2026-10-15T12:00", "Europe/Vienna", "2026-09-30T22:00", "2026-10-31T23:00"),
        # 23:20 of the last of October, after a minute of November
        ("2009-11-01T02:50", "America/St_Johns", "2009-11-01T02:30", "2009-12-01T03:30"),
    ],
)
def test_a_month_is_the_accounts_own_calendar_month(now: str, time_zone: str, begins: str, ends: str) -> None:
    assert windows(_utc(now), time_zone).month == _window(begins, ends)


def test_an_hour_is_one_of_utc_whatever_the_zone() -> None:
    for time_zone in ("UTC", "Asia/Kathmandu", "Australia/Lord_Howe"):
        hour = windows(_utc("2026-11-22T13:59:59.999999"), time_zone).hour
        assert hour == _window("2026-11-22T13:00", "2026-11-22T14:00")


@example(_utc("2010-11-07T02:50"), "America/St_Johns")
@example(_utc("2009-11-01T02:50"), "America/St_Johns")
@example(_utc("2011-12-30T10:00"), "Pacific/Apia")
@given(_MOMENTS, _ZONES)
def test_every_moment_is_in_its_windows_and_windows_touch(now: dt.datetime, time_zone: str) -> None:
    found = windows(now, time_zone)
    for span in Span:
        window: Window = getattr(found, span)
        assert window.begins <= now < window.ends
        assert getattr(windows(window.begins, time_zone), span) == window
        assert getattr(windows(window.ends - dt.timedelta(microseconds=1), time_zone), span) == window
        assert getattr(windows(window.ends, time_zone), span).begins == window.ends
        assert window.begins.utcoffset() == window.ends.utcoffset() == dt.timedelta()
    assert found.month.begins <= found.day.begins < found.day.ends <= found.month.ends


@given(_MOMENTS, _ZONES)
def test_windows_are_as_long_as_their_names_say(now: dt.datetime, time_zone: str) -> None:
    found = windows(now, time_zone)
    assert found.hour.ends - found.hour.begins == dt.timedelta(hours=1)
    assert dt.timedelta(hours=20) < found.day.ends - found.day.begins < dt.timedelta(hours=49)
    assert dt.timedelta(days=26) < found.month.ends - found.month.begins < dt.timedelta(days=32)


@given(_MOMENTS, _MOMENTS, _ZONES)
def test_what_was_asked_before_changes_no_answer(before: dt.datetime, now: dt.datetime, time_zone: str) -> None:
    windows(now, "UTC")
    alone = windows(now, time_zone)
    windows(before, time_zone)
    assert windows(now, time_zone) == alone


@given(st.text(st.characters(), max_size=20) | st.sampled_from(["Europe", "", ".", "../etc/passwd", "/etc/passwd"]))
def test_any_name_gives_a_zone(name: str) -> None:
    assert isinstance(zone(name), dt.tzinfo)


def test_a_plan_in_the_directory_has_every_limit() -> None:
    columns = set(schema.Plan.__table__.columns.keys()) - {"id", "name"}
    assert columns == set(vars(QuotaLimits()))


def _over(
    limits: QuotaLimits, asked: Use, hour: Use = _NOTHING, day: Use = _NOTHING, month: Use = _NOTHING
) -> OverQuota | None:
    return over_quota(limits, _WINDOWS, {Span.HOUR: hour, Span.DAY: day, Span.MONTH: month}, asked)


_COUNTED = [
    ("messages_per_hour", "hour", Use(messages=1)),
    ("recipients_per_hour", "hour", Use(recipients=1)),
    ("messages_per_day", "day", Use(messages=1)),
    ("recipients_per_day", "day", Use(recipients=1)),
    ("new_recipients_per_day", "day", Use(new_recipients=1)),
    ("messages_per_month", "month", Use(messages=1)),
    ("recipients_per_month", "month", Use(recipients=1)),
]


@pytest.mark.parametrize(("name", "span", "one"), _COUNTED)
def test_each_limit_counts_its_own_part_in_its_own_window(name: str, span: str, one: Use) -> None:
    limits = QuotaLimits(**{name: 3})
    two, three = one.plus(one), one.plus(one).plus(one)
    other = Use(100 - 100 * one.messages, 100 - 100 * one.recipients, 100 - 100 * one.new_recipients)
    assert _over(limits, one.plus(other), **{span: two.plus(other)}) is None
    window: Window = getattr(_WINDOWS, span)
    assert _over(limits, one.plus(other), **{span: three.plus(other)}) == OverQuota(name, 3, 3, 1, window.ends)
    others = {name: Use(100, 100, 100) for name in ("hour", "day", "month") if name != span}
    assert _over(limits, one, **others) is None


def test_without_limits_everything_passes() -> None:
    much = Use(10**9, 10**9, 10**9)
    assert _over(QuotaLimits(), much, much, much, much) is None


def test_limits_of_a_single_message_are_not_counted_in_windows() -> None:
    assert _over(QuotaLimits(recipients_per_message=1, message_octets=1), Use(1, 9, 9)) is None


def test_a_message_without_new_addresses_passes_a_plan_that_became_smaller() -> None:
    limits = QuotaLimits(new_recipients_per_day=5)
    assert _over(limits, Use(1, 10, 0), day=Use(1, 9, 9)) is None
    assert _over(limits, Use(1, 10, 1), day=Use(1, 9, 9)) is not None


def test_of_several_limits_the_one_that_resets_last_is_named() -> None:
    limits = QuotaLimits(messages_per_hour=5, recipients_per_day=5, messages_per_month=5)
    full = Use(5, 5, 5)
    for hour, day, month in itertools.product((Use(), full), repeat=3):
        over = _over(limits, Use(1, 1, 1), hour, day, month)
        names = {"messages_per_hour": hour, "recipients_per_day": day, "messages_per_month": month}
        reached = [name for name, use in names.items() if use == full]
        assert (over.name if over else None) == (reached[-1] if reached else None)


def test_a_limit_that_waiting_does_not_help_is_named_before_one_that_resets() -> None:
    over = _over(QuotaLimits(recipients_per_hour=5, recipients_per_day=100), Use(1, 6, 0), day=Use(1, 100, 0))
    assert over is not None
    assert (over.name, over.never_fits) == ("recipients_per_hour", True)


@pytest.mark.parametrize(("name", "span", "one"), _COUNTED)
def test_only_where_the_window_is_an_hour_a_client_is_told_to_try_again(name: str, span: str, one: Use) -> None:
    over = _over(QuotaLimits(**{name: 1}), one, **{span: one})
    assert over is not None
    assert (over.code, over.dsn) == ((452, "4.7.1") if span == "hour" else (550, "5.7.1"))
    assert over.is_temporary == (over.code < 500)


def test_a_message_that_alone_exceeds_an_hours_limit_is_refused_for_good() -> None:
    over = _over(QuotaLimits(recipients_per_hour=50), Use(1, 51, 51))
    assert over is not None
    assert (over.code, over.dsn) == (550, "5.7.1")
    assert "this message alone has 51" in over.reply_text("UTC")
    just_fits = _over(QuotaLimits(recipients_per_hour=50), Use(1, 50, 50), hour=Use(1, 1, 1))
    assert just_fits is not None
    assert just_fits.code == 452


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("recipients_per_day", "200 recipients per day, 198 used, this message has 5"),
        ("recipients_per_hour", "200 recipients per hour, 198 used, this message has 5"),
        ("messages_per_month", "200 messages per month, 198 used, this message counts 5"),
        ("new_recipients_per_day", "200 new recipients per day, 198 used, this message has 5"),
    ],
)
def test_a_refusal_names_the_limit_the_use_what_was_asked_and_the_reset(name: str, said: str) -> None:
    over = OverQuota(name, limit=200, used=198, asked=5, resets=_utc("2026-11-22T23:00"))
    expected = f"Plan limit reached: {said}; the count resets at 2026-11-23 00:00 CET"
    assert over.reply_text("Europe/Vienna") == expected


@given(_MOMENTS, _ZONES, st.sampled_from([name for name, _, _ in _COUNTED]), st.integers(0, 2**62))
def test_a_refusal_is_one_line_of_ascii(now: dt.datetime, time_zone: str, name: str, limit: int) -> None:
    text = OverQuota(name, limit, 1, 1, now).reply_text(time_zone)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 200
