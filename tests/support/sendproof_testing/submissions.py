"""Messages and senders as values, for tests of the milter: each with one thing changed."""

import base64
import dataclasses
import datetime as dt
import functools
import re
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sendproof_core.plans import QuotaLimits
from sendproof_milter.message import Submission
from sendproof_milter.sender import Sender, SigningKey

NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)
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


@functools.cache
def rsa_key(number: int = 0) -> rsa.RSAPrivateKey:
    """A private key of this process's tests; another number, another key."""
    del number
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def signing_key(domain: str = "own.example", selector: str = "sp1", number: int = 0) -> SigningKey:
    """An active key."""
    return SigningKey(domain, selector, "rsa-sha256", rsa_key(number))


def public_record(key: SigningKey) -> bytes:
    """The text of the TXT record that publishes it."""
    public = key.private_key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)


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
        keys=(signing_key(), signing_key("second.example"), signing_key("relay.example", number=1)),
    )
    return dataclasses.replace(ordinary, **changes)
