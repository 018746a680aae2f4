"""Whether a message can carry an opened-alert pixel, and its body with one. Fails open: a reason instead of an edit.

Edits a message that is one text/html part. Multipart mail is left alone with its reason.
"""

import codecs
import email.errors
import email.message
import email.policy
import enum
import functools
import html
from dataclasses import dataclass

from sendproof_milter import mime_edit
from sendproof_milter.message import Submission

_ASCII = bytes(range(0x20, 0x7F))
INSERTED = "inserted"
# Mail readers cut HTML off far below (Gmail: 102 KB); looking through more costs memory for nothing.
_LARGEST_BODY_OCTETS = 4 << 20


class NoPixel(enum.StrEnum):
    """Why a message carries no pixel: journalled, and shown to the sender."""

    TRACKING_OFF = "tracking-off"
    MULTIPART = "multipart"
    NOT_HTML = "not-html"
    ATTACHMENT = "attachment"
    CHARSET = "charset"
    ENCODING = "encoding"
    SEALED = "signed-or-encrypted"
    AUTOMATIC = "automatic"
    MALFORMED = "malformed"
    TOO_LARGE = "too-large"


@dataclass(frozen=True)
class WithPixel:
    """The body that replaces the message's own."""

    body: bytes


def insert(submission: Submission, url: str) -> WithPixel | NoPixel:
    """Put a pixel that fetches ``url`` into the message."""
    if len(submission.body) > _LARGEST_BODY_OCTETS:
        return NoPixel.TOO_LARGE
    fields = email.message.Message(policy=email.policy.compat32)
    for name in ("Content-Type", "Content-Transfer-Encoding", "Content-Disposition"):
        values = submission.header_values(name)
        if len(values) > 1:
            return NoPixel.MALFORMED
        if values:
            fields[name] = values[0].decode("latin-1").replace("\n", "\r\n")
    try:
        reason = _unsuitable(submission, fields)
    except (ValueError, LookupError, TypeError, AttributeError, email.errors.MessageError):
        reason = NoPixel.MALFORMED  # the library stumbles over some parameters, such as filename* beside filename*0
    if reason:
        return reason
    snippet = f'<img src="{html.escape(url)}" width="1" height="1" alt="">'.encode("ascii")
    encoding = str(fields.get("Content-Transfer-Encoding", "7bit")).strip().lower()
    try:
        match encoding:
            case "7bit" | "8bit" | "binary":
                return WithPixel(mime_edit.insert_plain(submission.body, snippet))
            case "quoted-printable":
                return WithPixel(mime_edit.insert_quoted_printable(submission.body, snippet))
            case "base64":
                return WithPixel(mime_edit.insert_base64(submission.body, snippet))
            case _:
                return NoPixel.ENCODING
    except ValueError:
        return NoPixel.ENCODING


def _unsuitable(submission: Submission, fields: email.message.Message) -> NoPixel | None:
    content_type = fields.get_content_type()
    if content_type in (
        "multipart/signed",
        "multipart/encrypted",
        "application/pkcs7-mime",
        "application/x-pkcs7-mime",
    ):
        return NoPixel.SEALED
    if fields.get_content_maintype() == "multipart":
        return NoPixel.MULTIPART
    if content_type != "text/html":
        return NoPixel.NOT_HTML
    if fields.get_content_disposition() == "attachment" or fields.get_filename():
        return NoPixel.ATTACHMENT
    if any(value.strip().lower() != b"no" for value in submission.header_values("Auto-Submitted")):
        return NoPixel.AUTOMATIC
    if not _extends_ascii(str(fields.get_content_charset("us-ascii"))):
        return NoPixel.CHARSET
    if b"-----BEGIN PGP" in submission.body:
        return NoPixel.SEALED
    return None


@functools.lru_cache(maxsize=256)
def _extends_ascii(charset: str) -> bool:
    """Whether ASCII octets stand for themselves wherever they are in text of that charset."""
    try:
        codec = codecs.lookup(charset)
        text = _ASCII.decode(codec.name)
    except (LookupError, ValueError):
        return False
    # The ISO 2022 family switches to other sets by escapes, within which ASCII octets are halves of characters.
    return text == _ASCII.decode("ascii") and not codec.name.startswith("iso2022")
