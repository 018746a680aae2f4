import datetime as dt

import pytest

from sendproof_core import refusal_list
from sendproof_core.database import Database
from sendproof_core.refusal_list import Cursor, Wanted
from sendproof_core.schema import Account, Refusal
from sendproof_testing import sample_record

NOW = sample_record.SENT_AT


@pytest.fixture
def database(either_database: Database) -> Database:
    with either_database.writing() as session:
        sample_record.fill(session)
        max_id = session.query(Account.id).filter(Account.login == "max").scalar()
        for number, (account_id, login, source, reason) in enumerate(
            (
                (max_id, "phone", "milter", "over-quota"),
                (None, "root", "sign-in", "sign-in failed"),
                (4711, "x", "postfix", "reject"),
            )
        ):
            session.add(
                Refusal(
                    account_id=account_id,
                    login=login,
                    refused_at=NOW,  # one moment for all: the number decides
                    host="edge1",
                    queue_id=None,
                    envelope_sender="",
                    recipients=[],
                    subject=None,
                    reason=reason,
                    reply=f"550 number {number} 100%",
                    source=source,
                    client_address="192.0.2.9",
                    line_key=number,
                )
            )
            session.flush()
    return either_database


@pytest.mark.parametrize(
    ("wanted", "logins"),
    [
        (Wanted(), ["x", "root", "phone", "max"]),
        (Wanted(account="max"), ["phone", "max"]),
        (Wanted(account="nobody"), []),
        (Wanted(source="sign-in"), ["root"]),
        (Wanted(reason="over-quota"), ["phone"]),
        (Wanted(text="NUMBER 1"), ["root"]),
        (Wanted(text="%"), ["x", "root", "phone"]),
        (Wanted(text="192.0.2.9"), ["x", "root", "phone"]),
        (Wanted(since=NOW), ["x", "root", "phone"]),
    ],
)
def test_what_fits_is_found_newest_first(database: Database, wanted: Wanted, logins: list[str]) -> None:
    with database.reading() as session:
        assert [row.login for row in refusal_list.find(session, wanted).rows] == logins


def test_pages_follow_one_another_also_within_one_moment(database: Database) -> None:
    seen: list[str] = []
    after: Cursor | None = None
    with database.reading() as session:
        for _ in range(4):
            page = refusal_list.find(session, Wanted(), after=after, limit=1)
            seen += [row.login for row in page.rows]
            after = Cursor.read(page.next.written) if page.next else None
    assert (seen, after) == (["x", "root", "phone", "max"], None)


@pytest.mark.parametrize("text", ["", "x", "2026-11-22T13:03:05~1", "2026-11-22T13:03:05Z~x", "2026-11-22T13:03:05Z~²"])
def test_what_is_no_place_in_the_list_is_none(text: str) -> None:
    assert Cursor.read(text) is None


def test_an_account_that_is_gone_is_not_linked(database: Database) -> None:
    with database.reading() as session:
        (row,) = refusal_list.find(session, Wanted(source="postfix")).rows
    assert (row.account_id, row.account) == (None, None)


def test_the_reasons_of_the_time_are_listed(database: Database) -> None:
    with database.reading() as session:
        assert list(refusal_list.reasons(session, NOW)) == ["over-quota", "reject", "sign-in failed"]
        assert refusal_list.reasons(session, NOW + dt.timedelta(seconds=1)) == []
