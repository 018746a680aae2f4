import concurrent.futures
import datetime as dt
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sendproof_core import account_changes, directory
from sendproof_core.audit import Actor
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Account, AuditEntry, MailRequest

NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)
BOSS = Actor(7, "boss", "192.0.2.7")


@pytest.fixture
def session(sqlite_database: Database) -> Iterator[Session]:
    with sqlite_database.writing() as session:
        directory.add_plan(session, "personal", QuotaLimits())
        directory.add_plan(session, "office", QuotaLimits())
        yield session


@pytest.fixture
def account(session: Session) -> Account:
    return directory.add_account(
        session,
        login="max",
        password_hash="x",
        plan_name="personal",
        time_zone="UTC",
        tracking=False,
        notice_address=None,
        address="max@mail.example",
        language="de",
        now=NOW,
    )


def _entries(session: Session) -> list[tuple[str, dict[str, Any]]]:
    return [(entry.event, entry.details) for entry in session.scalars(select(AuditEntry).order_by(AuditEntry.id))]


def _letters(session: Session) -> list[tuple[str, str, str | None]]:
    session.flush()
    return [(one.kind, one.to_address, one.language) for one in session.scalars(select(MailRequest))]


def test_a_change_is_noted_with_both_values_and_who_did_it(session: Session, account: Account) -> None:
    changed = account_changes.change(session, account, BOSS, NOW, plan_name="office", test_mode=True, tracking=False)
    assert changed == {"plan": ["personal", "office"], "test_mode": [False, True]}
    (entry,) = session.scalars(select(AuditEntry)).all()
    assert (entry.event, entry.details) == ("account changed", changed)
    assert (entry.actor_id, entry.actor, entry.client_address, entry.account_id) == (7, "boss", "192.0.2.7", account.id)


def test_what_is_as_before_is_noted_nowhere(session: Session, account: Account) -> None:
    same: dict[str, Any] = {"plan_name": "personal", "time_zone": "UTC", "address": "max@mail.example"}
    assert account_changes.change(session, account, BOSS, NOW, **same) == {}
    assert _entries(session) == []


def test_another_address_is_confirmed_and_the_one_before_learns_of_it(session: Session, account: Account) -> None:
    account_changes.change(session, account, BOSS, NOW, address="new@mail.example")
    assert (account.address, account.address_confirmed_at) == ("new@mail.example", NOW)
    assert ("address-changed", "max@mail.example", "de") in _letters(session)


def test_an_address_can_be_taken_away(session: Session, account: Account) -> None:
    account_changes.change(session, account, BOSS, NOW, address="")
    assert (account.address, account.address_key, account.address_confirmed_at) == (None, None, None)
    assert _entries(session) == [("account changed", {"address": ["max@mail.example", None]})]


def test_the_owner_reads_why_the_account_is_suspended_once_for_each_reason(session: Session, account: Account) -> None:
    for reason in ("unpaid", "unpaid", "complaints"):
        account_changes.suspend(session, account, reason, BOSS, NOW)
    assert _entries(session) == [
        ("account suspended", {"reason": "unpaid"}),
        ("account suspended", {"reason": "complaints"}),
    ]
    assert _letters(session) == [("suspended", "max@mail.example", "de")] * 2
    account_changes.reinstate(session, account, BOSS, NOW)
    account_changes.reinstate(session, account, BOSS, NOW)
    assert [event for event, _ in _entries(session)].count("account reinstated") == 1
    assert account.suspended_at is None


def test_nobody_is_written_to_at_an_address_that_was_never_confirmed(session: Session, account: Account) -> None:
    account.address_confirmed_at = None
    account_changes.suspend(session, account, "unpaid", BOSS, NOW)
    assert _letters(session) == []


def test_a_reason_that_no_refusal_can_hold_changes_nothing(session: Session, account: Account) -> None:
    with pytest.raises(UserError):
        account_changes.suspend(session, account, "two\nlines", BOSS, NOW)
    assert (account.suspended_at, _entries(session)) == (None, [])


def test_a_credential_is_revoked_and_noted_once(session: Session, account: Account) -> None:
    directory.add_credential(session, account, login="phone", label="Telephone", secret="s", now=NOW)
    account_changes.revoke_credential(session, "phone", BOSS, NOW)
    account_changes.revoke_credential(session, "phone", BOSS, NOW + dt.timedelta(minutes=1))
    assert _entries(session) == [("credential revoked", {"login": "phone", "label": "Telephone"})]


def test_no_secret_is_noted_when_an_account_is_made(session: Session, account: Account) -> None:
    account_changes.created(session, account, BOSS, NOW)
    assert _entries(session) == [
        ("account created", {"login": "max", "plan": "personal", "address": "max@mail.example"})
    ]


def test_of_two_providers_who_take_the_role_from_each_other_one_keeps_it(either_database: Database) -> None:
    with either_database.writing() as session:
        directory.add_plan(session, "personal", QuotaLimits())
        for login in ("anna", "boss"):
            directory.add_account(
                session,
                login=login,
                password_hash="x",
                plan_name="personal",
                time_zone="UTC",
                tracking=False,
                notice_address=None,
                is_provider=True,
                now=NOW,
            )
    both_are_let_in = threading.Barrier(2)

    def take_from(names: tuple[str, str]) -> bool:
        with either_database.reading() as session:
            actor_id = directory.find_account(session, names[0]).id
        both_are_let_in.wait(5)
        with either_database.writing() as session:
            account, actor = directory.find_account(session, names[1]), Actor(actor_id, names[0], None)
            return account_changes.give_role(session, account, actor, NOW, is_provider=False)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        done = list(pool.map(take_from, (("anna", "boss"), ("boss", "anna"))))
    assert sorted(done) == [False, True]
    with either_database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Account).where(Account.is_provider)) == 1
