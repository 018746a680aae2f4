"""A submission that ended in doubt is decided by the record, and only by what it has read."""

import datetime as dt
import uuid

import pytest

from sendproof_core.database import Database
from sendproof_core.schema import Message, QueueFile, ReadingPosition
from sendproof_notices import evidence
from sendproof_notices.evidence import Verdict
from sendproof_testing.notice_record import add_account

HEADER = "<notice.1@relay.example>"
LATER = dt.timedelta(minutes=1)


def read_up_to(database: Database, source: str, moment: dt.datetime | None, read_at: dt.datetime) -> None:
    with database.writing() as session:
        session.merge(
            ReadingPosition(
                source=source,
                fingerprint="",
                fingerprint_octets=0,
                inode=1,
                offset=0,
                lines_read=1,
                read_at=read_at,
                read_up_to=moment,
            )
        )


def admit(
    database: Database, now: dt.datetime, number: int, *, size_bytes: int | None = None, disposition: str | None = None
) -> None:
    """The milter's journal speaks of a submission of the notice."""
    account_id = add_account(database, f"notices{number}")
    with database.writing() as session:
        session.add(
            Message(
                id=uuid.UUID(int=number),
                account_id=account_id,
                login="notices",
                credential_label="daemon",
                submitted_at=now,
                envelope_sender="notices@relay.example",
                message_id_header=HEADER,
                subject=None,
                size_bytes=1000,
                client_address=None,
                client_tls=None,
                recipient_count=1,
                signatures=[],
                pixel="off",
            )
        )
        session.flush()
        session.add(
            QueueFile(
                host="edge",
                instance="",
                queue_id=f"Q{number}",
                born_at=now,
                message_id=uuid.UUID(int=number),
                size_bytes=size_bytes,
                disposition=disposition,
            )
        )


def verdict(database: Database, over_at: dt.datetime) -> Verdict:
    with database.reading() as session:
        return evidence.look(session, HEADER, over_at).verdict


def test_what_the_queue_manager_had_was_taken_over(either_database: Database, now: dt.datetime) -> None:
    admit(either_database, now, 1, size_bytes=1234)
    with either_database.reading() as session:
        found = evidence.look(session, HEADER, now)
    assert (found.verdict, found.at) == (Verdict.TAKEN_OVER, now)


def test_what_nobody_read_yet_is_unknown(database: Database, now: dt.datetime) -> None:
    assert verdict(database, now) is Verdict.UNKNOWN  # nobody reads at all
    read_up_to(database, "edge:/var/log/mail.log", now + LATER, now + LATER)
    read_up_to(database, "edge:/var/journal", now, now + LATER)
    assert verdict(database, now) is Verdict.UNKNOWN
    read_up_to(database, "edge:/var/journal", None, now + LATER)
    assert verdict(database, now) is Verdict.UNKNOWN


def test_what_is_not_in_what_was_read_was_not_taken_over(database: Database, now: dt.datetime) -> None:
    for source in ("edge:/var/log/mail.log", "edge:/var/journal", "edge2:/var/log/mail.log"):
        read_up_to(database, source, now + LATER, now + LATER)
    assert verdict(database, now) is Verdict.NOT_TAKEN_OVER


def test_another_machine_that_lags_behind_may_have_it(database: Database, now: dt.datetime) -> None:
    read_up_to(database, "edge:/var/log/mail.log", now + LATER, now + LATER)
    read_up_to(database, "edge2:/var/log/mail.log", now - LATER, now - LATER)
    assert verdict(database, now) is Verdict.UNKNOWN


def test_a_machine_that_is_gone_and_an_imported_file_say_nothing(database: Database, now: dt.datetime) -> None:
    long_ago = now - dt.timedelta(days=30)
    read_up_to(database, "edge:/var/log/mail.log", now + LATER, now + LATER)
    read_up_to(database, "old:/var/log/mail.log", long_ago, long_ago)
    read_up_to(database, "edge:import:/tmp/mail.log.1", None, now)
    assert verdict(database, now) is Verdict.NOT_TAKEN_OVER


@pytest.mark.parametrize(
    ("disposition", "expected"),
    [(None, Verdict.UNKNOWN), ("rejected", Verdict.NOT_TAKEN_OVER), ("removed", Verdict.TAKEN_OVER)],
)
def test_what_was_admitted_only_is_decided_by_what_became_of_its_queue_file(
    database: Database, now: dt.datetime, disposition: str | None, expected: Verdict
) -> None:
    read_up_to(database, "edge:/var/log/mail.log", now + LATER, now + LATER)
    admit(database, now, 1, disposition=disposition)
    assert verdict(database, now) is expected


def test_of_two_submissions_one_that_was_queued_is_enough(database: Database, now: dt.datetime) -> None:
    admit(database, now, 1, disposition="rejected")
    admit(database, now + LATER, 2, size_bytes=1234)
    assert verdict(database, now + LATER) is Verdict.TAKEN_OVER
