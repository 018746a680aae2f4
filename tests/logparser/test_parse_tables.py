"""Status lines and counts for people."""

import datetime as dt
import json
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from sendproof_logparser import events
from sendproof_logparser.events import ClientLeft, Irrelevant, StatusLine
from sendproof_logparser.parse_tables import KINDS, StatusTable, cut, summary, summary_json
from sendproof_logparser.parsing import Counts, UnknownLine

AT = dt.datetime(2026, 1, 2, 15, 4, 5, tzinfo=dt.UTC)
LINE = StatusLine(
    queue_id="4jXGhv32rHzJLdv",
    recipient="max@far.example",
    original_recipient=None,
    relay="mx.far.example[192.0.2.1]:25",
    conn_use=None,
    delay_seconds=1.0,
    delays_seconds=(0.0, 0.0, 1.0, 0.0),
    dsn="2.0.0",
    status="sent",
    text="250 2.0.0 Ok",
)


def counted() -> Counts:
    counts = Counts()
    counts.lines = 1_240
    counts.statuses.update({"sent": 1_200, "deferred": 3})
    counts.kinds.update({StatusLine: 1_203, Irrelevant: 20, ClientLeft: 10, type(None): 2})
    counts.other_programs, counts.formless = 4, 1
    counts.unknown_lines.append(UnknownLine("mail\x1b.log", 7, "odd \x1b[31m line"))
    return counts


def test_a_wide_terminal_shows_all_columns() -> None:
    table = StatusTable(140)
    assert table.head().split() == ["TIME", "(UTC)", "QUEUE", "ID", "STATUS", "DSN", "RECIPIENT", "RELAY", "TEXT"]
    row = table.row(1, AT, "", LINE)
    assert row.startswith("2026-01-02 15:04:05  4jXGhv32rHzJLdv   sent       2.0.0   max@far.example")
    assert row.endswith("  250 2.0.0 Ok")
    assert row.index("250 2.0.0 Ok") == table.head().index("TEXT")


def test_a_usual_terminal_shows_what_matters() -> None:
    row = StatusTable(80).row(1, AT, "", LINE)
    assert row == "01-02 15:04:05  4jXGhv32rHzJLdv   sent       max@far.example      250 2.0.0 Ok"


@given(st.integers(min_value=1, max_value=250), st.text(max_size=300), st.text(max_size=300))
def test_a_row_is_one_line_that_fits_and_moves_no_cursor(width: int, recipient: str, text: str) -> None:
    table = StatusTable(width)
    row = table.row(1, AT, "", LINE._replace(recipient=recipient, text=f"\x1b[2J\u202e{text}\n\r", relay=recipient))
    assert cell_len(row) <= width
    assert cell_len(table.head()) <= width
    assert not {"\x1b", "\n", "\r", "\u202e", "\u2028", "\x9b"} & set(row)


@given(st.text(), st.integers(min_value=0, max_value=20))
def test_what_is_cut_says_so(text: str, cells: int) -> None:
    shown = cut(text, cells)
    assert cell_len(shown) <= cells
    assert shown == text or shown.endswith("…") or cells == 0


def test_the_summary_counts_statuses_and_kinds_and_shows_what_was_not_understood() -> None:
    assert list(summary(counted())) == [
        "LINES  STATUS",
        "1,200  sent",
        "    3  deferred",
        "1,203  in all",
        "",
        "LINES  KIND OF LINE",
        "1,203  delivery status",
        "   20  irrelevant",
        "   10  client left",
        "    4  other programs",
        "    2  not understood",
        "    1  no log line",
        "1,240  in all",
        "",
        "lines not understood:",
        "  mail\\x1b.log:7: odd \\x1b[31m line",
        "  and 1 more",
    ]


def test_of_nothing_the_summary_counts_nothing() -> None:
    assert list(summary(Counts())) == ["LINES  KIND OF LINE", "    0  in all"]


def test_as_json_the_summary_says_the_same() -> None:
    text = summary_json(counted())
    assert text.isascii()
    read = json.loads(text)
    assert read["lines"] == sum(read["kinds"].values()) == 1_240
    assert read["statuses"] == {"sent": 1_200, "deferred": 3}
    assert read["unknown_lines"] == [{"file": "mail\x1b.log", "line": 7, "text": "odd \x1b[31m line"}]
    assert read["unknown_lines_left_out"] == 1


@pytest.mark.parametrize("kind", [*typing.get_args(events.Event), Irrelevant, type(None)])
def test_every_kind_of_line_has_a_name_of_its_own(kind: type) -> None:
    assert list(KINDS.values()).count(KINDS[kind]) == 1
