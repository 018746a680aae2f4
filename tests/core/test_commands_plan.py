import dataclasses
import datetime as dt
from collections.abc import Callable

import pytest
from sqlalchemy import select

from sendproof_core import clock, directory
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Plan, QuotaUse

Command = Callable[..., str]
_LIMITS = [field.name for field in dataclasses.fields(QuotaLimits)]


def _limits(database: Database, name: str) -> QuotaLimits:
    with database.reading() as session:
        return directory.plan_limits(directory.find_plan(session, name))


def test_a_plan_without_a_number_has_no_limit(ready: Command, sqlite_database: Database) -> None:
    ready("plan", "add", "notices")
    with sqlite_database.reading() as session:
        rows = session.execute(select(Plan.name, Plan.recipients_per_day).order_by(Plan.name)).all()
        assert [tuple(row) for row in rows] == [("notices", None), ("personal", 200)]


@pytest.mark.parametrize("limit", _LIMITS)
def test_each_limit_can_be_set_and_taken_away(ready: Command, sqlite_database: Database, limit: str) -> None:
    option = f"--{limit.replace('_', '-')}"
    ready("plan", "add", "a", option, "7")
    assert _limits(sqlite_database, "a") == QuotaLimits(**{limit: 7})
    ready("plan", "change", "a", option, "8")
    assert _limits(sqlite_database, "a") == QuotaLimits(**{limit: 8})
    ready("plan", "change", "a", option, "none")
    assert _limits(sqlite_database, "a") == QuotaLimits()


def test_a_limit_that_is_not_named_stays(ready: Command, sqlite_database: Database) -> None:
    ready("plan", "change", "personal", "--messages-per-hour", "20")
    assert _limits(sqlite_database, "personal") == QuotaLimits(recipients_per_day=200, messages_per_hour=20)


@pytest.mark.parametrize(
    ("given", "said"), [("many", "a whole number or 'none', not 'many'"), ("0", "from 1 to"), ("2147483648", "from 1")]
)
def test_what_cannot_be_a_limit_is_refused(ready: Command, given: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        ready("plan", "change", "personal", "--messages-per-hour", given)


def test_the_list_shows_who_has_a_plan_and_its_limits(ready: Command) -> None:
    ready("plan", "add", "free", "--messages-per-month", "5", "--message-octets", "1000")
    assert ready("plan", "list").splitlines() == [
        "PLAN      ACCOUNTS  LIMITS",
        "free      0         messages per month 5, message octets 1000",
        "personal  1         recipients per day 200",
    ]


def test_without_a_plan_the_list_says_so(sendproof: Command, sqlite_database: Database) -> None:
    del sqlite_database
    assert "`sendproof plan add` makes one" in sendproof("plan", "list")


def test_a_plan_is_shown_with_who_has_it(ready: Command) -> None:
    shown = ready("plan", "show", "personal").splitlines()
    assert "recipients per day:     200" in shown
    assert "messages per hour:      none" in shown
    assert shown[-1] == "accounts:               max"


def test_a_plan_can_have_another_name(ready: Command) -> None:
    ready("plan", "change", "personal", "--name", "home")
    assert "home" in ready("plan", "list")
    with pytest.raises(UserError, match="no plan named 'personal'"):
        ready("plan", "show", "personal")


def test_only_a_plan_that_nobody_has_is_deleted(ready: Command) -> None:
    with pytest.raises(UserError, match="1 account has the plan"):
        ready("plan", "delete", "personal")
    ready("plan", "add", "unused")
    assert ready("plan", "delete", "unused") == "deleted plan unused\n"


def test_other_limits_are_tried_and_nothing_is_changed(ready: Command, sqlite_database: Database) -> None:
    with sqlite_database.writing() as session:
        begins = clock.now() - dt.timedelta(days=2)
        session.add(
            QuotaUse(account_id=1, span="day", window_begins=begins, messages=9, recipients=150, new_recipients=0)
        )
    lines = ready("plan", "try", "personal", "--recipients-per-day", "100").splitlines()
    assert lines[0] == "accounts with the plan: 1"
    assert lines[-1].split() == ["recipients", "per", "day", "200", "100", "150", "1", "1", "max"]
    assert _limits(sqlite_database, "personal") == QuotaLimits(recipients_per_day=200)
    with pytest.raises(UserError, match="no other limit was given"):
        ready("plan", "try", "personal", "--recipients-per-day", "200")
