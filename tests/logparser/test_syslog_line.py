import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_logparser import syslog_line
from sendproof_logparser.syslog_line import SyslogLine

NOW = dt.datetime(2026, 11, 22, 13, 0, tzinfo=dt.UTC)


def _at(line: str, newest: dt.datetime = NOW, zone: dt.tzinfo = dt.UTC) -> dt.datetime:
    parsed = syslog_line.parse(line, zone, newest)
    assert parsed is not None
    return parsed.at


def test_postlogd_and_the_system_log_differ_only_in_a_blank() -> None:
    at = dt.datetime(2026, 1, 2, 15, 4, 5, tzinfo=dt.UTC)
    wanted = SyslogLine(at, "relay", "postfix/submission/smtpd", 12, "4F5C64474F: client=x: y")
    for day in ("Jan 02", "Jan  2"):
        line = f"{day} 15:04:05 relay postfix/submission/smtpd[12]: 4F5C64474F: client=x: y"
        assert syslog_line.parse(line, dt.UTC, NOW) == wanted


@pytest.mark.parametrize(
    ("stamp", "moment"),
    [
        ("2023-03-14T00:00:31.185246+01:00", dt.datetime(2023, 3, 13, 23, 0, 31, 185246, dt.UTC)),
        ("2023-03-14T00:00:31Z", dt.datetime(2023, 3, 14, 0, 0, 31, tzinfo=dt.UTC)),
    ],
)
def test_an_rfc_3339_stamp_names_its_zone(stamp: str, moment: dt.datetime) -> None:
    assert _at(f"{stamp} relay postfix/qmgr[1]: x", zone=ZoneInfo("Asia/Tokyo")) == moment


def test_a_stamp_without_a_zone_is_in_the_machines() -> None:
    at = _at("Jul 02 15:04:05 relay postfix/qmgr[1]: x", zone=ZoneInfo("Europe/Vienna"))
    assert at == dt.datetime(2026, 7, 2, 13, 4, 5, tzinfo=dt.UTC)


def test_a_stamp_without_a_year_is_of_the_last_such_day() -> None:
    new_year = dt.datetime(2027, 1, 1, 0, 0, 10, tzinfo=dt.UTC)
    assert _at("Dec 31 23:59:59 relay postfix/qmgr[1]: x", new_year).year == 2026
    assert _at("Jan 01 00:00:09 relay postfix/qmgr[1]: x", new_year).year == 2027
    assert (
        _at("Jan 01 00:00:09 relay postfix/qmgr[1]: x", dt.datetime(2026, 12, 31, 23, 59, tzinfo=dt.UTC)).year == 2027
    )
    assert _at("Feb 29 00:00:09 relay postfix/qmgr[1]: x").year == 2024


def test_an_old_files_year_comes_from_its_long_queue_ids() -> None:
    line = "Mar 14 06:27:35 relay postfix/qmgr[1]: 4PbMVH1gW1z3tBr: removed"
    assert _at(line, syslog_line.newest_time(line, NOW)).year == 2023
    assert syslog_line.newest_time("Nov 22 04:45:19 relay postfix/qmgr[1]: 4jXGhv32rHzJLdv: removed", NOW) == NOW
    assert syslog_line.newest_time("no queue id here", NOW) == NOW


def test_a_missing_colon_or_process_number_is_forgiven() -> None:
    with_number = syslog_line.parse("Dec  9 10:18:24 mail postfix/smtpd[2717] 6CB5F45B78: client=x", dt.UTC, NOW)
    assert with_number is not None
    assert with_number[2:] == ("postfix/smtpd", 2717, "6CB5F45B78: client=x")
    without = syslog_line.parse("Dec  9 10:18:24 mail postfix/smtpd: 6CB5F45B78: client=x", dt.UTC, NOW)
    assert without is not None
    assert without[2:] == ("postfix/smtpd", 0, "6CB5F45B78: client=x")


@pytest.mark.parametrize(
    "line", ["", "Nov", "Nov 32 10:18:24 h p[1]: x", "2023-13-14T00:00:31Z h p[1]: x", "2023-01-01T00:00:31 h p: x"]
)
def test_what_is_no_log_line_is_none(line: str) -> None:
    assert syslog_line.parse(line, dt.UTC, NOW) is None


@given(
    st.one_of(st.just(""), st.just("Nov 22 04:45:19 "), st.just("2023-03-14T00:00:31Z ")),
    st.text(),
)
def test_no_text_makes_it_fail(prefix: str, text: str) -> None:
    syslog_line.parse(prefix + text, dt.UTC, NOW)
    syslog_line.newest_time(text, NOW)
