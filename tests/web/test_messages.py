import datetime as dt
import re
import uuid

import pytest

from sendproof_core.transcripts import MessageSummary, RefusalView
from sendproof_testing.sample_record import FOREIGN_ID, HANDED_ON_ID, HOSTILE_ID, OFFER_ID, SENT_AT, UNKNOWN_ID
from sendproof_testing.visitor import Visitor
from sendproof_web import messages
from sendproof_web.messages import merged


def test_the_list_shows_each_recipients_state_at_a_glance(max_: Visitor) -> None:
    page = max_.get("/messages").text
    row = page[page.index("Offer 2026-117") : page.index("Quarterly figures")]
    assert re.findall(r"</svg>(\w+)</span> <bdi class=\"address\">([^<]+)", row) == [
        ("ACCEPTED", "anna@example.net"),
        ("ACCEPTED", "ben@example.org"),
        ("BOUNCED", "carl@example.com"),
        ("DEFERRED", "dora@example.edu"),
    ]
    assert "Opened" in row


def test_what_was_refused_at_submission_is_shown_with_the_reason(max_: Visitor) -> None:
    page = max_.get("/messages").text
    assert "REFUSED" in page
    assert "550 5.7.1 &lt;max@elsewhere.example&gt; does not belong to your account" in page


def test_paging_shows_every_message_once(max_: Visitor) -> None:
    seen: list[str] = []
    path: str | None = "/messages"
    while path:
        page = max_.get(path).text
        seen += re.findall(r'class="row-subject" href="/messages/([^"]+)"', page)
        older = re.search(r'rel="next" href="([^"]+)"', page)
        path = older[1].replace("&amp;", "&") if older else None
    assert len(seen) == len(set(seen)) == 64


def test_another_accounts_messages_are_not_in_the_list(max_: Visitor) -> None:
    assert "Not for max" not in max_.get("/messages").text


@pytest.mark.parametrize(
    "before", ["", "yesterday", "2026-11-22T13:03:05", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59Z"]
)
def test_a_page_that_cannot_be_is_a_bad_request(max_: Visitor, before: str) -> None:
    assert max_.client.get("/messages", query_string={"before": before}).status_code == 400


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
    monkeypatch.setattr(messages, "RECIPIENTS_SHOWN", 3)
    first = max_.get(f"/messages/{OFFER_ID}").text
    assert first.count('<article class="card story') == 3
    assert "Recipients 1 to 3 of 4" in first
    (link,) = re.findall(r'rel="next" href="([^"]+)"', first)
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


def test_hostile_text_is_shown_and_never_obeyed(max_: Visitor) -> None:
    for path in ("/messages", f"/messages/{HOSTILE_ID}"):
        page = max_.get(path).text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m" in page
        assert not re.search("<script|<img src=x|[\x1b\u202e]", page)


def test_another_accounts_message_answers_as_one_that_does_not_exist(max_: Visitor) -> None:
    foreign = max_.get(f"/messages/{FOREIGN_ID}")
    missing = max_.get(f"/messages/{uuid.UUID(int=1)}")
    assert foreign.status_code == missing.status_code == 404
    assert foreign.text == missing.text
    assert dict(foreign.headers) == dict(missing.headers)


@pytest.mark.parametrize("path", ["/messages", f"/messages/{OFFER_ID}", f"/messages/{FOREIGN_ID}"])
def test_a_stranger_is_asked_to_sign_in(stranger: Visitor, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 302
    assert answer.location.startswith("/sign-in?next=")


def test_messages_and_refusals_are_merged_by_time_and_cut_to_a_page() -> None:
    def message(minute: int) -> MessageSummary:
        return MessageSummary(uuid.UUID(int=minute), SENT_AT + dt.timedelta(minutes=minute), None, (), opened=False)

    refusal = RefusalView(SENT_AT + dt.timedelta(minutes=2), "", (), None, "", "")
    rows, next_before = merged((message(3), message(1)), (refusal,), 2)
    assert [(row.message is not None, row.refusal is not None) for row in rows] == [(True, False), (False, True)]
    assert next_before == refusal.at
    assert merged((message(3),), (refusal,), 2)[1] is None
