"""A notice tells what the record says now, in the account's language and time, or nothing."""

import datetime as dt
import uuid
from collections.abc import Callable, Sequence

import pytest
from sqlalchemy import select

from sendproof_core import mail_requests
from sendproof_core.database import Database
from sendproof_core.mail_requests import Letter
from sendproof_core.schema import Account, MailRequest, Notice, Recipient
from sendproof_core.states import NoticeKind
from sendproof_notices import contents, findings, mail, outbox, plan_findings
from sendproof_notices.contents import CannotBeWritten, NothingToTell, Written
from sendproof_notices.findings import Finding
from sendproof_notices.outbox import Claim
from sendproof_testing.notice_record import GREYLISTED, LEASE, OWN, SOURCE, TAKEN, add_account, prefer

Write = Callable[..., int]


def claimed(database: Database, now: dt.datetime, found: Sequence[Finding] | None = None) -> Claim:
    if found is None:
        with database.reading() as session:
            found = list(findings.find(session, OWN, now, now - findings.NEWS))
    with database.writing() as session:
        outbox.add(session, found, "relay.example", now)
        outbox.add_letters(session, "relay.example", now, limit=10)
        outbox.add_digests(session, "relay.example", now + dt.timedelta(days=1))
    with database.writing() as session:
        one = outbox.claim(session, "relay.example", LEASE, now + dt.timedelta(days=1))
    assert one is not None
    return one


def write(database: Database, claim: Claim, now: dt.datetime) -> Written:
    with database.reading() as session:
        return contents.write(session, claim, SOURCE, now)


def text(database: Database, claim: Claim, now: dt.datetime) -> str:
    return " ".join(mail.as_text(write(database, claim, now).letter).split())


def test_recipients_of_one_message_are_told_together(
    database: Database, record_recipient: Write, now: dt.datetime
) -> None:
    account_id = add_account(database, "max")
    for address in ("anna@example.net", "ben@example.net"):
        record_recipient(address=address, account_id=account_id, message_number=5)
    said = text(database, claimed(database, now), now)
    assert "was not delivered to 2 recipients" in said
    assert said.index("anna@example.net") < said.index("ben@example.net")


@pytest.mark.parametrize(
    ("state", "reply", "words"),
    [
        ("bounced", ("5.2.2", "552 5.2.2 Mailbox full"), "Their server says that the mailbox is full."),
        ("expired", ("4.2.0", GREYLISTED), "until its time was up"),
        ("deferred", ("4.2.0", GREYLISTED), "Nothing is wrong, and you need not do anything."),
        ("delivered", ("2.0.0", TAKEN), "Their reference: 4TheirsXyz"),
    ],
)
def test_each_kind_says_what_the_record_has(
    database: Database, record_recipient: Write, now: dt.datetime, state: str, reply: tuple[str, str], words: str
) -> None:
    account_id = add_account(database, "max")
    prefer(database, account_id, failed=True, deferred=True, delivered=True)
    record_recipient(state=state, replies=(reply,), account_id=account_id, submitted_at=now - dt.timedelta(minutes=30))
    assert words in text(database, claimed(database, now), now)


def test_what_is_no_longer_so_is_not_told(database: Database, record_recipient: Write, now: dt.datetime) -> None:
    record_recipient(state="deferred", submitted_at=now - dt.timedelta(minutes=30))
    claim = claimed(database, now)
    with database.writing() as session:
        session.scalars(select(Recipient)).one().state = "delivered"
    with pytest.raises(NothingToTell, match="the recipient is delivered by now"):
        write(database, claim, now)


def test_a_recipient_that_left_the_record_is_not_told(database: Database, now: dt.datetime) -> None:
    account_id = add_account(database, "max")
    gone = Finding(
        "recipient:99:failed", NoticeKind.FAILED, account_id, "max@home.example", False, uuid.UUID(int=99), 99
    )
    claim = claimed(database, now, [gone])
    with pytest.raises(NothingToTell, match="no longer has this recipient"):
        write(database, claim, now)


def test_another_accounts_message_is_never_told(database: Database, record_recipient: Write, now: dt.datetime) -> None:
    recipient_id = record_recipient()
    stranger = add_account(database, "stranger")
    wrong = Finding(
        f"recipient:{recipient_id}:failed", NoticeKind.FAILED, stranger, "s@home.example", False, uuid.UUID(int=1), 1
    )
    with pytest.raises(NothingToTell):
        write(database, claimed(database, now, [wrong]), now)


def test_an_account_that_switched_notices_off_gets_none_that_waits(
    database: Database, record_recipient: Write, now: dt.datetime
) -> None:
    record_recipient()
    claim = claimed(database, now)
    with database.writing() as session:
        session.scalars(select(Account)).one().notice_address = None
    with pytest.raises(NothingToTell, match="wants no notices"):
        write(database, claim, now)


def test_a_digest_gathers_every_kind(database: Database, record_recipient: Write, now: dt.datetime) -> None:
    account_id = add_account(database, "max", limits={"recipients_per_day": 100})
    prefer(database, account_id, deferred=True, delivered=True, opened=True, plan_use=True, digest="daily")
    for state, reply in (("deferred", ("4.2.0", GREYLISTED)), ("delivered", ("2.0.0", TAKEN))):
        record_recipient(
            state=state, replies=(reply,), account_id=account_id, submitted_at=now - dt.timedelta(minutes=30)
        )
    with database.reading() as session:
        found = list(findings.find(session, OWN, now, now - findings.NEWS))
        found += plan_findings.find(session, OWN, now)
    claim = claimed(database, now, found)
    assert claim.kind is NoticeKind.DIGEST
    said = text(database, claim, now)
    assert "2 pieces of news of your mail" in said
    assert "Not delivered yet (1)" in said
    assert "Delivered (1)" in said


def test_times_are_those_of_the_account(database: Database, record_recipient: Write, now: dt.datetime) -> None:
    account_id = add_account(database, "max", time_zone="Asia/Tokyo")
    record_recipient(account_id=account_id)
    assert "sent 22 Nov 2026, 22:03 JST" in text(database, claimed(database, now), now)


def test_a_letter_of_a_kind_without_words_waits_for_a_newer_daemon(database: Database, now: dt.datetime) -> None:
    with database.writing() as session:
        mail_requests.ask(session, Letter.LOGINS, to_address="max@home.example", now=now, data={"logins": ["max"]})
    claim = claimed(database, now)
    assert "Login: max" in text(database, claim, now)
    with database.writing() as session:
        session.scalars(select(MailRequest)).one().kind = "of-tomorrow"
    with pytest.raises(CannotBeWritten, match="older than the site"):
        write(database, claim, now)


def test_a_letter_whose_request_is_gone_is_withdrawn(database: Database, now: dt.datetime) -> None:
    with database.writing() as session:
        mail_requests.ask(session, Letter.LOGINS, to_address="max@home.example", now=now)
    claim = claimed(database, now)
    with database.writing() as session:
        session.delete(session.scalars(select(MailRequest)).one())
    with pytest.raises(NothingToTell, match="request for it is gone"):
        write(database, claim, now)
    with database.reading() as session:
        assert session.scalars(select(Notice.key)).all() == ["letter:1"]
