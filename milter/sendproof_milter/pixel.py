"""Whether a message can carry an opened-alert pixel, and its body with one. Fails open: a reason instead of an edit.

Chooses the part that readers show as the message's body; `mime_structure` finds the parts and `mime_edit` the place.
"""

import enum
import html
import re
import string
import urllib.parse
from dataclasses import dataclass

from sendproof_milter import mime_edit
from sendproof_milter.charsets import extends_ascii
from sendproof_milter.message import Submission
from sendproof_milter.mime_structure import IDENTITY, Defect, Part, TooComplex, parse

INSERTED = "inserted"
# Mail readers cut HTML off far below (Gmail: 102 KB); looking through more costs memory for nothing.
_LARGEST_PART_OCTETS = 4 << 20
# A snippet is on one line, which no wire breaks (RFC 5322 section 2.1.1: 998).
_LONGEST_TAG_OCTETS = 899
_SEALED = frozenset(("multipart/signed", "multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"))
_REPORTS = frozenset(("multipart/report", "message/delivery-status", "message/disposition-notification"))
# A fork of a file: RFC 1740.
_FILES = frozenset(("multipart/appledouble",))
# These leave no doubt about where the parts are, only about what one of them is.
_ABOUT_ONE_PART = frozenset((Defect.UNREADABLE_FIELD, Defect.DUPLICATED_PARAMETER, Defect.NO_FINAL_BOUNDARY))
_NO = re.compile(rb"[ \t\n]*no[ \t\n]*(?:[(;]|\Z)", re.IGNORECASE)  # RFC 3834 section 5
_PGP = b"-----BEGIN PGP"


class NoPixel(enum.StrEnum):
    """Why a message carries no pixel: journalled, and shown to the sender."""

    TRACKING_OFF = "tracking-off"
    OPTED_OUT = "opted-out"
    NOT_HTML = "not-html"
    ATTACHMENT = "attachment"
    CHARSET = "charset"
    ENCODING = "encoding"
    SEALED = "signed-or-encrypted"
    AUTOMATIC = "automatic"
    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    TOO_DEEP = "too-deep"
    TOO_MANY_PARTS = "too-many-parts"
    UNKNOWN_RECIPIENT = "unknown-recipient"


@dataclass(frozen=True)
class WithPixel:
    """The body that replaces the message's own; the same object if the pixel was in it already."""

    body: bytes


def image_tag(url: str, *, visible: bool) -> bytes:
    """The snippet that fetches ``url``: a picture in its natural size, or one that takes a single pixel.

    Shorter than 900 octets, without a line break.

    Raises:
        ValueError: the address is too long for that.
    """
    source = html.escape(urllib.parse.quote(url, safe=string.punctuation))
    size = "" if visible else ' width="1" height="1"'
    tag = f'<img src="{source}"{size} alt="">'.encode("ascii")
    if len(tag) > _LONGEST_TAG_OCTETS:
        raise ValueError(f"an address of {len(url)} characters is too long for a picture in mail")
    return tag


def insert(submission: Submission, snippet: bytes) -> WithPixel | NoPixel:
    """Put a snippet of markup (`image_tag`) into the message: at the end of the HTML that readers show as its body."""
    if not all(_NO.match(value) for value in submission.header_values("Auto-Submitted")):
        return NoPixel.AUTOMATIC
    body = submission.body
    root = parse(submission.headers, body)
    if isinstance(root, TooComplex):
        return NoPixel(root.value)
    reason = _unsuitable(root)
    if reason:
        return reason
    part = _shown(root)
    if part is None and any(_holds_pgp(body, other) for other in root.walk()):
        return NoPixel.SEALED
    if part is None:
        return NoPixel.ATTACHMENT if root.content_type == "text/html" else NoPixel.NOT_HTML
    if not part.is_trusted:
        return NoPixel.MALFORMED
    if not extends_ascii(part.charset):
        return NoPixel.CHARSET
    if part.content_end - part.content_start > _LARGEST_PART_OCTETS:
        return NoPixel.TOO_LARGE
    content = body[part.content_start : part.content_end]
    try:
        markup = mime_edit.decode(content, part.transfer_encoding)
    except ValueError:
        return NoPixel.ENCODING
    if _PGP in markup or any(_holds_pgp(body, other) for other in root.walk() if other is not part):
        return NoPixel.SEALED
    edit = mime_edit.insert(content, part.transfer_encoding, markup, snippet)
    if not edit.octets:
        return WithPixel(body)
    octets = memoryview(body)  # slices of it are no copies
    start, end = part.content_start + edit.start, part.content_start + edit.end
    return WithPixel(b"".join((octets[:start], edit.octets, octets[end:])))


def _unsuitable(root: Part) -> NoPixel | None:
    """What stands against the message as a whole."""
    reason = None
    for part in root.walk():
        if part.encapsulated:
            continue  # what is forwarded is not edited, however it is sealed or broken
        if part.content_type in _SEALED:
            return NoPixel.SEALED
        if part.content_type in _REPORTS:
            reason = NoPixel.AUTOMATIC
        if not part.is_trusted and (part.children or not part.defects <= _ABOUT_ONE_PART):
            reason = reason or NoPixel.MALFORMED
    return reason


def _shown(part: Part) -> Part | None:
    """The text/html leaf that readers show as this part's text."""
    if part.filename or part.disposition not in ("", "inline") or part.content_type in _FILES:
        return None  # RFC 2183 section 2.8: an unknown disposition is an attachment
    if part.content_type == "text/html":
        return part
    if not part.is_multipart:
        return None
    children = part.children
    if part.content_type == "multipart/alternative":
        children = children[::-1]  # RFC 2046 section 5.1.4: the last one is the best
    elif part.content_type == "multipart/related":
        children = _related_root(part)
    return next((found for child in children if (found := _shown(child))), None)


def _related_root(part: Part) -> tuple[Part, ...]:
    """RFC 2387 section 3.2: the part that ``start`` names, else the first."""
    start = part.parameters.get("start", "").strip().encode("utf-8", "replace")
    named = tuple(child for child in part.children if start and child.content_id == start)
    return named[:1] or part.children[:1]


def _holds_pgp(body: bytes, part: Part) -> bool:
    """Whether it is text that people read and that is signed or encrypted within (RFC 4880 section 6.2)."""
    if not part.content_type.startswith("text/") or part.encapsulated or part.filename:
        return False
    start, end, encoding = part.content_start, part.content_end, part.transfer_encoding
    if body.find(_PGP, start, end) >= 0:
        return True
    if encoding in IDENTITY or end - start > _LARGEST_PART_OCTETS:
        return False
    try:
        return _PGP in mime_edit.decode(body[start:end], encoding)
    except ValueError:
        return False
