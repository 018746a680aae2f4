"""A receiving server's acknowledgement: its words whole, its own queue id, and what kind of server speaks so. Pure.

Reads no refusal and decides no state. The words are another server's, so they may say anything: the kind is what they
look like, no more; `tests/corpus/receipts.txt` has replies of real servers.
"""

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from sendproof_core.reply_lines import REPLY_CODE, split_lines


class Receiver(enum.StrEnum):
    """What a server's acknowledgement looks like; the value is how its administrator calls it."""

    POSTFIX = "Postfix"
    EXCHANGE = "Exchange or Microsoft 365"
    GMAIL = "Gmail"
    EXIM = "Exim"
    SENDMAIL = "Sendmail"
    AMAZON = "Amazon"
    MIMECAST = "Mimecast"
    PROOFPOINT = "Proofpoint"
    IONOS = "IONOS"
    YANDEX = "Yandex"
    SEZNAM = "Seznam"
    CISCO = "Cisco Secure Email"
    MESSAGELABS = "Symantec Email Security.cloud"
    QMAIL = "qmail"
    OPENSMTPD = "OpenSMTPD"
    KERIO = "Kerio Connect"
    CLOUDMARK = "Cloudmark"
    DOVECOT = "Dovecot"
    STALWART = "Stalwart"
    HARAKA = "Haraka"


@dataclass(frozen=True)
class Receipt:
    """The acknowledgement of one message. ``text``: whole, as far as the log has it. ``receiver``: None if unclear."""

    text: str
    code: int
    enhanced_code: str | None
    lines: tuple[str, ...]
    remote_queue_id: str | None
    receiver: Receiver | None


@lru_cache(maxsize=1024)
def read(text: str, relay: str = "") -> Receipt | None:
    """The receipt in what stands in the parentheses of a status line with ``status=sent``.

    ``relay``: the line's relay; some services are known by their hosts' names alone. None where no server of the
    recipient spoke, as in "delivered to mailbox".
    """
    found = REPLY_CODE.match(text)
    if found is None or found["code"][0] != "2":
        return None
    remote_id = remote_queue_id(text)
    receiver = _by_host(relay) or _by_words(text, remote_id)
    return Receipt(text, int(found["code"]), found["enhanced"], split_lines(text), remote_id, receiver)


def remote_queue_id(text: str) -> str | None:
    """The id that the receiver's administrator can search for; None if the reply names none that we know."""
    for words, pattern, _ in _SHAPES:
        if words in text and (found := pattern.search(text)) is not None:
            return found[1].rstrip(".")
    return None


# --- who says "queued as" and "Message accepted for delivery": the shape of the id tells ------------------------------

# Postfix 3.7 global/mail_queue.h: microseconds and inode in hexadecimal, or seconds, microseconds, "z" and inode.
_POSTFIX_ID = re.compile(
    r"[0-9A-F]{6,20}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,13}z[0-9B-DF-HJ-NP-TV-Yb-df-hj-np-tv-y]{1,12}"
)
_PROOFPOINT_ID = re.compile(r"[0-9a-z]{8,12}-\d{1,3}")
_KERIO_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{8}")
_OPENSMTPD_ID = re.compile(r"[0-9a-f]{8}")
# sendmail/queue.c: 8 characters of time, 6 or more digits of process; FortiMail writes two of them.
_SENDMAIL_ID = re.compile(r"[0-9A-Za-z]{8}\d{6,12}(?:-[0-9A-Za-z]{8}\d{6,12})?")


def _says_queued_as(remote_id: str) -> Receiver | None:
    return Receiver.POSTFIX if _POSTFIX_ID.fullmatch(remote_id) else None


def _says_message_accepted(remote_id: str) -> Receiver | None:
    for shape, receiver in (
        (_KERIO_ID, Receiver.KERIO),
        (_PROOFPOINT_ID, Receiver.PROOFPOINT),
        (_SENDMAIL_ID, Receiver.SENDMAIL),
        (_OPENSMTPD_ID, Receiver.OPENSMTPD),
    ):
        if shape.fullmatch(remote_id):
            return receiver
    return None


# The first that fits; what is met most often stands first. Each finds its words anywhere, and each repetition is
# bounded, so that no text takes long. Of each: words without which the pattern cannot match; the pattern; who it is.
_SHAPES: tuple[tuple[str, re.Pattern[str], Receiver | Callable[[str], Receiver | None]], ...] = (
    # Postfix smtpd.c: "250 2.0.0 Ok: queued as 4jXGhv3lVdzJPyT"; also many others' wording
    ("queued as ", re.compile(r"\bqueued as ([0-9A-Za-z._-]{4,64})"), _says_queued_as),
    (" - gsmtp", re.compile(r" ([0-9A-Za-z._-]{6,80}) - gsmtp\b"), Receiver.GMAIL),
    ("[InternalId=", re.compile(r"\[InternalId=(\d{1,30})[,\]]"), Receiver.EXCHANGE),
    # Exim smtp_in.c
    ("OK id=", re.compile(r"\bOK id=([0-9A-Za-z-]{10,40})"), Receiver.EXIM),
    # Sendmail srvrsmtp.c, and those that speak like it
    (
        "Message accepted for delivery",
        re.compile(r"(?<![0-9A-Za-z-])([0-9A-Za-z-]{8,60}) Message accepted for delivery"),
        _says_message_accepted,
    ),
    # the host's name is a .lan of theirs; what stands in brackets is what their support asks for
    ("mimecast", re.compile(r"\bReceived OK \[([0-9A-Za-z_.-]{10,60})\]"), Receiver.MIMECAST),
    ("mimecast", re.compile(r"\b(SmtpThread-\d{1,20}-\d{1,20}@[0-9A-Za-z.-]{1,100})"), Receiver.MIMECAST),
    # SES and WorkMail taking mail in; SES as a relay host
    ("250 O", re.compile(r"250 OK ([0-9a-z]{40})(?![0-9A-Za-z])"), Receiver.AMAZON),
    ("250 O", re.compile(r"250 Ok ([0-9a-f]{16}-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-\d{6})"), Receiver.AMAZON),
    ("completed: id=", re.compile(r"\bcompleted: id=([0-9A-Za-z-]{10,40})"), Receiver.IONOS),
    ("queued on ", re.compile(r"\bqueued on [0-9A-Za-z.-]{1,100} as ([0-9A-Za-z-]{6,60})"), Receiver.YANDEX),
    (
        " qp ",
        re.compile(r"\bok \d{1,12} qp \d{1,10} (server-[0-9A-Za-z.-]{1,80}(?:![0-9]{1,20}){3})"),
        Receiver.MESSAGELABS,
    ),
    (" qp ", re.compile(r"\bok \d{1,12} qp (\d{1,10})\b"), Receiver.QMAIL),
    ("Message ", re.compile(r"\bok:  ?Message (\d{1,20}) accepted"), Receiver.CISCO),
    (" queued for delivery in ", re.compile(r"\bMail (\d{4,20}) queued for delivery in session"), Receiver.SEZNAM),
    (
        " mail accepted for delivery",
        re.compile(r"(?<![0-9A-Za-z_-])([0-9A-Za-z_-]{15,40}) mail accepted for delivery"),
        Receiver.CLOUDMARK,
    ),
    ("Message queued with id ", re.compile(r"\bMessage queued with id ([0-9a-f]{6,40})"), Receiver.STALWART),
    (
        "Message Queued (",
        re.compile(r"\bMessage Queued \(([0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}(?:\.\d{1,6}){0,2})\)"),
        Receiver.HARAKA,
    ),
    # lmtp_client of the recipient's own site: the session id stands in Dovecot's log
    (
        "> ",
        re.compile(r"2\.0\.0 <[^<>\s]{1,320}> ([0-9A-Za-z+/]{16,40}(?::[0-9A-Za-z]{1,6}){0,2}) Saved\b"),
        Receiver.DOVECOT,
    ),
)
# Exchange 2003 and IIS name no id of theirs beside the Message-ID.
_EXCHANGE_WITHOUT_ID = re.compile(r"250 2\.6\.0 .{0,400}\bQueued mail for delivery")

_HOSTS = (
    ("pphosted.com", Receiver.PROOFPOINT),
    ("ppe-hosted.com", Receiver.PROOFPOINT),
    ("mimecast.com", Receiver.MIMECAST),
    ("amazonaws.com", Receiver.AMAZON),
    ("protection.outlook.com", Receiver.EXCHANGE),
    ("mx.microsoft", Receiver.EXCHANGE),
    ("messagelabs.com", Receiver.MESSAGELABS),
)


def _by_words(text: str, remote_id: str | None) -> Receiver | None:
    if remote_id is None:
        return Receiver.EXCHANGE if _EXCHANGE_WITHOUT_ID.match(text) else None
    for words, pattern, receiver in _SHAPES:
        if words in text and pattern.search(text):
            return receiver if isinstance(receiver, Receiver) else receiver(remote_id)
    return None


def _by_host(relay: str) -> Receiver | None:
    host = relay.partition("[")[0].rstrip(".").lower()
    for domain, receiver in _HOSTS:
        if host == domain or host.endswith(f".{domain}"):
            return receiver
    return None
