import datetime as dt

import pytest
from sqlalchemy import select

from sendproof_core import audit
from sendproof_core.audit import COMMAND, Actor
from sendproof_core.database import Database
from sendproof_core.schema import AuditEntry

NOW = dt.datetime(2026, 11, 22, 13, 0, tzinfo=dt.UTC)


def test_an_entry_says_who_did_what_to_whom_and_from_where(either_database: Database) -> None:
    with either_database.writing() as session:
        boss = Actor(1, "boss", "192.0.2.7")
        audit.record(session, "account suspended", boss, NOW, account_id=2, details={"reason": "unpaid"})
        audit.record(session, "plan added", COMMAND, NOW)
    with either_database.reading() as session:
        first, second = session.scalars(select(AuditEntry).order_by(AuditEntry.id))
        assert (first.at, first.actor_id, first.actor, first.client_address) == (NOW, 1, "boss", "192.0.2.7")
        assert (first.account_id, first.event, first.details) == (2, "account suspended", {"reason": "unpaid"})
        assert (second.actor_id, second.actor, second.account_id, second.details) == (None, "command", None, {})


def test_there_is_no_entry_for_what_was_not_done(sqlite_database: Database) -> None:
    def fail() -> None:
        with sqlite_database.writing() as session:
            audit.record(session, "plan added", COMMAND, NOW)
            raise RuntimeError("it failed")

    with pytest.raises(RuntimeError):
        fail()
    with sqlite_database.reading() as session:
        assert session.scalars(select(AuditEntry)).all() == []
