import datetime as dt
import re

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from sendproof_core import directory, passwords
from sendproof_core.mail_requests import Letter
from sendproof_core.schema import Credential
from sendproof_testing.own_site import OwnSite
from sendproof_testing.visitor import Visitor
from sendproof_web.access import FRESH

_NEW = {"login": "zoe", "plan": "standard", "time_zone": "Europe/Vienna", "language": "", "address": "", "how": "shown"}


def _page(site: OwnSite, login: str) -> str:
    return f"/provider/accounts/{site.account(login).id}"


def test_accounts_are_listed_and_found(boss: Visitor) -> None:
    everybody = boss.get("/provider/accounts").text
    assert all(f">{login}</a>" in everybody for login in ("boss", "eva", "eve", "max"))
    found = boss.get("/provider/accounts?q=EV").text
    assert ">eva</a>" in found
    assert ">max</a>" not in found
    assert "No account fits" in boss.get("/provider/accounts?q=%25").text
    assert boss.get("/provider/accounts?which=nonsense&after=\x00&plan=x").status_code == 200


def test_a_search_is_shown_again_as_text(boss: Visitor) -> None:
    page = boss.get('/provider/accounts?q="><script>alert(1)</script>').text
    assert "<script>alert" not in page


def test_a_password_that_was_made_is_shown_once_and_fits(site: OwnSite) -> None:
    boss = site.visitor("boss")
    answer = boss.post("/provider/accounts/new", "/provider/accounts/new", **_NEW)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    found = re.search(r'<code id="password">([0-9a-f]{24})</code>', answer.text)
    assert found
    account = site.account("zoe")
    assert passwords.verify(account.password_hash, found[1])
    assert found[1] not in boss.get(_page(site, "zoe")).text
    assert "account created" in site.audited()


def test_an_invited_person_gets_a_link(site: OwnSite) -> None:
    boss = site.visitor("boss")
    wanted = {**_NEW, "how": "letter", "address": "zoe@mail.example", "language": "de"}
    answer = boss.post("/provider/accounts/new", "/provider/accounts/new", **wanted)
    assert (answer.status_code, answer.location) == (303, _page(site, "zoe"))
    (letter,) = site.letters(Letter.INVITATION)
    assert (letter.to_address, site.account("zoe").address) == ("zoe@mail.example", None)
    assert site.visitor().get(site.path_in(letter)).status_code == 200


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"login": "max"}, "an account with this login already"),
        ({"login": "a b"}, "Letters, digits and"),
        ({"login": ""}, "A login, please"),
        ({"address": "no address"}, "This is no mail address"),
        ({"how": "letter", "address": ""}, "The link needs an address"),
        ({"time_zone": "Vienna"}, "No such time zone"),
        ({"plan": "none"}, "Not a valid choice"),
    ],
)
def test_what_cannot_be_is_said_beside_its_field_and_kept(site: OwnSite, values: dict[str, str], said: str) -> None:
    boss = site.visitor("boss")
    wanted = {**_NEW, "address": "kept@mail.example", **values}
    answer = boss.post("/provider/accounts/new", "/provider/accounts/new", **wanted)
    assert answer.status_code == 422
    assert said in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert f'value="{wanted["time_zone"]}"' in answer.text


def test_an_account_is_shown_with_use_domains_and_credentials(site: OwnSite) -> None:
    with site.database.writing() as session:
        max_ = directory.find_account(session, "max")
        directory.add_domain(session, "shop.example", max_, site.now, proved=False)
        directory.add_credential(session, max_, login="phone", label="<b>Phone</b>", secret="s", now=site.now)
    page = site.visitor("boss").get(_page(site, "max")).text
    assert "shop.example" in page
    assert "NOT PROVED YET" in page
    assert "&lt;b&gt;Phone&lt;/b&gt;" in page
    assert "of 500 used" in page


def test_an_account_that_is_not_there_answers_404(boss: Visitor) -> None:
    assert boss.get("/provider/accounts/999").status_code == 404
    assert boss.get("/provider/accounts/99999999999999999999").status_code == 404
    for action in ("suspend", "reinstate", "change", "role", "reset", "revoke", "act", "second-factor-off"):
        fields = {"reason": "x", "plan": "standard", "time_zone": "UTC"}
        answer = boss.post(f"/provider/accounts/999/{action}", "/provider/accounts/new", **fields)
        assert answer.status_code == 404, action


def test_an_account_is_suspended_with_a_reason_that_is_read_and_reinstated(site: OwnSite) -> None:
    boss, page = site.visitor("boss"), _page(site, "eva")
    answer = boss.post(f"{page}/suspend", page, reason="")
    assert (answer.status_code, "A reason, please" in answer.text) == (422, True)
    assert boss.post(f"{page}/suspend", page, reason="a\x1bb").status_code == 422
    assert boss.post(f"{page}/suspend", page, reason="invoice 17 is unpaid").status_code == 303
    assert site.account("eva").suspended_reason == "invoice 17 is unpaid"
    assert "invoice 17 is unpaid" in boss.get(page).text
    boss.post(f"{page}/reinstate", page)
    assert site.account("eva").suspended_at is None
    assert [one.kind for one in site.letters()] == ["suspended", "reinstated"]
    assert site.audited()[-2:] == ["account suspended", "account reinstated"]


def test_plan_zone_and_test_mode_are_changed_and_the_rest_stays(site: OwnSite) -> None:
    boss, page = site.visitor("boss"), _page(site, "eva")
    before = site.account("eva")
    fields = {"plan": "standard", "address": "eva@eva.example", "time_zone": "Asia/Tokyo", "test_mode": "y"}
    assert boss.post(f"{page}/change", page, **fields).status_code == 303
    after = site.account("eva")
    assert (after.time_zone, after.test_mode, after.notice_address) == ("Asia/Tokyo", True, before.notice_address)
    answer = boss.post(f"{page}/change", page, plan="standard", time_zone="Mars", address="x")
    assert answer.status_code == 422
    assert "No such time zone" in answer.text
    assert 'value="Mars"' in answer.text


def test_nobody_makes_themselves_a_customer(site: OwnSite) -> None:
    boss, own, eva = site.visitor("boss"), _page(site, "boss"), _page(site, "eva")
    boss.post(f"{own}/role", "/provider/accounts/new", role="customer")
    assert site.account("boss").is_provider
    boss.post(f"{eva}/role", eva, role="provider")
    assert site.account("eva").is_provider
    boss.post(f"{eva}/role", eva, role="customer")
    assert not site.account("eva").is_provider


def test_a_lost_second_factor_is_turned_off_and_the_owner_told(site: OwnSite) -> None:
    with site.database.writing() as session:
        eva_ = directory.find_account(session, "eva")
        eva_.totp_sealed, eva_.totp_since = b"sealed", site.now
    eva, boss, page = site.visitor("eva"), site.visitor("boss"), _page(site, "eva")
    assert eva.get("/account").status_code == 200
    boss.post(f"{page}/second-factor-off", page)
    assert site.account("eva").totp_since is None
    assert [one.kind for one in site.letters()] == [Letter.SECOND_FACTOR_CHANGED.value]
    assert eva.get("/account").status_code == 303  # whoever was signed in is not any more


def test_only_a_credential_of_that_account_is_revoked(site: OwnSite) -> None:
    with site.database.writing() as session:
        max_ = directory.find_account(session, "max")
        directory.add_credential(session, max_, login="phone", label="Phone", secret="s", now=site.now)
    boss, page, other = site.visitor("boss"), _page(site, "max"), _page(site, "eva")
    assert boss.post(f"{other}/revoke", other, login="phone").status_code == 404
    assert boss.post(f"{page}/revoke", page, login="nothing").status_code == 404
    assert boss.post(f"{page}/revoke", page, login="phone").status_code == 303
    with site.database.reading() as session:
        assert session.scalars(select(Credential.revoked_at).where(Credential.login == "phone")).one() == site.now


def test_a_link_for_a_new_password_goes_only_to_a_confirmed_address(site: OwnSite) -> None:
    boss, max_, eva = site.visitor("boss"), _page(site, "max"), _page(site, "eva")
    with site.database.writing() as session:
        account = directory.find_account(session, "max")
        account.address = account.address_confirmed_at = None
    boss.post(f"{max_}/reset", max_)
    assert "no confirmed mail address" in boss.get(max_).text
    boss.post(f"{eva}/reset", eva)
    assert [(one.kind, one.to_address) for one in site.letters()] == [("reset", site.account("eva").address)]


def test_other_people_find_nothing_of_it(app: Flask, eva: Visitor, stranger: Visitor) -> None:
    paths = [
        str(rule)
        for rule in app.url_map.iter_rules()
        if str(rule).startswith("/provider/accounts") and "<" not in str(rule) and "GET" in (rule.methods or ())
    ]
    assert paths
    for path in paths:
        assert eva.get(path).status_code == 404
        assert stranger.get(path).status_code == 303


def test_another_address_wants_a_fresh_password_because_links_go_there(site: OwnSite) -> None:
    boss, page = site.visitor("boss"), _page(site, "eva")
    before, site.now = site.account("eva"), site.now + FRESH + dt.timedelta(seconds=1)
    wanted = {"plan": "standard", "time_zone": before.time_zone, "address": "thief@elsewhere.example"}
    answer = boss.post(f"{page}/change", page, **wanted)
    assert answer.location.startswith("/sign-in/again")
    assert site.account("eva").address == before.address
    same = {**wanted, "address": before.address or "", "time_zone": "Asia/Tokyo"}
    assert boss.post(f"{page}/change", page, **same).location == page
    assert site.account("eva").time_zone == "Asia/Tokyo"


def test_who_is_no_provider_any_more_gives_and_takes_no_role(site: OwnSite) -> None:
    boss, own, eva = site.visitor("boss"), _page(site, "boss"), _page(site, "eva")
    boss.post(f"{eva}/role", eva, role="provider")
    site.visitor("eva").post(f"{own}/role", own, role="customer")
    assert boss.post(f"{eva}/role", "/account/security", role="customer").status_code == 404
    assert site.account("eva").is_provider


def test_an_account_that_is_made_twice_at_once_is_said_to_be_there(
    site: OwnSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_if_nobody_had_it(*_args: object, **_kwargs: object) -> None:
        raise IntegrityError("INSERT", None, Exception("UNIQUE"))

    monkeypatch.setattr(directory, "add_account", as_if_nobody_had_it)
    answer = site.visitor("boss").post("/provider/accounts/new", "/provider/accounts/new", **_NEW)
    assert answer.status_code == 422
    assert "an account with this login already" in answer.text
