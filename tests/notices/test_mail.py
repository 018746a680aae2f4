"""A letter as a mail: marked as a machine's, the same in text and HTML, and nobody quoted in it says more than that."""

import email
import email.policy
import html
import html.parser
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.hostile_text import visible
from sendproof_notices import mail
from sendproof_notices.letter import Entry, Facts, Heading, Letter, Link, Paragraph, Quote
from sendproof_notices.mail import UnusableAddressError, is_mail_address
from sendproof_testing.notice_record import LETTERHEAD, NOW

HEADER = "<notice.7@relay.example>"
_HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress"]
_HEADERS += ["Content-Language", "Content-Type", "MIME-Version"]
# Plain text, and pieces that mean something in a header, a line or a page.
HOSTILE = st.lists(
    st.one_of(
        st.text(max_size=60),
        st.sampled_from(
            [
                "\r\n",
                "\n",
                "\r",
                "\x0b",
                "\x0c",
                "\x1c",
                "\x85",
                "\u2028",
                "\u202e",
                "\udcff",
                "\0",
                "\x1b[",
                "\r\n.\r\n",
            ]
        ),
        st.sampled_from(
            ["\r\nBcc: all@example.org", "\r\n\r\n<html>", "=?utf-8?q?a=0d=0aBcc:b?=", "=?", "?=", '"', "<", "{{ 1 }}"]
        ),
        st.sampled_from(["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</blockquote>", "%(x)s", "%"]),
    ),
    max_size=6,
).map("".join)


def written(letter: Letter, to_address: str = "max@home.example") -> bytes:
    composed = mail.compose(letter, LETTERHEAD, to_address=to_address, message_id_header=HEADER, language="en", now=NOW)
    return composed.as_bytes()


def read(raw: bytes) -> email.message.EmailMessage:
    return email.message_from_bytes(raw, policy=email.policy.default)


def part(message: email.message.EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def test_a_notice_is_marked_as_made_by_a_machine() -> None:
    message = read(written(Letter("Not delivered", (Paragraph("Hello"),))))
    assert sorted(message.keys()) == sorted(_HEADERS)
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Auto-Response-Suppress"] == "All"
    assert message["Precedence"] is None
    assert message["From"] == "Relay <notices@relay.example>"
    assert message["To"] == "max@home.example"
    assert message["Subject"] == "Not delivered"
    assert message["Message-ID"] == HEADER
    assert message["Date"].datetime == NOW
    assert message.get_content_type() == "multipart/alternative"


def test_a_letter_reads_well_as_text() -> None:
    letter = Letter(
        "subject",
        (
            Paragraph("A sentence that is long enough to be broken after the seventy-sixth character of its line."),
            Heading("anna@example.net"),
            Quote("Their server's words:", ("550 5.1.1 No such user",)),
            Facts((("Next attempt", "14:18"),)),
            Link("All about it", "https://mail.relay.example/messages/" + "0" * 60),
        ),
        (Paragraph("Sent by a machine."),),
    )
    assert mail.as_text(letter) == (
        "A sentence that is long enough to be broken after the seventy-sixth\n"
        "character of its line.\n\n"
        "anna@example.net\n----------------\n\n"
        "Their server's words:\n\n    550 5.1.1 No such user\n\n"
        "    Next attempt: 14:18\n\n"
        "All about it:\n    https://mail.relay.example/messages/" + "0" * 60 + "\n\n"
        "-- \nSent by a machine.\n"
    )


class _Tags(html.parser.HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.targets: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self.targets.update(value or "" for name, value in attrs if name in ("href", "src", "action"))


@given(HOSTILE, HOSTILE, HOSTILE)
def test_quoted_text_injects_no_header_no_line_and_no_markup(one: str, two: str, three: str) -> None:
    url = "https://mail.relay.example/messages/1"
    blocks = (
        Paragraph(one),
        Heading(two),
        Quote(three, (one, two)),
        Facts(((two, three),)),
        Entry(one, two, url),
        Link(three, url),
    )
    raw = written(Letter(one, blocks, (Paragraph(two),)))
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998  # octets, RFC 5322 section 2.1.1
    assert b"\n" not in raw.replace(b"\r\n", b"")
    message = read(raw)
    assert sorted(message.keys()) == sorted(_HEADERS)
    assert message["To"] == "max@home.example"
    assert [found.get_content_type() for found in message.iter_parts()] == ["text/plain", "text/html"]
    text, page = part(message, "plain"), part(message, "html")
    assert all(visible(line) == line for line in (*text.split("\n"), *page.split("\n")))
    tags = _Tags()
    tags.feed(page)
    assert tags.tags.isdisjoint({"script", "img", "iframe", "form", "object", "svg"})
    assert not any(name.startswith("on") for name in tags.attributes)
    assert tags.targets == {url}
    if visible(one).strip():
        words = visible(one).split()
        assert html.unescape(re.sub(r"<[^>]*>", " ", page)).split().count(words[0]) >= 1


@given(HOSTILE)
def test_only_one_plain_mail_address_is_mailed_to(address: str) -> None:
    try:
        raw = written(Letter("subject", ()), f"max@home.example{address}")
    except UnusableAddressError:
        return
    assert [found.addr_spec for found in read(raw)["To"].addresses] == [f"max@home.example{address}"]


@pytest.mark.parametrize(
    "text",
    ["", "max", "@home.example", "max@", "max@home.example, b@x", "max@home.example\n", "<max@home.example>",
     "a b@home.example", "m..x@home.example", "max@-home.example", "jörg@home.example", "a@" + "b" * 260],
)  # fmt: skip
def test_other_text_is_no_mail_address(text: str) -> None:
    assert not is_mail_address(text)
