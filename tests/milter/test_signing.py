import datetime as dt
import hashlib
import re

import dkim
import dkim.canonicalization
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sendproof_core import clock, dkim_keys, key_rotation
from sendproof_milter import signing
from sendproof_milter.sender import SigningKey
from sendproof_testing.submissions import signing_key, submission, to_wire

# dkimpy judges whether a signature has expired by the clock.
_NOW = clock.now()
_Headers = tuple[tuple[bytes, bytes], ...]

_LINE = st.lists(st.sampled_from([b"a", b"b ", b" ", b"\t", b"  ", b"\t \t", b".", b"\xfc", b"\x0c", b"="])).map(
    b"".join
)
# As Postfix hands a body over: lines that end in CRLF, whatever is in them.
_BODY = st.lists(_LINE | st.binary(max_size=20).map(lambda line: line.translate(None, b"\r\n"))).map(
    lambda lines: b"".join(line + b"\r\n" for line in lines)
)
# As Postfix hands a field's value over: folds are LF and a blank, no CR, no NUL; `wire_safe` has taken
# vertical tabs and form feeds out.
_VALUE_PART = st.binary(max_size=20).map(lambda part: part.translate(None, b"\r\n\0\x0b\x0c"))
_VALUE = st.lists(_VALUE_PART | st.sampled_from([b" ", b"\t", b"x \t y"]), min_size=1, max_size=4).map(b"\n ".join)
_NAME = st.sampled_from(
    [b"From", b"TO", b"subject", b"Date", b"Message-ID", b"Received", b"List-Id", b"References", b"X-Other", b"Cc"]
)
_HEADERS = st.lists(st.tuples(_NAME, _VALUE), max_size=8).map(lambda fields: ((b"From", b"max@own.example"), *fields))


def _ed25519_key(domain: str = "own.example", selector: str = "ed") -> SigningKey:
    pair = dkim_keys.generate(dkim_keys.ED25519_SHA256)
    return SigningKey(domain, selector, pair.algorithm, dkim_keys.load(pair.algorithm, pair.private_pem))


_KEYS = {"rsa-sha256": signing_key(), "ed25519-sha256": _ed25519_key()}


def _signed(headers: _Headers, body: bytes, key: SigningKey) -> bytes:
    value = signing.sign(headers, signing.body_hash(body), key, _NOW)
    return to_wire(((b"DKIM-Signature", value), *headers), body)


def _verifies(message: bytes, key: SigningKey) -> bool:
    def look_up(name: bytes, timeout: int = 5) -> bytes | None:
        del timeout
        wanted = f"{key.selector}._domainkey.{key.domain}.".encode("ascii")
        record = dkim_keys.record_text(key.algorithm, dkim_keys.public_key_text(key.private_key))
        return record.encode("ascii") if name == wanted else None

    return dkim.verify(message, dnsfunc=look_up)


@pytest.mark.parametrize("algorithm", _KEYS)
@settings(max_examples=50)
@given(_HEADERS, _BODY)
def test_dkimpy_verifies_what_we_sign(algorithm: str, headers: _Headers, body: bytes) -> None:
    key = _KEYS[algorithm]
    assert _verifies(_signed(headers, body, key), key)


@given(_BODY)
def test_a_relaxed_body_is_what_dkimpy_makes_of_it(body: bytes) -> None:
    assert signing.relaxed_body(body) == dkim.canonicalization.Relaxed.canonicalize_body(body)


@given(_NAME, _VALUE)
def test_a_relaxed_field_is_what_dkimpy_makes_of_it(name: bytes, value: bytes) -> None:
    ((theirs, their_value),) = dkim.canonicalization.Relaxed.canonicalize_headers(
        [(name, value.replace(b"\n", b"\r\n"))]
    )
    assert signing.relaxed_header(name, value) == theirs + b":" + their_value


@given(
    st.lists(st.sampled_from([b"a", b" ", b"\t", b"\r\n", b"\r", b"\n", b"word "]), max_size=60).map(b"".join),
    st.integers(0, 20),
)
def test_a_large_body_is_hashed_in_pieces_as_it_is_at_once(body: bytes, at_once: int) -> None:
    assert signing.body_hash(body, at_once) == hashlib.sha256(signing.relaxed_body(body)).digest()


@pytest.mark.parametrize(
    ("body", "relaxed"),
    [
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),  # RFC 6376 section 3.4.5
        (b"", b""),
        (b"\r\n", b""),
        (b" \t\r\n\r\n", b""),
        (b"no end", b"no end\r\n"),
        (b"no end \t", b"no end\r\n"),
        (b"one line\r\n ", b"one line\r\n"),
        (b"\r\na\r\n", b"\r\na\r\n"),
    ],
)
def test_the_relaxed_body_of_rfc_6376(body: bytes, relaxed: bytes) -> None:
    assert signing.relaxed_body(body) == relaxed


def test_the_relaxed_header_of_rfc_6376() -> None:
    assert signing.relaxed_header(b"A", b" X") == b"a:X\r\n"
    assert signing.relaxed_header(b"B ", b" Y\t\n\tZ  ") == b"b:Y Z\r\n"


@pytest.mark.parametrize("name", [b"From", b"To", b"Cc", b"Subject", b"Date", b"Reply-To", b"Content-Type"])
def test_nobody_can_add_another_field_that_people_see(name: bytes) -> None:
    key = signing_key()
    message = _signed(submission().headers, b"Hello\r\n", key)
    assert _verifies(message, key)
    assert not _verifies(name + b": something else\r\n" + message, key)


@pytest.mark.parametrize("algorithm", _KEYS)
def test_nobody_can_change_the_body(algorithm: str) -> None:
    key = _KEYS[algorithm]
    message = _signed(submission().headers, b"Pay 100\r\n", key)
    assert _verifies(message, key)
    assert not _verifies(message.replace(b"Pay 100", b"Pay 900"), key)


def test_relays_may_add_received_fields_and_refold_what_is_signed() -> None:
    key = signing_key()
    message = _signed(((b"From", b"max@own.example"), (b"Subject", b"a long one")), b"Hello\r\n", key)
    message = message.replace(b"Subject: a long one", b"Subject:  a\r\n long \tone ")
    assert _verifies(b"Received: from a by b\r\nReturn-Path: <max@own.example>\r\n" + message, key)


def test_what_people_see_is_signed_once_more_than_it_occurs_and_the_rest_where_it_occurs() -> None:
    fields = signing.fields_to_sign(
        ((b"From", b""), (b"TO", b""), (b"List-Id", b""), (b"Received", b""), (b"X-Mailer", b""), (b"Return-Path", b""))
    )
    seen = [b"cc", b"subject", b"date", b"message-id", b"reply-to", b"mime-version", b"content-type"]
    assert fields == [b"from", b"from", b"to", b"to", *seen, b"content-transfer-encoding", b"list-id"]


@pytest.mark.parametrize("algorithm", _KEYS)
def test_every_line_of_a_signature_is_short_and_names_what_it_says(algorithm: str) -> None:
    key = _KEYS[algorithm]
    value = signing.sign(submission().headers, signing.body_hash(b""), key, _NOW)
    assert max(map(len, value.split(b"\n"))) <= 78
    tags = dict(tag.split(b"=", 1) for tag in re.sub(rb"\s", b"", value).split(b";"))
    begins = int(_NOW.timestamp())
    assert (tags[b"v"], tags[b"a"], tags[b"c"]) == (b"1", algorithm.encode(), b"relaxed/relaxed")
    assert (tags[b"d"], tags[b"s"]) == (b"own.example", key.selector.encode())
    assert int(tags[b"t"]) == begins
    assert int(tags[b"x"]) == begins + signing.LIFETIME.total_seconds()
    assert b"l" not in tags  # a length would let anyone append


def test_a_signature_outlives_the_queue_and_ends_before_its_key_is_revoked() -> None:
    assert dt.timedelta(days=5) < signing.LIFETIME < key_rotation.RETIRING_FOR


def test_of_several_fields_with_one_name_the_order_is_signed() -> None:
    key = signing_key()
    fields = (b"From", b"max@own.example"), (b"Subject", b"one"), (b"Subject", b"two")
    message = _signed(fields, b"Hello\r\n", key)
    assert _verifies(message, key)
    swapped = message.replace(b"Subject: one\r\nSubject: two", b"Subject: two\r\nSubject: one")
    assert swapped != message
    assert not _verifies(swapped, key)


def test_each_of_several_signatures_verifies_by_itself() -> None:
    keys = (signing_key(), _ed25519_key(), signing_key("relay.example", number=1), _ed25519_key("relay.example"))
    headers = submission().headers
    values = signing.sign_each(headers, signing.body_hash(b"Hello\r\n"), keys, _NOW)
    for key, value in zip(keys, values, strict=True):
        assert _verifies(to_wire(((b"DKIM-Signature", value), *headers), b"Hello\r\n"), key)
