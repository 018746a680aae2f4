"""Messages and senders as values, for tests of the milter: each with one thing changed."""

import dataclasses
import datetime as dt
import functools
import re
from collections.abc import Mapping
from typing import Any

import dkim
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from sendproof_core import dkim_keys
from sendproof_core.dkim_keys import ED25519_SHA256, RSA_SHA256, SigningPrivateKey
from sendproof_core.plans import QuotaLimits
from sendproof_milter.edits import Edits
from sendproof_milter.message import Submission
from sendproof_milter.sender import Sender, SigningKey

NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)
_SIGNATURE = re.compile(rb"^DKIM-Signature:", re.MULTILINE | re.IGNORECASE)
_FIELD = re.compile(rb"([!-9;-~]+):[ \t]?((?:[^\n]|\n[ \t])*)\n")

_SUBMISSION = Submission(
    login="max",
    daemon_name="submission",
    queue_id="4Zabc123",
    client_address="192.0.2.7",
    client_tls="TLSv1.3 TLS_AES_256_GCM_SHA384",
    envelope_sender="max@own.example",
    recipients=("anna@example.net",),
    headers=(
        (b"From", b"Max <max@own.example>"),
        (b"To", b"anna@example.net"),
        (b"Subject", b"Offer"),
        (b"Date", b"Sun, 22 Nov 2026 13:03:05 +0000"),
        (b"Message-ID", b"<1@own.example>"),
        (b"MIME-Version", b"1.0"),
        (b"Content-Type", b"text/html; charset=utf-8"),
    ),
    body=b"<html><body><p>Hello</p></body></html>\r\n",
    received_at=NOW,
)


def submission(**changes: Any) -> Submission:
    """An ordinary message from max@own.example, with these fields instead."""
    return dataclasses.replace(_SUBMISSION, **changes)


def with_fields(*fields: tuple[bytes, bytes], **changes: Any) -> Submission:
    """An ordinary message in which these header fields stand instead of those of the same names."""
    names = {name.lower() for name, _ in fields}
    kept = tuple(pair for pair in _SUBMISSION.headers if pair[0].lower() not in names)
    return submission(headers=(*kept, *fields), **changes)


def from_wire(raw: bytes, **changes: Any) -> Submission:
    """A message as Postfix hands a mail file to the milter: LF or CRLF lines in, folds as LF and CRLF lines out."""
    head, _, body = raw.replace(b"\r\n", b"\n").partition(b"\n\n")
    headers = tuple((name, value) for name, value in _FIELD.findall(head + b"\n"))
    return submission(headers=headers, body=body.replace(b"\n", b"\r\n"), **changes)


def to_wire(headers: tuple[tuple[bytes, bytes], ...], body: bytes) -> bytes:
    """A message as an MTA sends it."""
    head = b"".join(name + b": " + value.replace(b"\n", b"\r\n") + b"\r\n" for name, value in headers)
    return head + b"\r\n" + body


def as_queued(message: Submission, edits: Edits) -> bytes:
    """The message as an MTA queues it, with the milter's edits, that is as Postfix's cleanup(8) carries them out.

    A field is changed or removed by its name, in any case, and its number among those of that name; where there are
    not so many, it is added at the end. ``inserted`` come on top, below the MTA's own Received, which is left out.
    """
    headers = list(message.headers)
    for field in edits.changed:
        name = field.name.encode("ascii")
        places = [place for place, (other, _) in enumerate(headers) if other.lower() == name.lower()]
        if field.index > len(places):
            headers += [(name, field.value.encode("utf-8"))] if field.value else []
        elif field.value:
            headers[places[field.index - 1]] = name, field.value.encode("utf-8")
        else:
            del headers[places[field.index - 1]]
    for name_text, value in edits.inserted:
        headers.insert(0, (name_text.encode("ascii"), value.encode("utf-8")))
    return to_wire(tuple(headers), message.body if edits.body is None else edits.body)


@functools.cache
def private_key(algorithm: str = RSA_SHA256, number: int = 0) -> SigningPrivateKey:
    """A private key of this process's tests; another number, another key."""
    del number
    if algorithm == ED25519_SHA256:
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def signing_key(
    domain: str = "own.example", selector: str = "sp1", number: int = 0, algorithm: str = RSA_SHA256
) -> SigningKey:
    """An active key."""
    return SigningKey(domain, selector, algorithm, private_key(algorithm, number))


def public_record(key: SigningKey) -> bytes:
    """The text of the TXT record that publishes it."""
    return dkim_keys.record_text(key.algorithm, dkim_keys.public_key_text(key.private_key)).encode("ascii")


def published(*keys: SigningKey) -> dict[bytes, bytes]:
    """Their records by the names that dkimpy asks for."""
    return {f"{key.selector}._domainkey.{key.domain}.".encode("ascii"): public_record(key) for key in keys}


def verdicts(message: bytes, records: Mapping[bytes, bytes]) -> list[bool]:
    """Which of a message's DKIM signatures dkimpy accepts with these records for DNS, top first.

    dkimpy judges by the clock whether one has expired.
    """

    def look_up(name: bytes, timeout: int = 5) -> bytes | None:
        del timeout
        return records.get(name)

    def verdict(index: int) -> bool:
        try:
            return dkim.DKIM(message).verify(idx=index, dnsfunc=look_up)
        except dkim.DKIMException:  # it is not even one
            return False

    return [verdict(index) for index in range(len(_SIGNATURE.findall(message.partition(b"\r\n\r\n")[0])))]


def sender(**changes: Any) -> Sender:
    """The account that owns own.example and second.example, with the provider's key beside its own."""
    ordinary = Sender(
        account_id=1,
        login="max",
        credential_label="laptop",
        time_zone="Europe/Vienna",
        tracking=True,
        suspended_reason=None,
        limits=QuotaLimits(recipients_per_day=50),
        domains=frozenset({"own.example", "second.example"}),
        keys=(signing_key(), signing_key("second.example")),
        provider_keys=(signing_key("relay.example", number=1),),
    )
    return dataclasses.replace(ordinary, **changes)
