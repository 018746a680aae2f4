"""Who is told about what, and who never."""

import datetime as dt
from collections.abc import Callable

import pytest

from sendproof_core.database import Database
from sendproof_core.states import RecipientState
from sendproof_notices import outbox
from sendproof_notices.selection import Addressee, failures_to_tell, load_failure

Write = Callable[..., int]


def told(database: Database, now: dt.datetime) -> list[int]:
    with database.reading() as session:
        found = failures_to_tell(session, "notices@relay.example", now, limit=100)
        return [addressee.recipient_id for addressee in found]


@pytest.mark.parametrize("state", RecipientState)
def test_only_failed_recipients_are_told_about(
    database: Database, record_recipient: Write, now: dt.datetime, state: RecipientState
) -> None:
    recipient_id = record_recipient(state=state.value)
    expected = [recipient_id] if state in (RecipientState.BOUNCED, RecipientState.EXPIRED) else []
    assert told(database, now) == expected


def test_an_account_without_a_notice_address_is_not_told(
    database: Database, record_recipient: Write, now: dt.datetime
) -> None:
    record_recipient(notice_address=None)
    record_recipient(notice_address="")
    assert told(database, now) == []


def test_a_recipient_is_told_about_once(database: Database, record_recipient: Write, now: dt.datetime) -> None:
    recipient_id = record_recipient()
    with database.writing() as session:
        outbox.add(session, [Addressee(recipient_id, 1, "max@home.example")], now)
    assert told(database, now) == []


@pytest.mark.parametrize(
    "case",
    [
        {"envelope_sender": "notices@relay.example"},
        {"envelope_sender": "Notices@Relay.example"},
        {"envelope_sender": ""},
        {"address": "notices@relay.example"},
        {"address": "alias@relay.example", "final_address": "NOTICES@relay.example"},
        {"notice_address": "notices@relay.example"},
    ],
)
def test_a_notice_never_causes_a_notice(
    database: Database, record_recipient: Write, now: dt.datetime, case: dict[str, str]
) -> None:
    record_recipient(**case)
    assert told(database, now) == []


def test_an_old_failure_is_no_news(database: Database, record_recipient: Write, now: dt.datetime) -> None:
    record_recipient(state_at=now - dt.timedelta(days=4))
    recent = record_recipient(state_at=now - dt.timedelta(days=2))
    assert told(database, now) == [recent]


def test_the_oldest_failures_come_first(database: Database, record_recipient: Write, now: dt.datetime) -> None:
    later = record_recipient(state_at=now)
    earlier = record_recipient(state_at=now - dt.timedelta(hours=1))
    with database.reading() as session:
        (first,) = failures_to_tell(session, "notices@relay.example", now, limit=1)
    assert first.recipient_id == earlier != later


def test_a_failure_carries_the_last_attempts_words(database: Database, record_recipient: Write) -> None:
    recipient_id = record_recipient(state="expired", replies=(("4.7.1", "Greylisted"), ("4.2.2", "Mailbox full")))
    with database.reading() as session:
        failure = load_failure(session, recipient_id)
    assert failure is not None
    assert (failure.state, failure.dsn, failure.reply) == (RecipientState.EXPIRED, "4.2.2", "Mailbox full")
    assert (failure.address, failure.subject) == ("anna@example.net", "Offer 2026-117")


def test_a_failure_without_an_attempt_has_no_words(database: Database, record_recipient: Write) -> None:
    recipient_id = record_recipient(replies=())
    with database.reading() as session:
        failure = load_failure(session, recipient_id)
    assert failure is not None
    assert (failure.dsn, failure.reply) == (None, None)


def test_a_recipient_that_left_the_record_is_no_failure(database: Database) -> None:
    with database.reading() as session:
        assert load_failure(session, 12345) is None
