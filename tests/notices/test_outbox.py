"""Each notice once, whoever sends it; a failed one again, after growing pauses; a doubtful one never by itself."""

import datetime as dt
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from sendproof_core import mail_requests
from sendproof_core.database import Database
from sendproof_core.mail_requests import Letter
from sendproof_core.schema import Notice, NoticeItem
from sendproof_core.states import NoticeKind, NoticeState
from sendproof_notices import outbox
from sendproof_notices.findings import Finding, recipient_key
from sendproof_notices.outbox import MAX_TRIES, Claim, pause_after
from sendproof_testing.notice_record import LEASE, add_account, prefer

MINUTE = dt.timedelta(minutes=1)
SECOND = dt.timedelta(seconds=1)
DOMAIN = "relay.example"


def finding(
    recipient_id: int,
    *,
    account_id: int = 1,
    message: int = 1,
    kind: NoticeKind = NoticeKind.FAILED,
    waits: bool = False,
) -> Finding:
    return Finding(
        recipient_key(recipient_id, kind),
        kind,
        account_id,
        "max@home.example",
        waits,
        uuid.UUID(int=message),
        recipient_id,
    )


def add(database: Database, now: dt.datetime, *findings: Finding) -> int:
    with database.writing() as session:
        return outbox.add(session, findings, DOMAIN, now)


def claim(database: Database, now: dt.datetime) -> Claim | None:
    with database.writing() as session:
        return outbox.claim(session, DOMAIN, LEASE, now)


def claim_one(database: Database, now: dt.datetime) -> Claim:
    claimed = claim(database, now)
    assert claimed is not None
    return claimed


def stored(database: Database) -> Notice:
    with database.reading() as session:
        notice = session.scalars(select(Notice)).one()
        session.expunge(notice)
        return notice


def keys(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(Notice.key).order_by(Notice.id)))


# --- putting in -----------------------------------------------------------------------------------------------------


def test_what_is_found_again_makes_no_second_notice(either_database: Database, now: dt.datetime) -> None:
    assert add(either_database, now, finding(1)) == 1
    assert add(either_database, now, finding(1), finding(2, message=2)) == 1
    assert keys(either_database) == ["recipient:1:failed", "recipient:2:failed"]


def test_recipients_of_one_message_that_are_found_together_are_one_notice(
    either_database: Database, now: dt.datetime
) -> None:
    assert add(either_database, now, finding(1), finding(2), finding(3, message=2), finding(4, account_id=2)) == 3
    with either_database.reading() as session:
        told = [tuple(row) for row in session.execute(select(NoticeItem.notice_id, NoticeItem.recipient_id))]
    assert len({notice_id for notice_id, recipient_id in told if recipient_id in (1, 2)}) == 1


def test_a_message_id_is_fixed_before_the_first_try_and_nobody_elses(database: Database, now: dt.datetime) -> None:
    add(database, now, finding(1), finding(2, message=2))
    with database.reading() as session:
        headers = session.scalars(select(Notice.message_id_header)).all()
    assert len(set(headers)) == 2
    assert all(header and header.startswith("<notice.") and header.endswith("@relay.example>") for header in headers)


def test_a_letter_that_the_site_asks_for_is_one_notice_and_goes_first(database: Database, now: dt.datetime) -> None:
    add(database, now - MINUTE, finding(1))
    with database.writing() as session:
        mail_requests.ask(session, Letter.RESET, to_address="max@home.example", now=now)
    for expected in (1, 0):
        with database.writing() as session:
            assert outbox.has_letters(session, now) == bool(expected)
            assert outbox.add_letters(session, DOMAIN, now, limit=10) == expected
    claimed = claim_one(database, now)
    assert (claimed.kind, claimed.key, claimed.request_id) == (NoticeKind.LETTER, "letter:1", 1)


# --- digests --------------------------------------------------------------------------------------------------------


def test_what_waits_is_gathered_once_when_its_hour_is_over(either_database: Database, now: dt.datetime) -> None:
    account_id = add_account(either_database, "max")
    prefer(either_database, account_id, digest="hourly", delivered=True)
    waiting = [
        finding(number, account_id=account_id, message=number, kind=NoticeKind.DELIVERED, waits=True)
        for number in (1, 2)
    ]
    assert add(either_database, now, *waiting) == 0

    def gather(at: dt.datetime) -> int:
        with either_database.writing() as session:
            due = outbox.is_digest_due(session, at)
            made = outbox.add_digests(session, DOMAIN, at)
        assert due == bool(made)
        return made

    assert gather(now + 10 * MINUTE) == 0
    assert gather(now + 60 * MINUTE) == 1
    assert gather(now + 61 * MINUTE) == 0
    assert keys(either_database) == [f"digest:{account_id}:2026-11-22T15:00+0100"]
    with either_database.reading() as session:
        assert len(set(session.scalars(select(NoticeItem.notice_id)))) == 1


def test_what_is_stored_too_late_for_a_digest_comes_with_the_next(database: Database, now: dt.datetime) -> None:
    account_id = add_account(database, "max")
    prefer(database, account_id, digest="hourly")
    for number in (1, 2):
        # Both found within the hour; the second is stored only when its digest is made already.
        add(database, now, finding(number, account_id=account_id, message=number, waits=True))
        with database.writing() as session:
            outbox.add_digests(session, DOMAIN, now + 60 * MINUTE)
    with database.reading() as session:
        assert session.scalars(select(NoticeItem.notice_id).order_by(NoticeItem.id)).all()[1] is None
    with database.writing() as session:
        assert outbox.add_digests(session, DOMAIN, now + 120 * MINUTE) == 1


def test_who_wants_no_digest_any_more_gets_at_once_what_waited(database: Database, now: dt.datetime) -> None:
    account_id = add_account(database, "max")
    add(database, now, finding(1, account_id=account_id, waits=True))
    with database.writing() as session:
        assert outbox.add_digests(session, DOMAIN, now + SECOND) == 1


# --- taking out -----------------------------------------------------------------------------------------------------


def test_a_claimed_notice_is_nobody_elses(either_database: Database, now: dt.datetime) -> None:
    add(either_database, now, finding(1))
    claimed = claim_one(either_database, now)
    assert (claimed.tries, claimed.fence, claimed.doubtful_since) == (1, 1, None)
    assert claim(either_database, now + LEASE - SECOND) is None


def test_a_notice_of_a_daemon_that_died_is_claimed_as_doubtful(either_database: Database, now: dt.datetime) -> None:
    add(either_database, now, finding(1))
    first = claim_one(either_database, now)
    second = claim_one(either_database, now + LEASE)
    assert (second.tries, second.fence, second.doubtful_since) == (1, 2, now)
    assert second.message_id_header == first.message_id_header


def test_what_the_dead_still_want_to_write_is_refused(database: Database, now: dt.datetime) -> None:
    add(database, now, finding(1))
    first = claim_one(database, now)
    claim_one(database, now + LEASE)
    with database.writing() as session:
        outbox.mark_failed(session, first, "too late", now + LEASE)
        outbox.mark_doubtful(session, first, "too late", now)
        outbox.withdraw(session, first, "too late")
        assert outbox.try_again(session, first, LEASE, now + LEASE) is None
    notice = stored(database)
    assert (notice.state, notice.next_try_at, notice.last_error) == (NoticeState.CLAIMED, now + 2 * LEASE, None)


def test_that_the_server_took_it_over_counts_whoever_claimed_it_since(database: Database, now: dt.datetime) -> None:
    add(database, now, finding(1))
    first = claim_one(database, now)
    second = claim_one(database, now + LEASE)
    with database.writing() as session:
        outbox.mark_sent(session, first, now + LEASE)
        assert outbox.try_again(session, second, LEASE, now + LEASE) is None
    assert stored(database).state == NoticeState.SENT
    assert claim(database, now + 1000 * LEASE) is None


def test_a_doubtful_notice_that_was_not_taken_over_gets_another_try_of_its_own(
    database: Database, now: dt.datetime
) -> None:
    add(database, now, finding(1))
    claim_one(database, now)
    doubtful = claim_one(database, now + LEASE)
    with database.writing() as session:
        again = outbox.try_again(session, doubtful, LEASE, now + LEASE)
    assert again is not None
    assert (again.tries, again.fence, again.doubtful_since) == (2, 3, None)
    assert claim_one(database, now + 2 * LEASE).doubtful_since == now + LEASE


def test_a_notice_in_doubt_stays_so_until_the_record_is_asked_again(database: Database, now: dt.datetime) -> None:
    add(database, now, finding(1))
    claimed = claim_one(database, now)
    with database.writing() as session:
        outbox.mark_doubtful(session, claimed, "the connection broke off", now + 5 * SECOND)
    assert claim(database, now + 4 * SECOND) is None
    assert claim_one(database, now + 5 * SECOND).doubtful_since == now


def test_a_failed_notice_keeps_its_error_and_waits(database: Database, now: dt.datetime) -> None:
    add(database, now, finding(1))
    claimed = claim_one(database, now)
    with database.writing() as session:
        outbox.mark_failed(session, claimed, "the submission server is away", now)
    assert stored(database).last_error == "the submission server is away"
    assert claim(database, now + MINUTE - SECOND) is None
    again = claim_one(database, now + MINUTE)
    assert (again.tries, again.doubtful_since) == (2, None)


def test_after_the_last_try_a_notice_is_shown_as_failed_and_can_be_tried_again(
    database: Database, now: dt.datetime
) -> None:
    add(database, now, finding(1))
    moment = now
    for _ in range(MAX_TRIES):
        claimed = claim_one(database, moment)
        with database.writing() as session:
            outbox.mark_failed(session, claimed, "refused", moment)
        moment += pause_after(claimed.tries)
    assert claim(database, moment) is None
    assert (stored(database).state, stored(database).last_error) == (NoticeState.FAILED, "refused")
    assert moment - now > dt.timedelta(days=4)
    with database.writing() as session:
        assert outbox.retry(session, moment, stored(database).id + 1) == 0
        assert outbox.retry(session, moment) == 1
    assert claim_one(database, moment).tries == 1


def test_a_withdrawn_notice_is_never_due_again(database: Database, now: dt.datetime) -> None:
    add(database, now, finding(1))
    claimed = claim_one(database, now)
    with database.writing() as session:
        outbox.withdraw(session, claimed, "it was delivered by now")
    assert claim(database, now + 1000 * LEASE) is None


def test_the_notice_due_for_longest_comes_first(database: Database, now: dt.datetime) -> None:
    add(database, now, finding(2))
    add(database, now - MINUTE, finding(1, message=2))
    assert [claim_one(database, now).key for _ in range(2)] == ["recipient:1:failed", "recipient:2:failed"]


def test_what_was_sent_long_ago_is_forgotten_and_what_failed_is_not(
    either_database: Database, now: dt.datetime
) -> None:
    add(either_database, now, finding(1), finding(2, message=2))
    claimed = claim_one(either_database, now)
    with either_database.writing() as session:
        outbox.mark_sent(session, claimed, now)
    for days, forgotten in ((100, 0), (200, 1), (200, 0)):
        with either_database.writing() as session:
            assert outbox.forget(session, now + dt.timedelta(days=days)) == forgotten
    assert keys(either_database) == ["recipient:2:failed"]


@pytest.mark.parametrize(("tries", "minutes"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60)])
def test_pauses_double_up_to_an_hour(tries: int, minutes: int) -> None:
    assert pause_after(tries) == dt.timedelta(minutes=minutes)


@given(st.integers(min_value=1, max_value=10_000))
def test_a_later_pause_is_never_shorter(tries: int) -> None:
    assert MINUTE <= pause_after(tries) <= pause_after(tries + 1) <= 60 * MINUTE
