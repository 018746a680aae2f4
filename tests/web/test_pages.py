import re

import pytest

from sendproof_core import audit, provider_pages
from sendproof_testing.own_site import OwnSite
from sendproof_testing.visitor import Visitor
from sendproof_web import pages

_EDITION = re.compile(r'name="edition"[^>]*value="([0-9a-f]+)"')
_PAGE = {"title": "Help", "slug": "help", "position": "1", "markdown": "# How\n\n<script>alert(1)</script>"}


def _add(site: OwnSite, slug: str = "help", position: int | None = 1, markdown: str = "text") -> None:
    with site.database.writing() as session:
        provider_pages.save(
            session,
            None,
            slug=slug,
            title=slug.title(),
            markdown=markdown,
            position=position,
            actor=audit.COMMAND,
            now=site.now,
        )


def test_a_page_is_written_previewed_saved_and_read_by_everybody(site: OwnSite) -> None:
    boss = site.visitor("boss")
    preview = boss.post("/provider/pages/new", "/provider/pages/new", preview="1", **_PAGE)
    assert preview.status_code == 200
    assert "<h2>How</h2>" in preview.text
    assert "Nothing is saved yet" in preview.text
    assert site.visitor().get("/pages/help").status_code == 404
    saved = boss.post("/provider/pages/new", "/provider/pages/new", **_PAGE)
    assert (saved.status_code, saved.location) == (303, "/provider/pages/help/edit")
    shown = site.visitor().get("/pages/help")
    assert shown.status_code == 200
    assert "<h1>Help</h1>" in shown.text
    assert "&lt;script&gt;alert(1)" in shown.text
    assert "Set-Cookie" not in shown.headers


def test_pages_with_a_place_are_in_the_footer_of_every_page(site: OwnSite) -> None:
    for slug, position in (("second", 2), ("hidden", None), ("first", 1)):
        _add(site, slug, position)
    foot = site.visitor().get("/pages/first").text.partition("<footer")[2]
    assert re.findall(r'href="/pages/(\w+)"', foot) == ["first", "second"]
    assert "/pages/first" in site.visitor("max").get("/messages").text.partition("<footer")[2]


def test_a_footer_is_asked_for_once_in_a_while_and_at_once_after_a_change(site: OwnSite) -> None:
    with site.app.app_context():
        assert pages.footer_pages() == ()
        _add(site)
        assert pages.footer_pages() == ()
    boss = site.visitor("boss")
    boss.post("/provider/pages/new", "/provider/pages/new", **{**_PAGE, "slug": "other"})
    with site.app.app_context():
        assert [page.slug for page in pages.footer_pages()] == ["help", "other"]


def test_of_two_who_change_a_page_at_once_the_second_is_told_and_keeps_the_text(site: OwnSite) -> None:
    _add(site)
    boss, path = site.visitor("boss"), "/provider/pages/help/edit"
    found = _EDITION.search(boss.get(path).text)
    assert found
    fields = {"title": "Help", "slug": "help", "position": "", "edition": found[1]}
    assert boss.post(path, path, markdown="first", **fields).status_code == 303
    answer = boss.post(path, path, markdown="second", **fields)
    assert answer.status_code == 409
    assert "Somebody else has changed this page" in answer.text
    assert "second" in answer.text
    assert "first" in site.visitor().get("/pages/help").text


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"title": ""}, "A title, please"),
        ({"title": "a\u202eb"}, "Use letters, digits and ordinary signs"),
        ({"slug": "Über uns"}, "Small letters, digits and hyphens"),
        ({"slug": "taken"}, "Another page has this address"),
        ({"position": "first"}, "Not a valid integer value"),
        ({"position": "1000"}, "from 0 to 999"),
        ({"markdown": "x" * 20_001}, "cannot be longer than"),
    ],
)
def test_what_cannot_be_is_said_beside_its_field(site: OwnSite, values: dict[str, str], said: str) -> None:
    _add(site, "taken")
    answer = site.visitor("boss").post("/provider/pages/new", "/provider/pages/new", **{**_PAGE, **values})
    assert answer.status_code == 422
    assert said in answer.text


def test_the_table_of_plans_stands_where_it_is_asked_for(site: OwnSite) -> None:
    _add(site, "plans", markdown="{{plans}}")
    _add(site, "some", markdown="{{plans: nothing, standard}}")
    _add(site, "none", markdown="{{plans: nothing}}\n\n{{secrets}}")
    for slug in ("plans", "some"):
        page = site.visitor().get(f"/pages/{slug}").text
        assert "Recipients per day: 500" in page
    page = site.visitor().get("/pages/none").text
    assert "Recipients per day" not in page
    assert "{{secrets}}" in page


def test_pages_to_begin_with_are_made_by_a_button(site: OwnSite) -> None:
    boss = site.visitor("boss")
    assert "No page yet" in boss.get("/provider/pages").text
    boss.post("/provider/pages/defaults", "/provider/pages")
    for slug in ("plans", "help", "contact"):
        assert site.visitor().get(f"/pages/{slug}").status_code == 200
    assert "Pages to begin with" not in boss.get("/provider/pages").text


def test_a_page_is_deleted(site: OwnSite) -> None:
    _add(site)
    boss = site.visitor("boss")
    assert boss.post("/provider/pages/help/delete", "/provider/pages/help/edit").status_code == 303
    assert boss.get("/pages/help").status_code == 404
    assert boss.post("/provider/pages/help/delete", "/provider/pages/new").status_code == 404
    assert boss.get("/provider/pages/help/edit").status_code == 404
    assert boss.get("/pages/%00").status_code == 404


def test_only_the_provider_edits(max_: Visitor, stranger: Visitor) -> None:
    assert max_.get("/provider/pages").status_code == 404
    assert max_.post("/provider/pages/new", "/account/preferences", **_PAGE).status_code == 404
    assert stranger.get("/provider/pages/new").status_code == 303
