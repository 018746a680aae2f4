import dataclasses
from collections.abc import Callable

import pytest
from sqlalchemy import select

from sendproof_core import directory
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Plan

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
