import csv
import datetime as dt
import io
import json
import uuid

import pytest

from sendproof_core.message_search import Page, Row
from sendproof_core.states import RecipientState
from sendproof_core.transcripts import MessageSummary, RefusalView
from sendproof_web import message_export

AT = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)
SENT = Row(
    AT,
    MessageSummary(
        uuid.UUID(int=7),
        AT,
        "=1+1",
        (("anna@example.net", RecipientState.DELIVERED), ("@ben", RecipientState.DEFERRED)),
        opened=True,
        queue_id="4dDmPz",
    ),
    None,
)
REFUSED = Row(AT, None, RefusalView(AT, "max@own.example", ("a@b.example",), "x\x1b[31m", "quota", "550 5.7.1 no"))


def test_the_table_has_a_line_per_recipient_and_no_formula() -> None:
    rows = list(csv.DictReader(io.StringIO(message_export.as_csv((SENT, REFUSED)).removeprefix("\ufeff"))))
    assert [(row["Recipient"], row["State"]) for row in rows] == [
        ("anna@example.net", "delivered"),
        ("'@ben", "deferred"),
        ("a@b.example", "refused"),
    ]
    assert [row["Subject"] for row in rows] == ["'=1+1", "'=1+1", "x\\x1b[31m"]
    assert rows[0]["Sent (UTC)"] == "2026-11-22T13:03:05Z"
    assert rows[2]["Our reply"] == "550 5.7.1 no"


def test_the_json_says_whether_there_is_more() -> None:
    read = json.loads(message_export.as_json((SENT, REFUSED), truncated=True))
    assert read["truncated"] is True
    assert read["messages"][0]["recipients"][1] == {"address": "@ben", "state": "deferred"}
    assert read["messages"][1]["subject"] == "x\\x1b[31m"


def test_everything_that_was_found_is_gathered_page_by_page() -> None:
    asked: list[tuple[str | None, int]] = []

    def find(cursor: str | None, limit: int) -> Page:
        asked.append((cursor, limit))
        return Page((SENT,), None if cursor == "b" else "b", None, 2)

    rows, truncated = message_export.gathered(find)
    assert (len(rows), truncated) == (2, False)
    assert [cursor for cursor, _ in asked] == [None, "b"]


def test_there_is_an_end_to_what_one_request_gathers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_export, "MOST", 3)

    def find(_cursor: str | None, limit: int) -> Page:
        return Page((SENT, REFUSED)[:limit], "more", None, 1000)

    rows, truncated = message_export.gathered(find)
    assert (len(rows), truncated) == (3, True)
