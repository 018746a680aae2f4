import concurrent.futures
import datetime as dt
import uuid

import pytest
from sqlalchemy import select

from sendproof_core import site_links
from sendproof_core.database import Database
from sendproof_core.schema import Account, SiteLink
from sendproof_core.states import LinkPurpose
from sendproof_testing import sample_record

KEY = b"k" * 32
NOW = sample_record.SENT_AT


def make(database: Database, purpose: LinkPurpose = LinkPurpose.RESET, account_id: int | None = None) -> uuid.UUID:
    with database.writing() as session:
        return site_links.make(session, purpose, address="max@example.org", account_id=account_id, now=NOW).id


def find(database: Database, text: str, purpose: LinkPurpose = LinkPurpose.RESET, now: dt.datetime = NOW) -> bool:
    with database.reading() as session:
        return site_links.find(session, text, purpose, KEY, now) is not None


@pytest.mark.parametrize("purpose", list(LinkPurpose))
def test_a_link_is_good_for_its_purpose_until_it_expires(either_database: Database, purpose: LinkPurpose) -> None:
    text = site_links.token(make(either_database, purpose), purpose, KEY)
    assert find(either_database, text, purpose)
    assert find(either_database, text, purpose, NOW + site_links.LIFETIMES[purpose] - dt.timedelta(seconds=1))
    assert not find(either_database, text, purpose, NOW + site_links.LIFETIMES[purpose])
    other = LinkPurpose.RESET if purpose is LinkPurpose.ADDRESS else LinkPurpose.ADDRESS
    assert not find(either_database, text, other)


def test_who_can_read_the_database_can_make_no_link(sqlite_database: Database) -> None:
    link_id = make(sqlite_database)
    assert not find(sqlite_database, site_links.token(link_id, LinkPurpose.RESET, b"j" * 32))
    assert not find(sqlite_database, site_links.token(uuid.uuid4(), LinkPurpose.RESET, KEY))


def test_a_link_is_used_once_however_many_use_it_at_once(either_database: Database) -> None:
    link_id = make(either_database)

    def use(_number: int) -> bool:
        with either_database.writing() as session:
            return site_links.use(session, session.get_one(SiteLink, link_id), NOW)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(use, range(4))) == 1
    assert not find(either_database, site_links.token(link_id, LinkPurpose.RESET, KEY))


def test_all_links_of_one_purpose_of_one_account_end_together(sqlite_database: Database) -> None:
    with sqlite_database.writing() as session:
        sample_record.fill(session)
        ids = list(session.scalars(select(Account.id).order_by(Account.id)))
    first, second = make(sqlite_database, account_id=ids[0]), make(sqlite_database, account_id=ids[0])
    others = make(sqlite_database, account_id=ids[1])
    address = make(sqlite_database, LinkPurpose.ADDRESS, account_id=ids[0])
    with sqlite_database.writing() as session:
        site_links.end_all(session, ids[0], LinkPurpose.RESET, NOW)
    good = [find(sqlite_database, site_links.token(one, LinkPurpose.RESET, KEY)) for one in (first, second, others)]
    assert good == [False, False, True]
    assert find(sqlite_database, site_links.token(address, LinkPurpose.ADDRESS, KEY), LinkPurpose.ADDRESS)


def test_a_link_leads_to_the_page_of_its_purpose() -> None:
    url = site_links.url("https://mail.example", uuid.UUID(int=1), LinkPurpose.SIGN_UP, KEY)
    assert url.startswith("https://mail.example/sign-up/")
    assert url.endswith(site_links.token(uuid.UUID(int=1), LinkPurpose.SIGN_UP, KEY))
