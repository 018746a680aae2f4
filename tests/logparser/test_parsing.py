"""Lines of files, one by one."""

import datetime as dt
from pathlib import Path

import pytest

from sendproof_logparser import parsing
from sendproof_logparser.chunk import Chunk
from sendproof_logparser.events import Irrelevant, StatusLine
from sendproof_logparser.parsing import UNKNOWN_KEPT, Counts, FileParser, identify
from sendproof_logparser.position import Position
from sendproof_logparser.syslog_line import LineReader, ReaderOfGivenYear

NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
SENT = (
    "Jan 02 15:04:05 edge1 postfix/smtp[7]: 4F5C64474F: to=<max@far.example>, relay=mx.example[192.0.2.1]:25, "
    "delay=1, delays=0/0/1/0, dsn=2.0.0, status=sent (250 ok)"
)
UNKNOWN = "Jan 02 15:04:05 edge1 postfix/qmgr[7]: warning: the queue is on fire"
SECRET = "Jan 02 15:04:05 edge1 postfix/qmgr[7]: mystery_function: password=hush"


def chunk(data: bytes, offset: int = 0, *, newline: bool = True) -> Chunk:
    end = offset + len(data) + newline
    return Chunk(data, offset, Position("", 0, 0, end), data[:100], NOW)


def parser(counts: Counts, *, year: int | None = None) -> FileParser:
    reader = (
        LineReader(identify, dt.UTC, None, latest=NOW)
        if year is None
        else ReaderOfGivenYear(identify, dt.UTC, year, NOW)
    )
    return FileParser("mail.log", reader, counts, lambda number, at, _, line: f"{number} {at:%F} {line.status}")


def test_status_lines_are_rendered_with_their_number_and_the_others_counted() -> None:
    counts = Counts()
    lines = [
        "Jan 02 15:04:05 edge1 postfix/smtpd[7]: lost connection after RCPT from localhost[127.0.0.1]",
        SENT,
        "Jan 02 15:04:05 edge1 cron[7]: nothing to do with mail",
        "no line of a log",
        UNKNOWN,
        SENT.replace("status=sent", "status=deferred"),
    ]
    taken = parser(counts).take(chunk("\n".join(lines).encode()))
    assert taken == ["2 2026-01-02 sent", "6 2026-01-02 deferred"]
    assert (counts.lines, counts.formless, counts.other_programs, counts.unknown) == (6, 1, 1, 1)
    assert counts.statuses == {"sent": 1, "deferred": 1}
    assert counts.kinds[StatusLine] == 2
    assert counts.kinds[Irrelevant] == 1
    assert counts.unknown_lines == [("mail.log", 5, UNKNOWN)]


def test_numbers_go_on_from_chunk_to_chunk_and_pieces_of_one_line_count_once() -> None:
    reading = parser(Counts())
    assert reading.take(chunk(f"{SENT}\n{SENT}".encode())) == ["1 2026-01-02 sent", "2 2026-01-02 sent"]
    assert reading.take(chunk(b"the first megabyte of the third line", 500, newline=False)) == []
    assert reading.take(chunk(b"and its end", 536)) == []
    assert reading.take(chunk(SENT.encode(), 548)) == ["4 2026-01-02 sent"]


def test_a_line_may_hold_octets_that_are_no_text() -> None:
    line = SENT.encode().replace(b"250 ok", b"250 \xff\0 ok \xe2\x80\xa8 \r")
    assert parser(Counts()).take(chunk(line)) == ["1 2026-01-02 sent"]


def test_not_more_unknown_lines_are_kept_than_can_be_shown() -> None:
    counts = Counts()
    reading = parser(counts)
    for _ in range(UNKNOWN_KEPT + 5):
        reading.take(chunk(UNKNOWN.encode()))
    assert counts.unknown == UNKNOWN_KEPT + 5
    assert len(counts.unknown_lines) == UNKNOWN_KEPT


def test_of_a_line_that_may_hold_a_secret_only_its_writer_is_shown() -> None:
    counts = Counts()
    parser(counts).take(chunk(SECRET.encode()))
    assert "hush" not in repr(counts.unknown_lines)
    prefix, _, text = SECRET.partition("]: ")
    assert parsing._kept(SECRET, text) == f"{prefix}]: [hidden]"
    prefix, _, text = UNKNOWN.partition("]: ")
    assert parsing._kept(UNKNOWN, text) == UNKNOWN


@pytest.mark.parametrize("stamp", ["Jan 01 00:00:00", "Feb 28 12:00:00", "Nov 22 12:00:00", "Dec 31 23:59:59"])
@pytest.mark.parametrize("year", [1999, 2013, 2026, 2027])
def test_a_given_year_is_that_of_the_first_line_whatever_the_queue_ids_say(stamp: str, year: int) -> None:
    line = SENT.replace("Jan 02 15:04:05", stamp).replace("4F5C64474F", "4PbMVH1gW1z3tBr")
    assert parser(Counts(), year=year).take(chunk(line.encode())) == [
        f"1 {year}-{dt.datetime.strptime(stamp + ' +0000', '%b %d %H:%M:%S %z'):%m-%d} sent"
    ]


def test_after_new_year_it_is_the_year_after_the_given_one_also_where_lines_are_out_of_order() -> None:
    lines = [SENT.replace("Jan 02", day) for day in ("Dec 31", "Jan 01", "Dec 31", "Jan 01")]
    taken = parser(Counts(), year=2013).take(chunk("\n".join(lines).encode()))
    assert [text.split()[1] for text in taken] == ["2013-12-31", "2014-01-01", "2013-12-31", "2014-01-01"]


def test_a_file_without_any_line_of_a_log_is_known_for_it() -> None:
    for data, is_log in (
        (b"#!/bin/sh\nexit 0", False),
        (b"\x7fELF\x01\x02\n\0\0", False),
        (f"x\n{SENT}".encode(), True),
    ):
        reading = parser(Counts())
        reading.take(chunk(data))
        assert reading.is_log is is_log


def test_every_line_of_real_traffic_is_of_a_kind() -> None:
    data = (Path(__file__).parents[1] / "corpus" / "logs" / "dialogue.log").read_bytes().removesuffix(b"\n")
    counts = Counts()
    taken = parser(counts).take(chunk(data))
    assert counts.kinds.total() + counts.other_programs + counts.formless == counts.lines == data.count(b"\n") + 1
    assert len(taken) == data.count(b", status=") > 0
