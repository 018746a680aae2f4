import datetime as dt
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from sendproof_core import hand_overs
from sendproof_core.schema import AuditEntry, HandOver
from sendproof_testing import sample_site
from sendproof_testing.sample_record import FOREIGN_ID, HANDED_ON_ID, HOSTILE_ID, OFFER_ID, SENT_AT
from sendproof_testing.visitor import Visitor
from sendproof_web import services
from sendproof_web.app import create_app

NOW = SENT_AT + dt.timedelta(minutes=40)
ANNA = f"/messages/{OFFER_ID}/recipients/1/hand-over"


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> dt.datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def site(tmp_path: Path, clock: Clock) -> Iterator[Flask]:
    made = create_app(sample_site.prepare(tmp_path), now=clock)
    yield made
    with made.app_context():
        services.services().database.close()
        services.services().journal.close()


@pytest.fixture
def sender(site: Flask) -> Visitor:
    visitor = Visitor(site.test_client())
    assert visitor.sign_in("max").status_code == 303
    return visitor


@pytest.fixture
def outsider(site: Flask) -> Visitor:
    return Visitor(site.test_client())


def made(sender: Visitor, path: str = ANNA, days: str = "30") -> str:
    """Hand over; the path of the newest link."""
    assert sender.post(path, path, days=days).status_code == 303
    return str(re.findall(r'id="link-[^"]+">http://[^/<]+(/t/[^<]+)<', sender.get(path).text)[0])


def rows(site: Flask) -> list[HandOver]:
    with site.app_context(), services.services().database.reading() as session:
        found = list(session.scalars(select(HandOver).order_by(HandOver.created_at)))
        session.expunge_all()
        return found


def test_a_link_shows_one_recipients_transcript_to_who_has_no_account(sender: Visitor, outsider: Visitor) -> None:
    link = made(sender)
    answer = outsider.get(link)
    assert answer.status_code == 200
    page = html.unescape(answer.text)
    wanted = [
        "Your server's queue id:", "4dDn2K1zQqz9sM2",
        "mx1.example.net took the message at 14:18:40", "it was submitted",
        "22 Nov 2026 14:03:05 CET", "2026-11-22 13:03:05 UTC", "Offer 2026-117", "13:18:40 UTC", "354 End data with",
        "dsn=2.0.0", "Evidence:",
    ]  # fmt: skip
    positions = [page.find(text) for text in wanted]
    assert -1 not in positions, wanted[positions.index(-1)]
    assert positions[:4] == sorted(positions[:4])


@pytest.mark.parametrize("tail", ["", ".txt", ".json"])
def test_nothing_of_others_or_of_the_account_is_told(sender: Visitor, outsider: Visitor, tail: str) -> None:
    text = outsider.get(made(sender) + tail).text
    for secret in (
        "ben@", "carl@", "dora@", "example.org", "Thunderbird", "203.0.113.9", "login", "opened alert", "opens",
        "GoogleImageProxy", "picture is the same", "of 4",
    ):  # fmt: skip
        assert secret not in text, secret
    assert "anna@example.net" in text


@pytest.mark.parametrize("tail", ["", ".txt", ".json"])
def test_it_is_kept_by_nobody_and_sets_no_cookie(sender: Visitor, outsider: Visitor, tail: str) -> None:
    headers = outsider.get(made(sender) + tail).headers
    assert "noindex" in headers["X-Robots-Tag"]
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Set-Cookie" not in headers


def test_it_is_given_as_text_and_as_json(sender: Visitor, outsider: Visitor) -> None:
    link = made(sender)
    text = outsider.get(f"{link}.txt")
    assert text.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "Your reference: 4dDn2K1zQqz9sM2" in text.text
    assert "14:18:40.950 = 2026-11-22 13:18:40 UTC" in text.text
    value = json.loads(outsider.get(f"{link}.json").text)
    assert [one["address"] for one in value["recipients"]] == ["anna@example.net"]
    assert "login" not in value["message"]
    assert value["recipients"][0]["attempts"][1]["receipt"]["remote_queue_id"] == "4dDn2K1zQqz9sM2"


def test_what_is_expired_revoked_or_invented_answers_the_same(sender: Visitor, outsider: Visitor, clock: Clock) -> None:
    revoked, expired = made(sender), made(sender, days="7")
    other = made(sender, f"/messages/{OFFER_ID}/recipients/2/hand-over")
    ids = re.findall(r"/account/hand-overs/([^/]+)/revoke", sender.get("/account/hand-overs").text)
    assert len(ids) == 3
    to_revoke = re.findall(rf'id="link-([^"]+)">http://[^/<]+{re.escape(revoked)}<', sender.get(ANNA).text)[0]
    assert sender.post(f"/account/hand-overs/{to_revoke}/revoke", ANNA).status_code == 303
    clock.now = NOW + dt.timedelta(days=7)
    invented = other[:-9] + ("A" if other[-9] != "A" else "B") + other[-8:]
    answers = []
    for link in (revoked, expired, invented, "/t/" + "x" * 43, "/t/short"):
        for tail in ("", ".txt", ".json"):
            answer = outsider.get(link + tail)
            answers.append((answer.status_code, answer.text))
    assert set(answers) == {(404, answers[0][1])}
    assert outsider.get(other).status_code == 200


def test_how_often_it_was_shown_is_counted_and_asking_without_reading_is_not(
    site: Flask, sender: Visitor, outsider: Visitor, clock: Clock
) -> None:
    link = made(sender)
    assert "not shown so far" in sender.get(ANNA).text
    outsider.get(link)
    clock.now += dt.timedelta(hours=1)
    outsider.get(f"{link}.txt")
    outsider.client.head(link)
    (row,) = rows(site)
    assert (row.shown, row.shown_at) == (2, clock.now)
    clock.now += dt.timedelta(minutes=1)
    assert "shown 2 times" in sender.get(ANNA).text


def test_a_database_that_cannot_be_written_does_not_hide_the_page(
    sender: Visitor, outsider: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = made(sender)

    def fail(*_given: object) -> None:
        raise OperationalError("UPDATE", {}, Exception("locked"))

    monkeypatch.setattr(hand_overs, "count", fail)
    assert outsider.get(link).status_code == 200


def test_the_sender_chooses_how_long(site: Flask, sender: Visitor) -> None:
    made(sender, days="7")
    (row,) = rows(site)
    assert row.expires_at == NOW + dt.timedelta(days=7)
    assert row.recipient_key == "anna@example.net"
    for wrong in ("8", "", "-7", "7; DROP"):
        answer = sender.post(ANNA, ANNA, days=wrong)
        assert answer.status_code == 422
    assert len(rows(site)) == 1


def test_an_alias_is_handed_over_as_a_whole(sender: Visitor, outsider: Visitor) -> None:
    text = outsider.get(made(sender, f"/messages/{HANDED_ON_ID}/recipients/2/hand-over")).text
    assert "zoe@example.org" in text
    assert "ben@example.com" in text
    assert "anna@example.net" not in text


def test_making_and_ending_are_in_the_audit_log(site: Flask, sender: Visitor) -> None:
    made(sender)
    (row,) = rows(site)
    sender.post(f"/account/hand-overs/{row.id}/revoke", ANNA)
    with site.app_context(), services.services().database.reading() as session:
        wanted = select(AuditEntry).where(AuditEntry.event.startswith("hand-over")).order_by(AuditEntry.id)
        entries = list(session.scalars(wanted))
        session.expunge_all()
    assert [entry.event for entry in entries] == ["hand-over created", "hand-over revoked"]
    assert entries[0].details == {"message": str(OFFER_ID), "recipient": "anna@example.net", "days": 30}
    assert entries[0].actor == "max"
    # The log holds no key to the page.
    assert hand_overs.token(row.id, b"") not in str(entries[0].details)


def test_nobody_elses_link_can_be_made_seen_or_ended(site: Flask, sender: Visitor) -> None:
    made(sender)
    (row,) = rows(site)
    other = Visitor(site.test_client())
    assert other.sign_in("eva").status_code == 303
    assert other.get(ANNA).status_code == 404
    assert other.post(ANNA, "/account/hand-overs", days="7").status_code in (400, 404)
    form = other.get("/account/hand-overs").text
    assert "Offer" not in form
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form)
    assert token
    given = {"csrf_token": token[1], "days": "7"}
    assert other.client.post(ANNA, data=given).status_code == 404
    assert other.client.post(f"/account/hand-overs/{row.id}/revoke", data=given).status_code == 404
    assert sender.client.post(f"/messages/{FOREIGN_ID}/recipients/1/hand-over", data={"days": "7"}).status_code == 400
    (row,) = rows(site)
    assert row.revoked_at is None


def test_a_form_without_its_token_changes_nothing(site: Flask, sender: Visitor) -> None:
    assert sender.client.post(ANNA, data={"days": "7"}).status_code == 400
    assert rows(site) == []


def test_all_links_are_listed_page_by_page(sender: Visitor, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No link yet" in sender.get("/account/hand-overs").text
    for number in range(5):
        clock.now = NOW + dt.timedelta(minutes=number // 2)
        made(sender, f"/messages/{OFFER_ID}/recipients/{number % 4 + 1}/hand-over")
    monkeypatch.setattr("sendproof_web.hand_over._PAGE_LENGTH", 2)
    seen: list[str] = []
    path: str | None = "/account/hand-overs"
    while path:
        page = sender.get(path).text
        seen += re.findall(r'id="link-([^"]+)"', page)
        found = re.search(r'rel="next" href="([^"]+)"', page)
        path = html.unescape(found[1]) if found else None
    assert len(seen) == len(set(seen)) == 5
    for wrong in ("x", "2026-11-22/1", "2026-11-22T13:03:05/00000000-0000-0000-0000-000000000000"):
        assert sender.get(f"/account/hand-overs?before={wrong}").status_code == 400


def test_from_the_guide_it_goes_back_to_the_guide_with_the_link_in_the_wording(sender: Visitor) -> None:
    guide = f"/messages/{OFFER_ID}/recipients/1/guide"
    answer = sender.post(f"{ANNA}?back=guide", guide, days="30")
    assert answer.location == guide
    page = sender.get(guide).text
    wording = page[page.index('id="wording-2"') :]
    assert "http://127.0.0.1:8025/t/" in wording


def test_hostile_text_is_shown_and_never_obeyed(sender: Visitor, outsider: Visitor) -> None:
    link = made(sender, f"/messages/{HOSTILE_ID}/recipients/1/hand-over")
    page = outsider.get(link).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert not re.search("<script>|<img src=x|[\x1b\u202e]", page)
    assert not re.search("[\x1b\u202e]", outsider.get(f"{link}.txt").text)
    assert "<script>" not in sender.get("/account/hand-overs").text
