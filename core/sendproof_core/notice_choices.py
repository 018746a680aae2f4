"""What an account wants to be told by mail. Without a row of its own, the defaults. Sends nothing.

Where the mails go is `accounts.notice_address`: without one there are none, whatever is chosen here.
"""

import datetime as dt
from dataclasses import dataclass

from sqlalchemy.orm import Session

from sendproof_core.schema import Account, NoticePreferences
from sendproof_core.states import Digest

# Most greylisted mail is through by then.
DEFERRED_AFTER_MINUTES = 10
SHORTEST_DELAY_MINUTES, LONGEST_DELAY_MINUTES = 1, 2 * 24 * 60


@dataclass(frozen=True)
class NoticeChoices:
    """Which notices an account gets, and how.

    ``deferred_after_minutes``: since the submission. ``digest``: how the notices come that can wait; what failed, and
    a plan that is used up, never waits.
    """

    delivered: bool
    deferred: bool
    deferred_after_minutes: int
    failed: bool
    opened: bool
    plan_use: bool
    digest: Digest


def defaults(*, tracking: bool) -> NoticeChoices:
    """What an account gets that has chosen nothing. ``tracking``: who has opens recorded wants to hear of them."""
    return NoticeChoices(
        delivered=False,
        deferred=True,
        deferred_after_minutes=DEFERRED_AFTER_MINUTES,
        failed=True,
        opened=tracking,
        plan_use=True,
        digest=Digest.NONE,
    )


def choices(session: Session, account_id: int) -> NoticeChoices:
    """What the account has chosen, or the defaults.

    Raises:
        sqlalchemy.exc.NoResultFound: there is no such account.
    """
    row = session.get(NoticePreferences, account_id)
    if row is None:
        return defaults(tracking=session.get_one(Account, account_id).tracking)
    return NoticeChoices(
        delivered=row.delivered,
        deferred=row.deferred,
        deferred_after_minutes=row.deferred_after_minutes,
        failed=row.failed,
        opened=row.opened,
        plan_use=row.plan_use,
        digest=Digest(row.digest),
    )


def save(session: Session, account_id: int, chosen: NoticeChoices, now: dt.datetime) -> None:
    """Keep what the account has chosen.

    Raises:
        ValueError: the delay is out of bounds.
    """
    if not SHORTEST_DELAY_MINUTES <= chosen.deferred_after_minutes <= LONGEST_DELAY_MINUTES:
        raise ValueError(f"deferred_after_minutes: {chosen.deferred_after_minutes}")
    session.merge(
        NoticePreferences(
            account_id=account_id,
            delivered=chosen.delivered,
            deferred=chosen.deferred,
            deferred_after_minutes=chosen.deferred_after_minutes,
            failed=chosen.failed,
            opened=chosen.opened,
            plan_use=chosen.plan_use,
            digest=chosen.digest.value,
            changed_at=now,
        )
    )
