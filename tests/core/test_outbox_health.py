"""The operator sees how many notices wait, since when, and which were given up."""

import datetime as dt

from sendproof_core import outbox_health
from sendproof_core.database import Database
from sendproof_core.outbox_health import LATE
from sendproof_core.schema import Notice

NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def add(database: Database, key: str, state: str, **values: object) -> None:
    usual = {"created_at": NOW - 2 * HOUR, "next_try_at": NOW - HOUR, "tries": 0, "fence": 0}
    with database.writing() as session:
        session.add(
            Notice(
                **{
                    "key": key, "kind": "failed", "account_id": 1, "to_address": "max@home.example", "state": state,
                    **usual, **values,
                }
            )
        )  # fmt: skip


def read(database: Database) -> outbox_health.OutboxHealth:
    with database.reading() as session:
        return outbox_health.read(session, NOW)


def test_an_empty_outbox_is_well(either_database: Database) -> None:
    found = read(either_database)
    assert (found.waiting, found.claimed, found.failed, found.sent_last_day) == (0, 0, 0, 0)
    assert not found.is_late(NOW)


def test_each_state_is_counted_and_failures_are_named(either_database: Database) -> None:
    add(either_database, "waits", "waiting", next_try_at=NOW + HOUR, tries=3, last_error="away")
    add(either_database, "due", "waiting")
    add(either_database, "claimed", "claimed")
    add(either_database, "sent", "sent", sent_at=NOW - HOUR)
    add(either_database, "sent long ago", "sent", sent_at=NOW - 25 * HOUR)
    add(either_database, "failed", "failed", tries=125, last_error="refused")
    found = read(either_database)
    assert (found.waiting, found.claimed, found.failed, found.sent_last_day) == (2, 1, 1, 1)
    assert found.due_since == NOW - HOUR
    assert found.is_late(NOW)
    assert [(one.last_error, one.next_try_at) for one in found.newest_failed] == [("refused", None)]
    assert [(one.last_error, one.next_try_at) for one in found.troubled] == [("away", NOW + HOUR)]


def test_what_became_due_a_moment_ago_is_not_late(sqlite_database: Database) -> None:
    add(sqlite_database, "due", "waiting", next_try_at=NOW - LATE)
    assert not read(sqlite_database).is_late(NOW)
