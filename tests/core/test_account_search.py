import datetime as dt

import pytest
from sqlalchemy.orm import Session

from sendproof_core import account_search, directory
from sendproof_core.account_search import Which
from sendproof_core.database import Database
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Account

NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)


def _account(session: Session, login: str, plan: str = "personal", address: str | None = None) -> Account:
    return directory.add_account(
        session,
        login=login,
        password_hash="x",
        plan_name=plan,
        time_zone="UTC",
        tracking=False,
        notice_address=None,
        address=address,
        now=NOW,
    )


@pytest.fixture
def database(either_database: Database) -> Database:
    with either_database.writing() as session:
        for plan in ("personal", "office"):
            directory.add_plan(session, plan, QuotaLimits())
        max_ = _account(session, "max", address="max@Mail.example")
        eva = _account(session, "eva", "office")
        boss = _account(session, "boss")
        _account(session, "per_cent")
        _account(session, "perxcent")
        for number in range(5):
            directory.add_domain(session, f"shop{number}.example", max_, NOW)
        directory.add_own_address(session, eva, "eva@company.example", NOW)
        directory.add_credential(session, eva, login="eva-phone", label="Telephone", secret="s", now=NOW)
        directory.suspend(eva, "unpaid", NOW)
        boss.is_provider = True
    return either_database


def _found(database: Database, text: str = "", **wanted: object) -> list[str]:
    with database.reading() as session:
        page = account_search.find(session, text, **wanted)  # type: ignore[arg-type] # each test names its own
        return [row.login for row in page.rows]


@pytest.mark.parametrize(
    ("text", "logins"),
    [
        ("MAX", ["max"]),
        ("mail.example", ["max"]),
        ("shop3", ["max"]),
        ("company", ["eva"]),
        ("phone", ["eva"]),
        ("%", []),
        ("r_c", ["per_cent"]),
        (".example", ["eva", "max"]),
        ("nobody", []),
        ("' OR 1=1 --", []),
        ("", ["boss", "eva", "max", "per_cent", "perxcent"]),
    ],
)
def test_an_account_is_found_by_what_belongs_to_it(database: Database, text: str, logins: list[str]) -> None:
    assert _found(database, text) == logins


def test_accounts_are_told_apart_by_state_and_plan(database: Database) -> None:
    assert _found(database, which=Which.SUSPENDED) == ["eva"]
    assert _found(database, which=Which.LIVE) == ["boss", "max", "per_cent", "perxcent"]
    assert _found(database, which=Which.TEST) == []
    assert _found(database, which=Which.PROVIDER) == ["boss"]
    assert _found(database, plan="office") == ["eva"]
    with database.reading() as session:
        assert account_search.count(session)[Which.ALL] == 5


def test_pages_follow_one_another_without_gap_or_repetition(database: Database) -> None:
    seen: list[str] = []
    after = None
    with database.reading() as session:
        for _ in range(5):
            page = account_search.find(session, after=after, limit=1)
            seen += [row.login for row in page.rows]
            after = page.next
    assert (seen, after) == (["boss", "eva", "max", "per_cent", "perxcent"], None)


def test_only_the_first_domains_are_named(database: Database) -> None:
    with database.reading() as session:
        (row,) = account_search.find(session, "max").rows
    assert row.domains == ("shop0.example", "shop1.example", "shop2.example")
    assert row.more_domains == 2
