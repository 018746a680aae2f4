"""The texts in links that the site gives out: an id of a row, and proof that we gave it out. Pure.

Layout, 32 octets, URL-safe base64 without padding (43 characters): the row's id 16, HMAC-SHA-256 truncated to 16.
Nobody who reads the database can make one; when a link ends, its row says.
"""

import base64
import binascii
import hashlib
import hmac
import uuid

_MAC_OCTETS = 16
_OCTETS = 16 + _MAC_OCTETS
TOKEN_CHARACTERS = 43


def make(kind: str, row_id: uuid.UUID, key: bytes) -> str:
    """The token of a row. ``kind``: one made for a reset opens no transcript."""
    return base64.urlsafe_b64encode(row_id.bytes + _mac(kind, row_id.bytes, key)).rstrip(b"=").decode("ascii")


def read(kind: str, text: str, key: bytes) -> uuid.UUID | None:
    """The row's id; None if the token was not made for it with this key. Takes the same time for every wrong MAC."""
    if len(text) != TOKEN_CHARACTERS or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text + "=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    # The last character has two bits to spare: one token has one spelling.
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != text.encode():
        return None
    if len(raw) != _OCTETS or not hmac.compare_digest(raw[16:], _mac(kind, raw[:16], key)):
        return None
    return uuid.UUID(bytes=raw[:16])


def _mac(kind: str, row_id: bytes, key: bytes) -> bytes:
    return hmac.digest(key, kind.encode() + b"\0" + row_id, hashlib.sha256)[:_MAC_OCTETS]
