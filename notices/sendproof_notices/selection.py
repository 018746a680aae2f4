"""What there is to tell: recipients of the record that were not reached, and whose sender wants to know.

Reads only. A notice never causes a notice: what came from our own address, from nobody (a bounce), or went to our own
address is left alone, so that two machines cannot write to each other for ever.
"""

import datetime as dt
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sendproof_core.schema import Account, Attempt, Message, Notice, QueueFile, Recipient
from sendproof_core.states import RecipientState
from sendproof_notices.wording import Failure

KIND_FAILED = "failed"
_FAILED_STATES = (RecipientState.BOUNCED, RecipientState.EXPIRED)
# An older failure is no news. It gets into the record when old logs are read, or when a reader was down for long.
_NEWS = dt.timedelta(days=3)


@dataclass(frozen=True)
class Addressee:
    """Who is to be told about which recipient."""

    recipient_id: int
    account_id: int
    to_address: str


def failures_to_tell(session: Session, from_address: str, now: dt.datetime, *, limit: int) -> tuple[Addressee, ...]:
    """Failed recipients without a notice, oldest first. ``from_address``: where our notices come from."""
    own = from_address.lower()
    rows = session.execute(
        select(Recipient.id, Account.id, Account.notice_address)
        .join(QueueFile, QueueFile.id == Recipient.queue_file_id)
        .join(Message, Message.id == QueueFile.message_id)
        .join(Account, Account.id == Message.account_id)
        .join(Notice, (Notice.recipient_id == Recipient.id) & (Notice.kind == KIND_FAILED), isouter=True)
        .where(
            Notice.id.is_(None),
            Recipient.state.in_(_FAILED_STATES),
            Recipient.state_at > now - _NEWS,
            func.lower(Message.envelope_sender).not_in(("", own)),
            func.lower(Recipient.address) != own,
            func.lower(func.coalesce(Recipient.final_address, "")) != own,
            func.lower(Account.notice_address).not_in(("", own)),
        )
        .order_by(Recipient.state_at, Recipient.id)
        .limit(limit)
    )
    return tuple(Addressee(recipient_id, account_id, address) for recipient_id, account_id, address in rows if address)


def load_failure(session: Session, recipient_id: int) -> Failure | None:
    """What a notice about this recipient speaks of; None if the record no longer has it."""
    row = session.execute(
        select(Recipient, Message, Account.time_zone)
        .join(QueueFile, QueueFile.id == Recipient.queue_file_id)
        .join(Message, Message.id == QueueFile.message_id)
        .join(Account, Account.id == Message.account_id)
        .where(Recipient.id == recipient_id)
    ).one_or_none()
    if row is None:
        return None
    recipient, message, time_zone = row
    last = session.execute(
        select(Attempt.dsn, Attempt.text)
        .where(Attempt.recipient_id == recipient_id)
        .order_by(Attempt.attempted_at.desc(), Attempt.id.desc())
        .limit(1)
    ).one_or_none()
    return Failure(
        message_id=message.id,
        subject=message.subject,
        submitted_at=message.submitted_at,
        time_zone=time_zone,
        address=recipient.address,
        state=RecipientState(recipient.state),
        dsn=last.dsn if last else None,
        reply=last.text if last else None,
    )
