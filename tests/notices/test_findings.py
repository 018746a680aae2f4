"""Who is told about which message, and who never."""

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from sendproof_core.database import Database
from sendproof_core.schema import Notice, Open, QueueFile, Recipient
from sendproof_core.states import NoticeKind, NoticeState, RecipientState
from sendproof_notices import findings, outbox
from sendproof_notices.findings import Finding
from sendproof_testing.dated_record import DatedRecord
from sendproof_testing.notice_record import LEASE, OWN, add_account, prefer, recorder

Write = Callable[..., int]
MINUTE = dt.timedelta(minutes=1)


def found(database: Database, now: dt.datetime, since: dt.timedelta = findings.NEWS) -> list[Finding]:
    with database.reading() as session:
        return list(findings.find(session, OWN, now, now - since))


def keys(database: Database, now: dt.datetime) -> list[str]:
    return [one.key for one in found(database, now)]


# --- what failed ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", RecipientState)
def test_by_default_failures_and_delays_are_told(
    database: Database, record_recipient: Write, now: dt.datetime, state: RecipientState
) -> None:
    recipient_id = record_recipient(state=state.value, submitted_at=now - 10 * MINUTE)
    kind = {"bounced": "failed", "expired": "failed", "deferred": "deferred"}.get(state.value)
    assert keys(database, now) == ([f"recipient:{recipient_id}:{kind}"] if kind else [])


def test_it_is_the_same_on_both_kinds_of_databases(either_database: Database, now: dt.datetime) -> None:
    write = recorder(either_database)
    account_id = add_account(either_database, "max", tracking=True)
    prefer(either_database, account_id, failed=True, deferred=True, delivered=True, opened=True, digest="daily")
    ids = [
        write(state=state, account_id=account_id, submitted_at=now - 20 * MINUTE)
        for state in ("bounced", "deferred", "delivered")
    ]
    opened(either_database, now, message=ids[2])
    assert [(one.key, one.waits) for one in found(either_database, now)] == [
        (f"recipient:{ids[0]}:failed", False),
        (f"recipient:{ids[1]}:deferred", True),
        (f"recipient:{ids[2]}:delivered", True),
        (f"opened:{uuid.UUID(int=ids[2])}:1", True),
    ]


@pytest.mark.parametrize("address", [None, ""])
def test_an_account_without_a_notice_address_is_not_told(
    database: Database, record_recipient: Write, now: dt.datetime, address: str | None
) -> None:
    record_recipient(notice_address=address)
    assert found(database, now) == []


def test_an_account_that_wants_to_hear_nothing_hears_nothing(
    database: Database, record_recipient: Write, now: dt.datetime
) -> None:
    account_id = add_account(database, "max", tracking=True)
    prefer(database, account_id)
    for state in RecipientState:
        record_recipient(state=state.value, account_id=account_id, submitted_at=now - 60 * MINUTE)
    opened(database, now, message=1)
    assert found(database, now) == []


def test_what_was_told_is_not_found_again(database: Database, record_recipient: Write, now: dt.datetime) -> None:
    record_recipient()
    with database.writing() as session:
        outbox.add(session, found(database, now), "relay.example", now)
    assert found(database, now) == []


@pytest.mark.parametrize(
    "case",
    [
        {"envelope_sender": OWN},
        {"envelope_sender": "Notices@Relay.example"},
        {"envelope_sender": ""},
        {"address": OWN},
        {"address": "alias@relay.example", "final_address": "NOTICES@relay.example"},
        {"notice_address": OWN},
        {"test_mode": True},
    ],
)
def test_a_notice_never_causes_a_notice(
    database: Database, record_recipient: Write, now: dt.datetime, case: dict[str, Any]
) -> None:
    record_recipient(**case)
    assert found(database, now) == []


def test_a_notice_that_somebodys_server_sends_on_through_us_causes_none(
    database: Database, record_recipient: Write, now: dt.datetime
) -> None:
    record_recipient()
    with database.writing() as session:
        outbox.add(session, found(database, now), "relay.example", now)
        header = session.scalars(select(Notice.message_id_header)).one()
    record_recipient(message_id_header=header)
    assert found(database, now) == []


def test_an_old_failure_is_no_news(database: Database, record_recipient: Write, now: dt.datetime) -> None:
    record_recipient(state_at=now - dt.timedelta(days=4))
    recent = record_recipient(state_at=now - dt.timedelta(days=2))
    assert keys(database, now) == [f"recipient:{recent}:failed"]
    assert found(database, now, since=10 * MINUTE) == []


def test_what_failed_behind_a_content_filter_belongs_to_the_message_before_it(
    database: Database, record_recipient: Write, now: dt.datetime
) -> None:
    account_id = add_account(database, "max")
    first = record_recipient(state="queued", account_id=account_id, message_number=7)
    with database.writing() as session:
        session.get_one(Recipient, first).handed_on_at = now
        queue_id = session.scalars(select(QueueFile.queue_id)).one()
    second = record_recipient(account_id=account_id, message_number=7, parent_queue_id=queue_id)
    (one,) = found(database, now)
    assert (one.recipient_id, one.message_id, one.account_id) == (second, uuid.UUID(int=7), account_id)


@pytest.mark.parametrize("seconds", [2, -2])  # two hosts' clocks may differ
def test_what_another_edge_delivers_is_told_once_and_a_hop_never(
    database: Database, record_recipient: Write, now: dt.datetime, seconds: int
) -> None:
    account_id = add_account(database, "max")
    prefer(database, account_id, delivered=True)
    first = record_recipient(state="queued", account_id=account_id, message_number=7)
    with database.writing() as session:
        session.get_one(Recipient, first).handed_on_at = now
        parent = session.scalars(select(QueueFile)).one()
        queue_id, parent.message_id_header = parent.queue_id, "<7f3c@own.example>"
    assert found(database, now) == []
    second = record_recipient(state="delivered", account_id=account_id, message_number=7, parent_queue_id=queue_id)
    with database.writing() as session:
        session.execute(
            update(QueueFile)
            .where(QueueFile.parent_queue_id == queue_id)
            .values(
                host="edge2",
                parent_host="edge",
                link_kind="relay",
                link_evidence="relayed as",
                message_id_header="<7f3c@own.example>",
                born_at=now + dt.timedelta(seconds=seconds),
            )
        )
    (one,) = found(database, now)
    assert (one.recipient_id, one.message_id, one.kind) == (second, uuid.UUID(int=7), NoticeKind.DELIVERED)


def test_more_than_a_page_is_found_and_nothing_twice(
    database: Database, record_recipient: Write, now: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sendproof_notices.findings._PAGE", 2)
    ids = [record_recipient() for _ in range(5)]
    assert keys(database, now) == [f"recipient:{recipient_id}:failed" for recipient_id in ids]


# --- what waits -----------------------------------------------------------------------------------------------------


def test_a_delay_is_told_after_the_accounts_own_time(
    database: Database, record_recipient: Write, now: dt.datetime
) -> None:
    usual, patient = add_account(database, "usual"), add_account(database, "patient")
    prefer(database, patient, deferred=True, deferred_after_minutes=60)
    one = record_recipient(state="deferred", account_id=usual)
    other = record_recipient(state="deferred", account_id=patient)
    assert keys(database, now + 9 * MINUTE) == []
    assert keys(database, now + 10 * MINUTE) == [f"recipient:{one}:deferred"]
    assert keys(database, now + 60 * MINUTE) == [f"recipient:{number}:deferred" for number in (one, other)]


@pytest.mark.parametrize(("state", "kind"), [("delivered", "delivered"), ("bounced", "failed"), ("expired", "failed")])
def test_who_was_told_of_a_delay_is_told_how_it_ended_whatever_else_they_chose(
    database: Database, record_recipient: Write, now: dt.datetime, state: str, kind: str
) -> None:
    account_id = add_account(database, "max")
    prefer(database, account_id, deferred=True)
    recipient_id = record_recipient(state="deferred", account_id=account_id, submitted_at=now - 10 * MINUTE)
    with database.writing() as session:
        outbox.add(session, found(database, now), "relay.example", now)
    assert found(database, now) == []
    with database.writing() as session:
        session.get_one(Recipient, recipient_id).state = state
    assert found(database, now) == []  # not told of the delay yet
    with database.writing() as session:
        claimed = outbox.claim(session, "relay.example", LEASE, now)
        assert claimed is not None
        outbox.mark_sent(session, claimed, now)
    assert keys(database, now) == [f"recipient:{recipient_id}:{kind}"]


def test_who_was_not_told_of_a_delay_after_all_is_not_told_that_it_ended(
    database: Database, record_recipient: Write, now: dt.datetime
) -> None:
    recipient_id = record_recipient(state="deferred", submitted_at=now - 10 * MINUTE)
    with database.writing() as session:
        outbox.add(session, found(database, now), "relay.example", now)
        session.scalars(select(Notice)).one().state = NoticeState.WITHDRAWN
        session.get_one(Recipient, recipient_id).state = "delivered"
    assert found(database, now) == []


def test_what_lies_in_other_days_belongs_together(either_database: Database, now: dt.datetime) -> None:
    """With ids that carry their day: the recipient's own, its parent's two days before, the message's before that."""
    add_account(either_database, "max")
    day = dt.timedelta(days=1)
    with either_database.writing() as session:
        record = DatedRecord(session)
        message_id = record.message(now - 3 * day)
        grandparent = record.queue_file(now - 3 * day, message_id=message_id, ended_at=now - 2 * day)
        parent = record.queue_file(now - 2 * day, parent=grandparent, ended_at=now)
        file = record.queue_file(now - day, parent=parent)
        for one in (parent, file):
            one.link_kind = "filter"
        other_message_id = record.message(now - 2 * day)
        other = record.queue_file(now - 2 * day, message_id=other_message_id)
        session.flush()
        recipient, other_recipient = (
            session.scalars(select(Recipient).where(Recipient.queue_file_id == one.id)).one() for one in (file, other)
        )
        recipient.state_at = other_recipient.state_at = now - MINUTE
        ids = {recipient.id: message_id, other_recipient.id: other_message_id}
    assert {one.recipient_id: one.message_id for one in found(either_database, now)} == ids
    with either_database.writing() as session:
        outbox.add(session, found(either_database, now), "relay.example", now)
        session.execute(update(Notice).values(state=NoticeState.SENT))
        session.execute(update(Recipient).where(Recipient.id.in_(ids)).values(state="delivered"))
    assert {one.recipient_id: (one.message_id, one.kind) for one in found(either_database, now)} == {
        recipient_id: (of_message, NoticeKind.DELIVERED) for recipient_id, of_message in ids.items()
    }


# --- opens ----------------------------------------------------------------------------------------------------------


def opened(database: Database, at: dt.datetime, *, message: int = 1, number: int = 1, grade: str = "person") -> None:
    with database.writing() as session:
        session.add(
            Open(
                message_id=uuid.UUID(int=message),
                recipient_number=number,
                opened_at=at,
                grade=grade,
                user_agent="",
                client_address=None,
            )
        )


def test_the_first_open_of_each_recipient_is_told_and_never_a_machines(
    database: Database, record_recipient: Write, now: dt.datetime
) -> None:
    record_recipient(state="delivered", account_id=add_account(database, "max", tracking=True))
    for minute, (number, grade) in enumerate([(1, "machine"), (1, "proxy"), (1, "person"), (2, "machine")]):
        opened(database, now - (10 - minute) * MINUTE, number=number, grade=grade)
    (one,) = found(database, now)
    assert one.key == f"opened:{uuid.UUID(int=1)}:1"
    assert one.data["grade"] == "proxy"
    with database.writing() as session:
        outbox.add(session, [one], "relay.example", now)
    opened(database, now)
    assert found(database, now) == []


def test_without_a_choice_who_tracks_opens_is_told_of_them(
    database: Database, record_recipient: Write, now: dt.datetime
) -> None:
    for number, (tracking, choice) in enumerate([(True, None), (False, None), (True, False), (False, True)], start=1):
        account_id = add_account(database, f"account {number}", tracking=tracking)
        if choice is not None:
            prefer(database, account_id, opened=choice)
        record_recipient(state="delivered", account_id=account_id)
        opened(database, now - MINUTE, message=number)
    told = [one.message_id for one in found(database, now)]
    assert told == [uuid.UUID(int=1), uuid.UUID(int=4)]
