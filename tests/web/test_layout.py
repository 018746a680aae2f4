"""What surrounds every page: the way about, the banner of who acts for another, the foot."""

import re
from html.parser import HTMLParser

import pytest
from flask import Flask
from sqlalchemy import select

from sendproof_core.schema import Account, SiteSession
from sendproof_testing.visitor import Visitor
from sendproof_web import services

PAGES = (
    "/messages",
    "/messages?q=offer",
    "/account",
    "/account/credentials",
    "/account/domains",
    "/account/notices",
    "/account/preferences",
    "/account/hand-overs",
    "/account/security",
)
PROVIDER_PAGES = (
    "/provider",
    "/provider/accounts",
    "/provider/plans",
    "/provider/queue",
    "/provider/health",
    "/provider/lines",
    "/provider/refusals",
    "/provider/audit",
    "/provider/pages",
)


class Outline(HTMLParser):
    """What a screen reader finds its way by."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.labelled: set[str] = set()
        self.fields: list[dict[str, str | None]] = []
        self.inside_label = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        if values.get("id"):
            self.ids.append(values["id"] or "")
        if tag == "label":
            self.inside_label += 1
            self.labelled.add(values.get("for") or "")
        if tag in ("input", "select", "textarea") and values.get("type") not in ("hidden", "submit"):
            self.fields.append({**values, "inside": "yes" if self.inside_label else None})

    def handle_endtag(self, tag: str) -> None:
        self.inside_label -= tag == "label"


def check_outline(page: str) -> None:
    outline = Outline(page)
    assert outline.tags.count("h1") == 1
    assert outline.tags.count("main") == 1
    assert re.search(r'<html lang="\w\w">', page)
    assert re.search(r"<title>[^<]+ · Sendproof</title>", page)
    ids = [one for one in outline.ids if one != "csrf_token"]  # each form has one, all the same
    assert len(ids) == len(set(ids))
    for field in outline.fields:
        assert field["inside"] or field.get("id") in outline.labelled or field.get("aria-label"), field


@pytest.mark.parametrize("path", PAGES)
def test_every_page_of_an_account_has_one_heading_and_a_label_for_every_field(max_: Visitor, path: str) -> None:
    answer = max_.get(path)
    assert answer.status_code == 200
    check_outline(answer.text)


@pytest.mark.parametrize("path", PROVIDER_PAGES)
def test_every_page_of_the_provider_has_one_heading_and_a_label_for_every_field(boss: Visitor, path: str) -> None:
    answer = boss.get(path)
    assert answer.status_code == 200
    check_outline(answer.text)


def test_only_the_provider_is_shown_the_way_to_the_providers_pages(max_: Visitor, boss: Visitor) -> None:
    assert 'href="/provider"' not in max_.get("/messages").text
    assert 'href="/provider"' in boss.get("/messages").text


def test_the_section_that_is_shown_is_marked(max_: Visitor) -> None:
    assert re.search(r'<a href="/messages" aria-current="page">', max_.get("/messages").text)
    assert re.search(r'<a href="/account" aria-current="true">', max_.get("/account/domains").text)


def test_a_provider_who_acts_for_another_is_told_so_on_every_page_and_can_stop(app: Flask, boss: Visitor) -> None:
    with app.app_context():
        database = services.services().database
    with database.writing() as session:
        accounts = {account.login: account.id for account in session.scalars(select(Account))}
        mine = session.scalars(select(SiteSession).where(SiteSession.account_id == accounts["boss"])).all()
        for one in mine:
            one.acting_as_id = accounts["max"]
    try:
        page = boss.get("/messages").text
        assert "You see the account <strong>max</strong> as its owner does." in page
        assert 'action="/provider/stop-acting"' in page or "stop" in page.partition("</form>")[0]
        assert 'href="/provider"' not in page
    finally:
        with database.writing() as session:
            session.query(SiteSession).filter(SiteSession.account_id == accounts["boss"]).update({"acting_as_id": None})
    assert "as its owner does" not in boss.get("/messages").text


def test_a_message_for_the_visitor_is_shown_once(stranger: Visitor) -> None:
    assert stranger.sign_in("max").status_code == 303
    with stranger.client.session_transaction() as cookie:
        cookie["_flashes"] = [("good", "It is <saved>."), ("evil-class", "Oh.")]
    page = stranger.get("/messages").text
    assert '<p class="flash good" role="status">' in page
    assert "It is &lt;saved&gt;." in page
    assert "evil-class" not in page
    assert "saved" not in stranger.get("/messages").text


def test_a_visitor_without_an_account_can_choose_the_language(stranger: Visitor) -> None:
    answer = stranger.get("/sign-in")
    assert 'action="/language/de"' in answer.text
    assert 'lang="de"' in answer.text


def test_a_refused_message_stands_under_messages(max_: Visitor) -> None:
    found = re.search(r'href="(/refusals/\d+)"', max_.get("/messages?q=status:refused").text)
    assert found
    assert '<a href="/messages" aria-current="true">Messages</a>' in max_.get(found[1]).text
