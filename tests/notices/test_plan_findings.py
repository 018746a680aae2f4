"""Limits that are nearly or wholly used are told once for each window."""

import datetime as dt

import pytest

from sendproof_core.database import Database
from sendproof_core.plans import windows
from sendproof_core.schema import QuotaUse
from sendproof_core.states import Span
from sendproof_notices import outbox, plan_findings
from sendproof_notices.findings import Finding
from sendproof_testing.notice_record import OWN, add_account, prefer

ZONE = "Europe/Vienna"


def use(database: Database, account_id: int, now: dt.datetime, span: Span, **used: int) -> None:
    counted = {"messages": 0, "recipients": 0, "new_recipients": 0, **used}
    begins = getattr(windows(now, ZONE), span).begins
    with database.writing() as session:
        session.merge(QuotaUse(account_id=account_id, span=span.value, window_begins=begins, **counted))


def found(database: Database, now: dt.datetime) -> list[Finding]:
    with database.reading() as session:
        return list(plan_findings.find(session, OWN, now))


def tell(database: Database, now: dt.datetime) -> list[int]:
    """Put it into the outbox; the per cents."""
    told = found(database, now)
    with database.writing() as session:
        outbox.add(session, told, "relay.example", now)
    return [one.data["percent"] for one in told]


@pytest.mark.parametrize(("used", "percents"), [(0, []), (79, []), (80, [80]), (99, [80]), (100, [100]), (120, [100])])
def test_four_fifths_and_the_whole_are_told(
    database: Database, now: dt.datetime, used: int, percents: list[int]
) -> None:
    account_id = add_account(database, "max", limits={"recipients_per_day": 100})
    use(database, account_id, now, Span.DAY, recipients=used)
    assert tell(database, now) == percents
    assert tell(database, now) == []


def test_it_is_the_same_on_both_kinds_of_databases(either_database: Database, now: dt.datetime) -> None:
    account_id = add_account(
        either_database,
        "max",
        limits={"messages_per_hour": 10, "recipients_per_month": 100, "new_recipients_per_day": 5},
    )
    use(either_database, account_id, now, Span.HOUR, messages=10)
    use(either_database, account_id, now, Span.DAY, new_recipients=4)
    use(either_database, account_id, now, Span.MONTH, recipients=79)
    told = {one.data["limit"]: (one.data["used"], one.data["percent"]) for one in found(either_database, now)}
    assert told == {"messages_per_hour": (10, 100), "new_recipients_per_day": (4, 80)}


def test_the_whole_is_told_after_four_fifths_and_never_the_other_way_round(
    database: Database, now: dt.datetime
) -> None:
    account_id = add_account(database, "max", limits={"recipients_per_day": 100})
    for used, percents in ((85, [80]), (100, [100]), (90, [])):  # a charge was taken back
        use(database, account_id, now, Span.DAY, recipients=used)
        assert tell(database, now) == percents


def test_the_next_window_is_told_again(database: Database, now: dt.datetime) -> None:
    account_id = add_account(database, "max", limits={"recipients_per_day": 100})
    for day in range(2):
        at = now + dt.timedelta(days=day)
        use(database, account_id, at, Span.DAY, recipients=100)
        (one,) = found(database, at)
        assert one.data["resets"] == windows(at, ZONE).day.ends.isoformat()
        assert tell(database, at) == [100]


def test_nobody_is_told_who_does_not_want_to_or_has_no_limit(database: Database, now: dt.datetime) -> None:
    quiet = add_account(database, "quiet", limits={"recipients_per_day": 100})
    prefer(database, quiet)
    nowhere = add_account(database, "nowhere", limits={"recipients_per_day": 100}, notice_address=None)
    free, none = add_account(database, "free"), add_account(database, "none", limits={"recipients_per_day": 0})
    for account_id in (quiet, nowhere, free, none):
        use(database, account_id, now, Span.DAY, recipients=100)
    assert found(database, now) == []


def test_only_the_early_word_waits_for_a_digest(database: Database, now: dt.datetime) -> None:
    account_id = add_account(database, "max", limits={"recipients_per_day": 100, "messages_per_day": 10})
    prefer(database, account_id, plan_use=True, digest="daily")
    use(database, account_id, now, Span.DAY, recipients=100, messages=8)
    assert {one.data["percent"]: one.waits for one in found(database, now)} == {80: True, 100: False}
