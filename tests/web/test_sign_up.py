from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from sendproof_core import audit, directory, site_accounts, site_links
from sendproof_core.errors import UserError
from sendproof_core.mail_requests import Letter
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Account, Plan, SiteLink
from sendproof_core.states import LinkPurpose
from sendproof_testing import own_site, sample_record
from sendproof_testing.own_site import OwnSite
from sendproof_testing.visitor import Visitor
from sendproof_web import services
from sendproof_web.settings import WebSettings

GOOD = "violet tractor under rain"
FIELDS = {"login": "nora", "password": GOOD, "repeat": GOOD, "time_zone": "Europe/Vienna"}
NOW = sample_record.SENT_AT


def web_lines(mode: str) -> str:
    return f'sign_up = "{mode}"\nsign_up_plan = "standard"\nsign_up_time_zone = "Europe/Zurich"'


@pytest.fixture
def open_site(tmp_path: Path) -> Iterator[OwnSite]:
    with own_site.running(tmp_path, NOW, web_lines("open")) as site:
        yield site


def ask(site: OwnSite, address: str, visitor: Visitor | None = None) -> tuple[int, str | None]:
    answer = (visitor or site.visitor()).post("/sign-up", "/sign-up", address=address)
    return answer.status_code, answer.location


def link_to(site: OwnSite, address: str = "nora@nora.example") -> str:
    assert ask(site, address) == (303, "/sign-up/sent")
    return site.path_in(site.letters(Letter.CONFIRM_SIGN_UP)[-1])


def test_from_the_form_by_mail_to_an_account_that_is_signed_in(open_site: OwnSite) -> None:
    path = link_to(open_site)
    visitor = open_site.visitor()
    page = visitor.get(path).text
    assert "nora@nora.example" in page
    assert '<option selected value="Europe/Zurich">' in page
    answer = visitor.post(path, path, **FIELDS)
    assert answer.status_code == 303
    assert visitor.get("/account/security").status_code == 200
    made = open_site.account("nora")
    assert (made.address, made.notice_address, made.time_zone) == ("nora@nora.example",) * 2 + ("Europe/Vienna",)
    assert made.address_confirmed_at == NOW
    assert not made.is_provider
    assert not made.tracking
    assert "signed up" in open_site.audited()
    assert open_site.visitor().sign_in("nora", GOOD).status_code == 303


def test_nothing_is_made_before_the_link_is_followed_and_looking_does_not_use_it_up(open_site: OwnSite) -> None:
    path = link_to(open_site)
    with open_site.database.reading() as session:
        before = set(session.scalars(select(Account.login)))
    for _ in range(3):
        assert open_site.visitor().get(path).status_code == 200
    with open_site.database.reading() as session:
        assert set(session.scalars(select(Account.login))) == before
    visitor = open_site.visitor()
    assert visitor.post(path, path, **FIELDS).status_code == 303
    again = open_site.visitor().get(path)
    assert again.status_code == 404
    assert "does not work any more" in again.text


def test_an_address_that_has_an_account_is_answered_alike_and_told_by_mail(open_site: OwnSite) -> None:
    known, new = ask(open_site, "EVA@eva.example"), ask(open_site, "nora@nora.example")
    assert known == new
    first, second = open_site.letters()
    assert (first.kind, first.to_address, first.link_id) == (Letter.ALREADY_SIGNED_UP, "EVA@eva.example", None)
    assert first.data == {"logins": ["eva"]}
    assert second.kind == Letter.CONFIRM_SIGN_UP
    with open_site.database.reading() as session:
        unused = session.scalars(select(SiteLink.address).where(SiteLink.used_at.is_(None)))
        assert set(unused) == {"nora@nora.example"}


def test_who_signed_up_twice_has_one_account(open_site: OwnSite) -> None:
    first, second = link_to(open_site), link_to(open_site)
    visitor = open_site.visitor()
    visitor.post(first, first, **FIELDS)
    page = open_site.visitor().get(second)
    assert "You have an account already" in page.text
    assert "nora" in page.text


@pytest.mark.parametrize("login", ["eva", "EVA", "boss"])
def test_a_login_that_is_taken_is_said_behind_the_link_and_the_link_stays_good(open_site: OwnSite, login: str) -> None:
    path = link_to(open_site)
    answer = open_site.visitor().post(path, path, **{**FIELDS, "login": login})
    assert answer.status_code == 422
    assert "This login is taken" in answer.text
    assert open_site.visitor().post(path, path, **FIELDS).status_code == 303


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"login": "no spaces"}, "Only letters, digits"),
        ({"login": "nora\n"}, "Only letters, digits"),
        ({"login": "x" * 101}, "At most 100 characters."),
        ({"login": ""}, "A login, please."),
        ({"password": "short", "repeat": "short"}, "too short"),
        ({"password": "passwordpassword", "repeat": "passwordpassword"}, "easy to guess"),
        ({"password": "nora@nora.example", "repeat": "nora@nora.example"}, "from your login or address"),
        ({"repeat": "something else"}, "The two passwords differ"),
        ({"time_zone": "Mars/Olympus"}, "Not a valid choice"),
    ],
)
def test_what_is_wrong_stands_beside_its_field_and_what_was_typed_stays(
    open_site: OwnSite, fields: dict[str, str], words: str
) -> None:
    path = link_to(open_site)
    answer = open_site.visitor().post(path, path, **{**FIELDS, **fields})
    assert answer.status_code == 422
    assert words in answer.text
    assert GOOD not in answer.text
    if "login" not in fields:
        assert 'value="nora"' in answer.text


@pytest.mark.parametrize("address", ["", "nobody", "a@b@c", "eva@eva.example, all@list.example", "a b@c.example"])
def test_what_is_no_address_is_refused(open_site: OwnSite, address: str) -> None:
    status, _ = ask(open_site, address)
    assert status == 422
    assert open_site.letters() == []


def test_an_address_gets_three_letters_a_day_and_nobody_is_told_that_it_was_enough(open_site: OwnSite) -> None:
    for _ in range(5):
        assert ask(open_site, "nora@nora.example") == (303, "/sign-up/sent")
    assert len(open_site.letters()) == 3


def test_one_network_does_not_ask_for_letters_without_end(open_site: OwnSite) -> None:
    statuses = []
    for number in range(21):
        visitor = open_site.visitor()
        visitor.client.environ_base["REMOTE_ADDR"] = f"203.0.113.{number}"
        statuses.append(ask(open_site, f"n{number}@nora.example", visitor)[0])
    assert statuses == [303] * 20 + [429]


@pytest.mark.parametrize(("mode", "words"), [("closed", "Your provider makes"), ("invitation", "by invitation")])
def test_where_signing_up_is_not_open_the_page_says_what_to_do(tmp_path: Path, mode: str, words: str) -> None:
    with own_site.running(tmp_path, NOW, web_lines(mode)) as site:
        answer = site.visitor().get("/sign-up")
        assert answer.status_code == 403
        assert words in answer.text
        assert "/sign-up" not in site.visitor().get("/sign-in").text
        with site.app.app_context(), site.database.writing() as session:
            link = site_links.make(session, LinkPurpose.SIGN_UP, address="n@n.example", account_id=None, now=NOW)
            path = site_links.url("", link.id, LinkPurpose.SIGN_UP, services.services().links_key)
        assert site.visitor().get(path).status_code == 404


def invite(site: OwnSite) -> str:
    with site.database.writing() as session:
        directory.add_plan(session, "golden", QuotaLimits())
        site_accounts.invite(session, "nora@nora.example", "golden", audit.COMMAND, NOW)
    return site.path_in(site.letters(Letter.INVITATION)[-1])


def test_who_is_invited_makes_an_account_of_the_plan_that_was_offered(tmp_path: Path) -> None:
    with own_site.running(tmp_path, NOW, web_lines("invitation")) as site:
        path = invite(site)
        assert site.visitor().post(path, path, **FIELDS).status_code == 303
        with site.database.reading() as session:
            plan = session.get_one(Plan, site.account("nora").plan_id).name
        assert plan == "golden"
        assert site.visitor().get(path).status_code == 404


def test_where_signing_up_is_closed_no_invitation_is_good(tmp_path: Path) -> None:
    with own_site.running(tmp_path, NOW, web_lines("closed")) as site:
        assert site.visitor().get(invite(site)).status_code == 404


def test_the_owner_of_an_account_that_was_made_for_them_chooses_its_password(site: OwnSite) -> None:
    with site.database.writing() as session:
        max_ = directory.find_account(session, "max")
        site_accounts.invite_account(session, max_, "max@max.example", audit.COMMAND, NOW)
    path = site.path_in(site.letters(Letter.INVITATION)[-1])
    assert "max@max.example" in site.visitor().get(path).text
    before = site.visitor("max")
    visitor = site.visitor()
    assert visitor.post(path, path, password="short", repeat="short").status_code == 422
    assert visitor.post(path, path, password=GOOD, repeat=GOOD).location == "/sign-in"
    assert site.account("max").address == "max@max.example"
    assert before.get("/messages").status_code == 303
    assert visitor.sign_in("max", GOOD).location == "/messages"
    assert site.visitor().get(path).status_code == 404


def test_a_plan_that_is_gone_is_no_bug_for_the_visitor(tmp_path: Path) -> None:
    with own_site.running(tmp_path, NOW, web_lines("open").replace("standard", "no such plan")) as site:
        path = link_to(site)
        answer = site.visitor().post(path, path, **FIELDS)
        assert answer.status_code == 503
        assert "tell your provider" in answer.text
        assert site.visitor().get(path).status_code == 200


def test_an_open_sign_up_needs_a_plan_and_a_zone_that_exists() -> None:
    listen, journal = "127.0.0.1:1", Path("journal")
    with pytest.raises(UserError, match="sign_up_plan"):
        WebSettings(listen=listen, journal=journal, sign_up="open")
    with pytest.raises(UserError, match="Europe/Vienna"):
        WebSettings(listen=listen, journal=journal, sign_up_time_zone="Mars/Olympus")


def test_a_forged_link_is_gone(open_site: OwnSite) -> None:
    for path in ("/sign-up/" + "A" * 43, "/sign-up/x", "/invitation/" + "A" * 43):
        assert open_site.visitor().get(path).status_code == 404
