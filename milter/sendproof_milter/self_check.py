"""Verify a sample of our own signatures with dkimpy, off the reply's path. A failure is an alarm in the log.

The public key comes from the private key that signed, not from DNS: this proves the signer, not the records. dkimpy
does RSA by itself and Ed25519 with libsodium (PyNaCl): neither shares a line with OpenSSL, which signs.
"""

import logging
from collections.abc import Iterable

import dkim

from sendproof_core import dkim_keys
from sendproof_milter.sender import SigningKey
from sendproof_milter.signing import Headers

_log = logging.getLogger(__name__)


def verify(queue_id: str, headers: Headers, signature: bytes, body: bytes, keys: Iterable[SigningKey]) -> bool:
    """Whether dkimpy accepts the signature over the message as it was queued; logs an error if not."""
    fields = [(b"DKIM-Signature", signature), *headers]
    head = b"".join(name + b": " + value.replace(b"\n", b"\r\n") + b"\r\n" for name, value in fields)
    records = {f"{key.selector}._domainkey.{key.domain}.".encode("ascii"): _record(key) for key in keys}

    def look_up(name: bytes, timeout: int = 5) -> bytes | None:
        del timeout
        return records.get(name)

    try:
        verified = dkim.verify(head + b"\r\n" + body, dnsfunc=look_up)
    except dkim.DKIMException:
        verified = False
    if not verified:
        _log.error("queue_id=%s event=own-signature-does-not-verify", queue_id)
    return verified


def _record(key: SigningKey) -> bytes:
    public_key = dkim_keys.public_key_text(key.private_key)
    return dkim_keys.record_text(key.algorithm, public_key).encode("ascii")
