"""What the first pass of a message tells the second: a header field that only we can make. Pure; stores nothing.

The second pass sees one recipient's copy on a service that has no logins. The stamp says whose message it is, which
number each recipient has, and what the message is, under a MAC: with other content it is worth nothing, should a bounce
carry it to somebody. The second pass removes it, so no recipient ever sees one.
"""

import base64
import datetime as dt
import hashlib
import hmac
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sendproof_core.addresses import address_digest

HEADER = "X-Sendproof-Split"
_DIGEST_OCTETS = 6
_PURPOSE = b"split stamp 2:"
_LINE_CHARACTERS = 76
# A header field of Postfix has 102,400 octets at the most (header_size_limit); here a recipient takes 11.
MOST_RECIPIENTS = 5_000


@dataclass(frozen=True)
class Stamp:
    """``recipients``: digests, in the order of RCPT TO. ``content``: see `content_digest`.

    ``signatures``: how many the first pass has put at the top, which the second takes off again.
    """

    message_id: uuid.UUID
    account_id: int
    parent_queue_id: str
    expires: dt.datetime
    recipients: tuple[bytes, ...]
    content: bytes
    signatures: int

    def number_of(self, *spellings: str) -> int:
        """Which recipient one of these addresses is, from 1; 0: none of those that were submitted."""
        for address in spellings:
            digest = digest_of(address)
            if digest in self.recipients:
                return self.recipients.index(digest) + 1
        return 0


def digest_of(address: str) -> bytes:
    """What stands for a recipient in a stamp."""
    return address_digest(address)[:_DIGEST_OCTETS]


def content_digest(envelope_sender: str, from_fields: Iterable[bytes], body_hash: bytes) -> bytes:
    """What stands for a message's content: who it is from, and its body (as DKIM hashes it)."""
    hashed = hashlib.sha256(envelope_sender.encode("utf-8", "surrogateescape"))
    for field in from_fields:
        hashed.update(b"\0" + field)
    return hashlib.sha256(hashed.digest() + body_hash).digest()[:16]


def make(stamp: Stamp, key_number: int, key: bytes) -> str:
    """The field's value, folded with ``\\n ``."""
    said = json.dumps(
        {
            "m": stamp.message_id.hex,
            "a": stamp.account_id,
            "q": stamp.parent_queue_id,
            "e": int(stamp.expires.timestamp()),
            "c": stamp.content.hex(),
            "s": stamp.signatures,
            "r": base64.b64encode(b"".join(stamp.recipients)).decode("ascii"),
        },
        separators=(",", ":"),
    )
    payload = base64.b64encode(said.encode("ascii"))
    text = b"%d.%b.%b" % (key_number, payload, _mac(payload, key))
    first = _LINE_CHARACTERS - len(HEADER) - 1  # the field's name stands on that line
    rest = (text[start : start + _LINE_CHARACTERS] for start in range(first, len(text), _LINE_CHARACTERS))
    return b"\n ".join((text[:first], *rest)).decode("ascii")


def read(values: Sequence[bytes], keys: Mapping[int, bytes], now: dt.datetime) -> Stamp | None:
    """What a genuine stamp says; None for anything else, and for several."""
    if len(values) != 1:
        return None
    try:
        number, payload, mac = b"".join(values[0].split()).split(b".")
        key = keys[int(number)]
    except (ValueError, KeyError):
        return None
    if not hmac.compare_digest(mac, _mac(payload, key)):
        return None
    said = json.loads(base64.b64decode(payload))
    digests = base64.b64decode(said["r"])
    stamp = Stamp(
        message_id=uuid.UUID(hex=said["m"]),
        account_id=said["a"],
        parent_queue_id=said["q"],
        expires=dt.datetime.fromtimestamp(said["e"], dt.UTC),
        recipients=tuple(digests[at : at + _DIGEST_OCTETS] for at in range(0, len(digests), _DIGEST_OCTETS)),
        content=bytes.fromhex(said["c"]),
        signatures=said["s"],
    )
    return stamp if stamp.expires > now else None


def _mac(payload: bytes, key: bytes) -> bytes:
    """Of the payload as it is written: another spelling of the same is refused, too."""
    return hmac.digest(key, _PURPOSE + payload, hashlib.sha256).hex().encode("ascii")
