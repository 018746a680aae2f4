"""DKIM signatures (RFC 6376), relaxed/relaxed, RSA-SHA256: which fields, the canonical forms, the header field.

Written for speed: dkimpy signs in pure Python (14 ms and the GIL held; this takes 0.6 ms, nearly all of it RSA). It
verifies nothing; dkimpy and OpenDKIM do that in the tests, and `self_check` on a sample in production.
"""

import base64
import datetime as dt
import hashlib
import re
from collections.abc import Iterable, Sequence

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, utils

from sendproof_milter.sender import SigningKey

# Signed once more than they occur, so that nobody can add another (RFC 6376 section 8.15).
_OVERSIGNED = (
    b"from",
    b"to",
    b"cc",
    b"subject",
    b"date",
    b"message-id",
    b"reply-to",
    b"mime-version",
    b"content-type",
    b"content-transfer-encoding",
)
# Signed where they occur. Never Received or Return-Path: relays add those (RFC 6376 section 5.4).
_SIGNED = (
    b"sender",
    b"in-reply-to",
    b"references",
    b"list-id",
    b"list-help",
    b"list-unsubscribe",
    b"list-unsubscribe-post",
    b"list-subscribe",
    b"list-post",
    b"list-owner",
    b"list-archive",
    b"feedback-id",
    b"auto-submitted",
)
# Longer than Postfix keeps a message in its queue (maximal_queue_lifetime, 5 days), short against replay.
LIFETIME = dt.timedelta(days=10)
_LINE_CHARACTERS = 72
_BLANKS = re.compile(rb"  +")
_PREHASHED = utils.Prehashed(hashes.SHA256())
_PADDING = padding.PKCS1v15()

Headers = Sequence[tuple[bytes, bytes]]


def body_hash(body: bytes) -> bytes:
    """SHA-256 of the body in relaxed canonical form."""
    return hashlib.sha256(relaxed_body(body)).digest()


def relaxed_body(body: bytes) -> bytes:
    """RFC 6376 section 3.4.4: blanks within lines become one, those at line ends go, empty lines at the end go."""
    if b"\t" in body:
        body = body.replace(b"\t", b" ")
    while b"  " in body:  # halves each run; a regular expression would hold millions of pieces of a large body
        body = body.replace(b"  ", b" ")
    if b" \r\n" in body:
        body = body.replace(b" \r\n", b"\r\n")
    body = body.removesuffix(b" ")  # a last line without CRLF: blanks there are at a line's end all the same
    end = len(body.rstrip(b"\r\n"))
    if (len(body) - end) % 2 or body[end:] != b"\r\n" * ((len(body) - end) // 2):
        end = len(body)  # stray ones among them: pair by pair
        while body.endswith(b"\r\n", 0, end):
            end -= 2
    return body[:end] + b"\r\n" if end else b""


def relaxed_header(name: bytes, value: bytes) -> bytes:
    """RFC 6376 section 3.4.2, with its CRLF."""
    unfolded = value.replace(b"\r", b"").replace(b"\n", b"")
    return name.lower().strip() + b":" + _BLANKS.sub(b" ", unfolded.replace(b"\t", b" ")).strip(b" ") + b"\r\n"


def fields_to_sign(headers: Headers) -> list[bytes]:
    """The names for ``h=``, each as often as it is signed."""
    counts: dict[bytes, int] = {}
    for name, _ in headers:
        lowered = name.lower()
        counts[lowered] = counts.get(lowered, 0) + 1
    fields: list[bytes] = []
    for name in _OVERSIGNED:
        fields += [name] * (counts.get(name, 0) + 1)
    for name in _SIGNED:
        fields += [name] * counts.get(name, 0)
    return fields


def sign(headers: Headers, hash_of_body: bytes, key: SigningKey, now: dt.datetime) -> bytes:
    """The value of a DKIM-Signature field (folded with ``\\n\\t``) over these final headers and body hash."""
    return sign_each(headers, hash_of_body, (key,), now)[0]


def sign_each(headers: Headers, hash_of_body: bytes, keys: Iterable[SigningKey], now: dt.datetime) -> tuple[bytes, ...]:
    """One DKIM-Signature value for each key; none of them signs another."""
    fields = fields_to_sign(headers)
    hashed = b"".join(_signed_fields(headers, fields))
    return tuple(_sign_with(key, fields, hashed, hash_of_body, now) for key in keys)


def _sign_with(key: SigningKey, fields: list[bytes], hashed: bytes, hash_of_body: bytes, now: dt.datetime) -> bytes:
    value = _unsigned_value(key, fields, hash_of_body, now)
    digest = hashlib.sha256(hashed + relaxed_header(b"dkim-signature", value).removesuffix(b"\r\n")).digest()
    signature = base64.b64encode(key.private_key.sign(digest, _PADDING, _PREHASHED))
    lines = [signature[start : start + _LINE_CHARACTERS] for start in range(0, len(signature), _LINE_CHARACTERS)]
    return value + b"\n\t ".join(lines)


def _signed_fields(headers: Headers, fields: list[bytes]) -> Iterable[bytes]:
    """The canonical fields in the order of ``fields``; of several with one name the last comes first (5.4.2)."""
    by_name: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        by_name.setdefault(name.lower(), []).append(relaxed_header(name, value))
    for name in fields:
        occurrences = by_name.get(name)
        if occurrences:
            yield occurrences.pop()


def _unsigned_value(key: SigningKey, fields: list[bytes], hash_of_body: bytes, now: dt.datetime) -> bytes:
    begins = int(now.timestamp())
    tags = (
        f"v=1; a={key.algorithm}; c=relaxed/relaxed; d={key.domain}; s={key.selector};\n\t"
        f"t={begins}; x={begins + int(LIFETIME.total_seconds())};\n\t"
        f"bh={base64.b64encode(hash_of_body).decode('ascii')};\n\th="
    ).encode("ascii")
    return tags + _folded_names(fields) + b";\n\tb="


def _folded_names(fields: list[bytes]) -> bytes:
    lines: list[bytes] = []
    line = b""
    for name in fields:
        if line and len(line) + 1 + len(name) > _LINE_CHARACTERS:
            lines.append(line)
            line = b""
        line = line + b":" + name if line else name
    return b":\n\t ".join([*lines, line])
