"""How well notices get out: how many wait, since when, and which could not be sent. For the operator. Reads only.

The sender's own list is `notice_list`; the outbox is written by the notices alone.
"""

import datetime as dt
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sendproof_core.schema import Notice
from sendproof_core.states import NoticeState

_NEWEST = 20
# What is due for longer than this is not being sent: the daemon is down, or its submission is refused.
LATE = dt.timedelta(minutes=15)


@dataclass(frozen=True)
class FailedNotice:
    """A notice that was given up, or waits for another try after one that failed. ``to_address``: hostile text."""

    id: int
    kind: str
    account_id: int | None
    to_address: str
    created_at: dt.datetime
    tries: int
    # In whole or in part the submission server's words: hostile text.
    last_error: str | None
    # None: given up.
    next_try_at: dt.datetime | None


@dataclass(frozen=True)
class OutboxHealth:
    """What stands in the outbox."""

    waiting: int
    # Being sent at the moment, or not known yet whether it was.
    claimed: int
    failed: int
    sent_last_day: int
    # Of what waits: since when the one that is due for longest is due; None: nothing is due.
    due_since: dt.datetime | None
    # Newest first
    newest_failed: tuple[FailedNotice, ...]
    # Those that wait after a try that failed, the one with the most tries first
    troubled: tuple[FailedNotice, ...]

    def is_late(self, now: dt.datetime) -> bool:
        """Whether notices are not sent although they should be."""
        return self.due_since is not None and now - self.due_since > LATE


def read(session: Session, now: dt.datetime, newest: int = _NEWEST) -> OutboxHealth:
    """Look at the outbox; ``newest``: how long each list may be."""
    still_there = (NoticeState.WAITING, NoticeState.CLAIMED, NoticeState.FAILED)
    counts = {
        state: session.scalar(select(func.count()).select_from(Notice).where(Notice.state == state)) or 0
        for state in still_there
    }
    sent = select(func.count()).select_from(Notice).where(Notice.sent_at > now - dt.timedelta(days=1))
    due = select(func.min(Notice.next_try_at)).where(Notice.state == NoticeState.WAITING, Notice.next_try_at <= now)
    failed = select(Notice).where(Notice.state == NoticeState.FAILED).order_by(Notice.created_at.desc(), Notice.id)
    troubled = (
        select(Notice)
        .where(Notice.state == NoticeState.WAITING, Notice.tries > 0)
        .order_by(Notice.tries.desc(), Notice.id)
    )
    return OutboxHealth(
        waiting=counts[NoticeState.WAITING],
        claimed=counts[NoticeState.CLAIMED],
        failed=counts[NoticeState.FAILED],
        sent_last_day=session.scalar(sent) or 0,
        due_since=session.scalar(due),
        newest_failed=tuple(_failed(row) for row in session.scalars(failed.limit(newest))),
        troubled=tuple(_failed(row) for row in session.scalars(troubled.limit(newest))),
    )


def _failed(row: Notice) -> FailedNotice:
    waits = row.state == NoticeState.WAITING
    return FailedNotice(
        row.id,
        row.kind,
        row.account_id,
        row.to_address,
        row.created_at,
        row.tries,
        row.last_error,
        row.next_try_at if waits else None,
    )
