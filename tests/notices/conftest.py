"""What the tests of the notices share: an empty database, a record to fill, a submission server."""

import datetime as dt
import itertools
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from sendproof_core.database import Database
from sendproof_core.schema import Account, Attempt, Message, Plan, QueueFile, Recipient
from sendproof_testing.submission_server import SubmissionServer, running_submission_server

NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)


@pytest.fixture
def now() -> dt.datetime:
    return NOW


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    return sqlite_database


@pytest.fixture
def record_recipient(database: Database) -> Callable[..., int]:
    """Writes one recipient of a message of its own into the record, as the logparser would; its id."""
    numbers = itertools.count(1)

    def write(
        *,
        state: str = "bounced",
        state_at: dt.datetime = NOW,
        address: str = "anna@example.net",
        final_address: str | None = None,
        envelope_sender: str = "max@own.example",
        notice_address: str | None = "max@home.example",
        subject: str | None = "Offer 2026-117",
        replies: tuple[tuple[str, str], ...] = (
            ("5.1.1", "host mx1.example.net[192.0.2.25] said: 550 5.1.1 No such user"),
        ),
    ) -> int:
        number = next(numbers)
        with database.writing() as session:
            plan = session.scalar(select(Plan))
            if plan is None:
                plan = Plan(name="personal", recipients_per_day=None)
                session.add(plan)
                session.flush()
            account = Account(
                login=f"account{number}",
                password_hash="-",
                plan_id=plan.id,
                time_zone="Europe/Vienna",
                tracking=False,
                notice_address=notice_address,
                created_at=NOW,
                suspended_at=None,
                suspended_reason=None,
            )
            session.add(account)
            session.flush()
            message = Message(
                id=uuid.UUID(int=number),
                account_id=account.id,
                login=account.login,
                credential_label="laptop",
                submitted_at=NOW,
                envelope_sender=envelope_sender,
                message_id_header=f"<{number}@own.example>",
                subject=subject,
                size_bytes=1000,
                client_address=None,
                client_tls=None,
                recipient_count=1,
                signatures=[],
                pixel="off",
            )
            session.add(message)
            session.flush()
            queue_file = QueueFile(
                host="edge", instance="postfix", queue_id=f"Q{number}", born_at=NOW, message_id=message.id
            )
            session.add(queue_file)
            session.flush()
            recipient = Recipient(
                queue_file_id=queue_file.id,
                address=address,
                final_address=final_address,
                number=1,
                state=state,
                state_at=state_at,
            )
            session.add(recipient)
            session.flush()
            for minute, (dsn, text) in enumerate(replies):
                attempt = Attempt(
                    recipient_id=recipient.id,
                    attempted_at=NOW + dt.timedelta(minutes=minute),
                    service="smtp",
                    status="bounced",
                    dsn=dsn,
                    relay="mx1.example.net[192.0.2.25]:25",
                    delay_seconds=1.0,
                    delays_seconds=[],
                    text=text,
                )
                session.add(attempt)
            return recipient.id

    return write


@pytest.fixture
def submission_server(tmp_path: Path) -> Iterator[SubmissionServer]:
    with running_submission_server(tmp_path, login="notices", password="a secret of notices") as server:
        yield server
