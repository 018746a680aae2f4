"""What `sendproof logs parse` shows to people: the table of status lines, and the summary. Reads nothing."""

import datetime as dt
import json
from collections.abc import Callable, Iterator

from rich.cells import cell_len, set_cell_size

from sendproof_core.hostile_text import visible
from sendproof_logparser import relay
from sendproof_logparser.events import (
    ClientLeft,
    ClientSeen,
    DialogueLine,
    Disposed,
    Filtered,
    Irrelevant,
    LinesLost,
    MessageIdSeen,
    NotificationSent,
    PickedUp,
    QueueActive,
    SignInFailed,
    StatusLine,
    SubmissionRefused,
    TlsSession,
    Trouble,
)
from sendproof_logparser.parsing import Counts

_GAP = "  "
_WIDE_ENOUGH_FOR_ALL = 130
_LONGEST_RECIPIENT_CELLS = 40
_QUEUE_ID_CELLS = 16  # a long id with an inode of six digits

_Cell = Callable[[dt.datetime, StatusLine], str]

KINDS: dict[type, str] = {
    StatusLine: "delivery status",
    ClientSeen: "client",
    PickedUp: "pickup",
    MessageIdSeen: "message id",
    QueueActive: "queue active",
    Disposed: "queue file disposed of",
    NotificationSent: "notification",
    Filtered: "content filter",
    Trouble: "server trouble",
    TlsSession: "TLS session",
    DialogueLine: "dialogue",
    ClientLeft: "client left",
    SubmissionRefused: "submission refused",
    SignInFailed: "sign-in failed",
    LinesLost: "lines lost",
    Irrelevant: "irrelevant",
    type(None): "not understood",
}
_OTHER_PROGRAMS = "other programs"
_FORMLESS = "no log line"


class StatusTable:
    """One line of the terminal for each status line. Columns are as wide as they are: a log is not read twice."""

    def __init__(self, width: int) -> None:
        """``width``: of the terminal; in a narrow one the relay, the DSN code and the year are left out."""
        self._width = width
        time = _Column("TIME (UTC)", 19, lambda at, _: f"{at:%Y-%m-%d %H:%M:%S}")
        queue_id = _Column("QUEUE ID", _QUEUE_ID_CELLS, lambda _, line: line.queue_id)
        status = _Column("STATUS", 9, lambda _, line: line.status)
        if width < _WIDE_ENOUGH_FOR_ALL:
            short_time = _Column("TIME (UTC)", 14, lambda at, _: f"{at:%m-%d %H:%M:%S}")
            left = max(0, width - 14 - _QUEUE_ID_CELLS - 9 - 4 * len(_GAP))
            recipient = _Column(
                "RECIPIENT", min(left * 6 // 10, _LONGEST_RECIPIENT_CELLS), lambda _, line: line.recipient
            )
            columns = [short_time, queue_id, status, recipient]
        else:
            left = width - 19 - _QUEUE_ID_CELLS - 9 - 6 - 6 * len(_GAP)
            recipient = _Column("RECIPIENT", left * 35 // 100, lambda _, line: line.recipient)
            server = _Column("RELAY", left * 25 // 100, lambda _, line: relay.take_apart(line.relay).host or line.relay)
            columns = [time, queue_id, status, _Column("DSN", 6, lambda _, line: line.dsn), recipient, server]
        self._columns = [*columns, _Column("TEXT", width, lambda _, line: line.text)]  # as long as it is

    def head(self) -> str:
        """The names of the columns."""
        return self._line([column.head for column in self._columns])

    def row(self, _number: int, at: dt.datetime, _keys: str, line: StatusLine) -> str:
        """One status line (as `parsing.Render`)."""
        return self._line([visible(column.text(at, line)) for column in self._columns])

    def _line(self, cells: list[str]) -> str:
        fitted = [_fit(text, column.cells) for text, column in zip(cells[:-1], self._columns, strict=False)]
        return cut(_GAP.join([*fitted, cells[-1]]).rstrip(), self._width)


class _Column:
    def __init__(self, head: str, cells: int, text: _Cell) -> None:
        self.head = head
        self.cells = cells
        self.text = text


def cut(text: str, cells: int) -> str:
    """The text in at most so many columns of a terminal, with "…" at the end where something is missing."""
    if (text.isascii() and len(text) <= cells) or cell_len(text) <= cells:
        return text
    return set_cell_size(text, cells - 1) + "…" if cells > 0 else ""


def _fit(text: str, cells: int) -> str:
    return text.ljust(cells) if text.isascii() and len(text) <= cells else set_cell_size(cut(text, cells), cells)


def summary(counts: Counts) -> Iterator[str]:
    """The lines of the summary."""
    if counts.statuses:
        yield from _table("STATUS", counts.statuses)
        yield ""
    yield from _table("KIND OF LINE", _kinds(counts))
    if counts.unknown:
        yield ""
        yield "lines not understood:"
        for file, number, text in counts.unknown_lines:
            yield f"  {visible(file)}:{number}: {visible(text)}"
        if left_out := counts.unknown - len(counts.unknown_lines):
            yield f"  and {left_out:,} more"


def summary_json(counts: Counts) -> str:
    """The same as one JSON object."""
    return json.dumps(
        {
            "lines": counts.lines,
            "statuses": dict(counts.statuses.most_common()),
            "kinds": _kinds(counts),
            "unknown_lines": [
                {"file": file, "line": number, "text": text} for file, number, text in counts.unknown_lines
            ],
            "unknown_lines_left_out": counts.unknown - len(counts.unknown_lines),
        }
    )


def _kinds(counts: Counts) -> dict[str, int]:
    by_name = {KINDS.get(kind, kind.__name__): number for kind, number in counts.kinds.most_common()}
    by_name |= {_OTHER_PROGRAMS: counts.other_programs, _FORMLESS: counts.formless}
    return {name: number for name, number in by_name.items() if number}


def _table(head: str, numbers: dict[str, int]) -> Iterator[str]:
    total = f"{sum(numbers.values()):,}"
    cells = max(len("LINES"), len(total))
    yield f"{'LINES':>{cells}}  {head}"
    for name, number in sorted(numbers.items(), key=lambda pair: -pair[1]):
        yield f"{number:>{cells},}  {name}"
    yield f"{total:>{cells}}  in all"
