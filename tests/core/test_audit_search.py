import datetime as dt

import pytest

from sendproof_core import audit, audit_search, directory
from sendproof_core.audit import Actor
from sendproof_core.audit_search import Wanted
from sendproof_core.database import Database
from sendproof_core.plans import QuotaLimits

NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)
_HOUR = dt.timedelta(hours=1)


@pytest.fixture
def database(either_database: Database) -> Database:
    with either_database.writing() as session:
        directory.add_plan(session, "personal", QuotaLimits())
        ids = {
            login: directory.add_account(
                session,
                login=login,
                password_hash="x",
                plan_name="personal",
                time_zone="UTC",
                tracking=False,
                notice_address=None,
                now=NOW,
            ).id
            for login in ("max", "boss")
        }
        boss = Actor(ids["boss"], "boss", "192.0.2.7")
        audit.record(session, "plan created", audit.COMMAND, NOW - 3 * _HOUR, details={"plan": "personal"})
        audit.record(session, "account suspended", boss, NOW - 2 * _HOUR, account_id=ids["max"])
        session.flush()
        changed = {"test_mode": [False, True], "address": [None, "a@b.example"], "parts": ["a", "b", "c"]}
        audit.record(session, "account changed", boss, NOW - _HOUR, account_id=ids["max"], details=changed)
        session.flush()
        audit.record(session, "signed in", boss, NOW, account_id=ids["boss"])
    return either_database


@pytest.mark.parametrize(
    ("wanted", "events"),
    [
        (Wanted(), ["signed in", "account changed", "account suspended", "plan created"]),
        (Wanted(account="max"), ["account changed", "account suspended"]),
        (Wanted(account="nobody"), []),
        (Wanted(actor="command"), ["plan created"]),
        (Wanted(actor="boss"), ["signed in", "account changed", "account suspended"]),
        (Wanted(event="ACCOUNT"), ["account changed", "account suspended"]),
        (Wanted(event="%"), []),
        (Wanted(after=NOW - 2 * _HOUR, before=NOW), ["account changed", "account suspended"]),
        (Wanted(account="max", event="suspended"), ["account suspended"]),
    ],
)
def test_what_fits_is_found_newest_first(database: Database, wanted: Wanted, events: list[str]) -> None:
    with database.reading() as session:
        assert [entry.event for entry in audit_search.find(session, wanted).entries] == events


def test_pages_follow_one_another(database: Database) -> None:
    seen: list[str] = []
    below = None
    with database.reading() as session:
        while True:
            page = audit_search.find(session, Wanted(), below=below, limit=1)
            seen += [entry.event for entry in page.entries]
            below = page.next
            if below is None:
                break
        assert audit_search.events(session) == sorted(set(seen))
    assert len(seen) == 4


def test_details_read_as_words(database: Database) -> None:
    with database.reading() as session:
        (entry,) = audit_search.find(session, Wanted(event="account changed")).entries
    assert dict(entry.detail_words) == {"test mode": "no → yes", "address": "none → a@b.example", "parts": "a, b, c"}
    assert (entry.account, entry.actor) == ("max", "boss")


def test_entries_outlive_the_account_that_they_are_about(either_database: Database) -> None:
    with either_database.writing() as session:
        audit.record(session, "account deleted", audit.COMMAND, NOW, account_id=77)
    with either_database.reading() as session:
        (entry,) = audit_search.find(session, Wanted()).entries
    assert (entry.account_id, entry.account) == (77, None)
