import datetime as dt

import pytest

from sendproof_core.schema import Message, QueueFile
from sendproof_logparser import record_rows
from sendproof_testing.record_reading import admitted

_NOW = dt.datetime(2026, 11, 22, 14, 3, 5, tzinfo=dt.UTC)


def test_a_message_row_has_every_column_of_its_table() -> None:
    row = record_rows.message(admitted("4F5C64474F", "a@example.net", "b@example.net"))
    assert set(row) == set(Message.__table__.columns.keys())
    assert row["recipient_count"] == 2


def test_what_is_copied_of_a_queue_file_are_columns() -> None:
    assert set(record_rows.COPIED) <= set(QueueFile.__table__.columns.keys())


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (b"Nov 22 04:45:19 relay postfix/smtpd[1]: odd words", "Nov 22 04:45:19 relay postfix/smtpd[1]: odd words"),
        (b"a\0b", "ab"),
        (b"\xff", "\N{REPLACEMENT CHARACTER}"),
        (b"x" * 10_000, "x" * 4_000),
    ],
)
def test_an_unknown_line_is_kept_as_far_as_a_database_takes_it(raw: bytes, kept: str) -> None:
    row = record_rows.unknown_line("edge1:/log", 7, raw, _NOW)
    assert row == {"source": "edge1:/log", "offset": 7, "read_at": _NOW, "line": kept}


def test_a_verbose_line_that_may_hold_a_secret_is_hidden() -> None:
    raw = b"Nov 22 04:45:19 relay postfix/smtp[1]: input attribute value: c2VjcmV0"
    assert record_rows.unknown_line("edge1:/log", 0, raw, _NOW)["line"].endswith("]: [hidden]")
