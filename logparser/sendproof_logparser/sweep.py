"""What the record says where lines are missing, and positions of what is read no more. Statements only.

Called once everything that is there was read; `store` has the transactions, `daemon` the times.
"""

import datetime as dt
from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.engine import Connection

from sendproof_core.log_health import is_handed_on, is_unheard
from sendproof_core.schema import QueueFile, ReadingPosition, Recipient, RecordChange
from sendproof_core.source_names import import_name, source_name
from sendproof_core.states import RecipientState

# Of values in one IN (...): far below SQLite's 32,766 and PostgreSQL's 65,535.
_AT_A_TIME = 1_000
_TRIED = (RecipientState.QUEUED, RecipientState.DEFERRED)
_ADMITTED = (RecipientState.QUEUED,)
# Nothing was heard of a recipient for this much longer than Postfix keeps trying.
_SILENCE = dt.timedelta(days=1)
# smtpd logs a queue file before our milter is asked anything. A log that a relay or a full buffer held up may be late.
_UNHEARD = dt.timedelta(minutes=10)


def mark_silent_as_unknown(connection: Connection, host: str, now: dt.datetime, queue_lifetime_seconds: int) -> int:
    """Say `unknown` of a host's recipients of whom nothing was heard for too long; how many.

    Not of those whose mail went on in another queue file.
    """
    before = now - dt.timedelta(seconds=queue_lifetime_seconds) - _SILENCE
    silent = (
        select(Recipient.id)
        .join(QueueFile, QueueFile.id == Recipient.queue_file_id)
        .where(
            Recipient.state.in_(_TRIED),
            Recipient.state_at < before,
            QueueFile.host == host,
            ~is_handed_on(),
        )
    )
    return _mark(connection, connection.scalars(silent).all(), _TRIED, now)


def mark_unheard_as_unknown(connection: Connection, host: str, read_up_to: dt.datetime, now: dt.datetime) -> int:
    """Say `unknown` of recipients that our milter admitted and of whom no line of the mail log speaks; how many.

    Args:
        connection: in a transaction that may write.
        host: whose queue files. One that reads journals alone would lose all its recipients.
        read_up_to: until when everything of all its mail logs was read.
        now: kept as the moment of the new state.
    """
    before = read_up_to - _UNHEARD
    unheard = (
        select(Recipient.id)
        .join(QueueFile, QueueFile.id == Recipient.queue_file_id)
        .where(
            Recipient.state.in_(_ADMITTED),
            # of the journal's line
            Recipient.state_at < before,
            is_unheard(host, read_up_to),
        )
    )
    return _mark(connection, connection.scalars(unheard).all(), _ADMITTED, now)


def forget_sources(connection: Connection, host: str, sources: Collection[str]) -> int:
    """Delete the positions of a host's sources other than these, as `source_names` names them; how many.

    While one remains that nobody reads, nothing after it counts as read. What imports have read stays known.
    """
    source = ReadingPosition.source
    followed = _begins_with(source_name(host, "")) & ~_begins_with(import_name(host, ""))
    return connection.execute(delete(ReadingPosition).where(followed, source.not_in(list(sources)))).rowcount


def _mark(connection: Connection, ids: Sequence[int], states: Sequence[RecipientState], now: dt.datetime) -> int:
    """Mark those that are still in one of these states: an import may have heard of them meanwhile."""
    marked = 0
    for begin in range(0, len(ids), _AT_A_TIME):
        these = Recipient.id.in_(ids[begin : begin + _AT_A_TIME]) & Recipient.state.in_(states)
        values = {"state": RecipientState.UNKNOWN, "state_at": now}
        changed = select(Recipient.queue_file_id).where(these).distinct()
        connection.execute(insert(RecordChange).from_select(["queue_file_id"], changed))
        marked += connection.execute(update(Recipient).where(these).values(values)).rowcount
    return marked


def _begins_with(prefix: str) -> ColumnElement[bool]:
    return func.substr(ReadingPosition.source, 1, len(prefix)) == prefix
