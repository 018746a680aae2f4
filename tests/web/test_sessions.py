import datetime as dt

import pytest
from sqlalchemy import select

from sendproof_core.database import Database
from sendproof_core.schema import Account, SiteSession
from sendproof_testing import sample_record
from sendproof_web import sessions

NOW = sample_record.SENT_AT
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def database(either_database: Database) -> Database:
    with either_database.writing() as session:
        sample_record.fill(session)
        sample_record.add_people(session)
    return either_database


def begin(database: Database, login: str, now: dt.datetime = NOW) -> str:
    with database.writing() as session:
        account_id = session.scalars(select(Account.id).where(Account.login == login)).one()
        return sessions.begin(session, account_id, client_address="192.0.2.7", user_agent="x\0y" * 200, now=now)


def find(database: Database, token: str, now: dt.datetime) -> str | None:
    with database.reading() as session:
        found = sessions.find(session, token, now)
        return found[0].login if found else None


def test_a_token_is_found_until_it_is_unused_for_too_long(database: Database) -> None:
    token = begin(database, "max")
    assert find(database, token, NOW + sessions.IDLE) == "max"
    assert find(database, token, NOW + sessions.IDLE + MINUTE) is None
    assert find(database, token[:-1], NOW) is None
    assert find(database, "", NOW) is None


def test_a_session_that_is_used_ends_all_the_same(database: Database) -> None:
    token = begin(database, "max")
    late = NOW + sessions.LIFETIME - MINUTE
    with database.writing() as session:
        found = sessions.find(session, token, NOW)
        assert found
        assert not found[1]
        sessions.seen(session, found[0].session_id, late)
    assert find(database, token, late) == "max"
    assert find(database, token, late + 2 * MINUTE) is None


def test_the_token_itself_is_not_kept(database: Database) -> None:
    token = begin(database, "max")
    with database.reading() as session:
        row = session.scalars(select(SiteSession)).one()
        assert token.encode() not in row.token_hash
        assert len(row.user_agent) == 300


def test_giving_the_password_again_gives_another_token(database: Database) -> None:
    token = begin(database, "max")
    with database.writing() as session:
        found = sessions.find(session, token, NOW)
        assert found
        renewed = sessions.renew(session, found[0].session_id, NOW + MINUTE)
    assert find(database, token, NOW + MINUTE) is None
    with database.reading() as session:
        again = sessions.find(session, renewed, NOW + MINUTE)
        assert again
        assert again[0].authenticated_at == NOW + MINUTE


def test_only_ones_own_open_sessions_are_listed_and_ended(database: Database) -> None:
    mine, theirs = begin(database, "max"), begin(database, "eva")
    begin(database, "max", NOW - sessions.LIFETIME - MINUTE)
    later = begin(database, "max", NOW + MINUTE)
    with database.writing() as session:
        eva = session.scalars(select(Account).where(Account.login == "eva")).one()
        max_ = session.scalars(select(Account).where(Account.login == "max")).one()
        listed = sessions.open_sessions(session, max_.id, NOW + MINUTE)
        assert [one.created_at for one in listed] == [NOW + MINUTE, NOW]
        assert not sessions.end_one_of(session, eva.id, listed[0].id, NOW)
        assert sessions.end_one_of(session, max_.id, listed[0].id, NOW)
        assert not sessions.end_one_of(session, max_.id, listed[0].id, NOW)
    assert [find(database, token, NOW + MINUTE) for token in (mine, theirs, later)] == ["max", "eva", None]


def test_old_sessions_are_forgotten_when_a_new_one_begins(database: Database) -> None:
    begin(database, "max", NOW - sessions.KEPT - MINUTE)
    begin(database, "eva", NOW - sessions.KEPT - MINUTE)
    begin(database, "max")
    with database.reading() as session:
        assert len(session.scalars(select(SiteSession)).all()) == 2


def test_a_provider_who_acts_sees_the_other_account_and_no_customer_can(database: Database) -> None:
    tokens = [begin(database, "boss"), begin(database, "eva")]
    with database.writing() as session:
        max_id = session.scalars(select(Account.id).where(Account.login == "max")).one()
        for row in session.scalars(select(SiteSession)):
            row.acting_as_id = max_id
    with database.reading() as session:
        boss, eva = (sessions.find(session, token, NOW) for token in tokens)
    assert boss
    assert eva
    assert (boss[0].login, boss[0].actor_login, boss[0].is_acting) == ("max", "boss", True)
    assert (eva[0].login, eva[0].is_acting) == ("eva", False)
