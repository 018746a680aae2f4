import datetime as dt
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from sendproof_core import audit, directory, plan_changes
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import AuditEntry

NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)


def _entries(session: Session) -> list[tuple[str, dict[str, Any]]]:
    return [(entry.event, entry.details) for entry in session.scalars(select(AuditEntry).order_by(AuditEntry.id))]


def test_a_plan_s_life_is_in_the_audit_log(sqlite_database: Database) -> None:
    with sqlite_database.writing() as session:
        plan = plan_changes.create(session, "a", QuotaLimits(messages_per_day=5), audit.COMMAND, NOW)
        limits = QuotaLimits(messages_per_day=6, recipients_per_hour=2)
        plan_changes.change(session, plan, limits, audit.COMMAND, NOW, name="b")
        assert plan_changes.change(session, plan, limits, audit.COMMAND, NOW, name="b") == {}
        plan_changes.remove(session, plan, audit.COMMAND, NOW)
        assert _entries(session) == [
            ("plan created", {"plan": "a", "messages_per_day": 5}),
            (
                "plan changed",
                {"plan": "b", "messages_per_day": [5, 6], "recipients_per_hour": [None, 2], "name": ["a", "b"]},
            ),
            ("plan deleted", {"plan": "b", "messages_per_day": 6, "recipients_per_hour": 2}),
        ]


def test_the_edition_changes_with_the_name_and_with_each_limit(sqlite_database: Database) -> None:
    with sqlite_database.writing() as session:
        plan = directory.add_plan(session, "a", QuotaLimits())
        seen = {plan_changes.edition(plan)}
        plan_changes.change(session, plan, QuotaLimits(messages_per_day=1), audit.COMMAND, NOW)
        seen.add(plan_changes.edition(plan))
        plan_changes.change(session, plan, QuotaLimits(messages_per_hour=1), audit.COMMAND, NOW)
        seen.add(plan_changes.edition(plan))
        plan_changes.change(session, plan, QuotaLimits(messages_per_hour=1), audit.COMMAND, NOW, name="b")
        seen.add(plan_changes.edition(plan))
        assert len(seen) == 4


def test_a_plan_that_accounts_have_stays(sqlite_database: Database) -> None:
    with sqlite_database.writing() as session:
        plan = directory.add_plan(session, "a", QuotaLimits())
        directory.add_account(
            session,
            login="max",
            password_hash="x",
            plan_name="a",
            time_zone="UTC",
            tracking=False,
            notice_address=None,
            now=NOW,
        )
        with pytest.raises(UserError, match="1 account has the plan 'a'"):
            plan_changes.remove(session, plan, audit.COMMAND, NOW)


def test_two_plans_never_share_a_name(sqlite_database: Database) -> None:
    with sqlite_database.writing() as session:
        directory.add_plan(session, "a", QuotaLimits())
        other = directory.add_plan(session, "b", QuotaLimits())
        with pytest.raises(UserError, match="named 'a' already"):
            plan_changes.change(session, other, QuotaLimits(), audit.COMMAND, NOW, name="a")
