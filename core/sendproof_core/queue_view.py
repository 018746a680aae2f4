"""Whose mail waits for another attempt at a receiving domain, by account. Reads only; for the provider.

How much waits, by domain and reason, is `statistics.deferred_now`.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sendproof_core.schema import Account, Message, QueueFile, Recipient
from sendproof_core.states import RecipientState

# Of values in one IN (...).
_AT_A_TIME = 2_000


@dataclass(frozen=True)
class WaitingAccount:
    """An account with mail that waits. ``account_id`` None: mail of which only the log speaks, or of no account now."""

    account_id: int | None
    login: str | None
    recipients: int
    oldest: dt.datetime


def waiting_accounts(session: Session, domain: str, limit: int = 20) -> tuple[WaitingAccount, ...]:
    """Those with most recipients at the domain that wait, first."""
    at_domain = func.lower(func.coalesce(Recipient.final_address, Recipient.address)).endswith(
        f"@{domain.lower()}", autoescape=True
    )
    waiting = (
        select(Recipient.queue_file_id, func.count().label("recipients"))
        .where(Recipient.state == RecipientState.DEFERRED.value, Recipient.handed_on_at.is_(None), at_domain)
        .group_by(Recipient.queue_file_id)
    )
    counts = {row.queue_file_id: row.recipients for row in session.execute(waiting)}
    found: dict[int | None, WaitingAccount] = {}
    # By id, a few at a time, and not joined: PostgreSQL looks into the days of those alone.
    for some in _portions(sorted(counts)):
        its_columns = select(QueueFile.id, QueueFile.message_id, QueueFile.born_at)
        files = session.execute(its_columns.where(QueueFile.id.in_(some))).all()
        message_ids = {file.message_id for file in files if file.message_id is not None}
        owners = select(Message.id, Account.id.label("account_id"), Account.login).join(
            Account, Account.id == Message.account_id
        )
        rows = session.execute(owners.where(Message.id.in_(message_ids))) if message_ids else ()
        by_message = {row.id: (row.account_id, row.login) for row in rows}
        for file in files:
            account_id, login = by_message.get(file.message_id, (None, None))
            before = found.get(account_id, WaitingAccount(account_id, login, 0, file.born_at))
            count, oldest = before.recipients + counts[file.id], min(before.oldest, file.born_at)
            found[account_id] = WaitingAccount(account_id, login, count, oldest)
    most_first = sorted(found.values(), key=lambda one: (-one.recipients, one.login or ""))
    return tuple(most_first[:limit])


def _portions(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for begin in range(0, len(ids), _AT_A_TIME):
        yield ids[begin : begin + _AT_A_TIME]
