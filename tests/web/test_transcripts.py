import datetime as dt
import html
import json
import re
import uuid
from pathlib import Path

import pytest
from sqlalchemy import select

from sendproof_core.schema import Account, Attempt, QueueFile, Recipient, Refusal
from sendproof_core.settings import SettingsFile
from sendproof_core.states import RecipientState
from sendproof_testing import sample_site
from sendproof_testing.sample_record import FOREIGN_ID, HANDED_ON_ID, HOSTILE_ID, OFFER_ID, SENT_AT, UNKNOWN_ID
from sendproof_testing.visitor import Visitor
from sendproof_web import transcripts
from sendproof_web.app import create_app


def test_the_transcript_answers_first_and_tells_the_rest(max_: Visitor) -> None:
    page = max_.get(f"/messages/{OFFER_ID}").text
    wanted = [
        "mx1.example.net took the message at 14:18:40, 15 min 36 s after you sent it, over TLS 1.3.",
        "It was greylisted first",
        "4dDn2K1zQqz9sM2",
        "What this proves",
        "14:03:06.118",
        "450 4.2.0 &lt;anna@example.net&gt;: Recipient address rejected: Greylisted",
        "by a mail proxy (Gmail)",
        "354 End data with",
        "Evidence:",
        "relay7.example.org took the message",
        "mx.example.com refused the message",
        "550 5.1.1 https://support.example.com/?p=NoSuchUser d9443c01a7336-2a2c",
        "no mail server of example.edu can be reached",
    ]
    positions = [page.find(text) for text in wanted]
    assert -1 not in positions, wanted[positions.index(-1)]
    assert positions == sorted(positions)


# A message to a thousand recipients was a page of 26 MB.
def test_many_recipients_are_shown_a_page_at_a_time(max_: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcripts, "RECIPIENTS_SHOWN", 3)
    first = max_.get(f"/messages/{OFFER_ID}").text
    assert first.count('<article class="card story') == 3
    assert "Recipients 1 to 3 of 4" in first
    (link,) = set(re.findall(r'rel="next" href="([^"]+)"', first))  # above and below
    second = max_.get(link).text
    assert second.count('<article class="card story') == 1
    assert "dora@example.edu" in second
    assert 'rel="prev"' in second
    assert max_.get(f"/messages/{OFFER_ID}?first=5").status_code == 404
    assert max_.get(f"/messages/{OFFER_ID}?first=-7").status_code == 200


def test_the_page_follows_a_message_from_queue_file_to_queue_file(max_: Visitor) -> None:
    page = max_.get(f"/messages/{HANDED_ON_ID}").text
    wanted = [
        "250 2.6.0 &lt;7f3c@own.example&gt; [InternalId=1234567",
        "the server speaks like Exchange or Microsoft 365",
        "handed to a content filter, which gave it back as 4dDlFiltered2",
        "zoe@example.org</bdi></h2>",
        "as 4dDlForward3 to zoe@example.org",
        "shown by &#34;forwarded as&#34; in the mail log",
        "our server lets that one rest for a while",
        "put back into the queue by an administrator as 4dDlRequeued4",
    ]
    assert [text for text in wanted if text not in page] == []


def test_a_gap_of_the_log_is_named_where_the_evidence_ends(max_: Visitor) -> None:
    page = max_.get(f"/messages/{UNKNOWN_ID}").text
    assert "has a gap from 12:03:06 to 12:05:52 (the system log dropped 4,112 lines)" in page


def test_what_is_not_known_is_said(max_: Visitor) -> None:
    assert "We do not know what became of it." in max_.get(f"/messages/{UNKNOWN_ID}").text


def test_another_accounts_message_answers_as_one_that_does_not_exist(max_: Visitor) -> None:
    max_.get("/messages")
    foreign = max_.get(f"/messages/{FOREIGN_ID}")
    missing = max_.get(f"/messages/{uuid.UUID(int=1)}")
    assert foreign.status_code == missing.status_code == 404
    assert foreign.text == missing.text
    assert dict(foreign.headers) == dict(missing.headers)


def test_hostile_text_is_shown_and_never_obeyed(max_: Visitor) -> None:
    base = f"/messages/{HOSTILE_ID}"
    for path in (base, f"{base}/now", f"{base}/recipients/1/guide", f"{base}/recipients/1/hand-over"):
        page = max_.get(path).text
        assert "<script>" not in page
        assert not re.search("<img src=x|[\x1b\u202e]", page), path
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m" in max_.get(base).text


def test_the_page_offers_what_can_be_done_for_each_recipient(max_: Visitor) -> None:
    page = max_.get(f"/messages/{OFFER_ID}").text
    for number in (1, 2, 3, 4):
        for tail in (".txt", ".json", "/guide", "/hand-over"):
            assert f'href="/messages/{OFFER_ID}/recipients/{number}{tail}"' in page
    # What copy buttons copy is on the page.
    targets = re.findall(r'data-copy="([^"]+)"', page)
    assert targets
    assert [target for target in targets if f'id="{target}"' not in page] == []


def test_why_there_is_no_opened_alert_is_said(max_: Visitor) -> None:
    assert "Opened alert on" in max_.get(f"/messages/{OFFER_ID}").text


def test_the_lines_of_the_log_are_shown_as_evidence(max_: Visitor) -> None:
    page = html.unescape(max_.get(f"/messages/{OFFER_ID}").text)
    assert "2026-11-22T13:18:40.950Z edge1 postfix/smtp: 4dDmPz6NfkzXyz: to=<anna@example.net>, relay=mx1" in page
    assert "put together again from the record" in page


def test_the_live_part_is_empty_until_something_changes(max_: Visitor) -> None:
    page = max_.get(f"/messages/{OFFER_ID}").text
    path = html.unescape(re.findall(r'hx-get="([^"]+)" hx-trigger="every \d+s" hx-swap="outerHTML"', page)[0])
    assert path.startswith(f"/messages/{OFFER_ID}/now?")
    same = max_.get(path)
    assert (same.status_code, same.text) == (204, "")
    news = max_.get(re.sub("mark=[^&]+", "mark=0", path))
    assert news.status_code == 200
    assert news.text.count('<article class="card story') == 4
    assert 'id="live"' in news.text
    assert 'hx-swap-oob="true"' in news.text
    assert "<html" not in news.text


def test_what_can_change_no_more_is_not_asked_for_again(max_: Visitor) -> None:
    assert "hx-get" not in max_.get(f"/messages/{HOSTILE_ID}").text
    # Nothing is expected of a recipient whose evidence ends.
    assert "hx-get" not in max_.get(f"/messages/{UNKNOWN_ID}").text


def test_a_recipients_transcript_is_given_as_text(max_: Visitor) -> None:
    answer = max_.get(f"/messages/{OFFER_ID}/recipients/1.txt")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="transcript-4dDmPz6NfkzXyz-1.txt"'
    assert "mx1.example.net took the message at 14:18:40" in answer.text
    assert "The conversation (attempt 1)" in answer.text
    assert "The conversation (attempt 2)" in answer.text
    assert "ben@example.org" not in answer.text


def test_a_recipients_transcript_is_given_as_json(max_: Visitor) -> None:
    answer = max_.get(f"/messages/{OFFER_ID}/recipients/2.json")
    assert answer.headers["Content-Type"] == "application/json"
    whole = json.loads(answer.text)
    assert [one["address"] for one in whole["recipients"]] == ["ben@example.org"]
    assert whole["message"]["login"] == "max"


@pytest.mark.parametrize("tail", [".txt", ".json", "/guide", "/hand-over"])
@pytest.mark.parametrize("place", ["{}/recipients/0", "{}/recipients/5", "{}/recipients/99999999999999999999"])
def test_a_recipient_that_is_not_there_is_not_found(max_: Visitor, place: str, tail: str) -> None:
    assert max_.get(f"/messages/{place.format(OFFER_ID)}{tail}").status_code == 404


@pytest.mark.parametrize(
    "tail", ["", "/now", *(f"/recipients/1{end}" for end in (".txt", ".json", "/guide", "/hand-over"))]
)
def test_only_its_account_sees_a_message(max_: Visitor, eva: Visitor, stranger: Visitor, tail: str) -> None:
    assert max_.get(f"/messages/{FOREIGN_ID}{tail}").status_code == 404
    assert eva.get(f"/messages/{OFFER_ID}{tail}").status_code == 404
    answer = stranger.get(f"/messages/{OFFER_ID}{tail}")
    assert answer.status_code == 303
    assert answer.location.startswith("/sign-in?next=")


def test_a_refusal_has_a_page_of_its_own(max_: Visitor, eva: Visitor) -> None:
    page = max_.get("/refusals/1").text
    assert "550 5.7.1 &lt;max@elsewhere.example&gt; does not belong to your account" in page
    assert "Send with an address of your own" in page
    assert eva.get("/refusals/1").status_code == 404
    for missing in ("2", "0", "99999999999999999999"):
        assert max_.get(f"/refusals/{missing}").status_code == 404


# --- a site of their own, to write to -------------------------------------------------------------------------------


def visit(folder: Path, now: dt.datetime = SENT_AT + dt.timedelta(minutes=40)) -> tuple[Visitor, SettingsFile]:
    file = sample_site.prepare(folder)
    return signed_in(file, now), file


def signed_in(file: SettingsFile, now: dt.datetime) -> Visitor:
    visitor = Visitor(create_app(file, now=lambda: now).test_client())
    visitor.sign_in("max")
    return visitor


def test_a_limit_is_named_with_what_is_used_and_when_it_resets(tmp_path: Path) -> None:
    visitor, file = visit(tmp_path)
    database = sample_site.database_of(file)
    with database.writing() as session:
        account_id = session.scalars(select(Account.id).where(Account.login == "max")).one()
        refusal = Refusal(
            account_id=account_id, login="max", refused_at=SENT_AT, host="edge1", queue_id=None,
            envelope_sender="max@own.example", recipients=["a@x.example"] * 300, subject="<b>Many</b>",
            reason="over-quota", reply="550 5.7.1 Plan limit reached: 500 recipients per day, 498 used, this message "
            "has 300; the count resets at 2026-11-23 00:00 CET",
        )  # fmt: skip
        session.add(refusal)
        session.flush()
        number = refusal.id
    database.close()
    page = visitor.get(f"/refusals/{number}").text
    assert "500 recipients per day" in page
    assert "2026-11-23 00:00 CET" in page
    assert "&lt;b&gt;Many&lt;/b&gt;" in page
    assert "and 100 more" in page


# A greylisted mail's page, from deferral to delivery.
def test_the_page_follows_a_greylisted_mail_from_deferral_to_delivery(tmp_path: Path) -> None:
    visitor, file = visit(tmp_path, SENT_AT + dt.timedelta(minutes=2))
    database = sample_site.database_of(file)
    with database.writing() as session:
        queue_file = session.scalars(select(QueueFile).where(QueueFile.queue_id == "4dDmPz6NfkzXyz")).one()
        wanted = select(Recipient).where(Recipient.queue_file_id == queue_file.id, Recipient.number == 1)
        anna = session.scalars(wanted).one()
        anna.state, anna.state_at = RecipientState.DEFERRED.value, SENT_AT
        attempts = session.scalars(select(Attempt).where(Attempt.recipient_id == anna.id)).all()
        taken = max(attempts, key=lambda one: one.attempted_at)
        values = {
            name: getattr(taken, name) for name in [column.name for column in Attempt.__table__.columns] if name != "id"
        }
        session.delete(taken)
    first = visitor.get(f"/messages/{OFFER_ID}").text
    story = first[first.index('id="recipient-1"') : first.index('id="recipient-2"')]
    assert "mx1.example.net has greylisted it" in story
    assert "Nothing is wrong" in story
    assert "<dt>greylisted</dt>" in story
    assert "<dt>next attempt</dt>" in story
    mark = re.findall(r"mark=(\w+)", first)[0]
    with database.writing() as session:
        session.add(Attempt(**values))
        row = session.get_one(Recipient, values["recipient_id"])
        row.state, row.state_at = RecipientState.DELIVERED.value, SENT_AT + dt.timedelta(seconds=936)
    database.close()
    news = visitor.get(f"/messages/{OFFER_ID}/now?mark={mark}")
    assert news.status_code == 200
    story = news.text[news.text.index('id="recipient-1"') : news.text.index('id="recipient-2"')]
    assert "mx1.example.net took the message at 14:18:40" in story
    assert "It was greylisted first" in story
    assert "<dt>next attempt</dt>" not in story
    assert story.index("<dt>greylisted</dt>") < story.index("<dt>accepted</dt>")


def test_a_page_asks_often_while_news_can_come_any_moment_and_seldom_while_postfix_waits(tmp_path: Path) -> None:
    file = sample_site.prepare(tmp_path)
    for minutes, every in ((1, "30s"), (40, "30s")):
        now = SENT_AT + dt.timedelta(minutes=minutes)
        visitor = signed_in(file, now)
        assert f'hx-trigger="every {every}"' in visitor.get(f"/messages/{OFFER_ID}").text
    database = sample_site.database_of(file)
    with database.writing() as session:
        for row in session.scalars(select(Recipient).where(Recipient.state == RecipientState.DEFERRED.value)):
            row.state = RecipientState.QUEUED.value
    database.close()
    for minutes, every in ((1, "5s"), (40, "30s")):
        now = SENT_AT + dt.timedelta(minutes=minutes)
        visitor = signed_in(file, now)
        assert f'hx-trigger="every {every}"' in visitor.get(f"/messages/{OFFER_ID}").text
