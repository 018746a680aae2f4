import datetime as dt

from sqlalchemy import select

from sendproof_core.schema import AuditEntry
from sendproof_testing import own_site
from sendproof_testing.own_site import OwnSite


def test_a_provider_sees_an_account_s_pages_and_the_audit_log_has_both_ends(site: OwnSite) -> None:
    boss, max_ = site.visitor("boss"), site.account("max")
    page = f"/provider/accounts/{max_.id}"
    assert "Offer 2026-117" not in boss.get("/messages").text
    answer = boss.post(f"{page}/act", page)
    assert (answer.status_code, answer.location) == (303, "/messages")
    shown = boss.get("/messages").text
    assert "Offer 2026-117" in shown
    assert "as its owner does" in shown
    assert boss.get("/provider").status_code == 404
    answer = boss.post("/provider/stop-acting", "/messages")
    assert (answer.status_code, answer.location) == (303, page)
    assert "Offer 2026-117" not in boss.get("/messages").text
    with site.database.reading() as session:
        entries = session.execute(
            select(AuditEntry.event, AuditEntry.actor, AuditEntry.account_id)
            .where(AuditEntry.event.startswith("acting"))
            .order_by(AuditEntry.id)
        ).all()
    assert [tuple(entry) for entry in entries] == [
        ("acting begun", "boss", max_.id),
        ("acting ended", "boss", max_.id),
    ]


def test_it_leads_to_the_page_that_was_asked_for_and_to_no_other_site(site: OwnSite) -> None:
    boss, page = site.visitor("boss"), f"/provider/accounts/{site.account('max').id}"
    assert boss.post(f"{page}/act", page, next="/messages?q=to:x").location == "/messages?q=to:x"
    boss.post("/provider/stop-acting", "/messages")
    assert boss.post(f"{page}/act", page, next="//evil.example").location == "/messages"


def test_a_change_while_acting_is_noted_under_the_provider_s_name(site: OwnSite) -> None:
    boss = own_site.acting_as(site, "max")
    assert boss.get("/account/preferences").status_code == 200
    assert boss.get("/account/security").status_code == 200
    assert boss.get("/sign-in/again").status_code == 403


def test_nobody_else_stops_or_begins_anything(site: OwnSite) -> None:
    max_ = site.visitor("max")
    page = f"/provider/accounts/{site.account('eva').id}"
    assert max_.post(f"{page}/act", "/account/preferences").status_code == 404
    assert max_.post("/provider/stop-acting", "/account/preferences").location == "/"
    assert [event for event in site.audited() if event.startswith("acting")] == []


def test_a_password_of_long_ago_is_asked_for_again_first(site: OwnSite) -> None:
    boss, page = site.visitor("boss"), f"/provider/accounts/{site.account('max').id}"
    site.now += dt.timedelta(minutes=16)
    answer = boss.post(f"{page}/act", page)
    assert answer.location == f"/sign-in/again?next={page}"
    assert [event for event in site.audited() if event.startswith("acting")] == []
