"""Tokens in pixels and in the trace header: one key makes and checks them, no look-up, nothing personal inside.

Layout, 42 octets, URL-safe base64 without padding (56 characters): version 1, purpose 1, key number 1, reserved 1,
message id 16, recipient number 2, expiry in hours since 1970 4, HMAC-SHA-256 truncated to 16.
Recipient number 0 stands for "any recipient": one pixel shared by all of a message.
"""

import base64
import binascii
import datetime as dt
import enum
import hashlib
import hmac
import struct
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

_LAYOUT = struct.Struct("!BBBx16sHI")
_MAC_OCTETS = 16
_VERSION = 1
TOKEN_CHARACTERS = 56


class Purpose(enum.IntEnum):
    """What a token is good for: one made for a pixel opens nothing else."""

    PIXEL = 1
    TRACE = 2
    # As PIXEL, and who fetches it may be written down: the account keeps the details of opens.
    PIXEL_DETAILED = 3


_PURPOSES = frozenset(int(purpose) for purpose in Purpose)  # Python 3.11 has no `2 in Purpose`


@dataclass(frozen=True)
class Token:
    """What a token says."""

    purpose: Purpose
    message_id: uuid.UUID
    recipient_number: int
    expires: dt.datetime


def make(token: Token, key_number: int, key: bytes) -> str:
    """The token's text. ``expires`` is rounded up to a full hour; ``recipient_number`` is 0 to 65535."""
    hours = -int(-token.expires.timestamp() // 3600)
    head = _LAYOUT.pack(_VERSION, token.purpose, key_number, token.message_id.bytes, token.recipient_number, hours)
    return base64.urlsafe_b64encode(head + _mac(head, key)).rstrip(b"=").decode("ascii")


def read(text: str, keys: Mapping[int, bytes], now: dt.datetime) -> Token | None:
    """What a genuine, unexpired token says; None for anything else. Takes the same time for every wrong MAC."""
    if len(text) != TOKEN_CHARACTERS or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(raw) != _LAYOUT.size + _MAC_OCTETS:
        return None
    head, mac = raw[: _LAYOUT.size], raw[_LAYOUT.size :]
    version, purpose, key_number, message_id, recipient_number, hours = _LAYOUT.unpack(head)
    key = keys.get(key_number)
    if key is None or not hmac.compare_digest(mac, _mac(head, key)) or version != _VERSION:
        return None
    if purpose not in _PURPOSES or hours * 3600 < now.timestamp():
        return None
    expires = dt.datetime.fromtimestamp(hours * 3600, dt.UTC)
    return Token(Purpose(purpose), uuid.UUID(bytes=message_id), recipient_number, expires)


def _mac(head: bytes, key: bytes) -> bytes:
    return hmac.digest(key, head, hashlib.sha256)[:_MAC_OCTETS]
