import email.header
import email.message
import email.policy
import email.utils
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_milter.header_words import LONGEST_LINE_OCTETS, has_long_lines, in_ascii, refolded
from sendproof_milter.signing import relaxed_header

_NAMES = st.sampled_from(
    [b"Subject", b"From", b"To", b"List-Id", b"X-Other", b"Content-Type", b"Content-Disposition", b"References", b"Cc"]
)
_PIECES = st.sampled_from(
    [
        *(
            b"a",
            b"Gr\xc3\xbc\xc3\x9fe",
            b"\xfc",
            b"=?utf-8?q?a?=",
            b" ",
            b"\n ",
            b"\t",
            b"  ",
            b'"',
            b"<a@own.example>",
        ),
        *(
            b"(",
            b")",
            b",",
            b":",
            b";",
            b"\\",
            b"@",
            b"<",
            b">",
            b"; name=",
            b"; filename=",
            b'"\xc3\xa4.pdf"',
            b"; a*=b",
        ),
        *(b"\xe3\x81\x82" * 30, b"x" * 1000, b" " * 1000, b"y " * 500, b"boundary=\xfc"),
    ]
)
_VALUE = st.lists(_PIECES, max_size=12).map(b"".join)
_WORD = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1, max_size=30)


def _text(value: bytes) -> str:
    return str(email.header.make_header(email.header.decode_header(value.replace(b"\n", b"").decode("ascii"))))


@given(_NAMES, _VALUE, st.sampled_from(["us-ascii", "koi8-r", "no-such"]))
def test_any_value_stays_and_ascii_stays_as_it_is(name: bytes, value: bytes, charset: str) -> None:
    once = in_ascii(name, value, charset)
    assert in_ascii(name, once, charset) == once
    if value.isascii():
        assert once == value
    folded = refolded(name, value)
    assert refolded(name, folded) == folded
    assert relaxed_header(name, folded) == relaxed_header(name, value)


@given(st.lists(_WORD, min_size=1, max_size=10))
def test_an_unstructured_field_reads_as_before(words: list[str]) -> None:
    text = " ".join(word for word in words if not word.startswith("=?")) or "ü"
    value = in_ascii(b"Subject", text.encode("utf-8"), "us-ascii")
    assert value.isascii()
    assert _text(value) == text
    assert all(len(word) <= 75 for word in re.findall(rb"=\?UTF-8\?[^ \n]*", value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Größe und mehr".encode(), b"=?UTF-8?Q?Gr=C3=B6=C3=9Fe?= und mehr"),
        ("Größe für alle".encode(), b"=?UTF-8?Q?Gr=C3=B6=C3=9Fe_f=C3=BCr?= alle"),
        ("Größe für alle".encode("latin-1"), b"=?UTF-8?Q?Gr=C3=B6=C3=9Fe_f=C3=BCr?= alle"),
        # the blank between two encoded words is not shown, so it goes inside
        ("=?utf-8?q?a?= ü =?utf-8?q?b?=".encode(), b"=?utf-8?q?a?= =?UTF-8?Q?_=C3=BC_?= =?utf-8?q?b?="),
        ("Привет".encode(), b"=?UTF-8?B?0J/RgNC40LLQtdGC?="),
        (b"plain =?utf-8?q?a?=", b"plain =?utf-8?q?a?="),
    ],
)
def test_words_of_8_bit_text_become_encoded_words(value: bytes, expected: bytes) -> None:
    assert in_ascii(b"Subject", value, "us-ascii") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Müller <a@own.example>", b"=?UTF-8?Q?M=C3=BCller?= <a@own.example>"),
        (
            '"Müller, Max" <a@own.example>, b@own.example',
            b"=?UTF-8?Q?M=C3=BCller=2C_Max?= <a@own.example>, b@own.example",
        ),
        ("Müller<a@own.example>", b"=?UTF-8?Q?M=C3=BCller?= <a@own.example>"),
        ("Max Müller <a@own.example>", b"Max =?UTF-8?Q?M=C3=BCller?= <a@own.example>"),
        ("a@own.example (Müller)", b"a@own.example (=?UTF-8?Q?M=C3=BCller?=)"),
        ("Größen: a@own.example;", b"=?UTF-8?Q?Gr=C3=B6=C3=9Fen?= : a@own.example;"),
        ('"M\\"ü" <a@own.example>', b"=?UTF-8?Q?M=22=C3=BC?= <a@own.example>"),
    ],
)
def test_display_names_and_comments_become_encoded_words(value: str, expected: bytes) -> None:
    assert in_ascii(b"From", value.encode(), "us-ascii") == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"From", "Max <max@bücher.example>"),
        (b"From", "mäx@own.example"),
        (b"From", '"Müller <max@own.example>'),
        (b"Message-ID", "<ü@own.example>"),
        (b"List-Unsubscribe", "<https://own.example/ü>"),
        (b"Content-Type", "multipart/mixed; boundary=ü"),
        (b"Content-Type", "text/ü"),
    ],
)
def test_what_nothing_can_stand_for_stays(name: bytes, value: str) -> None:
    assert in_ascii(name, value.encode(), "us-ascii") == value.encode()


@given(st.lists(st.tuples(_WORD, st.sampled_from(["a@own.example", "b.c@example.net"])), min_size=1, max_size=4))
def test_addresses_are_the_same_before_and_after(people: list[tuple[str, str]]) -> None:
    quoted = [(name.replace("\\", "").replace('"', ""), address) for name, address in people]
    value = ", ".join(f'"{name}" <{address}>' for name, address in quoted).encode()
    new = in_ascii(b"To", value, "us-ascii")
    assert new.isascii()
    found = email.utils.getaddresses([new.decode("ascii").replace("\n", "")])
    assert [address for _, address in found] == [address for _, address in people]
    assert [_text(name.encode()) for name, _ in found] == [
        name if not name.startswith("=?") else _text(name.encode()) for name, _ in quoted
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('attachment; filename="Angebot für Anna.pdf"', b"attachment; filename*=UTF-8''Angebot%20f%C3%BCr%20Anna.pdf"),
        ("attachment;\n\tfilename=ü.pdf; size=3", b"attachment;\n\tfilename*=UTF-8''%C3%BC.pdf; size=3"),
        (
            "attachment; filename=\"ü.pdf\"; filename*=utf-8''%C3%BC.pdf",
            b"attachment; filename=\"_.pdf\"; filename*=utf-8''%C3%BC.pdf",
        ),
    ],
)
def test_file_names_become_extended_parameters(value: str, expected: bytes) -> None:
    assert in_ascii(b"Content-Disposition", value.encode(), "us-ascii") == expected


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=40))
def test_a_file_name_is_the_same_before_and_after(name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    value = in_ascii(b"Content-Disposition", f'attachment; filename="ü{quoted}x"'.encode(), "us-ascii")
    message = email.message.Message(policy=email.policy.compat32)
    message["Content-Disposition"] = value.decode("ascii")
    assert message.get_filename() == f"ü{name}x"


def test_a_long_line_is_folded_at_its_last_blank_that_fits() -> None:
    value = b"<a@own.example> " * 100
    folded = refolded(b"References", value)
    assert has_long_lines(b"References", value)
    assert not has_long_lines(b"References", folded)
    assert [len(line) for line in folded.split(b"\n")] == [975, 624]
    assert folded.replace(b"\n", b"") == value.rstrip()


@pytest.mark.parametrize(
    "value", [b"x" * 1200, b"a " + b"x" * 1200 + b" b", b"a\n " + b"x" * 1200, b"x" * 1200 + b" " + b"y " * 1000]
)
def test_a_word_without_a_blank_stays_whole(value: bytes) -> None:
    folded = refolded(b"X-Long", value)
    assert folded.replace(b"\n", b"") == value.rstrip(b" ").replace(b"\n", b"")
    assert sum(len(line) > LONGEST_LINE_OCTETS for line in folded.split(b"\n")) == 1


def test_no_fold_makes_a_line_of_blanks() -> None:
    for value in (b" " * 1500 + b"a", b"a" + b" " * 1500, b"a" + b" " * 1500 + b"b", b" " * 3000, b"a\n" + b" " * 1500):
        assert all(line.strip() for line in refolded(b"X", value).split(b"\n")[1:] if value.strip() != b"a")
        assert b"\n\n" not in refolded(b"X", value)


def test_lines_are_measured_with_the_name_before_them() -> None:
    assert not has_long_lines(b"Subject", b"x" * 989)
    assert has_long_lines(b"Subject", b"x" * 990)
    assert not has_long_lines(b"Subject", b"x\n " + b"x" * 997)
    assert has_long_lines(b"Subject", b"x\n " + b"x" * 998)
