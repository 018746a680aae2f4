import base64
import binascii
import quopri
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sendproof_milter import mime_edit
from sendproof_milter.mime_edit import Edit, decode, insert, insertion_point

_SNIPPET = b'<img src="https://t.example/o/TOKEN.gif" width="1" height="1" alt="">'
_MARKUP = st.lists(
    st.sampled_from(
        [
            *(b"<!--", b"-->", b"<!-->", b"<!---->", b"<![CDATA[", b"]]>", b"<!--[if mso]>", b"<![endif]-->"),
            *(b"<script>", b"</script>", b"<STYLE type=x>", b"</style >", b"<textarea", b"</textarea>", b"<title>"),
            *(
                b"</body>",
                b"</BODY\r\n>",
                b"</html>",
                b"</body",
                b"<body>",
                b"text",
                b"\r\n",
                b" ",
                b"=",
                b"\xfc",
                b"<",
            ),
        ]
    ),
    max_size=25,
).map(b"".join)
_HTML = _MARKUP | st.binary(max_size=60)
_CRLF_HTML = _MARKUP.map(lambda html: html + b"\r\n")
_QUOTED_PRINTABLE = st.lists(
    st.sampled_from(
        [
            b"=3D",
            b"=C3=BC",
            b"=",
            b"=\r\n",
            b"= \r\n",
            b"=\n",
            b"\r\n",
            b"\n",
            b"\r",
            b" ",
            b"</body>",
            b"</bo=64y>",
            b"x",
        ]
    ),
    max_size=20,
).map(b"".join)
_ENDINGS = {
    "only the last end of the body counts": b"<body>a</body><body>b|</body></html>",
    "upper case, and blanks before its end": b"<BODY>a|</BODY \r\n></HTML>",
    "without a body the end of the html": b"<html><p>a</p>|</html>",
    "without either the end": b"<p>a</p>\r\n|",
    "an empty document": b"|",
    "a comment is no markup": b"<p>a|</body><!-- </body> -->",
    "a conditional comment is a comment": b"<p>a|</body><!--[if mso]></body></html><![endif]-->",
    "an empty comment ends where it begins": b"<!--><p>a|</body> --> ",
    "an empty comment with one dash more": b"<!---><p>a|</body> --> ",
    "a script is no markup": b"<p>a|</body><script>s = '</body>'</script>",
    "a script's end may be in upper case": b"<script>s = '</body>'</SCRIPT\t><p>a|</body>",
    "a script ends at no other name": b"<script>'</scripting></body>'</script>|</body>",
    "a style is no markup": b"<style>/* </body> */</style>|</body>",
    "a textarea is no markup": b"<textarea></body></textarea>|</body><textarea></body></textarea>",
    "a title is no markup": b"<title></body></title>|</body>",
    "CDATA is no markup": b"<svg><![CDATA[</body>]]></svg>|</body>",
    "another tag that begins alike": b"|</body><p></bodywork></p>",
    "a comment that never ends": b"<p>a|</body><!-- </body>",
    "a script that never ends": b"<p>a|</body><script></body>",
    "a tag that ends with the text": b"<p>a</p>|</body",
    "an end of the html that ends with the text": b"<p>a</p>|</html",
    "a longer name": b"<p>a</p></bodyx|",
    "a slash inside the tag": b"<p>a|</body/>",
}


@pytest.mark.parametrize("html", _ENDINGS.values(), ids=_ENDINGS.keys())
def test_a_pixel_goes_where_the_page_ends(html: bytes) -> None:
    assert insertion_point(html.replace(b"|", b"")) == html.index(b"|")


@given(_HTML)
def test_the_place_is_an_end_tag_or_the_end(html: bytes) -> None:
    at = insertion_point(html)
    assert 0 <= at <= len(html)
    assert html[at : at + 6].lower() in {b"</body", b"</html", b""}


@given(_HTML)
def test_the_short_way_finds_what_looking_at_all_tags_finds(html: bytes) -> None:
    assert insertion_point(html) == mime_edit._insertion_point_by_marks(html)


# Each of these can make a search begin again at every octet: two megabytes would then take hours, and this test
# would not end.
@pytest.mark.parametrize(
    "piece",
    [
        *(b"<!--", b"<!-->", b"<script", b"<script>", b"<script></scrip", b"<![CDATA[", b"</body", b"</body ", b"<"),
        *(b"<title><textarea>", b"<!---", b"<!--><script></script>", b"</html>", b"<style/"),
    ],
)
def test_hostile_pages_are_passed_over_once(piece: bytes) -> None:
    html = piece * (2_000_000 // len(piece))
    assert 0 <= insertion_point(html) <= len(html)


def _edited(content: bytes, encoding: str) -> bytes:
    return _applied(content, insert(content, encoding, decode(content, encoding), _SNIPPET))


def _applied(content: bytes, edit: Edit) -> bytes:
    return content[: edit.start] + edit.octets + content[edit.end :]


@given(_CRLF_HTML)
def test_a_plain_body_keeps_every_octet_and_gains_one_line(body: bytes) -> None:
    at = insertion_point(body)
    edited = _edited(body, "8bit")
    line = _SNIPPET + b"\r\n"
    assert edited in {body[:at] + line + body[at:], body[:at] + b"\r\n" + line + body[at:]}
    assert line in edited.splitlines(keepends=True)


def test_the_snippet_never_makes_a_line_too_long() -> None:
    edited = _edited(b"x" * 990 + b"</body>\r\n", "7bit")
    assert max(map(len, edited.split(b"\r\n"))) <= 998  # RFC 5322 section 2.1.1


@given(_HTML)
@example(b"<!--<!----><!----><![CDATA[<![CDATA[<script><STYLE type=x></body</body   ")
def test_quoted_printable_grows_by_just_the_snippet(html: bytes) -> None:
    body = quopri.encodestring(html + b"\r\n</body>\r\n").replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    decoded = binascii.a2b_qp(body)
    at = insertion_point(decoded)
    edited = _edited(body, "quoted-printable")
    tail = b"\r\n" if at == len(decoded) else b""
    assert binascii.a2b_qp(edited) == decoded[:at] + _SNIPPET + tail + decoded[at:]
    longest = max(76, *map(len, body.splitlines()))  # quopri writes a blank at a line's end behind the 76th character
    assert max(map(len, edited.splitlines())) <= longest


@given(_QUOTED_PRINTABLE)
@example(b"text\r</body>\n")  # a lone CR ends no line
@example(b"text=")
@example(b"=  ")
def test_quoted_printable_by_another_encoder_grows_by_just_the_snippet_too(body: bytes) -> None:
    try:
        decoded = decode(body, "quoted-printable")
    except ValueError:
        return
    at = insertion_point(decoded)
    tail = b"\r\n" if at == len(decoded) else b""
    # The library takes a soft break with blanks behind it for text; at the end its line end belongs to a delimiter, and
    # the snippet stands on a line of its own for every reader.
    glue = b"\r\n" if at == len(decoded) and re.search(rb"= +\Z", body) else b""
    assert binascii.a2b_qp(_edited(body, "quoted-printable")) == decoded[:at] + glue + _SNIPPET + tail + decoded[at:]


def test_behind_a_soft_break_with_many_blanks_at_the_end_the_snippet_is_not_swallowed() -> None:
    edited = _edited(b"text=" + b" " * 500, "quoted-printable")
    assert _SNIPPET in decode(edited, "quoted-printable")  # it was no quoted-printable any more
    assert insert(edited, "quoted-printable", decode(edited, "quoted-printable"), _SNIPPET).octets == b""


@pytest.mark.parametrize("body", [b"a=b</body>", b"==41</body>", b"=\r</body>\n", b"=4\r\n</body>"])
def test_a_broken_escape_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="quoted-printable"):
        decode(body, "quoted-printable")


@given(_HTML)
def test_quoted_printable_keeps_every_octet_before_and_after(html: bytes) -> None:
    body = quopri.encodestring(html + b"</body>\r\n").replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    edit = insert(body, "quoted-printable", decode(body, "quoted-printable"), _SNIPPET)
    assert edit.start == edit.end
    assert _SNIPPET.replace(b"=", b"=3D") in edit.octets.replace(b"=\r\n", b"")


def test_a_snippet_in_the_middle_of_a_line_stands_between_soft_breaks() -> None:
    content = b"<p>3 =C2=B7 4 =3D 12</p></body>\r\n"
    edit = insert(content, "quoted-printable", decode(content, "quoted-printable"), b'<img src="x">')
    assert _applied(content, edit) == b'<p>3 =C2=B7 4 =3D 12</p>=\r\n<img src=3D"x">=\r\n</body>\r\n'


def test_no_escape_of_the_snippet_is_cut_in_two() -> None:
    content = b"</body>\r\n"
    for length in range(900):
        snippet = b"=" * (length % 80) + b"x" * length
        edit = insert(content, "quoted-printable", content, snippet)
        assert binascii.a2b_qp(edit.octets) == snippet
        assert max(map(len, edit.octets.split(b"\r\n"))) <= 76


@given(_HTML)
def test_base64_grows_by_just_the_snippet(html: bytes) -> None:
    at = insertion_point(html)
    edited = _edited(base64.encodebytes(html).replace(b"\n", b"\r\n"), "base64")
    assert base64.b64decode(edited) == html[:at] + _SNIPPET + html[at:]
    assert all(re.fullmatch(rb"[A-Za-z0-9+/=]{1,76}\r\n", line) for line in edited.splitlines(keepends=True))


def test_base64_ends_as_it_ended() -> None:
    assert not _edited(base64.b64encode(b"Hello"), "base64").endswith(b"\n")
    assert _edited(base64.b64encode(b"Hello") + b"\r\n", "base64").endswith(b"\r\n")


@pytest.mark.parametrize("body", [b"PGh0b!!", b"PGh", b"YQ==YQ==", b"PGh0bWw+\r\n-- \r\na list's footer\r\n", b"\xff"])
def test_what_is_no_base64_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"base64|padding|characters|data"):
        decode(body, "base64")


def test_an_encoding_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown"):
        decode(b"", "x-uuencode")


@given(_HTML, st.sampled_from(["8bit", "quoted-printable", "base64"]))
@example(b"<textarea</body>", "8bit")  # what follows the snippet had become text of a text area
@example(b"<p>a</p></body", "8bit")  # a second snippet stood before the end tag
def test_editing_twice_is_editing_once(html: bytes, encoding: str) -> None:
    content = {"8bit": html, "quoted-printable": quopri.encodestring(html), "base64": base64.encodebytes(html)}[
        encoding
    ]
    try:
        once = _edited(content, encoding)
    except ValueError:  # quopri leaves some octets broken
        return
    assert insert(once, encoding, decode(once, encoding), _SNIPPET).octets == b""


@given(st.lists(st.binary(max_size=200), max_size=3))
def test_pieces_of_whole_lines_are_base64_as_one(pieces: list[bytes]) -> None:
    whole = [piece[: len(piece) // 57 * 57] for piece in pieces[:-1]] + pieces[-1:]
    text = b"".join(mime_edit.base64_lines(whole))
    assert text == base64.encodebytes(b"".join(whole)).replace(b"\n", b"\r\n")
