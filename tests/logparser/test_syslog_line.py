import datetime as dt
import time
from collections.abc import Iterable
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_logparser import syslog_line
from sendproof_logparser.syslog_line import LineReader, SyslogLine

NOW = dt.datetime(2026, 11, 22, 13, 0, tzinfo=dt.UTC)
VIENNA = ZoneInfo("Europe/Vienna")
_TEXT = "4F5C64474F: client=x: y [z]: w"


def _reader(
    reference: dt.datetime | None = None,
    *,
    zone: dt.tzinfo = dt.UTC,
    latest: dt.datetime = NOW,
    beginning: str = "",
) -> LineReader[tuple[str, str, int]]:
    def identify(host: str, program: str, pid: int) -> tuple[str, str, int]:
        return host, program, pid

    return LineReader(identify, zone, reference, latest=latest, beginning=beginning)


def _moments(reader: LineReader[tuple[str, str, int]], lines: Iterable[str]) -> list[dt.datetime]:
    read = [reader.read(line) for line in lines]
    return [line[0] for line in read if line is not None]


def _seconds(line: str, reader: LineReader[tuple[str, str, int]] | None = None) -> dt.datetime:
    read = (reader or _reader()).read(line)
    assert read is not None
    return read[0]


@pytest.mark.parametrize(
    "beginning",
    [
        "Jan 02 15:04:05 relay {}[12]: ",  # postlogd
        "Jan  2 15:04:05 relay {}[12]: ",  # RFC 3164
        "Jan 2 15:04:05 relay {}[12]: ",
        " <22>Jan  2 15:04:05 relay {}[12]: ",
        "\0\0\0\0Jan  2 15:04:05 relay {}[12]: ",
        "postfix-mailcow-1  | Jan  2 15:04:05 relay {}[12]: ",
        "\x1b[36mpostfix-1  | \x1b[0mJan  2 15:04:05 relay {}[12]: ",
        "Jan  2 15:04:05.000000 relay {}[12]: ",
        "2026 Jan  2 15:04:05.000 relay {}[12]: ",
        "2026-01-02T15:04:05+00:00 relay {}[12]: ",
        "2026-01-02T15:04:05.000000+00:00 relay {}[12]: ",
        "2026-01-02T16:04:05.000+01:00 relay {}[12]: ",
        "2026-01-02T16:04:05+0100 relay {}[12]: ",
        "2026-01-02T15:04:05Z relay {}[12]: ",
        "2026-01-02T15:04:05 relay {}[12]: ",
        "2026-01-02 15:04:05,000 relay {}[12]: ",
        "2026-01-02T15:04:05.000000000Z Jan 02 15:04:04 relay {}[12]: ",
        "2026-01-02T15:04:05.000000000Z stdout F Jan 02 15:04:04 relay {}[12]: ",
        "Jan  2 15:04:05 relay {}[12] ",
        "<22>1 2026-01-02T15:04:05.000000Z relay {} 12 - - ",
        '<22>1 2026-01-02T16:04:05+01:00 relay {} 12 ID47 [a@1 b="]: \\"" c="d"][e@2]  \ufeff',
        "1 2026-01-02T15:04:05Z relay {} 12 - - ",
    ],
)
@pytest.mark.parametrize("program", ["postfix/submission/smtpd", "postfix-12.34.56.78/qmgr", "mail_out/bounce"])
def test_each_form_says_the_same(beginning: str, program: str) -> None:
    line = beginning.format(program) + _TEXT
    reader = _reader()
    wanted = (dt.datetime(2026, 1, 2, 15, 4, 5, tzinfo=dt.UTC), ("relay", program, 12), _TEXT)
    assert reader.read(line) == reader.read(line) == reader.read(line) == wanted
    assert reader.newest == wanted[0]
    assert syslog_line.parse(line, dt.UTC, NOW) == SyslogLine(wanted[0], *wanted[1], _TEXT)


@pytest.mark.parametrize(
    ("line", "program", "text"),
    [
        ("Dec  9 10:18:24 mail postfix/smtpd: 6CB5F45B78: client=x", "postfix/smtpd", "6CB5F45B78: client=x"),
        ("Dec  9 10:18:24 mail postfix/smtpd: host a[1]: b", "postfix/smtpd", "host a[1]: b"),
        ("Dec  9 10:18:24 mail postfix/smtpd:", "postfix/smtpd", ""),
        ("Dec  9 10:18:24 mail /postfix-script[99999999999]: x", "/postfix-script", "x"),
        ("<22>1 2026-01-02T15:04:05Z mail postfix/smtpd - - - x", "postfix/smtpd", "x"),
        ("<22>1 2026-01-02T15:04:05Z mail postfix/smtpd - - -", "postfix/smtpd", ""),
    ],
)
def test_a_missing_process_number_is_forgiven(line: str, program: str, text: str) -> None:
    reader = _reader()
    for _ in range(2):
        read = reader.read(line)
        assert read is not None
        assert read[1:] == (("mail", program, 0), text)


def test_a_fraction_of_a_second_is_kept() -> None:
    at = dt.datetime(2013, 6, 10, 6, 27, 30, 123456, dt.UTC)
    assert _seconds("2013-06-10T06:27:30.123456789Z h p[1]: x") == at
    assert _seconds("2013-06-10 06:27:30,123456 h p[1]: x") == at
    assert _seconds("2013 Jun 10 06:27:30.123456 h p[1]: x") == at
    assert _seconds("<22>1 2013-06-10T08:27:30.123456+02:00 h p 1 - - x") == at


@pytest.mark.parametrize(
    ("stamp", "moment"),
    [
        ("2023-03-14T00:00:31.185246+01:00", dt.datetime(2023, 3, 13, 23, 0, 31, 185246, dt.UTC)),
        ("2023-03-14T00:00:31Z", dt.datetime(2023, 3, 14, 0, 0, 31, tzinfo=dt.UTC)),
    ],
)
def test_an_rfc_3339_stamp_names_its_zone(stamp: str, moment: dt.datetime) -> None:
    reader = _reader(zone=ZoneInfo("Asia/Tokyo"))
    assert [_seconds(f"{stamp} relay postfix/qmgr[1]: x", reader) for _ in range(3)] == [moment] * 3


def test_a_stamp_without_a_zone_is_in_the_machines() -> None:
    at = _seconds("Jul 02 15:04:05 relay postfix/qmgr[1]: x", _reader(zone=VIENNA))
    assert at == dt.datetime(2026, 7, 2, 13, 4, 5, tzinfo=dt.UTC)


def test_a_process_is_identified_once() -> None:
    asked: list[tuple[str, str, int]] = []
    reader = LineReader(lambda *process: asked.append(process), dt.UTC, None, latest=NOW)
    for second in range(3):
        for form in ("Nov 22 10:00:0{} h p[1]: x", "2026-11-22T10:00:0{}Z h p[1]: x", "Nov 22 10:00:0{} h p: x"):
            for _ in range(2):
                assert reader.read(form.format(second)) is not None
    assert asked == [("h", "p", 1), ("h", "p", 0)]


def test_a_leap_second_is_the_one_before() -> None:
    reader = _reader()
    for _ in range(2):
        assert _seconds("Jan  1 00:59:60 h p[1]: x", reader) == dt.datetime(2026, 1, 1, 0, 59, 59, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Nov",
        "x" * 100,
        "Nov 32 10:18:24 h p[1]: x",
        "Nov 22 10:60:24 h p[1]: x",
        "Nov 22 10:18:61 h p[1]: x",
        "Nov 22 24:18:24 h p[1]: x",
        "Xyz 22 10:18:24 h p[1]: x",
        "2023-13-14T00:00:31Z h p[1]: x",
        "0001-01-01T00:00:31+01:00 h p[1]: x",
        "<22>1 - h p 1 - - x",
        "Nov 22 10:18:24",
        "Nov 22 10:18:24 h",
        "Nov 22 10:18:24  p[1]: x",
    ],
)
def test_what_is_no_log_line_is_none(line: str) -> None:
    assert syslog_line.parse(line, dt.UTC, NOW) is None
    after_others = _reader()
    for other in ("Nov 22 10:18:24 h p[1]: x", "2023-01-14T00:00:31Z h p[1]: x"):
        assert after_others.read(other) is not None
    newest = after_others.newest
    assert after_others.read(line) is None
    assert after_others.newest == newest


def test_years_follow_from_the_lines_before() -> None:
    lines = [
        "Dec 31 23:59:58 h p[1]: x",
        "Jan  1 00:00:00 h p[1]: x",
        "Dec 31 23:59:59 h p[1]: x",
        "Jan  1 00:00:01 h p[1]: x",
        "Oct 22 04:45:19 h p[1]: x",
    ]
    latest = dt.datetime(2027, 11, 22, 13, 0, tzinfo=dt.UTC)
    reference = dt.datetime(2026, 12, 31, 23, 0, tzinfo=dt.UTC)
    assert [at.year for at in _moments(_reader(reference, latest=latest), lines)] == [2026, 2027, 2026, 2027, 2027]


def test_the_same_stamp_a_year_later_is_another_moment() -> None:
    lines = [f"{month} 22 04:45:19 h p[1]: x" for month in ("Jan", "Mar", "May", "Jul", "Sep", "Nov")]
    latest = dt.datetime(2026, 12, 31, tzinfo=dt.UTC)
    reference = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    years = [at.year for at in _moments(_reader(reference, latest=latest), lines + lines)]
    assert years == [2025] * 6 + [2026] * 6


_BIRTH = "Mar 14 06:27:35 relay postfix/smtpd[1]: 4PbMVH1gW1z3tBr: client=x[192.0.2.1]"


def test_an_old_files_year_comes_from_its_long_queue_ids() -> None:
    connect = "Mar 14 06:27:30 relay postfix/smtpd[1]: connect from x[192.0.2.1]"
    removed = "Mar 14 06:27:35 relay postfix/qmgr[2]: 4PbMVH1gW1z3tBr: removed"
    for beginning in (f"{connect}\n{_BIRTH}", f"{connect}\n{removed}"):
        assert [at.year for at in _moments(_reader(beginning=beginning), [connect, removed])] == [2023, 2023]
    assert _seconds(removed).year == 2023
    assert _seconds(connect).year == 2026


def test_a_host_whose_stamps_are_of_another_zone_is_found_out() -> None:
    """06:27:35 is the time of Vienna: the queue file was made at 05:27:35 UTC."""
    other = "Mar 14 06:27:40 other postfix/smtpd[1]: connect from x[192.0.2.1]"
    reader = _reader(zone=ZoneInfo("Asia/Tokyo"), beginning=f"{other}\n{_BIRTH}")
    born = dt.datetime(2023, 3, 14, 5, 27, 35, tzinfo=dt.UTC)
    in_tokyo = dt.datetime(2023, 3, 13, 21, 27, 40, tzinfo=dt.UTC)
    assert _moments(reader, [_BIRTH, other] * 3) == [born, in_tokyo] * 3
    right = _reader(zone=VIENNA, beginning=_BIRTH)
    summer = "Jul 02 15:04:05 relay postfix/qmgr[1]: x"
    assert _moments(right, [_BIRTH, summer]) == [born, dt.datetime(2023, 7, 2, 13, 4, 5, tzinfo=dt.UTC)]


def test_a_queue_id_from_the_future_is_no_clue() -> None:
    line = _BIRTH.replace("Mar 14 06:27:35", "Mar 14 07:00:00")
    latest = dt.datetime(2020, 6, 1, tzinfo=dt.UTC)
    assert _seconds(line, _reader(latest=latest, beginning=line)).year == 2020


def test_the_hour_that_comes_twice_goes_by_twice() -> None:
    stamps = [f"Oct 25 {hour:02}:{minute:02}:00" for hour in (1, 2, 2, 3) for minute in range(0, 60, 10)]
    moments = _moments(_reader(zone=VIENNA), [f"{stamp} h p[1]: x" for stamp in stamps])
    begin = dt.datetime(2026, 10, 24, 23, 0, tzinfo=dt.UTC)
    assert moments == [begin + dt.timedelta(minutes=10 * number) for number in range(24)]


def test_summer_time_begins_without_a_gap() -> None:
    stamps = ("Mar 29 01:59:59", "Mar 29 03:00:00", "Mar 29 01:59:58", "Mar 29 03:00:01")
    moments = _moments(_reader(zone=VIENNA), [f"{stamp} h p[1]: x" for stamp in stamps])
    one = dt.datetime(2026, 3, 29, 1, 0, tzinfo=dt.UTC)
    assert moments == [one + dt.timedelta(seconds=seconds) for seconds in (-1, 0, -2, 1)]


_BEGINNINGS = st.sampled_from(
    [
        dt.datetime(2025, 12, 31, 22, 30, tzinfo=dt.UTC),
        dt.datetime(2026, 10, 25, 0, 0, tzinfo=dt.UTC),
        dt.datetime(2026, 3, 29, 0, 30, tzinfo=dt.UTC),
        dt.datetime(2024, 2, 28, 23, 0, tzinfo=dt.UTC),
    ]
)
_PREFIXES = ("h postfix/smtp[1]", "g postfix/smtp[1]", "h postfix/qmgr[2]", "h dovecot")


@given(
    _BEGINNINGS,
    st.lists(st.tuples(st.integers(-120, 1500), st.sampled_from(_PREFIXES)), max_size=30),
    st.sampled_from(["%b %d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f%z", "%Y-%m-%dT%H:%M:%S%z", "c-1 | %b %d %H:%M:%S"]),
)
def test_moments_are_right_and_the_same_wherever_reading_began_anew(
    begin: dt.datetime, steps: list[tuple[int, str]], form: str
) -> None:
    """Lines up to two minutes out of order, over a year's end, both changes of the clocks and 29 February."""
    at, written, lines = begin, [], []
    for seconds, process in steps:
        at += dt.timedelta(seconds=seconds)
        written.append(at)
        lines.append(f"{at.astimezone(VIENNA).strftime(form)} {process}: x")
    one = _reader(begin, zone=VIENNA)
    assert _moments(one, lines) == written
    newest: dt.datetime | None = begin
    for line, moment in zip(lines, written, strict=True):
        anew = _reader(newest, zone=VIENNA)
        assert _seconds(line, anew) == moment
        newest = anew.newest


@given(
    st.sampled_from(
        [
            "",
            "Nov 22 04:45:19 ",
            "2023-03-14T00:00:31Z ",
            "<22>1 2023-03-14T00:00:31Z h p 1 - ",
            "c | ",
            "2013 Jun 10 06:27:30.1 ",
        ]
    ),
    st.text(),
)
def test_no_text_makes_it_fail(prefix: str, text: str) -> None:
    reader = _reader(beginning=prefix + text)
    assert reader.read(prefix + text) == reader.read(prefix + text)


@pytest.mark.parametrize(
    "piece", [" ", "\0", "x", "1", "]: ", "[", ": ", '"', "\\", 'a="', '[a b="c"]', "\x1b[0m", "|"]
)
@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "Nov 22 04:45:19 ",
        "Nov 22 04:45:19 h p[1",
        "2023-03-14T00:00:31Z ",
        "<22>1 2023-03-14T00:00:31Z h p 1 - [",
        "c",
    ],
)
def test_a_line_of_a_megabyte_is_read_at_once(prefix: str, piece: str) -> None:
    line = prefix + piece * (1_000_000 // len(piece))
    reader = _reader()
    begun = time.process_time()
    reader.read(line)
    reader.read(line)
    assert time.process_time() - begun < 0.5


def test_hostile_lines_do_not_fill_the_memory() -> None:
    reader = _reader()
    for number in range(50):
        reader.read(f"Nov 22 04:45:19 {'h' * 100_000}{number} p[{number}]: x")
    assert sum(len(key) for known in (reader._prefixes, reader._processes) for key in known) < 1_000_000
