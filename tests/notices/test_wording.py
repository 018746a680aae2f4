"""What a notice says, and that nobody who is quoted in it can say more than that."""

import dataclasses
import datetime as dt
import email
import email.policy
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.hostile_text import visible
from sendproof_core.states import RecipientState
from sendproof_notices.wording import Failure, Letterhead, UnusableAddressError, advice, body, compose, is_mail_address

NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)
LETTERHEAD = Letterhead("notices@relay.example", "https://mail.relay.example")
FAILURE = Failure(
    message_id=uuid.UUID("0192f3a0-0000-7000-8000-000000000001"),
    subject="Offer 2026-117",
    submitted_at=NOW,
    time_zone="Europe/Vienna",
    address="anna@example.net",
    state=RecipientState.BOUNCED,
    dsn="5.1.1",
    reply="host mx1.example.net[192.0.2.25] said: 550 5.1.1 <anna@example.net>: No such user (in reply to RCPT TO)",
)
_HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Type"]
_HEADERS += ["Content-Transfer-Encoding", "MIME-Version"]
# Plain text, and pieces that mean something in a header or a line.
_HOSTILE = st.lists(
    st.one_of(
        st.text(max_size=60),
        st.sampled_from(
            ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u202e", "\udcff", "\0", "\x1b["]
        ),
        st.sampled_from(
            ["\r\nBcc: all@example.org", "\r\n\r\n<html>", "=?utf-8?q?a=0d=0aBcc:b?=", "=?", "?=", '"', "<"]
        ),
    ),
    max_size=6,
).map("".join)


def written(failure: Failure, to_address: str = "max@home.example") -> bytes:
    notice = compose(
        failure, LETTERHEAD, to_address=to_address, message_id_header="<notice.7.1@relay.example>", now=NOW
    )
    return notice.as_bytes()


def test_a_notice_names_recipient_time_reply_advice_and_transcript() -> None:
    assert body(FAILURE, LETTERHEAD.site_url) == (
        'Your message "Offer 2026-117", sent 2026-11-22 14:03 CET, was not delivered\nto\n\n'
        "    anna@example.net\n\n"
        "This is final.\n\n"
        "Their server's words:\n\n"
        "    host mx1.example.net[192.0.2.25] said: 550 5.1.1 <anna@example.net>: No\n"
        "    such user (in reply to RCPT TO)\n\n"
        "What you can do:\n\n"
        "    That mailbox does not exist there. Look for a typing error, or ask for\n"
        "    the address in another way.\n\n"
        "The transcript, with every attempt and what the two servers said:\n\n"
        "    https://mail.relay.example/messages/0192f3a0-0000-7000-8000-000000000001\n\n"
        "This is about this one recipient; the message's other recipients have transcripts of their own.\n"
    )


def test_a_notice_is_marked_as_made_by_a_machine() -> None:
    notice = email.message_from_bytes(written(FAILURE), policy=email.policy.default)
    assert notice["Auto-Submitted"] == "auto-generated"
    assert notice["Precedence"] is None
    assert notice["From"] == "Delivery notices <notices@relay.example>"
    assert notice["To"] == "max@home.example"
    assert notice["Subject"] == "Not delivered to anna@example.net: Offer 2026-117"
    assert notice["Message-ID"] == "<notice.7.1@relay.example>"
    assert notice["Date"].datetime == NOW


@pytest.mark.parametrize(
    ("state", "dsn", "begins"),
    [
        (RecipientState.BOUNCED, "5.1.10", "That domain takes no mail"),
        (RecipientState.BOUNCED, "5.7.26", "Their server refuses"),
        (RecipientState.BOUNCED, "5.2.2", "That mailbox is full"),
        (RecipientState.BOUNCED, "5.0.0", "Look for a typing error in the address"),
        (RecipientState.BOUNCED, None, "Look for a typing error in the address"),
        (RecipientState.EXPIRED, "4.2.2", "That mailbox is full"),
        (RecipientState.EXPIRED, "4.4.1", "Look for a typing error after the @ sign"),
    ],
)
def test_advice_follows_the_enhanced_status_code(state: RecipientState, dsn: str | None, begins: str) -> None:
    assert advice(dataclasses.replace(FAILURE, state=state, dsn=dsn)).startswith(begins)


def test_what_our_own_server_noted_is_not_put_in_the_mouth_of_theirs() -> None:
    reply = "Host or domain name not found. Name service error for name=exampel.net type=A: Host not found"
    text = body(dataclasses.replace(FAILURE, reply=reply), LETTERHEAD.site_url)
    assert "What our mail server noted:" in text
    assert "Their server's words:" not in text


def test_without_subject_and_attempt_a_notice_still_says_what_is_known() -> None:
    text = body(dataclasses.replace(FAILURE, subject=None, reply=None, dsn=None), LETTERHEAD.site_url)
    assert "without a subject" in text
    assert "words:" not in text


@given(_HOSTILE, _HOSTILE, _HOSTILE)
def test_quoted_text_injects_no_header_and_no_recipient(address: str, subject: str, reply: str) -> None:
    raw = written(dataclasses.replace(FAILURE, address=address, subject=subject, reply=reply))
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998  # octets, RFC 5322 section 2.1.1
    assert b"\n" not in raw.replace(b"\r\n", b"")
    notice = email.message_from_bytes(raw, policy=email.policy.default)
    assert sorted(notice.keys()) == sorted(_HEADERS)
    assert notice["To"] == "max@home.example"
    assert not notice.is_multipart()
    text = notice.get_content().replace("\r\n", "\n")
    assert all(visible(line) == line for line in text.split("\n"))
    assert f"    {LETTERHEAD.site_url}/messages/{FAILURE.message_id}\n" in text


@given(_HOSTILE)
def test_only_one_plain_mail_address_is_mailed_to(address: str) -> None:
    try:
        raw = written(FAILURE, f"max@home.example{address}")
    except UnusableAddressError:
        return
    notice = email.message_from_bytes(raw, policy=email.policy.default)
    assert [found.addr_spec for found in notice["To"].addresses] == [f"max@home.example{address}"]


@pytest.mark.parametrize(
    "text",
    ["", "max", "@home.example", "max@", "max@home.example, b@x", "max@home.example\n", "<max@home.example>",
     "a b@home.example", "m..x@home.example", "max@-home.example", "jörg@home.example", "a@" + "b" * 260],
)  # fmt: skip
def test_other_text_is_no_mail_address(text: str) -> None:
    assert not is_mail_address(text)
