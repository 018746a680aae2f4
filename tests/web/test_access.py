import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest
from flask import Flask

from sendproof_core import directory
from sendproof_core.audit import COMMAND
from sendproof_testing import own_site, sample_record
from sendproof_testing.own_site import OwnSite
from sendproof_testing.visitor import Visitor
from sendproof_web import access, two_factor
from sendproof_web.access import Access
from sendproof_web.services import services

NOW = sample_record.SENT_AT


def page() -> str:
    return "the page"


@pytest.fixture
def pages(site: OwnSite) -> OwnSite:
    """A site with a page of each kind, and one that says nothing of itself."""
    for name, declare in (
        ("public", access.public),
        ("signed-in", access.signed_in),
        ("fresh", access.freshly_signed_in),
        ("provider", access.provider),
    ):

        def view() -> str:
            return "the page"

        site.app.add_url_rule(f"/test/{name}", name, declare(view), methods=["GET", "POST"])
    site.app.add_url_rule("/test/silent", "silent", page)
    return site


def statuses(visitor: Visitor) -> dict[str, int]:
    names = ("public", "signed-in", "fresh", "provider", "silent")
    return {name: visitor.get(f"/test/{name}").status_code for name in names}


def test_each_sees_what_its_role_may_see(pages: OwnSite) -> None:
    away = {"signed-in": 303, "fresh": 303, "provider": 303, "silent": 303}
    assert statuses(pages.visitor()) == {"public": 200, **away}
    customer = {"public": 200, "signed-in": 200, "fresh": 200, "provider": 404, "silent": 404}
    assert statuses(pages.visitor("eva")) == customer
    assert statuses(pages.visitor("boss")) == {**customer, "provider": 200}


def test_a_provider_who_acts_as_an_account_sees_no_more_than_it_and_nothing_fresh(pages: OwnSite) -> None:
    boss = own_site.acting_as(pages, "eva")
    assert statuses(boss) == {"public": 200, "signed-in": 200, "fresh": 403, "provider": 404, "silent": 404}


def test_a_password_is_fresh_for_a_quarter_of_an_hour(pages: OwnSite) -> None:
    visitor = pages.visitor("eva")
    pages.now += access.FRESH
    assert visitor.get("/test/fresh").status_code == 200
    pages.now += dt.timedelta(seconds=1)
    assert visitor.get("/test/fresh?a=b").location == "/sign-in/again?next=/test/fresh?a%3Db"
    assert visitor.get("/test/signed-in").status_code == 200


def test_who_is_not_signed_in_comes_back_to_the_page_that_was_wanted(pages: OwnSite) -> None:
    assert pages.visitor().get("/test/signed-in?x=1").location == "/sign-in?next=/test/signed-in?x%3D1"


def test_a_live_part_of_a_page_makes_the_whole_page_leave(pages: OwnSite) -> None:
    answer = pages.visitor().client.get("/test/signed-in", headers={"HX-Request": "true"})
    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"].startswith("/sign-in")


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[OwnSite]:
    with own_site.running(tmp_path, NOW, "provider_needs_second_factor = true") as site:
        site.app.add_url_rule("/test/provider", "provider", access.provider(page))
        yield site


def test_the_provider_sets_up_a_second_factor_before_anything_else(strict: OwnSite) -> None:
    boss = strict.visitor("boss")
    assert boss.get("/test/provider").location == "/account/security/second-factor"
    assert "First set up a second factor" in boss.get("/account/security/second-factor").text
    assert strict.visitor("eva").get("/test/provider").status_code == 404
    with strict.app.app_context(), strict.database.writing() as session:
        account, secrets = directory.find_account(session, "boss"), services().secrets
        two_factor.begin(session, account, secrets)
        secret = two_factor.pending_secret(account, secrets)
        assert secret
        two_factor.confirm(session, account, secrets, pyotp.TOTP(secret).at(NOW), COMMAND, NOW)
    assert boss.get("/test/provider").status_code == 200


@pytest.mark.parametrize("path", ["/", "/messages", "/messages?q=a&b=c"])
def test_a_path_on_this_site_is_ones_own(path: str) -> None:
    assert access.own_path(path) == path


@pytest.mark.parametrize(
    "text", [None, "", "messages", "//evil.example", "/\\evil.example", "https://evil.example", "/a b", "/a\r\nb", "/ä"]
)
def test_everything_else_is_not(text: str | None) -> None:
    assert access.own_path(text) is None


def test_every_view_says_who_may_see_it(app: Flask) -> None:
    silent = [
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if rule.endpoint != "static" and access.declared(app.view_functions[rule.endpoint]) is None
    ]
    assert silent == []
    assert access.declared(app.view_functions["security.password"]) is Access.FRESH
