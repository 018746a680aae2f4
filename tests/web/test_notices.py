"""The page of notices: what to be told, where it goes, and what became of each."""

import datetime as dt
import uuid

import pytest

from sendproof_core import notice_choices
from sendproof_core.notice_choices import NoticeChoices
from sendproof_core.schema import Account, Notice, NoticeItem
from sendproof_core.states import Digest
from sendproof_testing.own_site import OwnSite
from sendproof_testing.sample_record import HOSTILE_ID, OFFER_ID
from sendproof_testing.visitor import Visitor
from sendproof_web.notices import PAGE_LENGTH

PAGE = "/account/notices"
ALL = {
    "failed": "y", "deferred": "y", "deferred_after_minutes": "30", "delivered": "y", "opened": "y", "plan_use": "y",
    "digest": "daily",
}  # fmt: skip


def chosen(site: OwnSite, login: str = "max") -> NoticeChoices:
    with site.database.reading() as session:
        return notice_choices.choices(session, site.account(login).id)


def change(site: OwnSite, login: str = "max", **values: object) -> int:
    account_id = site.account(login).id
    with site.database.writing() as session:
        account = session.get_one(Account, account_id)
        for name, value in values.items():
            setattr(account, name, value)
    return account_id


def add(site: OwnSite, account_id: int, key: str, **values: object) -> None:
    usual = {
        "kind": "failed", "to_address": "max@home.example", "state": "sent", "created_at": site.now,
        "next_try_at": site.now, "tries": 1, "fence": 1,
    }  # fmt: skip
    with site.database.writing() as session:
        session.add(Notice(**{"account_id": account_id, "key": key, **usual, **values}))


def test_a_stranger_is_asked_to_sign_in(stranger: Visitor) -> None:
    assert stranger.get(PAGE).status_code == 303


def test_what_is_chosen_is_kept_and_noted(site: OwnSite) -> None:
    change(site, address="max@home.example", address_confirmed_at=site.now, notice_address=None)
    answer = site.visitor("max").post(PAGE, PAGE, where="own", **ALL)
    assert (answer.status_code, answer.location) == (303, PAGE)
    assert site.account("max").notice_address == "max@home.example"
    assert chosen(site) == NoticeChoices(
        delivered=True,
        deferred=True,
        deferred_after_minutes=30,
        failed=True,
        opened=True,
        plan_use=True,
        digest=Digest.DAILY,
    )
    assert "notices changed" in site.audited()
    assert '<option selected value="30">30 minutes</option>' in site.visitor("max").get(PAGE).text


def test_everything_can_be_switched_off(site: OwnSite) -> None:
    change(site, notice_address="max@home.example")
    answer = site.visitor("max").post(PAGE, PAGE, where="off", deferred_after_minutes="10", digest="none")
    assert answer.status_code == 303
    assert site.account("max").notice_address is None
    found = chosen(site)
    assert [found.failed, found.deferred, found.delivered, found.opened, found.plan_use] == [False] * 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"where": "eve@elsewhere.example"},
        {"where": "own"},  # no address is confirmed
        {"deferred_after_minutes": "7"},
        {"deferred_after_minutes": "x"},
        {"digest": "yearly"},
    ],
)
def test_what_is_not_offered_is_not_taken(site: OwnSite, wrong: dict[str, str]) -> None:
    change(site, address="max@home.example", address_confirmed_at=None, notice_address=None)
    before = chosen(site)
    answer = site.visitor("max").post(PAGE, PAGE, **{"where": "off", **ALL, **wrong})
    assert answer.status_code == 422
    assert chosen(site) == before
    assert site.account("max").notice_address is None


def test_without_a_confirmed_address_the_page_says_where_to_give_one(site: OwnSite) -> None:
    change(site, address=None, notice_address=None)
    assert "/account/security" in site.visitor("max").get(PAGE).text.partition("What you are told by mail")[2]


def test_where_the_provider_has_notices_sent_can_be_kept(site: OwnSite) -> None:
    change(site, address="max@home.example", address_confirmed_at=site.now, notice_address="office@own.example")
    visitor = site.visitor("max")
    assert "To office@own.example" in visitor.get(PAGE).text
    assert visitor.post(PAGE, PAGE, where="kept", **ALL).status_code == 303
    assert site.account("max").notice_address == "office@own.example"


def test_every_notice_says_what_it_was_about_and_what_became_of_it(site: OwnSite) -> None:
    account_id = change(site)
    add(site, account_id, "recipient:1:failed", message_id=OFFER_ID, sent_at=site.now)
    add(
        site, account_id, "recipient:2:failed", message_id=HOSTILE_ID, state="waiting",
        next_try_at=site.now + dt.timedelta(minutes=4), tries=2, last_error="451 <b>no</b>\x1b[31m",
    )  # fmt: skip
    add(site, account_id, "digest:1", kind="digest", state="failed", tries=125, last_error="550 no")
    add(site, account_id, "recipient:3:deferred", kind="deferred", state="withdrawn", last_error="delivered by now")
    page = site.visitor("max").get(PAGE).text
    for words in ("Offer 2026-117", f'href="/messages/{OFFER_ID}"', "Sent", "Tried 2 times.", "Next try:",
                  "451 &lt;b&gt;no&lt;/b&gt;\\x1b[31m", "Several pieces of news", "We gave it up.",
                  "No longer needed"):  # fmt: skip
        assert words in page
    assert "<b>no</b>" not in page
    assert "\x1b" not in page


def test_nobody_sees_another_accounts_notices(site: OwnSite) -> None:
    eva = change(site, "eva")
    add(site, eva, "recipient:1:failed", message_id=OFFER_ID, to_address="eva@elsewhere.example")
    assert "eva@elsewhere.example" not in site.visitor("max").get(PAGE).text
    page = site.visitor("eva").get(PAGE).text
    assert "eva@elsewhere.example" in page
    assert "Offer 2026-117" not in page  # the message is max's


def test_what_waits_for_a_digest_is_counted(site: OwnSite) -> None:
    account_id = change(site)
    with site.database.writing() as session:
        session.add(
            NoticeItem(
                key="a", account_id=account_id, kind="delivered", message_id=uuid.UUID(int=1), data={},
                found_at=site.now, notice_id=None,
            )
        )  # fmt: skip
    assert "1 piece of news waits for your next mail." in site.visitor("max").get(PAGE).text


def test_older_notices_are_on_the_next_page(site: OwnSite) -> None:
    account_id = change(site)
    for number in range(PAGE_LENGTH + 1):
        add(site, account_id, f"letter:{number}", kind="letter", to_address=f"n{number}@home.example")
    visitor = site.visitor("max")
    first = visitor.get(PAGE).text
    assert "n1@home.example" in first
    assert "n0@home.example" not in first
    second = visitor.get(f"{PAGE}?before=2").text
    assert "n0@home.example" in second
    assert "n1@home.example" not in second
    assert "Nothing older." in visitor.get(f"{PAGE}?before=1").text


@pytest.mark.parametrize("before", ["0", "-1", "x", "9" * 30, "1e3", "²", ""])
def test_a_page_that_cannot_be_is_refused(max_: Visitor, before: str) -> None:
    assert max_.get(f"{PAGE}?before={before}").status_code == 400


def test_what_changes_nothing_is_not_noted(site: OwnSite) -> None:
    change(site, notice_address="max@home.example")
    visitor = site.visitor("max")
    visitor.post(PAGE, PAGE, where="off", deferred_after_minutes="10", digest="none")
    visitor.post(PAGE, PAGE, where="off", deferred_after_minutes="10", digest="none")
    assert site.audited().count("notices changed") == 1  # the second changed nothing
