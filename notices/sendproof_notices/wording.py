"""What a notice says. Decides and words; reads no record, sends nothing.

Everything about the failed message came over a wire: it is quoted on one line, without control characters.
"""

import datetime as dt
import re
import textwrap
import uuid
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from sendproof_core.hostile_text import visible
from sendproof_core.plans import zone
from sendproof_core.states import RecipientState

_SUBJECT_CHARACTERS = 160
_BODY_COLUMNS = 76
# 8-bit text would have to be recoded on the way (RFC 6152 section 3), which breaks its DKIM signature.
_POLICY = SMTP.clone(cte_type="7bit")

# Dot-string "@" domain of RFC 5321 section 4.1.2; quoted local parts and address literals are not mailed to.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_MAIL_ADDRESS = re.compile(rf"(?=.{{1,254}}\Z){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")

# RFC 3463 section 3: subject and detail of the enhanced status code.
_ADVICE = (
    ("1.1", "That mailbox does not exist there. Look for a typing error, or ask for the address in another way."),
    ("1.2", "That domain takes no mail. Look for a typing error after the @ sign."),
    ("1.10", "That domain takes no mail. Look for a typing error after the @ sign."),
    ("2.1", "That mailbox is switched off. Ask for the current address in another way."),
    ("2.2", "That mailbox is full. Let the recipient know in another way, and send the message again later."),
    ("2.3", "The message is larger than that mailbox takes. Send a smaller one, or a link to the attachment."),
    ("3.4", "The message is larger than their server takes. Send a smaller one, or a link to the attachment."),
    ("4.4", "That domain could not be found. Look for a typing error after the @ sign."),
    ("7", "Their server refuses the message by its own rules. Show the page below to the recipient's IT department: it "
          "has what they need to find the message in their systems."),
)  # fmt: skip
_ADVICE_ELSE = (
    "Look for a typing error in the address. If it is right, show the page below to the recipient's IT department: it "
    "has what they need to find the message in their systems."
)
_ADVICE_EXPIRED = (
    "Look for a typing error after the @ sign. If the address is right, their server was out of reach or kept putting "
    "us off: let the recipient know in another way, and send the message again later."
)


@dataclass(frozen=True)
class Failure:
    """One recipient that a message did not reach. ``dsn``, ``reply``: of the last attempt; None without one."""

    message_id: uuid.UUID
    subject: str | None
    submitted_at: dt.datetime
    time_zone: str
    address: str
    state: RecipientState
    dsn: str | None
    reply: str | None


@dataclass(frozen=True)
class Letterhead:
    """What all notices have in common. ``site_url`` ends without a slash."""

    from_address: str
    site_url: str


class UnusableAddressError(Exception):
    """The account's notice address is none that mail can be sent to."""


def is_mail_address(text: str) -> bool:
    """Whether mail can be sent to this text, taken as exactly one ASCII address."""
    return _MAIL_ADDRESS.fullmatch(text) is not None


def compose(
    failure: Failure, letterhead: Letterhead, *, to_address: str, message_id_header: str, now: dt.datetime
) -> EmailMessage:
    """The notice that a recipient was not reached.

    Marked as made by a machine (RFC 3834 section 5), so that no answering machine answers.

    Raises:
        UnusableAddressError: ``to_address`` is not one mail address.
    """
    if not is_mail_address(to_address):
        raise UnusableAddressError(to_address)
    notice = EmailMessage(policy=_POLICY)
    notice["From"] = Address("Delivery notices", addr_spec=letterhead.from_address)
    notice["To"] = Address(addr_spec=to_address)
    notice["Subject"] = _subject(failure)
    notice["Date"] = now
    notice["Message-ID"] = message_id_header
    notice["Auto-Submitted"] = "auto-generated"
    notice.set_content(body(failure, letterhead.site_url))
    return notice


def body(failure: Failure, site_url: str) -> str:
    """The text: which recipient, what was said, what to do, where the transcript is."""
    submitted = failure.submitted_at.astimezone(zone(failure.time_zone)).strftime("%Y-%m-%d %H:%M %Z")
    named = f'"{visible(failure.subject)}"' if failure.subject else "without a subject"
    expired = failure.state is RecipientState.EXPIRED
    paragraphs = [
        _wrapped(f"Your message {named}, sent {submitted}, was not delivered to"),
        _indented(failure.address),
        "It was tried again and again until its time was up; this is final." if expired else "This is final.",
    ]
    if failure.reply:
        # "host mx.example[192.0.2.1] said: 550 ...": Postfix, smtp_chat.c and smtp_trouble.c.
        whose = "Their server's words:" if " said: " in failure.reply else "What our mail server noted:"
        paragraphs += [whose, _indented(failure.reply)]
    paragraphs += [
        "What you can do:",
        _indented(advice(failure)),
        "The transcript, with every attempt and what the two servers said:",
        f"    {site_url}/messages/{failure.message_id}",
        "This is about this one recipient; the message's other recipients have transcripts of their own.",
    ]
    return "\n\n".join(paragraphs) + "\n"


def advice(failure: Failure) -> str:
    """What the sender can do, by the enhanced status code of the last attempt (class, subject, detail)."""
    _, _, code = (failure.dsn or "").partition(".")
    for known, sentence in _ADVICE:
        if code == known or code.startswith(f"{known}."):
            return sentence
    return _ADVICE_EXPIRED if failure.state is RecipientState.EXPIRED else _ADVICE_ELSE


def _subject(failure: Failure) -> str:
    text = f"Not delivered to {visible(failure.address)}"
    if failure.subject:
        text += f": {visible(failure.subject)}"
    # What looks like an encoded word (RFC 2047) would be decoded when the header is set, line ends in it and all.
    text = text.replace("=?", "= ?")
    return text if len(text) <= _SUBJECT_CHARACTERS else text[: _SUBJECT_CHARACTERS - 3] + "..."


def _wrapped(text: str, indent: str = "") -> str:
    """Long words (queue ids, URLs) stay whole, so that they can be copied."""
    return textwrap.fill(
        visible(text),
        _BODY_COLUMNS,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _indented(text: str) -> str:
    return _wrapped(text, indent="    ")
