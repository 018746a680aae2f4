"""Mails as clients write them, with Python's email package as the second reader of what the milter made of them."""

import email.header
import email.message
import email.parser
import email.utils
import itertools
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from sendproof_milter import pixel, wire_safe
from sendproof_milter.message import Submission
from sendproof_milter.pixel import NoPixel, WithPixel
from sendproof_testing.submissions import from_wire, to_wire

_CORPUS = Path(__file__).parents[1] / "corpus" / "mail"
_EXPECTATIONS = tomllib.loads((_CORPUS / "expectations.toml").read_text("utf-8"))
_URL = "https://t.relay.example/o/AQEBAAGTU0nSjXAAgAAAAAAAAAEAAQAHmhQAAAAAAAAAAAAAAAAAAAAA.gif"
_SNIPPET = pixel.image_tag(_URL, visible=False)
_LINE_OCTETS = 998  # RFC 5322 section 2.1.1
_LONG_LINES_STAY = {"sealed-long-lines", "malformed-long-lines", "long-header-word"}
_EIGHT_BIT_STAYS = {"sealed-8-bit", "malformed-8-bit", "8-bit-header-word"}
_EIGHT_BIT_LABELS = {"8bit", "binary"}
_ADDRESS_FIELDS = {"from", "to", "cc", "reply-to", "sender"}


class Expected(NamedTuple):
    name: str
    pixel: str
    part: tuple[int, ...]
    before: bytes
    occurrence: str
    wire: frozenset[str]
    smtputf8: bool


class Entity(NamedTuple):
    path: tuple[int, ...]
    message: email.message.Message
    sealed: bool


def _expected(name: str) -> Expected:
    table = _EXPECTATIONS[name]
    return Expected(
        name,
        table["pixel"],
        tuple(table.get("part", ())),
        table.get("before", "").encode("ascii"),
        table.get("occurrence", "only"),
        frozenset(table["wire"]),
        table.get("smtputf8", False),
    )


_ALL = [_expected(name) for name in sorted(_EXPECTATIONS)]
_every_mail = pytest.mark.parametrize("expected", _ALL, ids=lambda expected: expected.name)
_every_mail_with_a_pixel = pytest.mark.parametrize(
    "expected", [one for one in _ALL if one.pixel == "inserted"], ids=lambda expected: expected.name
)


def _submission(expected: Expected) -> Submission:
    return from_wire((_CORPUS / f"{expected.name}.in.eml").read_bytes())


def _read(headers: tuple[tuple[bytes, bytes], ...], body: bytes) -> email.message.Message:
    return email.parser.BytesParser().parsebytes(to_wire(headers, body))


def _entities(message: email.message.Message, path: tuple[int, ...] = (), *, sealed: bool = False) -> Iterator[Entity]:
    yield Entity(path, message, sealed)
    sealed = sealed or message.get_content_type() in {"multipart/signed", "multipart/encrypted"}
    if message.is_multipart():
        for index, child in enumerate(message.get_payload()):
            assert isinstance(child, email.message.Message)
            yield from _entities(child, (*path, index), sealed=sealed)


def _at(message: email.message.Message, path: tuple[int, ...]) -> email.message.Message:
    return next(entity.message for entity in _entities(message) if entity.path == path)


def _octets(text: object) -> bytes:
    """What the library keeps as text with escaped octets; nothing of a multipart."""
    return text.encode("ascii", "surrogateescape") if isinstance(text, str) else b""


def _raw(message: email.message.Message) -> bytes:
    return _octets(message.__dict__["_payload"])  # get_payload() would decode 8-bit text by its charset


def _decoded(message: email.message.Message) -> bytes:
    content = message.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.replace(b"\r\n", b"\n")


def _label(message: email.message.Message) -> str:
    return str(message.get("Content-Transfer-Encoding", "7bit")).strip().lower()


def _longest_line(octets: bytes) -> int:
    return max(map(len, octets.split(b"\r\n")))


def _header_text(value: bytes) -> str:
    """A field's value as a person reads it, blanks between words made one."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    pieces = email.header.decode_header(text.replace("\n", "")) if text.isascii() else [(text, None)]
    return " ".join(
        "".join(
            piece if isinstance(piece, str) else piece.decode(_python_charset(charset)) for piece, charset in pieces
        ).split()
    )


def _python_charset(charset: str | None) -> str:
    return "latin-1" if charset in (None, "unknown-8bit") else str(charset)


def _addresses(value: bytes) -> list[tuple[str, str]]:
    text = value.decode("utf-8", "surrogateescape").replace("\n", "")
    return [(_header_text(name.encode()), address) for name, address in email.utils.getaddresses([text])]


def _is_one_insertion(old: bytes, new: bytes) -> bool:
    return _common_octets(old, new) + _common_octets(old[::-1], new[::-1]) >= len(old)


def _common_octets(one: bytes, other: bytes) -> int:
    return next(
        (index for index, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _with_snippet(content: bytes, expected: Expected) -> set[bytes]:
    """Every decoded content that is right: the snippet in its place, on a line of its own or not."""
    if expected.before:
        assert content.count(expected.before) == 1 or expected.occurrence == "last"
        places = [content.rindex(expected.before)]
    else:
        places = [place for place in range(len(content) + 1) if not content[place:].strip()]
    return {
        content[:place] + line_break + _SNIPPET + other + content[place:]
        for place in places
        for line_break, other in itertools.product((b"", b"\n"), repeat=2)
    }


def test_every_mail_has_its_expectation() -> None:
    assert {path.name.removesuffix(".in.eml") for path in _CORPUS.glob("*.in.eml")} == set(_EXPECTATIONS)
    assert len(_EXPECTATIONS) >= 170


def test_every_expectation_is_spelt_as_the_milter_spells_it() -> None:
    assert {one.pixel for one in _ALL} <= {"inserted", *(reason.value for reason in NoPixel)}
    assert {name for one in _ALL for name in one.wire} == {edit.value for edit in wire_safe.WireEdit}


@_every_mail
def test_a_mail_gets_a_pixel_or_its_reason(expected: Expected) -> None:
    after = pixel.insert(_submission(expected), _SNIPPET)
    assert ("inserted" if isinstance(after, WithPixel) else after.value) == expected.pixel


@_every_mail_with_a_pixel
def test_the_snippet_stands_in_its_place_and_nowhere_else(expected: Expected) -> None:
    before = _submission(expected)
    after = pixel.insert(before, _SNIPPET)
    assert isinstance(after, WithPixel)
    old, new = _read(before.headers, before.body), _read(before.headers, after.body)
    content = _decoded(_at(old, expected.part))
    assert _at(old, expected.part).get_content_type() == "text/html"
    assert _decoded(_at(new, expected.part)) in _with_snippet(content, expected)


@_every_mail_with_a_pixel
def test_no_octet_outside_of_the_edited_part_changes(expected: Expected) -> None:
    before = _submission(expected)
    after = pixel.insert(before, _SNIPPET)
    assert isinstance(after, WithPixel)
    old, new = (_at(_read(before.headers, body), expected.part) for body in (before.body, after.body))
    raw = _raw(old)
    assert any(
        before.body[:place] + _raw(new) + before.body[place + len(raw) :] == after.body
        for place in range(len(before.body) + 1)
        if before.body.startswith(raw, place)
    )
    assert _label(old) == "base64" or _is_one_insertion(raw, _raw(new))
    # RFC 2045 section 6.7 and 6.8: 76 characters
    limit = 76 if _label(old) in {"base64", "quoted-printable"} else _LINE_OCTETS
    assert _longest_line(_raw(new)) <= max(limit, _longest_line(raw))


@_every_mail
def test_a_mail_is_made_safe_for_every_wire(expected: Expected) -> None:
    before = _submission(expected)
    safe = wire_safe.make_safe(before.headers, before.body, smtputf8=expected.smtputf8)
    assert sorted(edit.value for edit in safe.edits) == sorted(expected.wire)
    headers = wire_safe.apply_fields(before.headers, safe.changed_fields)
    body = before.body if safe.body is None else safe.body
    if expected.wire <= _LONG_LINES_STAY | _EIGHT_BIT_STAYS:
        assert (headers, body) == (before.headers, before.body)
    _check_lines(expected, headers, body)
    _check_labels(expected, headers, body)
    again = wire_safe.make_safe(headers, body, smtputf8=expected.smtputf8)
    assert (again.body, again.changed_fields) == (None, ())
    assert {edit.value for edit in again.edits} <= _LONG_LINES_STAY | _EIGHT_BIT_STAYS


def _check_lines(expected: Expected, headers: tuple[tuple[bytes, bytes], ...], body: bytes) -> None:
    head = to_wire(headers, b"")
    if not expected.wire & _LONG_LINES_STAY:
        assert _longest_line(head + body) <= _LINE_OCTETS
    if not expected.wire & _EIGHT_BIT_STAYS:
        assert body.isascii()
        assert head.isascii() or expected.smtputf8


def _check_labels(expected: Expected, headers: tuple[tuple[bytes, bytes], ...], body: bytes) -> None:
    """smtp(8) goes by the labels: it re-encodes what says 8bit for a server without 8BITMIME, ASCII or not."""
    if expected.wire & {"malformed-8-bit", "sealed-8-bit"}:
        return
    for entity in _entities(_read(headers, body)):
        assert entity.sealed or _label(entity.message) not in _EIGHT_BIT_LABELS


@_every_mail
def test_what_is_made_safe_reads_as_before(expected: Expected) -> None:
    before = _submission(expected)
    safe = wire_safe.make_safe(before.headers, before.body, smtputf8=expected.smtputf8)
    headers = wire_safe.apply_fields(before.headers, safe.changed_fields)
    old, new = _read(before.headers, before.body), _read(headers, before.body if safe.body is None else safe.body)
    pairs = list(zip(_entities(old), _entities(new), strict=True))
    for was, now in pairs:
        assert (now.path, now.message.get_content_type()) == (was.path, was.message.get_content_type())
        assert was.message.get_content_charset() in {None, now.message.get_content_charset()}
        assert (now.message.preamble, now.message.epilogue) == (was.message.preamble, was.message.epilogue)
        assert _file_name(now.message) == _file_name(was.message)
        if was.message.is_multipart():
            continue
        assert _decoded(now.message) == _decoded(was.message)
        raw = _raw(was.message)
        if was.sealed or (raw.isascii() and _longest_line(raw) <= _LINE_OCTETS):
            assert _raw(now.message) == raw
        if was.sealed:
            assert now.message.items() == was.message.items()


def _file_name(message: email.message.Message) -> str:
    """The file name that a part declares, raw UTF-8 included."""
    copy = email.message.Message()
    for name, value in message.raw_items():
        if name.lower() in {"content-type", "content-disposition"}:
            copy[name] = _octets(str(value)).decode("utf-8", "replace")
    try:
        return _header_text((copy.get_filename() or "").encode())
    except TypeError:  # the library's, for filename*0= beside filename*=
        return "given twice"


@_every_mail
def test_header_fields_keep_their_order_and_meaning(expected: Expected) -> None:
    before = _submission(expected)
    safe = wire_safe.make_safe(before.headers, before.body, smtputf8=expected.smtputf8)
    headers = wire_safe.apply_fields(before.headers, safe.changed_fields)
    added = [name.lower() for name, _ in headers[len(before.headers) :]]
    assert set(added) <= {b"mime-version", b"content-type", b"content-transfer-encoding"}
    for (name, was), (new_name, now) in zip(before.headers, headers, strict=False):
        assert new_name == name
        lower = name.decode("ascii").lower()
        if was == now or lower == "content-transfer-encoding":
            continue
        if lower in _ADDRESS_FIELDS:
            assert _addresses(now) == _addresses(was)
        else:
            assert _header_text(now) == _header_text(was)


@pytest.mark.parametrize(
    "expected",
    [one for one in _ALL if one.pixel == "signed-or-encrypted"],
    ids=lambda expected: expected.name,
)
def test_what_is_signed_or_encrypted_keeps_every_octet(expected: Expected) -> None:
    before = _submission(expected)
    safe = wire_safe.make_safe(before.headers, before.body, smtputf8=expected.smtputf8)
    body = before.body if safe.body is None else safe.body
    for entity in _entities(_read(before.headers, before.body)):
        boundary = entity.message.get_boundary()
        if entity.message.get_content_type() in {"multipart/signed", "multipart/encrypted"} and boundary:
            delimiter = b"--" + boundary.encode("ascii")
            assert body.split(delimiter)[1:3] == before.body.split(delimiter)[1:3]


@_every_mail_with_a_pixel
def test_a_mail_with_its_pixel_is_made_safe_as_well(expected: Expected) -> None:
    before = _submission(expected)
    with_pixel = pixel.insert(before, _SNIPPET)
    assert isinstance(with_pixel, WithPixel)
    safe = wire_safe.make_safe(before.headers, with_pixel.body, smtputf8=expected.smtputf8)
    headers = wire_safe.apply_fields(before.headers, safe.changed_fields)
    body = with_pixel.body if safe.body is None else safe.body
    _check_lines(expected, headers, body)
    old, new = _read(before.headers, with_pixel.body), _read(headers, body)
    assert _decoded(_at(new, expected.part)) == _decoded(_at(old, expected.part))


@pytest.mark.parametrize(
    "golden", sorted(_CORPUS.glob("*.out.eml")), ids=lambda path: path.name.removesuffix(".out.eml")
)
def test_the_octets_are_those_of_the_golden_file(golden: Path) -> None:
    decision, _, out = golden.read_bytes().partition(b"\n")
    before = from_wire(golden.with_name(golden.name.replace(".out.", ".in.")).read_bytes())
    after = pixel.insert(before, _SNIPPET)
    if isinstance(after, WithPixel):
        assert (b"inserted", after.body) == (decision, from_wire(out).body)
    else:
        assert (after.value.encode(), before.body) == (decision, from_wire(out).body)
