"""What was found, as a table and as JSON: a line per recipient. Bounded, so that one request stays one request."""

import datetime as dt
import json
from collections.abc import Callable, Iterator
from typing import Any

from sendproof_core import csv_text
from sendproof_core.hostile_text import visible
from sendproof_core.message_search import Page, Row
from sendproof_core.search_query import REFUSED

# So many messages at most, in portions of so many.
MOST = 2_000
_AT_A_TIME = 500
_HEADER = ("Sent (UTC)", "Subject", "Recipient", "State", "Opened", "Queue id", "Our reply", "Message")


def gathered(find: Callable[[str | None, int], Page]) -> tuple[tuple[Row, ...], bool]:
    """The newest `MOST` rows of what was found, and whether there are more.

    ``find``: a page from a cursor, of so many rows.
    """
    rows: list[Row] = []
    cursor: str | None = None
    while True:
        page = find(cursor, min(_AT_A_TIME, MOST - len(rows)))
        rows += page.rows
        cursor = page.next
        if cursor is None or not page.rows or len(rows) >= MOST:
            return tuple(rows), cursor is not None


def as_csv(rows: tuple[Row, ...]) -> str:
    """For a spreadsheet; nothing in it is a formula."""
    return csv_text.table(_HEADER, (cells for row in rows for cells in _lines(row)))


def as_json(rows: tuple[Row, ...], *, truncated: bool) -> str:
    """For a program. ``truncated``: there are more than these."""
    return json.dumps({"truncated": truncated, "messages": [_value(row) for row in rows]}, ensure_ascii=False, indent=1)


def _lines(row: Row) -> Iterator[tuple[str, ...]]:
    sent = _time(row.at)
    if row.refusal is not None:
        refusal = row.refusal
        for address in refusal.recipients or ("",):
            yield (sent, refusal.subject or "", address, REFUSED, "", "", refusal.reply, "")
    if row.message is not None:
        message = row.message
        opened = "yes" if message.opened else "no"
        for address, state in message.recipients or (("", ""),):
            queue_id = message.queue_id or ""
            yield (sent, message.subject or "", address, str(state), opened, queue_id, "", str(message.id))


def _value(row: Row) -> dict[str, Any]:
    if row.refusal is not None:
        refusal = row.refusal
        return {
            "refused_at": _time(row.at),
            "subject": _shown(refusal.subject),
            "envelope_sender": visible(refusal.envelope_sender),
            "recipients": [{"address": visible(address), "state": REFUSED} for address in refusal.recipients],
            "reply": visible(refusal.reply),
        }
    if row.message is None:
        raise ValueError("a row is a message or a refusal")
    message = row.message
    return {
        "id": str(message.id),
        "submitted_at": _time(row.at),
        "subject": _shown(message.subject),
        "recipients": [{"address": visible(address), "state": state.value} for address, state in message.recipients],
        "opened": message.opened,
        "queue_id": message.queue_id,
        "test_mode": message.test_mode,
    }


def _shown(text: str | None) -> str | None:
    return None if text is None else visible(text)


def _time(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
