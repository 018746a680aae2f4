"""Each notice once, whoever sends it; a failed one again, after growing pauses."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from sendproof_core.database import Database
from sendproof_core.schema import Notice
from sendproof_notices import outbox
from sendproof_notices.outbox import LEASE, MAX_TRIES, Claim, pause_after
from sendproof_notices.selection import Addressee

MINUTE = dt.timedelta(minutes=1)


def add(database: Database, now: dt.datetime, *recipient_ids: int) -> None:
    with database.writing() as session:
        outbox.add(session, [Addressee(number, 1, "max@home.example") for number in recipient_ids], now)


def claim(database: Database, now: dt.datetime) -> Claim | None:
    with database.writing() as session:
        return outbox.claim(session, now)


def claim_one(database: Database, now: dt.datetime) -> Claim:
    claimed = claim(database, now)
    assert claimed is not None
    return claimed


def stored(database: Database) -> Notice:
    with database.reading() as session:
        notice = session.scalars(select(Notice)).one()
        session.expunge(notice)
        return notice


def test_a_recipient_has_one_notice_of_a_kind(database: Database, now: dt.datetime) -> None:
    add(database, now, 1)
    add(database, now, 1, 2)
    with database.reading() as session:
        assert session.scalars(select(Notice.recipient_id).order_by(Notice.id)).all() == [1, 2]


def test_a_claimed_notice_is_nobody_elses(database: Database, now: dt.datetime) -> None:
    add(database, now, 1)
    assert claim_one(database, now).tries == 1
    assert claim(database, now) is None


def test_a_notice_of_a_daemon_that_died_is_claimed_after_the_lease(database: Database, now: dt.datetime) -> None:
    add(database, now, 1)
    first = claim_one(database, now)
    assert claim(database, now + LEASE - MINUTE) is None
    second = claim_one(database, now + LEASE)
    assert second.tries == 2
    assert second.message_id_header("relay.example") == first.message_id_header("relay.example")


def test_a_late_failure_does_not_disturb_who_claimed_since(database: Database, now: dt.datetime) -> None:
    add(database, now, 1)
    first = claim_one(database, now)
    claim_one(database, now + LEASE)
    with database.writing() as session:
        outbox.mark_failed(session, first, "too late", now + LEASE)
    assert stored(database).next_try_at == now + 2 * LEASE
    assert stored(database).last_error is None


def test_a_sent_notice_is_never_due_again(database: Database, now: dt.datetime) -> None:
    add(database, now, 1)
    claimed = claim_one(database, now)
    with database.writing() as session:
        outbox.mark_sent(session, claimed, now)
    assert stored(database).sent_at == now
    assert claim(database, now + 1000 * LEASE) is None


def test_a_failed_notice_keeps_its_error_and_waits(database: Database, now: dt.datetime) -> None:
    add(database, now, 1)
    claimed = claim_one(database, now)
    with database.writing() as session:
        outbox.mark_failed(session, claimed, "the submission server is away", now)
    assert stored(database).last_error == "the submission server is away"
    assert claim(database, now + MINUTE - dt.timedelta(seconds=1)) is None
    assert claim_one(database, now + MINUTE).tries == 2


def test_after_the_last_try_a_notice_stays_unsent_with_its_error(database: Database, now: dt.datetime) -> None:
    add(database, now, 1)
    moment = now
    for _ in range(MAX_TRIES):
        claimed = claim_one(database, moment)
        with database.writing() as session:
            outbox.mark_failed(session, claimed, "refused", moment)
        moment += pause_after(claimed.tries)
    assert claim(database, moment) is None
    assert (stored(database).sent_at, stored(database).last_error) == (None, "refused")
    assert moment - now > dt.timedelta(days=4)


def test_the_notice_due_for_longest_comes_first(database: Database, now: dt.datetime) -> None:
    add(database, now, 2)
    add(database, now - MINUTE, 1)
    assert [claim_one(database, now).recipient_id for _ in range(2)] == [1, 2]


@pytest.mark.parametrize(("tries", "minutes"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60)])
def test_pauses_double_up_to_an_hour(tries: int, minutes: int) -> None:
    assert pause_after(tries) == dt.timedelta(minutes=minutes)


@given(st.integers(min_value=1, max_value=10_000))
def test_a_later_pause_is_never_shorter(tries: int) -> None:
    assert MINUTE <= pause_after(tries) <= pause_after(tries + 1) <= 60 * MINUTE
