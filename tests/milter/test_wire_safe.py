import base64
import email.message
import email.parser
import email.policy
import quopri

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sendproof_milter import pixel
from sendproof_milter.message import from_addresses
from sendproof_milter.mime_edit import decode
from sendproof_milter.pixel import WithPixel
from sendproof_milter.wire_safe import ChangedField, Safe, WireEdit, apply_fields, make_safe
from sendproof_testing.submissions import from_wire, submission, to_wire

_Headers = tuple[tuple[bytes, bytes], ...]
_TYPE, _ENCODING = b"Content-Type", b"Content-Transfer-Encoding"
_SNIPPET = pixel.image_tag("https://t.example/o/x.gif", visible=False)
_TEXT = (_TYPE, b"text/plain; charset=utf-8")
_VERSION = (b"MIME-Version", b"1.0")
_GRUESSE = "Grüße\r\n".encode()
_EIGHT_BIT_STAYS = {WireEdit.SEALED_EIGHT_BIT, WireEdit.MALFORMED_EIGHT_BIT, WireEdit.EIGHT_BIT_HEADER_WORD}
_LONG_LINES_STAY = {WireEdit.SEALED_LONG_LINES, WireEdit.MALFORMED_LONG_LINES, WireEdit.LONG_HEADER_WORD}


def _safe(body: bytes, *headers: tuple[bytes, bytes], smtputf8: bool = False) -> Safe:
    return make_safe(headers, body, smtputf8=smtputf8)


def _applied(headers: _Headers, body: bytes, safe: Safe) -> tuple[_Headers, bytes]:
    return apply_fields(headers, safe.changed_fields), body if safe.body is None else safe.body


def _read(headers: _Headers, body: bytes) -> email.message.Message:
    return email.parser.BytesParser().parsebytes(to_wire(headers, body))


def _decoded(headers: _Headers, body: bytes) -> bytes:
    content = _read(headers, body).get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


def _multipart(*parts: bytes, subtype: bytes = b"mixed", label: bytes = b"") -> bytes:
    field = b"Content-Transfer-Encoding: " + label + b"\r\n" if label else b""
    head = b"MIME-Version: 1.0\r\n" + field + b"Content-Type: multipart/" + subtype + b"; boundary=b\r\n\r\n"
    return head + b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


def _safe_entity(raw: bytes) -> tuple[bytes, Safe]:
    message = from_wire(raw)
    safe = make_safe(message.headers, message.body, smtputf8=False)
    return to_wire(*_applied(message.headers, message.body, safe)), safe


def test_safe_mail_costs_nothing() -> None:
    safe = make_safe(submission().headers, submission().body, smtputf8=False)
    assert safe == Safe(None, (), ())


@pytest.mark.parametrize(
    ("last", "is_safe"),
    [
        (b"x" * 998, True),
        (b"x" * 998 + b"\r\n", True),
        (b"x" * 998 + b"\n", True),
        (b"x" * 999 + b"\n", False),
        (b"x" * 999, False),
        (b"x" * 999 + b"\r\n", False),
        (b"x" * 5000, False),
    ],
)
def test_a_line_has_998_octets_at_the_most(last: bytes, is_safe: bool) -> None:
    for before in (b"", b"x\r\n", b"x" * 998 + b"\r\n", b"\n" * 998):
        assert (_safe(before + last, _TEXT).edits == ()) is is_safe


def test_text_becomes_quoted_printable() -> None:
    safe = _safe(_GRUESSE, _TEXT, _VERSION, (_ENCODING, b"8bit"))
    assert safe.body == b"Gr=C3=BC=C3=9Fe\r\n"
    assert safe.changed_fields == (ChangedField("Content-Transfer-Encoding", 1, "quoted-printable"),)
    assert safe.edits == (WireEdit.EIGHT_BIT_PARTS,)


def test_text_that_is_mostly_escapes_becomes_base64() -> None:
    body = "こんにちは\r\n".encode() * 10
    safe = _safe(body, _TEXT, _VERSION, (_ENCODING, b"8bit"))
    assert safe.body == base64.encodebytes(body).replace(b"\n", b"\r\n")
    assert safe.changed_fields == (ChangedField("Content-Transfer-Encoding", 1, "base64"),)


def test_what_is_no_text_becomes_base64() -> None:
    safe = _safe(b"\xff\r\n", (_TYPE, b"image/gif"), _VERSION, (_ENCODING, b"binary"))
    assert safe.body == b"/w0K\r\n"


def test_long_lines_become_quoted_printable() -> None:
    safe = _safe(b"x" * 2000 + b"\r\n", _TEXT, _VERSION)
    assert safe.edits == (WireEdit.LONG_BODY_LINES,)
    assert safe.changed_fields == (ChangedField("Content-Transfer-Encoding", 1, "quoted-printable"),)
    assert safe.body is not None
    assert quopri.decodestring(safe.body) == b"x" * 2000 + b"\r\n"
    assert max(map(len, safe.body.split(b"\r\n"))) <= 76


def test_flowed_text_keeps_its_soft_line_ends() -> None:
    safe = _safe(b"Gr\xfc\xdfe \r\naus Wien\r\n", (_TYPE, b"text/plain; charset=latin1; format=flowed"), _VERSION)
    assert safe.body == b"Gr=FC=DFe=20\r\naus Wien\r\n"


def test_a_label_alone_is_changed_because_postfix_believes_it() -> None:
    """smtp(8) re-encodes what says 8bit for a server without 8BITMIME, even ASCII, and an equals sign breaks then."""
    safe = _safe(b"1 + 1 = 2\r\n", _TEXT, (_ENCODING, b" 8BIT "))
    assert safe == Safe(None, (ChangedField("Content-Transfer-Encoding", 1, "7bit"),), (WireEdit.EIGHT_BIT_LABELS,))


@pytest.mark.parametrize("label", [b"8bit", b"8BIT", b"8Bit", b"binary", b"BINARY"])
def test_labels_of_parts_are_changed_too(label: bytes) -> None:
    part = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: %s\r\nX: y\r\n\r\nHello"
    raw, safe = _safe_entity(_multipart(part % label, label=label))
    assert raw == _multipart(part % b"7bit", label=b"7bit")
    assert safe.edits == (WireEdit.EIGHT_BIT_LABELS,)


def test_the_labels_above_a_part_that_was_encoded_become_7bit() -> None:
    part = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: %s\r\n\r\n%s"
    raw, safe = _safe_entity(_multipart(part % (b"8bit", "über".encode()), label=b"8bit"))
    assert raw == _multipart(part % (b"quoted-printable", b"=C3=BCber"), label=b"7bit")
    assert safe.edits == (WireEdit.EIGHT_BIT_PARTS,)


def test_a_part_without_fields_gets_one() -> None:
    raw, _ = _safe_entity(_multipart(b"\r\n\xfc"))
    assert raw == _multipart(b"Content-Transfer-Encoding: base64\r\n\r\n/A==")


def test_a_forwarded_message_is_made_safe_inside() -> None:
    forwarded = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: %s\r\n\r\n%s"
    before = b"Subject: Gr\xc3\xbc\xc3\x9fe\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nok \xc3\xbc"
    after = (
        b"Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nok =C3=BC"
    )
    raw, safe = _safe_entity(_multipart(forwarded % (b"8bit", before)))
    assert raw == _multipart(forwarded % (b"7bit", after))
    assert safe.edits == (WireEdit.EIGHT_BIT_HEADER, WireEdit.EIGHT_BIT_PARTS)


@pytest.mark.parametrize(
    ("body", "content_type"), [("ü und mehr\r\n".encode(), "utf-8"), (b"\xfc und mehr\r\n", "unknown-8bit")]
)
def test_octets_without_any_label_get_an_honest_one(body: bytes, content_type: str) -> None:
    safe = _safe(body, (b"Subject", b"x"))
    assert [(field.name, field.value) for field in safe.changed_fields] == [
        ("MIME-Version", "1.0"),
        ("Content-Type", f"text/plain; charset={content_type}"),
        ("Content-Transfer-Encoding", "quoted-printable"),
    ]


def test_quoted_printable_is_repaired_where_it_has_to_be() -> None:
    body = b"=C3=BC \xc3\xbc\r\n" + b"=C3=BC" * 500 + b"\r\nx=3D\r\n"
    safe = _safe(body, _TEXT, _VERSION, (_ENCODING, b"quoted-printable"))
    assert safe.body is not None
    assert safe.body.startswith(b"=C3=BC =C3=BC\r\n")
    assert safe.body.endswith(b"\r\nx=3D\r\n")
    assert quopri.decodestring(safe.body) == quopri.decodestring(body)
    assert max(map(len, safe.body.split(b"\r\n"))) <= 76
    assert (safe.changed_fields, safe.edits) == ((), (WireEdit.LONG_BODY_LINES, WireEdit.EIGHT_BIT_PARTS))


def test_base64_on_one_line_is_wrapped_and_nothing_else() -> None:
    text = base64.b64encode(b"x" * 3000)
    safe = _safe(b"QUJD\r\n" + text + b"\r\nQUJD\r\n", (_TYPE, b"image/gif"), (_ENCODING, b"base64"))
    assert safe.body is not None
    assert safe.body.startswith(b"QUJD\r\n")
    assert safe.body.endswith(b"\r\nQUJD\r\n")
    assert safe.body.replace(b"\r\n", b"") == b"QUJD" + text + b"QUJD"
    assert max(map(len, safe.body.split(b"\r\n"))) == 76


@pytest.mark.parametrize("subtype", [b"signed", b"encrypted"])
def test_what_is_sealed_keeps_every_octet(subtype: bytes) -> None:
    part = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xfc" + b"x" * 1000
    raw, safe = _safe_entity(_multipart(part, subtype=subtype, label=b"8bit"))
    assert raw == _multipart(part, subtype=subtype, label=b"8bit")
    assert safe.edits == (WireEdit.SEALED_LONG_LINES, WireEdit.SEALED_EIGHT_BIT)


def test_a_label_outside_of_a_seal_is_no_part_of_it() -> None:
    part = b"Content-Type: text/plain\r\n\r\nHello"
    raw, _ = _safe_entity(_multipart(part, subtype=b"signed", label=b"8bit"))
    assert raw == _multipart(part, subtype=b"signed", label=b"7bit")


@pytest.mark.parametrize(
    "raw",
    [
        b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n%s\r\n",
        b"Content-Type: multipart/mixed\r\n\r\n%s\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n%s\r\n--b\r\n\r\nx\r\n--b--\r\n",  # a preamble
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n%s\r\n",  # an epilogue
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nno field\r\n\r\n%s\r\n--b--\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nno field: x\r\n%s\r\n\r\nx\r\n--b--\r\n",
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\n%s\r\n",
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=x%s\r\n",
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n",
        b"Content-Type: message/partial\r\n\r\n%s\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n%s\r\n" + b"--b\r\n\r\nx\r\n" * 1000,
    ],
)
def test_what_cannot_be_read_in_one_way_stays_and_says_so(raw: bytes) -> None:
    raw %= b"\xfc" + b"-" * 1000
    after, safe = _safe_entity(raw)
    assert after == raw
    assert safe.edits == (WireEdit.MALFORMED_LONG_LINES, WireEdit.MALFORMED_EIGHT_BIT)


def test_header_fields_are_named_as_libmilter_names_them() -> None:
    headers = (
        (b"Subject", b"first"),
        (b"From", "Müller <max@own.example>".encode()),
        (b"subject", "zweite Größe".encode()),
        (b"X-Long", b"word " * 300),
    )
    safe = make_safe(headers, b"Hello\r\n", smtputf8=False)
    assert [(field.name, field.index) for field in safe.changed_fields] == [("From", 1), ("subject", 2), ("X-Long", 1)]
    assert safe.edits == (WireEdit.LONG_HEADER_LINES, WireEdit.EIGHT_BIT_HEADER)
    new = apply_fields(headers, safe.changed_fields)
    assert [name for name, _ in new] == [name for name, _ in headers]
    assert (new[0], new[2]) == (headers[0], (b"subject", b"zweite =?UTF-8?Q?Gr=C3=B6=C3=9Fe?="))


def test_with_smtputf8_utf_8_stays_and_other_octets_do_not() -> None:
    headers = ((b"Subject", "Größe".encode()), (b"X-Other", b"Gr\xf6\xdfe"))
    safe = make_safe(headers, b"Hello\r\n", smtputf8=True)
    assert safe.changed_fields == (ChangedField("X-Other", 1, "=?UTF-8?Q?Gr=C3=B6=C3=9Fe?="),)


@pytest.mark.parametrize(
    ("field", "edit"),
    [
        ((b"X-Long", b"x" * 1000), WireEdit.LONG_HEADER_WORD),
        ((b"Message-ID", "<ü@own.example>".encode()), WireEdit.EIGHT_BIT_HEADER_WORD),
        ((b"Message-ID", b"<\xfc@own.example>"), WireEdit.EIGHT_BIT_HEADER_WORD),
    ],
)
def test_a_field_that_cannot_be_made_safe_says_so(field: tuple[bytes, bytes], edit: WireEdit) -> None:
    safe = make_safe((field,), b"Hello\r\n", smtputf8=False)
    assert (safe.changed_fields, safe.edits) == ((), (edit,))


def test_added_fields_come_last_and_changed_ones_keep_their_place_and_spelling() -> None:
    headers = ((b"A", b"1"), (b"b", b"2"), (b"a", b"3"))
    changed = (ChangedField("A", 2, "x"), ChangedField("B", 1, "ü"), ChangedField("C", 1, "new"))
    assert apply_fields(headers, changed) == ((b"A", b"1"), (b"b", "ü".encode()), (b"a", b"x"), (b"C", b"new"))


_LINE = st.lists(
    st.sampled_from(
        [b"a", b" ", b"=", b"\t", b".", b"-", b"--", b"\xc3\xbc", b"\xfc", b"\0", b"\r", b"x" * 500, b"-" * 80]
    )
).map(b"".join)
_BODY = st.lists(_LINE).flatmap(
    lambda lines: st.sampled_from([b"\r\n", b"\n"]).map(lambda end: end.join([*lines, b""]))
)
_KIND = st.sampled_from([b"text/plain", b"text/html; charset=latin1", b"image/png", b"message/partial"])


@given(_BODY, _KIND, st.sampled_from([b"7bit", b"8bit", b"binary"]), st.booleans())
def test_a_part_means_the_same_before_and_after(body: bytes, kind: bytes, label: bytes, nested: bool) -> None:
    headers: _Headers = ((_TYPE, kind), (_ENCODING, label))
    octets = body
    if nested:
        octets = b"--b\r\n" + to_wire(headers, body) + b"\r\n--b--\r\n"
        headers = ((_TYPE, b"multipart/mixed; boundary=b"), (_ENCODING, label))
    safe = make_safe(headers, octets, smtputf8=False)
    new_headers, new = _applied(headers, octets, safe)
    if not set(safe.edits) & (_EIGHT_BIT_STAYS | _LONG_LINES_STAY):
        assert new.isascii()
        assert all(len(line.removesuffix(b"\r")) <= 998 for line in new.split(b"\n"))
    assert make_safe(new_headers, new, smtputf8=False).body is None
    if nested:
        part = new.removeprefix(b"--b\r\n").removesuffix(b"\r\n--b--\r\n")
        head, _, new = part.partition(b"\r\n\r\n")
        new_headers = from_wire(head + b"\r\n\r\n").headers
    encoding = next(value for name, value in new_headers if name == _ENCODING)
    assert decode(new, encoding.decode("ascii")) == body


@pytest.mark.parametrize("encoding", [b"8bit", b"quoted-printable"])
def test_no_new_line_looks_like_a_delimiter(encoding: bytes) -> None:
    """Where a soft break goes before two dashes, the rest of the line would begin as a delimiter does."""
    fields = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n"
    for length in range(50, 80):
        text = b"=3D" * 20 + b"\xfc" + b"x" * 1000 if encoding == b"quoted-printable" else b"\xfc"
        text += b"x" * length + b"--b" + b"-" * length + b"--b"
        raw, _ = _safe_entity(_multipart(fields + text))
        (part,) = (part for part in email.parser.BytesParser().parsebytes(raw).walk() if not part.is_multipart())
        assert b"\n--" not in raw.partition(fields[:30])[2].partition(b"\r\n\r\n")[2].removesuffix(b"\r\n--b--\r\n")
        assert part.get_payload(decode=True) == quopri.decodestring(text)


_PIECES = st.lists(
    st.sampled_from(
        [
            *(b"--b\r\n", b"--b--\r\n", b"\r\n", b"\n", b"Content-Type: text/plain\r\n", b"\xfc\r\n", b"Hello\r\n"),
            *(b"Content-Type: multipart/signed; boundary=c\r\n", b"--c\r\n", b"Content-Type: message/rfc822\r\n"),
            *(b"Content-Transfer-Encoding: 8bit\r\n", b"x" * 1000, b"X: \xc3\xbc\r\n", b"X: " + b"y " * 600 + b"\r\n"),
            *(b"Content-Transfer-Encoding: quoted-printable\r\n", b"=\xfc\r\n", b"\xff" * 400 + b"\r\n"),
        ]
    ),
    max_size=25,
).map(b"".join)
_VALUES = st.lists(
    st.sampled_from([b"a", b"\xc3\xbc", b"\xfc", b" ", b"\n ", b"\x0c", b'"', b"<a@b.example>", b"x " * 600])
).map(b"".join)


@settings(max_examples=200)
@given(_PIECES | st.binary(max_size=300), _VALUES, st.booleans())
def test_any_mail_is_safe_afterwards_or_says_why_not(body: bytes, value: bytes, smtputf8: bool) -> None:
    headers = ((_TYPE, b"multipart/mixed; boundary=b"), (b"Subject", value), (b"To", value))
    safe = make_safe(headers, body, smtputf8=smtputf8)
    new_headers, new = _applied(headers, body, safe)
    head = b"\n".join(name + b": " + value for name, value in new_headers)
    stays = set(safe.edits)
    assert stays & _EIGHT_BIT_STAYS or smtputf8 or (new.isascii() and head.isascii())
    lines = new.split(b"\n") + head.split(b"\n")
    assert stays & _LONG_LINES_STAY or all(len(line.removesuffix(b"\r")) <= 998 for line in lines)
    again = make_safe(new_headers, new, smtputf8=smtputf8)
    assert (again.body, again.changed_fields) == (None, ())
    assert set(again.edits) == stays & (_EIGHT_BIT_STAYS | _LONG_LINES_STAY)


@given(st.lists(st.tuples(st.text(max_size=20), st.sampled_from(["a@own.example", "b@own.example"])), max_size=3))
@example([("", "a@own.example"), ("\r\x80", "a@own.example")])  # a CR within an encoded word makes no name
@example([("\x0c", "a@own.example"), ("ü\x0bü", "b@own.example")])
def test_the_senders_are_the_same_before_and_after(people: list[tuple[str, str]]) -> None:
    value = ", ".join(f"{name} <{address}>" for name, address in people).replace("\n", " ").replace("\0", "")
    before = submission(headers=((b"From", value.encode("utf-8", "surrogateescape")),))
    safe = make_safe(before.headers, b"", smtputf8=False)
    after = submission(headers=apply_fields(before.headers, safe.changed_fields))
    if from_addresses(before) is not None:
        assert from_addresses(after) == from_addresses(before)


@pytest.mark.parametrize("feed", [b"\x0b", b"\x0c"])
def test_an_address_does_not_become_another_one(feed: bytes) -> None:
    before = submission(headers=((b"From", b"max@bank.example" + feed + b"x.own.example"),))
    safe = make_safe(before.headers, b"", smtputf8=False)
    after = submission(headers=apply_fields(before.headers, safe.changed_fields))
    assert from_addresses(after) == from_addresses(before) == ("max@bank.examplex.own.example",)


@given(st.text("aü </body>\r\n", max_size=60), st.sampled_from([b"8bit", b"7bit"]))
def test_pixel_and_safety_compose_in_either_order(text: str, label: bytes) -> None:
    headers: _Headers = ((_TYPE, b"text/html; charset=utf-8"), _VERSION, (_ENCODING, label))
    body = (text + "ü" + "x" * 1000 + "</body>\r\n").encode()
    first = pixel.insert(submission(headers=headers, body=body), _SNIPPET)
    assert isinstance(first, WithPixel)
    pixel_first = _applied(headers, first.body, make_safe(headers, first.body, smtputf8=False))
    safe_headers, safe_body = _applied(headers, body, make_safe(headers, body, smtputf8=False))
    last = pixel.insert(submission(headers=safe_headers, body=safe_body), _SNIPPET)
    assert isinstance(last, WithPixel)
    assert make_safe(safe_headers, last.body, smtputf8=False) == Safe(None, (), ())
    assert _decoded(*pixel_first).replace(b"\r\n", b"") == _decoded(safe_headers, last.body).replace(b"\r\n", b"")


# libmilter refuses more than a packet: such a message was a 451 for ever.
def test_a_field_that_grows_beyond_a_packet_stays_as_it_is_and_is_named() -> None:
    names = ",\n ".join(f"Jürgen Müller {number} <u{number}@x.example>" for number in range(1_200)).encode()
    safe = make_safe([(b"From", b"a@x.example"), (b"Cc", names)], b"", smtputf8=False)
    assert safe.changed_fields == ()
    assert WireEdit.EIGHT_BIT_HEADER_WORD in safe.edits


# The break fell into the blanks behind the last "=", which was no soft break then.
def test_a_soft_break_with_blanks_behind_it_at_the_end_is_not_broken_in_two() -> None:
    headers = [
        (b"MIME-Version", b"1.0"),
        (b"Content-Type", b"text/html"),
        (b"Content-Transfer-Encoding", b"quoted-printable"),
    ]
    body = b"x" * 1_000 + b"=" + b" " * 500
    safe = make_safe(headers, body, smtputf8=False)
    new = safe.body or body
    assert decode(new, "quoted-printable") == decode(body, "quoted-printable")
    assert WireEdit.MALFORMED_LONG_LINES in safe.edits or max(map(len, new.split(b"\r\n"))) <= 998


@pytest.mark.parametrize("feed", ["\x0b", "\x0c"])
def test_what_only_some_verifiers_take_for_a_blank_goes_and_no_field_with_it(feed: str) -> None:
    headers = (
        (b"From", f"Max <max@own{feed}.example>".encode()),
        (b"Subject", feed.encode()),
        (b"To", feed.encode()),
        (_ENCODING, f"8bit{feed}".encode()),
        (b"X-Other", f"ü{feed}ü".encode()),
    )
    safe = make_safe(headers, b"Hello\r\n", smtputf8=True)
    after = (
        (b"From", b"Max <max@own.example>"),
        (b"Subject", b" "),
        (b"To", b" "),
        (_ENCODING, b"7bit"),
        (b"X-Other", "ü ü".encode()),
    )
    assert apply_fields(headers, safe.changed_fields) == after
    assert safe.edits == (WireEdit.EIGHT_BIT_LABELS,)
    assert make_safe(after, b"Hello\r\n", smtputf8=True) == Safe(None, (), ())


def test_a_type_too_long_to_be_read_is_not_made_readable() -> None:
    value = b"message/rfc822 " + b"\xfc" * 1_500 + b" " * 400 + b"\xfc" * 400
    safe = make_safe([(b"MIME-Version", b"1.0"), (b"Content-Type", value)], b"", smtputf8=False)
    assert safe.changed_fields == ()
    assert set(safe.edits) == {WireEdit.EIGHT_BIT_HEADER_WORD, WireEdit.LONG_HEADER_WORD}
