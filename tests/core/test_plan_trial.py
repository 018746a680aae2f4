import dataclasses
import datetime as dt
import uuid

import pytest
from sqlalchemy.orm import Session

from sendproof_core import directory, plan_trial
from sendproof_core.database import Database
from sendproof_core.plan_trial import PlanTrial
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Account, Message, QuotaUse, Refusal

NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)
_DAY = dt.timedelta(days=1)
_NOW_DAY = NOW.replace(hour=0, minute=0, second=0)


def _account(session: Session, login: str, plan: str = "personal") -> Account:
    return directory.add_account(
        session,
        login=login,
        password_hash="x",
        plan_name=plan,
        time_zone="UTC",
        tracking=False,
        notice_address=None,
        now=NOW,
    )


def _use(session: Session, account: Account, span: str, begins: dt.datetime, recipients: int) -> None:
    session.add(
        QuotaUse(
            account_id=account.id,
            span=span,
            window_begins=begins,
            messages=recipients // 2,
            recipients=recipients,
            new_recipients=1,
        )
    )


def _message(session: Session, account: Account, number: int, recipients: int, at: dt.datetime = NOW) -> None:
    session.add(
        Message(
            id=uuid.UUID(int=number),
            account_id=account.id,
            login="x",
            credential_label="x",
            submitted_at=at,
            envelope_sender="",
            message_id_header=None,
            subject=None,
            size_bytes=recipients * 1000,
            client_address=None,
            client_tls=None,
            recipient_count=recipients,
            signatures=[],
            pixel="off",
        )
    )


@pytest.fixture
def database(either_database: Database) -> Database:
    with either_database.writing() as session:
        directory.add_plan(session, "personal", QuotaLimits(recipients_per_day=500))
        directory.add_plan(session, "other", QuotaLimits())
        max_, eva, stranger = _account(session, "max"), _account(session, "eva"), _account(session, "zoe", "other")
        for days, recipients in ((1, 400), (2, 90), (31, 499)):
            _use(session, max_, "day", _NOW_DAY - days * _DAY, recipients)
        _use(session, eva, "day", _NOW_DAY - 3 * _DAY, 450)
        _use(session, eva, "day", _NOW_DAY - 4 * _DAY, 101)
        _use(session, eva, "hour", _NOW_DAY, 77)
        _use(session, eva, "month", _NOW_DAY - 70 * _DAY, 5000)
        _use(session, eva, "month", _NOW_DAY - 21 * _DAY, 900)
        _use(session, stranger, "day", _NOW_DAY - _DAY, 9000)
        _message(session, max_, 1, 12)
        _message(session, eva, 2, 3)
        _message(session, eva, 3, 40, NOW - 31 * _DAY)
        for reason in ("over-quota", "over-quota", "foreign-from"):
            session.add(
                Refusal(
                    account_id=max_.id,
                    login="max",
                    refused_at=NOW,
                    host="edge1",
                    queue_id=None,
                    envelope_sender="",
                    recipients=[],
                    subject=None,
                    reason=reason,
                    reply="550",
                    line_key=len(session.new),
                )
            )
    return either_database


def _run(database: Database, **limits: int | None) -> PlanTrial:
    with database.reading() as session:
        plan = directory.find_plan(session, "personal")
        before = directory.plan_limits(plan)
        return plan_trial.run(session, plan, before, dataclasses.replace(before, **limits), NOW)


def test_windows_above_the_new_limit_are_counted_with_their_accounts(database: Database) -> None:
    trial = _run(database, recipients_per_day=100)
    (one,) = trial.limits
    assert (one.before, one.after, one.over, one.accounts, one.most) == (500, 100, 3, 2, 450)
    assert one.logins == ("eva", "max")
    assert one.is_tighter
    assert (trial.accounts, trial.refused) == (2, 2)


def test_a_limit_that_nobody_reached_hurts_nobody(database: Database) -> None:
    (one,) = _run(database, recipients_per_day=450).limits
    assert (one.over, one.accounts, one.logins, one.most) == (0, 0, (), 450)


def test_taking_a_limit_away_is_no_tightening(database: Database) -> None:
    (one,) = _run(database, recipients_per_day=None).limits
    assert (one.over, one.most, one.is_tighter) == (0, 450, False)


def test_a_month_that_began_before_the_days_counts_and_an_older_one_does_not(database: Database) -> None:
    (one,) = _run(database, recipients_per_month=800).limits
    assert (one.over, one.most) == (1, 900)


def test_each_message_is_held_against_the_limits_of_one_message(database: Database) -> None:
    recipients, octets = sorted(_run(database, recipients_per_message=10, message_octets=2000).limits, key=str)
    by_name = {one.name: one for one in (recipients, octets)}
    assert by_name["recipients_per_message"].over == 1
    assert by_name["recipients_per_message"].logins == ("max",)
    assert by_name["message_octets"].over == 2
    assert all(one.is_of_messages for one in by_name.values())


def test_only_what_differs_is_tried(database: Database) -> None:
    assert _run(database, recipients_per_day=500).limits == ()


@pytest.mark.parametrize("limit", [field.name for field in dataclasses.fields(QuotaLimits)])
def test_each_limit_can_be_tried(database: Database, limit: str) -> None:
    (one,) = _run(database, **{limit: 1}).limits
    assert one.name == limit
