"""DKIM signatures (RFC 6376), relaxed/relaxed, RSA-SHA256 and Ed25519-SHA256 (RFC 8463).

Which fields, the canonical forms, the header field. Written for speed: dkimpy signs in pure Python (14 ms and the GIL
held); here all but 15 us is OpenSSL. It verifies nothing; dkimpy and OpenDKIM do that in the tests, and `self_check`
on a sample in production.
"""

import base64
import datetime as dt
import functools
import hashlib
from collections.abc import Iterable, Sequence

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

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
    b"resent-from",
    b"resent-to",
    b"resent-cc",
    b"resent-date",
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
_KNOWN = frozenset(_OVERSIGNED + _SIGNED)
# Longer than Postfix keeps a message in its queue (maximal_queue_lifetime, 5 days), short against replay.
LIFETIME = dt.timedelta(days=7)
_LIFETIME_SECONDS = int(LIFETIME.total_seconds())
_LINE_CHARACTERS = 72
_HASHED_AT_ONCE = 1 << 20
_PREHASHED = utils.Prehashed(hashes.SHA256())
_PADDING = padding.PKCS1v15()

Headers = Sequence[tuple[bytes, bytes]]


def body_hash(body: bytes, at_once: int = _HASHED_AT_ONCE) -> bytes:
    """SHA-256 of the body in relaxed canonical form, of about so many octets at once: large bodies are not copied."""
    if len(body) <= at_once:
        return hashlib.sha256(relaxed_body(body)).digest()
    hashed = hashlib.sha256()
    begin = empty_lines = 0
    is_empty = True
    while begin < len(body):
        end = body.find(b"\r\n", begin + at_once) + 2
        if end < 2:
            end = len(body)
        piece = _relaxed_lines(body[begin:end])
        if end == len(body):
            piece = piece.removesuffix(b" ")
        text = _without_empty_lines(piece)
        if text:
            hashed.update(b"\r\n" * empty_lines + text)
            empty_lines, is_empty = 0, False
        empty_lines += (len(piece) - len(text)) // 2
        begin = end
    if not is_empty:
        hashed.update(b"\r\n")
    return hashed.digest()


def relaxed_body(body: bytes) -> bytes:
    """RFC 6376 section 3.4.4: blanks within lines become one, those at line ends go, empty lines at the end go."""
    # A last line without CRLF: a blank there is at a line's end all the same.
    text = _without_empty_lines(_relaxed_lines(body).removesuffix(b" "))
    return text + b"\r\n" if text else b""


def _relaxed_lines(body: bytes) -> bytes:
    if b"\t" in body:
        body = body.replace(b"\t", b" ")
    while b"  " in body:  # halves each run; a regular expression would hold millions of pieces of a large body
        body = body.replace(b"  ", b" ")
    return body.replace(b" \r\n", b"\r\n") if b" \r\n" in body else body


def _without_empty_lines(body: bytes) -> bytes:
    """Without the CRLFs at the end, pair by pair: a stray CR or LF is no line's end."""
    end = len(body.rstrip(b"\r\n"))
    if (len(body) - end) % 2 or body[end:] != b"\r\n" * ((len(body) - end) // 2):
        end = len(body)
        while body.endswith(b"\r\n", 0, end):
            end -= 2
    return body[:end]


def relaxed_header(name: bytes, value: bytes) -> bytes:
    """RFC 6376 section 3.4.2, with its CRLF."""
    if b"\n" in value or b"\r" in value:
        value = value.replace(b"\r", b"").replace(b"\n", b"")
    if b"\t" in value:
        value = value.replace(b"\t", b" ")
    while b"  " in value:
        value = value.replace(b"  ", b" ")
    return b"%b:%b\r\n" % (name.lower().strip(), value.strip(b" "))


def fields_to_sign(headers: Headers) -> list[bytes]:
    """The names for ``h=``, each as often as it is signed."""
    return _fields(tuple(name for name, _ in _known(headers)))


def sign(headers: Headers, hash_of_body: bytes, key: SigningKey, now: dt.datetime) -> bytes:
    """The value of a DKIM-Signature field (folded with ``\\n\\t``) over these final headers and body hash."""
    return sign_each(headers, hash_of_body, (key,), now)[0]


def sign_each(headers: Headers, hash_of_body: bytes, keys: Iterable[SigningKey], now: dt.datetime) -> tuple[bytes, ...]:
    """One DKIM-Signature value for each key; none of them signs another."""
    known = _known(headers)
    order, names = _order(tuple(name for name, _ in known))
    hashed = hashlib.sha256(b"".join([relaxed_header(*known[index]) for index in order]))
    begins = int(now.timestamp())
    rest = b"t=%d; x=%d;\n\tbh=%b;\n\th=%b;\n\tb=" % (
        begins,
        begins + _LIFETIME_SECONDS,
        base64.b64encode(hash_of_body),
        names,
    )
    values = []
    for key in keys:
        value = _beginning(key.algorithm, key.domain, key.selector) + rest
        both = hashed.copy()
        both.update(relaxed_header(b"dkim-signature", value)[:-2])  # its CRLF is not signed
        values.append(value + _folded(base64.b64encode(_signature(key, both.digest()))))
    return tuple(values)


def _signature(key: SigningKey, digest: bytes) -> bytes:
    if isinstance(key.private_key, rsa.RSAPrivateKey):
        return key.private_key.sign(digest, _PADDING, _PREHASHED)
    return key.private_key.sign(digest)  # of the digest, not of what was hashed: RFC 8463 section 3


def _known(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The fields that are signed, names in lower case."""
    lowered = [(name.lower(), value) for name, value in headers]
    return [field for field in lowered if field[0] in _KNOWN]


# Programs write their fields in few orders. What is kept is bounded also for a client that tries many.
@functools.lru_cache(maxsize=256)
def _order(names: tuple[bytes, ...]) -> tuple[tuple[int, ...], bytes]:
    """Which of these fields are hashed, in order; and the text of ``h=``, folded.

    Of several fields with one name the last comes first (RFC 6376 section 5.4.2).
    """
    places: dict[bytes, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name, []).append(place)
    fields = _fields(names)
    order = [places[name].pop() for name in fields if places.get(name)]
    return tuple(order), _folded_names(fields)


def _fields(names: Sequence[bytes]) -> list[bytes]:
    fields: list[bytes] = []
    for name in _OVERSIGNED:
        fields += [name] * (names.count(name) + 1)
    for name in _SIGNED:
        fields += [name] * names.count(name)
    return fields


@functools.lru_cache(maxsize=1024)
def _beginning(algorithm: str, domain: str, selector: str) -> bytes:
    return f"v=1; a={algorithm}; c=relaxed/relaxed; d={domain}; s={selector};\n\t".encode("ascii")


def _folded_names(fields: list[bytes]) -> bytes:
    lines: list[bytes] = []
    line = b""
    for name in fields:
        if line and len(line) + 1 + len(name) > _LINE_CHARACTERS:
            lines.append(line)
            line = b""
        line = line + b":" + name if line else name
    return b":\n\t".join([*lines, line])


def _folded(signature: bytes) -> bytes:
    lines = [signature[start : start + _LINE_CHARACTERS] for start in range(0, len(signature), _LINE_CHARACTERS)]
    return b"\n\t".join(lines)
