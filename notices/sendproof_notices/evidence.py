"""What the record says of a notice whose submission ended in doubt: taken over, not taken over, or not known yet.

Our own submission has a transcript like any other: the milter's journal names the Message-ID, and the mail log says
whether Postfix queued that message. Reads only; decides nothing about sending.
"""

import datetime as dt
import enum
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from sendproof_core import log_health
from sendproof_core.log_health import SourceHealth
from sendproof_core.schema import Message, QueueFile, ReadingPosition

# Clocks of several machines, and lines that are written a little after what they speak of.
_MARGIN = dt.timedelta(seconds=15)
# A machine of which nothing was read for that long sends no mail any more.
_GONE = dt.timedelta(days=1)
_QUEUED = frozenset({"removed", "deleted", "expired"})
_REFUSED = frozenset({"rejected", "discarded"})


class Verdict(enum.Enum):
    """What became of the submission."""

    TAKEN_OVER = "taken over"
    NOT_TAKEN_OVER = "not taken over"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Evidence:
    """``at``: when the submission was, where the record knows."""

    verdict: Verdict
    at: dt.datetime | None = None


def look(session: Session, message_id_header: str, over_at: dt.datetime) -> Evidence:
    """Ask the record. ``over_at``: when the doubtful try was over at the latest."""
    messages = session.scalars(select(Message).where(Message.message_id_header == message_id_header)).all()
    may_come = not read_past(_sources(session), over_at)
    for message in messages:
        files = session.scalars(select(QueueFile).where(QueueFile.message_id == message.id)).all()
        if message.test_mode or any(_is_queued(file) for file in files):
            return Evidence(Verdict.TAKEN_OVER, message.submitted_at)
        if not any(file.disposition in _REFUSED for file in files):
            may_come = True  # admitted; whether it was queued stands in lines that come
    return Evidence(Verdict.UNKNOWN if may_come else Verdict.NOT_TAKEN_OVER)


def read_past(sources: Sequence[SourceHealth], over_at: dt.datetime) -> bool:
    """Whether every machine's logs and journals were read beyond that moment; False where nobody reads any."""
    living = tuple(
        source for source in sources if not source.is_import and (source.read_up_to or source.read_at) > over_at - _GONE
    )
    hosts = {source.host for source in living}
    known = log_health.read_up_to(living)
    return bool(hosts) and hosts == set(known) and all(moment > over_at + _MARGIN for moment in known.values())


def _sources(session: Session) -> tuple[SourceHealth, ...]:
    rows = session.scalars(select(ReadingPosition))
    return tuple(
        SourceHealth(row.source, row.lines_read, row.read_at, row.read_up_to, None, row.last_line_at, row.offset, None)
        for row in rows
    )


def _is_queued(file: QueueFile) -> bool:
    """As `reconciliation` has it: the queue manager had it, or an operator took it out of the queue."""
    return file.size_bytes is not None or file.disposition in _QUEUED
