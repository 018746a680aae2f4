"""A small record for tests of the notices, as the logparser writes it, and whom they tell. Sends nothing."""

import datetime as dt
import itertools
import uuid
from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from sendproof_core.database import Database
from sendproof_core.queue_times import QueueTimes
from sendproof_core.schema import Account, Attempt, Message, NoticePreferences, Plan, QueueFile, Recipient
from sendproof_notices.contents import Source
from sendproof_notices.mail import Letterhead

NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)
OWN = "notices@relay.example"
LETTERHEAD = Letterhead(OWN, "Relay", "https://mail.relay.example")
SOURCE = Source("https://mail.relay.example", QueueTimes(), b"k" * 32)
LEASE = dt.timedelta(seconds=60)
GREYLISTED = (
    "host mx1.example.net[192.0.2.25] said: 450 4.2.0 Greylisted, come back later (in reply to RCPT TO command)"
)
TAKEN = "250 2.0.0 Ok: queued as 4TheirsXyz"


def add_account(
    database: Database,
    login: str,
    *,
    notice_address: str | None = "max@home.example",
    language: str | None = None,
    limits: dict[str, int] | None = None,
    time_zone: str = "Europe/Vienna",
    tracking: bool = False,
) -> int:
    """An account on a plan of its own; its id."""
    with database.writing() as session:
        plan = Plan(name=f"plan of {login}", **(limits or {}))
        session.add(plan)
        session.flush()
        account = Account(
            login=login,
            password_hash="-",
            plan_id=plan.id,
            time_zone=time_zone,
            tracking=tracking,
            notice_address=notice_address,
            created_at=NOW,
            suspended_at=None,
            suspended_reason=None,
            language=language,
        )
        session.add(account)
        session.flush()
        return account.id


def prefer(database: Database, account_id: int, **choices: Any) -> None:
    """What the account chooses; nothing of what is not named."""
    values = {
        "delivered": False, "deferred": False, "deferred_after_minutes": 10, "failed": False, "opened": False,
        "plan_use": False, "digest": "none", **choices,
    }  # fmt: skip
    with database.writing() as session:
        session.merge(NoticePreferences(account_id=account_id, changed_at=NOW, **values))


def recorder(database: Database) -> Callable[..., int]:
    """Writes one recipient into the record; its id.

    Of an account and a message of its own, unless ``account_id`` or ``message_number`` says otherwise.
    """
    numbers = itertools.count(1)

    def write(
        *,
        state: str = "bounced",
        state_at: dt.datetime = NOW,
        submitted_at: dt.datetime | None = None,
        address: str = "anna@example.net",
        final_address: str | None = None,
        envelope_sender: str = "max@own.example",
        notice_address: str | None = "max@home.example",
        subject: str | None = "Offer 2026-117",
        replies: tuple[tuple[str, str], ...] = (
            ("5.1.1", "host mx1.example.net[192.0.2.25] said: 550 5.1.1 No such user (in reply to RCPT TO command)"),
        ),
        account_id: int | None = None,
        message_number: int | None = None,
        message_id_header: str | None = None,
        test_mode: bool = False,
        parent_queue_id: str | None = None,
    ) -> int:
        number = next(numbers)
        account_id = account_id or add_account(database, f"account{number}", notice_address=notice_address)
        message_id = uuid.UUID(int=message_number or number)
        with database.writing() as session:
            message = session.get(Message, message_id)
            if message is None:
                message = Message(
                    id=message_id,
                    account_id=account_id,
                    login="max",
                    credential_label="laptop",
                    submitted_at=submitted_at or NOW,
                    envelope_sender=envelope_sender,
                    message_id_header=message_id_header or f"<{number}@own.example>",
                    subject=subject,
                    size_bytes=1000,
                    client_address=None,
                    client_tls=None,
                    recipient_count=1,
                    signatures=[],
                    pixel="off",
                    test_mode=test_mode,
                )
                session.add(message)
                session.flush()
            queue_file = session.scalar(select(QueueFile).where(QueueFile.message_id == message_id))
            if queue_file is None or parent_queue_id is not None:
                queue_file = QueueFile(
                    host="edge",
                    instance="postfix",
                    queue_id=f"Q{number}",
                    born_at=submitted_at or NOW,
                    message_id=None if parent_queue_id else message_id,
                    parent_queue_id=parent_queue_id,
                    link_kind="filter" if parent_queue_id else None,
                    link_evidence="queued as" if parent_queue_id else None,
                    size_bytes=1000,
                )
                session.add(queue_file)
                session.flush()
            held = select(Recipient).where(Recipient.queue_file_id == queue_file.id)
            recipient = Recipient(
                queue_file_id=queue_file.id,
                address=address,
                final_address=final_address,
                number=len(session.scalars(held).all()) + 1,
                state=state,
                state_at=state_at,
            )
            session.add(recipient)
            session.flush()
            for minute, (dsn, text) in enumerate(replies):
                attempt = Attempt(
                    recipient_id=recipient.id,
                    attempted_at=state_at - dt.timedelta(minutes=len(replies) - minute - 1),
                    service="smtp",
                    status={"2": "sent", "4": "deferred"}.get(dsn[0], "bounced"),
                    dsn=dsn,
                    relay="mx1.example.net[192.0.2.25]:25",
                    delay_seconds=1.0,
                    delays_seconds=[],
                    text=text,
                )
                session.add(attempt)
            return recipient.id

    return write
