import datetime as dt
import uuid

import pytest
from sqlalchemy import select

from sendproof_core import hand_overs, link_tokens
from sendproof_core.database import Database
from sendproof_core.hand_overs import HandOverView
from sendproof_core.schema import Account, HandOver
from sendproof_testing import sample_record
from sendproof_testing.sample_record import OFFER_ID, SENT_AT

KEY = bytes(32)
NOW = SENT_AT + dt.timedelta(hours=1)


@pytest.fixture
def ids(either_database: Database) -> dict[str, int]:
    with either_database.writing() as session:
        sample_record.fill(session)
    with either_database.reading() as session:
        return {row.login: row.id for row in session.execute(select(Account.login, Account.id))}


def make(database: Database, account_id: int, days: int = 7, now: dt.datetime = NOW) -> HandOverView:
    with database.writing() as session:
        made = hand_overs.make(
            session, account_id=account_id, message_id=OFFER_ID, recipient_key="anna@example.net", days=days, now=now
        )
    assert made is not None
    return made


def test_a_link_leads_to_its_recipient_until_it_expires(either_database: Database, ids: dict[str, int]) -> None:
    made = make(either_database, ids["max"])
    token = hand_overs.token(made.id, KEY)
    last = made.expires_at - dt.timedelta(seconds=1)
    with either_database.reading() as session:
        found = hand_overs.follow(session, token, KEY, last)
        assert found is not None
        assert (found.message_id, found.recipient_key, found.account_id) == (OFFER_ID, "anna@example.net", ids["max"])
        assert found.time_zone == "Europe/Vienna"
        assert hand_overs.follow(session, token, KEY, made.expires_at) is None
    assert made.is_open(last)
    assert not made.is_open(made.expires_at)


def test_only_our_key_makes_tokens_and_those_of_other_links_open_nothing(
    either_database: Database, ids: dict[str, int]
) -> None:
    made = make(either_database, ids["max"])
    with either_database.reading() as session:
        for token in (
            hand_overs.token(made.id, bytes([1]) * 32),
            link_tokens.make("reset", made.id, KEY),
            hand_overs.token(uuid.uuid4(), KEY),
            "",
            "é" * 43,
        ):
            assert hand_overs.follow(session, token, KEY, NOW) is None


def test_who_is_not_the_owner_cannot_see_or_end_it(either_database: Database, ids: dict[str, int]) -> None:
    made = make(either_database, ids["max"])
    with either_database.writing() as session:
        assert hand_overs.find(session, ids["eve"], made.id) is None
        assert hand_overs.of_message(session, ids["eve"], OFFER_ID) == ()
        assert hand_overs.of_account(session, ids["eve"], limit=10) == ()
        assert not hand_overs.revoke(session, ids["eve"], made.id, NOW)
        assert hand_overs.find(session, ids["max"], made.id) is not None


def test_revoked_is_revoked_once_and_for_ever(either_database: Database, ids: dict[str, int]) -> None:
    made = make(either_database, ids["max"])
    with either_database.writing() as session:
        assert hand_overs.revoke(session, ids["max"], made.id, NOW)
        assert not hand_overs.revoke(session, ids["max"], made.id, NOW + dt.timedelta(hours=1))
        assert hand_overs.follow(session, hand_overs.token(made.id, KEY), KEY, NOW) is None
        found = hand_overs.find(session, ids["max"], made.id)
    assert found is not None
    assert found.revoked_at == NOW


def test_each_showing_is_counted(either_database: Database, ids: dict[str, int]) -> None:
    made = make(either_database, ids["max"])
    for minutes in (1, 2):
        with either_database.writing() as session:
            hand_overs.count(session, made.id, NOW + dt.timedelta(minutes=minutes))
    with either_database.reading() as session:
        (found,) = hand_overs.of_message(session, ids["max"], OFFER_ID)
    assert (found.shown, found.shown_at) == (2, NOW + dt.timedelta(minutes=2))
    assert found.subject == "Offer 2026-117"


def test_the_list_is_newest_first_and_goes_on_where_it_ended(either_database: Database, ids: dict[str, int]) -> None:
    made = [make(either_database, ids["max"], now=NOW + dt.timedelta(minutes=number // 2)) for number in range(5)]
    seen: list[HandOverView] = []
    with either_database.reading() as session:
        while True:
            before = (seen[-1].created_at, seen[-1].id) if seen else None
            page = hand_overs.of_account(session, ids["max"], limit=2, before=before)
            if not page:
                break
            seen += page
    assert {one.id for one in seen} == {one.id for one in made}
    assert len(seen) == 5
    assert [one.created_at for one in seen] == sorted((one.created_at for one in made), reverse=True)


def test_a_message_has_so_many_links_and_no_more(
    either_database: Database, ids: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hand_overs, "MOST_OF_A_MESSAGE", 2)
    make(either_database, ids["max"])
    make(either_database, ids["max"])
    with either_database.writing() as session:
        given = {"message_id": OFFER_ID, "recipient_key": "ben@example.org", "days": 7, "now": NOW}
        assert hand_overs.make(session, account_id=ids["max"], **given) is None  # type: ignore[arg-type] # as given
        assert len(session.scalars(select(HandOver.id)).all()) == 2


def test_an_address_may_be_longer_than_any_rfc_allows(either_database: Database, ids: dict[str, int]) -> None:
    """Postfix takes it from a sender, so there may be a transcript of it."""
    key = f"{'a' * 900}@example.net"
    with either_database.writing() as session:
        made = hand_overs.make(session, account_id=ids["max"], message_id=OFFER_ID, recipient_key=key, days=7, now=NOW)
    assert made is not None
    assert made.recipient_key == key
