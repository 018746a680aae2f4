"""Whose mail waits for another attempt at a receiving domain, by account. Reads only; for the provider.

How much waits, by domain and reason, is `statistics.deferred_now`.
"""

import datetime as dt
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sendproof_core.schema import Account, Message, QueueFile, Recipient
from sendproof_core.states import RecipientState


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
    waiting = func.count()
    query = (
        select(Account.id, Account.login, waiting, func.min(QueueFile.born_at))
        .select_from(Recipient)
        .join(QueueFile, QueueFile.id == Recipient.queue_file_id)
        .outerjoin(Message, Message.id == QueueFile.message_id)
        .outerjoin(Account, Account.id == Message.account_id)
        .where(Recipient.state == RecipientState.DEFERRED.value, Recipient.handed_on_at.is_(None), at_domain)
        .group_by(Account.id, Account.login)
        .order_by(waiting.desc(), Account.login)
        .limit(limit)
    )
    return tuple(WaitingAccount(*row) for row in session.execute(query))
