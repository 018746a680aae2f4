"""Links to one recipient's transcript, for the recipient's IT department: made, listed, ended, followed.

What such a link shows, `redaction` decides. The database does not hold the token (`link_tokens`): who reads it, or a
copy of it, can follow none.
"""

import datetime as dt
import uuid
from dataclasses import dataclass

from sqlalchemy import Select, select, tuple_, update
from sqlalchemy.orm import Session

from sendproof_core import link_tokens
from sendproof_core.schema import Account, HandOver, Message

KIND = "hand-over"
TOKEN_CHARACTERS = link_tokens.TOKEN_CHARACTERS
# How long a link is good, as the sender chooses.
DAYS = (7, 30, 90)
# Of one message: more than anybody hands over, less than would fill the page.
MOST_OF_A_MESSAGE = 200


@dataclass(frozen=True)
class HandOverView:
    """One link. ``subject`` and ``submitted_at``: of its message, None where the record has it no more."""

    id: uuid.UUID
    message_id: uuid.UUID
    recipient_key: str
    created_at: dt.datetime
    expires_at: dt.datetime
    revoked_at: dt.datetime | None
    shown: int
    shown_at: dt.datetime | None
    subject: str | None = None
    submitted_at: dt.datetime | None = None

    def is_open(self, now: dt.datetime) -> bool:
        """Whether it can be followed."""
        return self.revoked_at is None and now < self.expires_at


def make(
    session: Session, *, account_id: int, message_id: uuid.UUID, recipient_key: str, days: int, now: dt.datetime
) -> HandOverView | None:
    """A new link; None if the message has too many already. The caller has seen that the message is the account's."""
    if len(of_message(session, account_id, message_id)) >= MOST_OF_A_MESSAGE:
        return None
    row = HandOver(
        id=uuid.uuid4(),
        account_id=account_id,
        message_id=message_id,
        recipient_key=recipient_key,
        created_at=now,
        expires_at=now + dt.timedelta(days=days),
        revoked_at=None,
        shown=0,
        shown_at=None,
    )
    session.add(row)
    session.flush()
    return _view(row, None)


def token(hand_over_id: uuid.UUID, key: bytes) -> str:
    """What stands in the link. ``key``: `SecretsStore.links_key`."""
    return link_tokens.make(KIND, hand_over_id, key)


def of_message(session: Session, account_id: int, message_id: uuid.UUID) -> tuple[HandOverView, ...]:
    """The links to a message's transcripts, newest first."""
    wanted = _mine(account_id).where(HandOver.message_id == message_id).limit(MOST_OF_A_MESSAGE)
    return tuple(_view(row, message) for row, message in session.execute(wanted))


def of_account(
    session: Session, account_id: int, *, limit: int, before: tuple[dt.datetime, uuid.UUID] | None = None
) -> tuple[HandOverView, ...]:
    """An account's links, newest first; ``before``: only those after that one in the list."""
    wanted = _mine(account_id)
    if before is not None:
        wanted = wanted.where(tuple_(HandOver.created_at, HandOver.id) < before)
    return tuple(_view(row, message) for row, message in session.execute(wanted.limit(limit)))


def find(session: Session, account_id: int, hand_over_id: uuid.UUID) -> HandOverView | None:
    """One of the account's own."""
    found = session.execute(_mine(account_id).where(HandOver.id == hand_over_id)).one_or_none()
    return None if found is None else _view(found[0], found[1])


def revoke(session: Session, account_id: int, hand_over_id: uuid.UUID, now: dt.datetime) -> bool:
    """From now on it can be followed no more. False if the account has none such that was open."""
    ended = update(HandOver).where(
        HandOver.id == hand_over_id,
        HandOver.account_id == account_id,
        HandOver.revoked_at.is_(None),
        HandOver.expires_at > now,
    )
    return session.execute(ended.values(revoked_at=now).returning(HandOver.id)).one_or_none() is not None


@dataclass(frozen=True)
class Followed:
    """Where a link leads. ``time_zone``: the sender's."""

    id: uuid.UUID
    account_id: int
    message_id: uuid.UUID
    recipient_key: str
    created_at: dt.datetime
    expires_at: dt.datetime
    time_zone: str


def follow(session: Session, text: str, key: bytes, now: dt.datetime) -> Followed | None:
    """Where the link with that token leads; None if it is not genuine, revoked, expired: all the same to who asks."""
    hand_over_id = link_tokens.read(KIND, text, key)
    if hand_over_id is None:
        return None
    wanted = (
        select(HandOver, Account.time_zone)
        .join(Account, Account.id == HandOver.account_id)
        .where(HandOver.id == hand_over_id, HandOver.revoked_at.is_(None), HandOver.expires_at > now)
    )
    found = session.execute(wanted).one_or_none()
    if found is None:
        return None
    row, time_zone = found
    return Followed(
        row.id, row.account_id, row.message_id, row.recipient_key, row.created_at, row.expires_at, time_zone
    )


def count(session: Session, hand_over_id: uuid.UUID, now: dt.datetime) -> None:
    """It was followed once more."""
    session.execute(update(HandOver).where(HandOver.id == hand_over_id).values(shown=HandOver.shown + 1, shown_at=now))


def _mine(account_id: int) -> Select[HandOver, Message]:
    return (
        select(HandOver, Message)
        .outerjoin(Message, Message.id == HandOver.message_id)
        .where(HandOver.account_id == account_id)
        .order_by(HandOver.created_at.desc(), HandOver.id.desc())
    )


def _view(row: HandOver, message: Message | None) -> HandOverView:
    return HandOverView(
        id=row.id,
        message_id=row.message_id,
        recipient_key=row.recipient_key,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        shown=row.shown,
        shown_at=row.shown_at,
        subject=message.subject if message else None,
        submitted_at=message.submitted_at if message else None,
    )
