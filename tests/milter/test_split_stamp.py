import base64
import dataclasses
import datetime as dt
import hashlib
import hmac
import json
import uuid

from hypothesis import example, given
from hypothesis import strategies as st

from sendproof_milter.split_stamp import HEADER, MOST_RECIPIENTS, Stamp, content_digest, digest_of, make, read
from sendproof_testing.submissions import NOW

_KEY = b"k" * 32
_KEYS = {7: _KEY, 8: b"another" * 5}
_HEADER_SIZE_LIMIT = 102_400  # of Postfix
_STAMP = Stamp(
    message_id=uuid.UUID("019ab000-0000-7000-8000-000000000001"),
    account_id=4711,
    parent_queue_id="4Zabc123",
    expires=NOW + dt.timedelta(days=30),
    recipients=(digest_of("anna@example.net"), digest_of("ben@example.org")),
    content=content_digest("max@own.example", [b"from:max@own.example\r\n"], b"a hash"),
    signatures=2,
)
_STAMPS = st.builds(
    Stamp,
    message_id=st.uuids(),
    account_id=st.integers(0, 2**31),
    parent_queue_id=st.text(max_size=30),
    expires=st.datetimes(dt.datetime(2027, 1, 1), dt.datetime(2100, 1, 1), timezones=st.just(dt.UTC)).map(  # noqa: DTZ001 - the strategy makes them aware
        lambda moment: moment.replace(microsecond=0)
    ),
    recipients=st.lists(st.binary(min_size=6, max_size=6), max_size=50).map(tuple),
    content=st.binary(min_size=16, max_size=16),
    signatures=st.integers(0, 4),
)


def _made(stamp: Stamp = _STAMP) -> bytes:
    return make(stamp, 7, _KEY).encode("ascii")


def _parts(text: bytes) -> tuple[bytes, dict[str, object]]:
    """The key number, and what is under the MAC."""
    number, payload, _ = b"".join(text.split()).split(b".")
    return number, json.loads(base64.b64decode(payload))


@given(_STAMPS)
def test_what_is_made_is_read(stamp: Stamp) -> None:
    assert read([_made(stamp)], _KEYS, NOW) == stamp


@given(_STAMPS, st.sampled_from([b"\n ", b"\r\n\t", b" ", b""]))
def test_a_relay_may_fold_it_anew(stamp: Stamp, fold: bytes) -> None:
    assert read([_made(stamp).replace(b"\n ", fold)], _KEYS, NOW) == stamp


@given(st.integers(0, len(_made()) - 1), st.integers(0, 255))
@example(0, ord("8"))
@example(len(_made()) - 1, ord("A"))
def test_a_changed_octet_is_refused(place: int, octet: int) -> None:
    text = bytearray(_made())
    text[place] = octet
    is_the_same = b"".join(text.split()) == b"".join(_made().split())  # a blank is as good as another
    assert read([bytes(text)], _KEYS, NOW) == (_STAMP if is_the_same else None)


@given(st.integers(0, len(_made())), st.integers(1, 200))
def test_a_piece_is_no_stamp(begin: int, octets: int) -> None:
    text = _made()[:begin] + _made()[begin + octets :]
    if b"".join(text.split()) != b"".join(_made().split()):
        assert read([text], _KEYS, NOW) is None


def test_another_account_needs_another_mac() -> None:
    number, said = _parts(_made())
    said["a"] = 1
    payload = base64.b64encode(json.dumps(said, separators=(",", ":")).encode())
    mac = b"".join(_made().split()).rpartition(b".")[2]
    assert read([b".".join((number, payload, mac))], _KEYS, NOW) is None


def test_a_mac_of_the_same_key_for_another_purpose_is_worth_nothing() -> None:
    payload = b"".join(_made().split()).split(b".")[1]
    mac = hmac.digest(_KEY, payload, hashlib.sha256).hex().encode()
    assert read([b".".join((b"7", payload, mac))], _KEYS, NOW) is None


def test_a_key_that_is_not_ours_or_not_known_makes_no_stamp() -> None:
    assert read([make(_STAMP, 7, b"x" * 32).encode()], _KEYS, NOW) is None
    assert read([make(_STAMP, 9, _KEY).encode()], _KEYS, NOW) is None
    assert read([make(_STAMP, 8, _KEY).encode()], _KEYS, NOW) is None
    assert read([make(_STAMP, 8, _KEYS[8]).encode()], _KEYS, NOW) == _STAMP


def test_it_is_good_until_it_expires_and_not_after() -> None:
    assert read([_made()], _KEYS, _STAMP.expires - dt.timedelta(seconds=1)) == _STAMP
    assert read([_made()], _KEYS, _STAMP.expires) is None


def test_of_several_fields_none_is_believed() -> None:
    assert read([], _KEYS, NOW) is None
    assert read([_made(), _made()], _KEYS, NOW) is None
    assert read([b"", _made()], _KEYS, NOW) is None


_PIECES = st.sampled_from([b"7", b".", b"", b"=", b"eyJ9", b"00", b"\xff", b"\xc3\xbc", b" ", b"-1", b"9" * 5000])


@given(st.binary(max_size=100) | st.lists(_PIECES, max_size=8).map(b"".join))
def test_any_octets_are_no_stamp_and_no_error(value: bytes) -> None:
    assert read([value], _KEYS, NOW) is None


def test_a_stamp_for_as_many_as_are_split_fits_into_a_header_field_of_postfix() -> None:
    digests = tuple(digest_of(f"recipient-number-{number}@a.domain.example") for number in range(MOST_RECIPIENTS))
    stamp = dataclasses.replace(_STAMP, recipients=digests)
    field = b"%b: %b\n" % (HEADER.encode(), _made(stamp))
    assert len(field) < _HEADER_SIZE_LIMIT
    assert max(map(len, field.splitlines())) <= 78  # characters, RFC 5322 section 2.1.1
    assert read([_made(stamp)], _KEYS, NOW) == stamp


@given(_STAMPS)
def test_no_line_is_longer_than_lines_should_be(stamp: Stamp) -> None:
    lines = (f"{HEADER}: " + _made(stamp).decode("ascii")).split("\n")
    assert max(map(len, lines)) <= 78
    assert all(line.startswith(" ") for line in lines[1:])


def test_it_names_nobody() -> None:
    number, said = _parts(_made())
    assert number == b"7"
    assert "anna" not in json.dumps(said)
    assert "example" not in json.dumps(said)


def test_a_recipient_has_the_number_of_its_rcpt_to_however_it_is_spelled() -> None:
    assert _STAMP.number_of("anna@example.net") == 1
    assert _STAMP.number_of("ben@example.org") == 2
    assert _STAMP.number_of('"BEN"@Example.Org.') == 2


def test_who_was_not_submitted_has_no_number() -> None:
    assert _STAMP.number_of() == 0
    assert _STAMP.number_of("zoe@example.net", "") == 0


def test_the_first_address_that_was_submitted_counts() -> None:
    assert _STAMP.number_of("alias@example.net", "ben@example.org", "anna@example.net") == 2


@given(*(st.tuples(st.text(max_size=3), st.lists(st.binary(max_size=3), max_size=2), st.binary(max_size=3)),) * 2)
def test_a_digest_stands_for_one_content(
    one: tuple[str, list[bytes], bytes], other: tuple[str, list[bytes], bytes]
) -> None:
    a, b = ((sender, [field.replace(b"\0", b"") for field in fields], body) for sender, fields, body in (one, other))
    a, b = ((sender.replace("\0", ""), fields, body) for sender, fields, body in (a, b))
    assert (content_digest(*a) == content_digest(*b)) == (a == b)
