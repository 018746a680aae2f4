import email.message
import email.parser
import email.policy
import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sendproof_milter.mime_structure import (
    LARGEST_DEPTH,
    LARGEST_NUMBER_OF_PARTS,
    Defect,
    Part,
    TooComplex,
    fields,
    parse,
)

_MIXED = (b"Content-Type", b'multipart/mixed; boundary="b"')
_Headers = list[tuple[bytes, bytes]]
_LINES = st.lists(
    st.sampled_from(
        [
            *(
                b"--b",
                b"--b--",
                b"--b ",
                b"--b\t",
                b"--bx",
                b"--c",
                b"--c--",
                b"--",
                b"---b",
                b"",
                b"x",
                b" --b",
                b"\0",
            ),
            *(
                b"Content-Type: text/html",
                b"Content-Type: multipart/mixed; boundary=c",
                b"Content-Type: message/rfc822",
            ),
            *(
                b"Content-Transfer-Encoding: base64",
                b"broken",
                b"\tfolded",
                b"Content-Type: multipart/mixed; boundary=b",
            ),
            *(b"Content-Disposition: attachment; filename*0=\xfc", b"\xff"),
        ]
    ),
    max_size=30,
).flatmap(lambda lines: st.sampled_from([b"\r\n", b"\n", b"\r"]).map(lambda end: end.join([*lines, b""])))
_TYPES = st.sampled_from(
    [
        b"multipart/mixed; boundary=b",
        b"multipart/digest; boundary=b",
        b"message/rfc822",
        b"multipart/mixed",
        b"text/plain",
    ]
)


def _tree(body: bytes, *headers: tuple[bytes, bytes]) -> Part:
    root = parse(headers or (_MIXED,), body)
    assert isinstance(root, Part)
    return root


def _typed(content_type: bytes) -> Part:
    return _tree(b"", (b"Content-Type", content_type))


def _contents(body: bytes, *headers: tuple[bytes, bytes]) -> list[bytes]:
    root = _tree(body, *headers)
    return [body[part.content_start : part.content_end] for part in root.walk() if not part.children]


@given(_TYPES, _LINES | st.binary(max_size=300))
@example(b"multipart/mixed; boundary=b", b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n--c\r\n--b\r\n")
def test_any_body_is_a_tree_whose_parts_lie_in_each_other(content_type: bytes, body: bytes) -> None:
    root = parse([(b"Content-Type", content_type)], body)
    assert isinstance(root, Part)
    assert (root.header_end, root.content_start, root.content_end, root.depth) == (0, 0, len(body), 0)
    for part in root.walk():
        position = part.content_start
        for child in part.children:
            assert position <= child.header_start <= child.header_end <= child.content_start <= child.content_end
            assert child.depth == part.depth + 1
            assert child.encapsulated == (part.encapsulated or part.content_type == "message/rfc822")
            position = child.content_end
        assert position <= part.content_end


@given(st.recursive(st.none(), lambda inner: st.lists(inner, min_size=1, max_size=3), max_leaves=8))
def test_the_library_finds_the_same_parts_in_well_formed_mail(shape: object) -> None:
    numbers = itertools.count()

    def made(node: object) -> email.message.Message:
        message = email.message.Message(policy=email.policy.compat32)
        number = next(numbers)
        if isinstance(node, list):
            # Each boundary begins like the ones around it.
            message["Content-Type"] = f'multipart/mixed; boundary="{"b" * (number + 1)}"'
            message.preamble, message.epilogue = "a preamble", "an epilogue"
            message.set_payload([made(child) for child in node])
        else:
            message["Content-Type"] = "text/plain"
            message.set_payload(f"line\n--\n--b {number}\n")
        return message

    raw = made(shape).as_bytes().replace(b"\n", b"\r\n")
    head, _, body = raw.partition(b"\r\n\r\n")
    root = _tree(body, (b"Content-Type", head.partition(b": ")[2]))
    theirs = list(email.parser.BytesParser().parsebytes(raw).walk())
    ours = list(root.walk())
    assert [part.content_type for part in ours] == [part.get_content_type() for part in theirs]
    for part, message in zip(ours, theirs, strict=True):
        if not part.children:
            assert body[part.content_start : part.content_end] == str(message.get_payload()).encode()


def test_the_line_end_before_a_delimiter_belongs_to_it() -> None:
    body = b"--b\r\n\r\none\r\n\r\n--b\r\n\r\ntwo\r\n--b--\r\n"
    assert _contents(body) == [b"one\r\n", b"two"]


@pytest.mark.parametrize(
    ("body", "contents"),
    [
        (b"a preamble\r\n--b\r\n\r\none\r\n--b--\r\nan epilogue\r\n", [b"one"]),
        (b"--b \t\r\n\r\none\r\n--b-- \r\n", [b"one"]),
        (b"--b\n\none\n--b--\n", [b"one"]),
        (b"--b\r\nX: y\r\n\r\n\r\n--b--", [b""]),
        (b"--b\r\nX: y\r\n\r\n--b--", [b""]),  # the empty line is the delimiter's too
        (b"--b\r\n\r\none --b\r\n --b\r\n--b--\r\n", [b"one --b\r\n --b"]),
        (b"--b\r\n\r\none\r\n--b--\r\n--b\r\n\r\ntwo\r\n", [b"one"]),  # an epilogue has no parts
    ],
)
def test_delimiters_are_whole_lines(body: bytes, contents: list[bytes]) -> None:
    assert _contents(body) == contents


def test_boundaries_may_begin_alike() -> None:
    inner = b"Content-Type: multipart/alternative; boundary=bb\r\n\r\n--bb\r\n\r\none\r\n--bb--\r\n"
    root = _tree(b"--b\r\n" + inner + b"--b\r\n\r\ntwo\r\n--b--\r\n")
    assert [(part.content_type, part.depth) for part in root.walk()] == [
        ("multipart/mixed", 0),
        ("multipart/alternative", 1),
        ("text/plain", 2),
        ("text/plain", 1),
    ]
    assert all(part.is_trusted for part in root.walk())


def test_a_forwarded_message_is_open_and_marked() -> None:
    body = b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\nContent-Type: text/html\r\n\r\n<p>\r\n--b--\r\n"
    kinds = [(part.content_type, part.encapsulated) for part in _tree(body).walk()]
    assert kinds == [("multipart/mixed", False), ("message/rfc822", False), ("text/html", True)]


def test_a_digest_holds_messages() -> None:
    body = b"--b\r\n\r\nSubject: x\r\n\r\nHello\r\n--b--\r\n"
    root = _tree(body, (b"Content-Type", b"multipart/digest; boundary=b"))
    assert [part.content_type for part in root.walk()] == ["multipart/digest", "message/rfc822", "text/plain"]


@pytest.mark.parametrize(
    ("defect", "headers", "body"),
    [
        (Defect.DUPLICATED_FIELD, [(b"Content-Type", b"text/html"), (b"content-TYPE", b"text/plain")], b""),
        (Defect.DUPLICATED_PARAMETER, [(b"Content-Type", b"text/html; charset=utf-8; charset=utf-16")], b""),
        (Defect.UNREADABLE_FIELD, [(b"Content-Disposition", b"inline; filename*=utf-8''a; filename*0=b")], b""),
        (Defect.UNREADABLE_FIELD, [(b"Content-Type", b"text/html; x=" + b'";' * 2000)], b""),
        (Defect.NO_BOUNDARY, [(b"Content-Type", b"multipart/mixed")], b"--b\r\n\r\n--b--\r\n"),
        (Defect.NO_BOUNDARY, [(b"Content-Type", b'multipart/mixed; boundary=""')], b"--\r\n\r\n----\r\n"),
        (Defect.NO_BOUNDARY, [(b"Content-Type", b"multipart/mixed; boundary=" + b"b" * 300)], b""),
        (Defect.NO_BOUNDARY, [_MIXED], b"no delimiter at all\r\n"),
        (Defect.NO_FINAL_BOUNDARY, [_MIXED], b"--b\r\n\r\nHello\r\n"),
        (Defect.AMBIGUOUS_BOUNDARY, [_MIXED], b"--b\r\n\r\nHello\r\n--bx\r\n--b--\r\n"),
        (Defect.ENCODED_MULTIPART, [_MIXED, (b"Content-Transfer-Encoding", b"BASE64")], b"--b\r\n\r\n--b--\r\n"),
    ],
)
def test_what_readers_differ_in_has_a_name(defect: Defect, headers: _Headers, body: bytes) -> None:
    root = _tree(body, *headers)
    assert root.defects == {defect}
    assert root.is_trusted == (defect is Defect.NO_FINAL_BOUNDARY)


@pytest.mark.parametrize(
    ("defect", "part"),
    [
        (Defect.BROKEN_HEADER, b"no field\r\n\r\nHello\r\n"),
        (Defect.BROKEN_HEADER, b"Content-Type: text/html\r\nno field\r\n\r\nHello\r\n"),
        (Defect.BROKEN_HEADER, b"Content-Type: text/html\r\n"),
        (Defect.BROKEN_HEADER, b"a:b\r\n" * 1001 + b"\r\nHello\r\n"),
        (Defect.BROKEN_HEADER, b"a: " + b"b" * 110_000 + b"\r\n\r\nHello\r\n"),
        (Defect.AMBIGUOUS_BOUNDARY, b"Content-Type: multipart/mixed; boundary=b\r\n\r\nHello\r\n"),
    ],
)
def test_what_readers_differ_in_within_a_part_has_a_name(defect: Defect, part: bytes) -> None:
    (child,) = _tree(b"--b\r\n" + part + b"--b--\r\n").children
    assert defect in child.defects
    assert not child.is_trusted


@pytest.mark.parametrize(
    ("value", "kind", "parameters"),
    [
        (b"text/html", "text/html", {}),
        (b"TEXT/HTML; Charset=UTF-8", "text/html", {"charset": "UTF-8"}),
        (b'text/html;charset="utf-8"', "text/html", {"charset": "utf-8"}),
        (b"text/html;\n\tcharset=utf-8;\n\tformat=flowed;", "text/html", {"charset": "utf-8", "format": "flowed"}),
        (b"text/html; charset=utf-8 (a comment)", "text/html", None),
        (b"text/html; charset*=us-ascii'en'utf-8", "text/html", {"charset": "utf-8"}),
        (b"multipart/mixed; boundary*0=a; boundary*1=b", "multipart/mixed", {"boundary": "ab"}),
        (b"nonsense", "text/plain", {}),
        (b"", "text/plain", {}),
        (b"text/html; name=\xfc", "text/html", {"name": "\xfc"}),
        (b"multipart/mixed; boundary=\"a 'b'\"", "multipart/mixed", {"boundary": "a 'b'"}),
    ],
)
def test_types_are_read_as_the_library_reads_them(value: bytes, kind: str, parameters: dict[str, str] | None) -> None:
    part = _typed(value)
    assert part.content_type == kind
    assert parameters is None or part.parameters == parameters


_TYPE_PIECES = st.lists(
    st.sampled_from(
        [
            *(
                b"text/html",
                b"text",
                b"/",
                b";",
                b" ",
                b"\n\t",
                b"=",
                b'"',
                b"\\",
                b"charset",
                b"boundary",
                b"utf-8",
                b"'",
            )
        ]
    ),
    max_size=12,
).map(b"".join)


@given(_TYPE_PIECES)
def test_the_fast_way_and_the_library_agree(value: bytes) -> None:
    part = _typed(value)
    message = email.message.Message(policy=email.policy.compat32)
    message["Content-Type"] = value.replace(b"\n", b"").decode("ascii").strip()
    if not part.defects - {Defect.NO_BOUNDARY}:
        assert part.content_type == message.get_content_type()
        theirs = message.get_params([]) or []
        assert part.parameters == {name.lower(): text for name, text in theirs[1:] if name}


def test_dispositions_and_names() -> None:
    part = _tree(b"", (b"Content-Disposition", b'ATTACHMENT; filename="a.pdf"'), (b"Content-Type", b"a/b; name=b.pdf"))
    assert (part.disposition, part.filename) == ("attachment", "a.pdf")
    part = _tree(b"", (b"Content-Type", b"a/b; name=b.pdf"), (b"Content-ID", b" <1@own.example>"))
    assert (part.disposition, part.filename, part.content_id) == ("", "b.pdf", b"<1@own.example>")


def _nested(depth: int) -> bytes:
    levels = range(depth)
    return b"".join(b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (n, n + 1) for n in levels)


def test_twenty_levels_are_read_and_no_more() -> None:
    header = (b"Content-Type", b"multipart/mixed; boundary=b0")
    assert isinstance(parse([header], _nested(LARGEST_DEPTH)), Part)
    assert parse([header], _nested(LARGEST_DEPTH + 1)) is TooComplex.DEPTH


def test_messages_in_messages_are_levels() -> None:
    body = b"Content-Type: message/rfc822\r\n\r\n" * (LARGEST_DEPTH + 5)
    assert parse([(b"Content-Type", b"message/rfc822")], body) is TooComplex.DEPTH


def test_a_thousand_parts_are_read_and_no_more() -> None:
    part = b"--b\r\n\r\nx\r\n"
    assert isinstance(parse([_MIXED], part * (LARGEST_NUMBER_OF_PARTS - 1)), Part)
    assert parse([_MIXED], part * LARGEST_NUMBER_OF_PARTS) is TooComplex.PARTS
    assert parse([_MIXED], b"--bx\r\n" * (LARGEST_NUMBER_OF_PARTS + 1)) is TooComplex.PARTS


# Each of these could make a search begin again at every line: ten megabytes would then take hours, and this test
# would not end.
@pytest.mark.parametrize(
    "piece", [b"--b\r\n", b"--bx\r\n", b"\r\n", b"--", b"--b\r\na:b\r\n", b"\n--" + b"a" * 99, b"Content-Type: x\r\n"]
)
def test_hostile_bodies_are_passed_over_once(piece: bytes) -> None:
    body = _nested(LARGEST_DEPTH - 2) + b"\r\n--b\r\n" + piece * (10_000_000 // len(piece))
    boundary = b"multipart/mixed; boundary=" + b"a" * 99 + b"b"
    assert parse([(b"Content-Type", b"multipart/mixed; boundary=b0")], body)
    assert parse([(b"Content-Type", boundary)], body)
    assert parse([_MIXED], body)


@given(
    st.lists(st.sampled_from([b"A: b\r\n", b"A:\r\n b\r\n", b"B :c\n", b"C:", b"\r\n", b"x\r\n", b" y\r\n"])).map(
        b"".join
    )
)
def test_fields_lie_one_behind_the_other(header: bytes) -> None:
    position = 0
    for one in fields(header, 0, len(header)):
        assert one.start == position
        assert header[one.start : one.end].startswith(one.name)
        assert b"\r" not in one.value
        position = one.end
    assert position <= len(header)
