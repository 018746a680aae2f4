"""The outbox: which notices there are, whose turn it is, and what became of each. The only table that notices write.

A notice is *claimed* before it is sent: one conditional UPDATE moves its next try a lease into the future, so that of
two daemons only one sends it. What remains is the moment between the submission server's "250" and `mark_sent`: a
daemon that is killed there, or loses the database, leaves a notice that looks unsent, and after the lease it is sent a
second time. Both copies carry the same Message-ID, by which many mail readers show them as one; that is no promise.
The other order, marking first, would lose the notice instead, and a failure that nobody hears of is worse than one
heard of twice.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from sendproof_core.schema import Notice
from sendproof_notices.selection import KIND_FAILED, Addressee

# Longer than a submission can take: about a dozen waits of `sender.TIMEOUT_SECONDS`.
LEASE = dt.timedelta(minutes=10)
# With the pauses below about five days, as long as Postfix itself keeps a message (maximal_queue_lifetime). After
# that the notice stays, unsent, with its last error.
MAX_TRIES = 125
_FIRST_PAUSE = dt.timedelta(minutes=1)
_LONGEST_PAUSE = dt.timedelta(hours=1)


@dataclass(frozen=True)
class Claim:
    """A notice that is ours to send until the lease ends. ``tries``: this one included."""

    notice_id: int
    recipient_id: int
    to_address: str
    created_at: dt.datetime
    tries: int

    def message_id_header(self, domain: str) -> str:
        """The same at every try; another one in another database, where ids begin at 1 again."""
        return f"<notice.{self.notice_id}.{int(self.created_at.timestamp())}@{domain}>"


def pause_after(tries: int) -> dt.timedelta:
    """How long to wait after that many failures: 1, 2, 4, ... minutes, at most an hour."""
    doublings = min(tries - 1, 6)
    return min(_FIRST_PAUSE * (1 << doublings), _LONGEST_PAUSE)


def add(session: Session, addressees: Iterable[Addressee], now: dt.datetime) -> None:
    """Put a notice in the outbox for each; where there is one for that recipient already, nothing happens."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    values = [
        {
            "recipient_id": addressee.recipient_id,
            "kind": KIND_FAILED,
            "account_id": addressee.account_id,
            "to_address": addressee.to_address,
            "created_at": now,
            "next_try_at": now,
            "tries": 0,
        }
        for addressee in addressees
    ]
    if values:
        session.execute(insert(Notice).values(values).on_conflict_do_nothing())


def claim(session: Session, now: dt.datetime) -> Claim | None:
    """Take the notice that has been due for longest; None if none is due. Commit before sending."""
    due = (
        select(Notice.id, Notice.recipient_id, Notice.to_address, Notice.created_at, Notice.tries)
        .where(Notice.sent_at.is_(None), Notice.next_try_at <= now, Notice.tries < MAX_TRIES)
        .order_by(Notice.next_try_at, Notice.id)
        .limit(1)
    )
    while (row := session.execute(due).one_or_none()) is not None:
        taken = session.execute(
            update(Notice)
            .where(Notice.id == row.id, Notice.tries == row.tries, Notice.sent_at.is_(None))
            .values(tries=row.tries + 1, next_try_at=now + LEASE)
            .returning(Notice.id)
        ).one_or_none()
        if taken is not None:
            return Claim(row.id, row.recipient_id, row.to_address, row.created_at, row.tries + 1)
    return None


def mark_sent(session: Session, claimed: Claim, now: dt.datetime) -> None:
    """The submission server has taken the notice over."""
    session.execute(update(Notice).where(Notice.id == claimed.notice_id).values(sent_at=now, last_error=None))


def mark_failed(session: Session, claimed: Claim, error: str, now: dt.datetime) -> None:
    """It could not be submitted; the next try is after a pause. If another daemon has claimed it, nothing."""
    session.execute(
        update(Notice)
        .where(Notice.id == claimed.notice_id, Notice.tries == claimed.tries, Notice.sent_at.is_(None))
        .values(next_try_at=now + pause_after(claimed.tries), last_error=error)
    )
