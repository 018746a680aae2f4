import datetime as dt

import pytest
from sqlalchemy.orm import Session

from sendproof_core import directory, limit_use
from sendproof_core.database import Database
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Account, QuotaUse

# In Vienna the 23rd has begun.
NOW = dt.datetime(2026, 11, 22, 23, 30, tzinfo=dt.UTC)
_VIENNA_DAY = dt.datetime(2026, 11, 22, 23, 0, tzinfo=dt.UTC)


def _account(session: Session, login: str, time_zone: str = "UTC") -> Account:
    return directory.add_account(
        session,
        login=login,
        password_hash="x",
        plan_name="personal",
        time_zone=time_zone,
        tracking=False,
        notice_address=None,
        now=NOW,
    )


def _use(session: Session, account: Account, begins: dt.datetime, recipients: int, span: str = "day") -> None:
    session.add(
        QuotaUse(
            account_id=account.id,
            span=span,
            window_begins=begins,
            messages=recipients,
            recipients=recipients,
            new_recipients=0,
        )
    )


@pytest.fixture
def database(either_database: Database) -> Database:
    with either_database.writing() as session:
        directory.add_plan(session, "personal", QuotaLimits(recipients_per_day=100, recipients_per_month=1000))
        vienna = _account(session, "vienna", "Europe/Vienna")
        _use(session, vienna, _VIENNA_DAY, 30)
        _use(session, vienna, _VIENNA_DAY - dt.timedelta(days=1), 100)
        utc = _account(session, "utc")
        _use(session, utc, NOW.replace(hour=0, minute=0), 100)
        near = _account(session, "near")
        _use(session, near, NOW.replace(hour=0, minute=0), 80)
        under = _account(session, "under")
        _use(session, under, NOW.replace(hour=0, minute=0), 79)
        month = _account(session, "month")
        _use(session, month, NOW.replace(day=1, hour=0, minute=0), 950, "month")
    return either_database


def test_use_is_that_of_the_windows_of_this_moment_in_the_account_s_zone(database: Database) -> None:
    with database.reading() as session:
        uses = {use.name: use for use in limit_use.read(session, directory.find_account(session, "vienna"), NOW)}
    day = uses["recipients_per_day"]
    assert (day.used, day.limit, day.share) == (30, 100, 0.3)
    assert day.resets == _VIENNA_DAY + dt.timedelta(days=1)
    assert (uses["messages_per_hour"].used, uses["messages_per_hour"].limit) == (0, None)
    assert uses["messages_per_hour"].share == 0
    assert len(uses) == 7


def test_who_is_near_a_limit_is_named_with_that_limit_the_nearest_first(database: Database) -> None:
    with database.reading() as session:
        found = limit_use.near_limits(session, NOW)
        assert [(one.login, one.use.name) for one in found] == [
            ("utc", "recipients_per_day"),
            ("month", "recipients_per_month"),
            ("near", "recipients_per_day"),
        ]
        assert [one.login for one in limit_use.near_limits(session, NOW, limit=1)] == ["utc"]


def test_yesterday_s_use_brings_nobody_near_a_limit(database: Database) -> None:
    with database.reading() as session:
        assert limit_use.near_limits(session, NOW + dt.timedelta(days=9)) == ()
