import base64
import email.message
import email.parser
import email.policy
import quopri

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sendproof_milter import pixel
from sendproof_milter.pixel import NoPixel, WithPixel
from sendproof_testing.submissions import from_wire, submission, to_wire, with_fields

_URL = "https://t.relay.example/o/AQEBAAGTU0nSjXAAgAAAAAAAAAEAAQAHmhQAAAAAAAAAAAAAAAAAAAAA.gif"
_SNIPPET = pixel.image_tag(_URL, visible=False)
_TYPE, _ENCODING, _DISPOSITION = b"Content-Type", b"Content-Transfer-Encoding", b"Content-Disposition"
_PARAMETERS = st.lists(
    st.sampled_from(
        [
            *(
                b"text/html",
                b"; charset=",
                b"; charset*=",
                b"; charset*0=",
                b"; charset*1*=",
                b"utf-8",
                b"utf-8''x",
                b'"',
            ),
            *(
                b"; name*=",
                b"; name*0=",
                b"; name*1*=",
                b"; filename=",
                b"; filename*=",
                b"; filename*0=",
                b"%FC",
                b"\xfc",
            ),
            *(b"inline", b"attachment", b"a'b'c", b"\0", b"=", b";", b" ", b"\n ", b"/"),
        ]
    ),
    max_size=10,
).map(b"".join)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([(_TYPE, b"multipart/alternative; boundary=x")], NoPixel.MALFORMED),  # its boundary is nowhere
        ([(_TYPE, b"multipart/report; boundary=x")], NoPixel.AUTOMATIC),
        ([(_TYPE, b"message/delivery-status")], NoPixel.AUTOMATIC),
        ([(_TYPE, b"message/rfc822")], NoPixel.NOT_HTML),
        ([(_TYPE, b"text/calendar")], NoPixel.NOT_HTML),
        ([(_TYPE, b"application/ms-tnef")], NoPixel.NOT_HTML),
        ([(_DISPOSITION, b"form-data")], NoPixel.ATTACHMENT),  # RFC 2183 section 2.8
        ([(_TYPE, b"multipart/signed; boundary=x")], NoPixel.SEALED),
        ([(_TYPE, b"Multipart/Encrypted; boundary=x")], NoPixel.SEALED),
        ([(_TYPE, b"application/pkcs7-mime; smime-type=signed-data")], NoPixel.SEALED),
        ([(_TYPE, b"application/x-pkcs7-mime")], NoPixel.SEALED),
        ([(_TYPE, b"text/plain; charset=utf-8")], NoPixel.NOT_HTML),
        ([(_TYPE, b"text/plain; format=flowed")], NoPixel.NOT_HTML),
        ([(_TYPE, b"text/x-amp-html")], NoPixel.NOT_HTML),
        ([(_TYPE, b"nonsense")], NoPixel.NOT_HTML),
        ([(_DISPOSITION, b"attachment")], NoPixel.ATTACHMENT),
        ([(_DISPOSITION, b'inline; filename="report.html"')], NoPixel.ATTACHMENT),
        ([(_TYPE, b"text/html; name=report.html")], NoPixel.ATTACHMENT),
        ([(b"Auto-Submitted", b"auto-replied")], NoPixel.AUTOMATIC),
        ([(_ENCODING, b"x-uuencode")], NoPixel.ENCODING),
        ([(_ENCODING, b"base64")], NoPixel.ENCODING),  # the body is none
        ([(_TYPE, b"text/html"), (_TYPE, b"text/html")], NoPixel.MALFORMED),
        ([(_ENCODING, b"7bit"), (_ENCODING, b"base64")], NoPixel.MALFORMED),
        # TypeError and ValueError of the library, which were a 451 for ever
        ([(_DISPOSITION, b"inline; filename*=utf-8''a; filename*0=b")], NoPixel.MALFORMED),
    ],
)
def test_mail_that_cannot_carry_a_pixel_has_its_reason(fields: list[tuple[bytes, bytes]], reason: NoPixel) -> None:
    assert pixel.insert(with_fields(*fields), _SNIPPET) is reason


def test_mail_without_a_content_type_is_plain_text() -> None:
    headers = tuple(pair for pair in submission().headers if pair[0] != _TYPE)
    assert pixel.insert(submission(headers=headers), _SNIPPET) is NoPixel.NOT_HTML


def test_inline_pgp_is_left_alone() -> None:
    body = b"<html><pre>-----BEGIN PGP MESSAGE-----</pre></html>\r\n"
    assert pixel.insert(submission(body=body), _SNIPPET) is NoPixel.SEALED


@pytest.mark.parametrize(
    "charset", ["us-ascii", "UTF-8", "iso-8859-1", "windows-1252", "koi8-r", "shift_jis", "gb18030", "big5", "euc-jp"]
)
def test_charsets_that_contain_ascii_carry_a_pixel(charset: str) -> None:
    message = with_fields((_TYPE, b"text/html; charset=" + charset.encode()))
    assert isinstance(pixel.insert(message, _SNIPPET), WithPixel)


@pytest.mark.parametrize(
    "charset",
    [
        *("utf-7", "utf-16", "utf_16", "U16", "utf-16le", "utf-32", "iso-2022-jp", "csISO2022JP", "iso2022_kr", "hz"),
        *(
            "hz-gb-2312",
            "cp037",
            "ibm037",
            "IBM500",
            "cp1140",
            "ebcdic-cp-us",
            "no-such-charset",
            "punycode",
            "hex",
            "rot13",
        ),
    ],
)
def test_charsets_in_which_ascii_may_mean_something_else_carry_none(charset: str) -> None:
    assert pixel.insert(with_fields((_TYPE, b"text/html; charset=" + charset.encode())), _SNIPPET) is NoPixel.CHARSET


def test_auto_submitted_no_is_a_person() -> None:
    assert isinstance(pixel.insert(with_fields((b"Auto-Submitted", b" No ")), _SNIPPET), WithPixel)


def test_auto_submitted_no_may_have_a_comment() -> None:
    assert isinstance(pixel.insert(with_fields((b"Auto-Submitted", b"no (a person)")), _SNIPPET), WithPixel)
    assert pixel.insert(with_fields((b"Auto-Submitted", b"none")), _SNIPPET) is NoPixel.AUTOMATIC


@given(_PARAMETERS, _PARAMETERS, st.sampled_from([b"7bit", b"8BIT ", b"quoted-printable", b"base64", b"\xff"]))
def test_any_fields_give_a_pixel_or_a_reason(content_type: bytes, disposition: bytes, encoding: bytes) -> None:
    message = with_fields((_TYPE, b"text/html" + content_type), (_DISPOSITION, disposition), (_ENCODING, encoding))
    assert isinstance(pixel.insert(message, _SNIPPET), WithPixel | NoPixel)


@given(st.binary(max_size=200), st.sampled_from([b"7bit", b"8bit", b"quoted-printable", b"base64"]))
def test_any_body_gives_a_pixel_or_a_reason(body: bytes, encoding: bytes) -> None:
    assert isinstance(pixel.insert(with_fields((_ENCODING, encoding), body=body), _SNIPPET), WithPixel | NoPixel)


def test_an_eight_bit_body_keeps_its_charset() -> None:
    body = "<html><body>Grüße</body></html>\r\n".encode("latin-1")
    after = pixel.insert(with_fields((_TYPE, b"text/html; charset=latin1"), (_ENCODING, b"8bit"), body=body), _SNIPPET)
    assert isinstance(after, WithPixel)
    assert after.body.decode("latin-1").startswith("<html><body>Grüße\r\n<img ")


def test_a_base64_body_is_edited_inside() -> None:
    body = base64.encodebytes(b"<html><body>Hello</body></html>")
    after = pixel.insert(with_fields((_ENCODING, b"Base64"), body=body), _SNIPPET)
    assert isinstance(after, WithPixel)
    assert b"Hello" + _SNIPPET + b"</body>" in base64.b64decode(after.body)


def test_html_that_nobody_reads_to_its_end_is_left_alone() -> None:
    body = b"<html><body>" + b"x" * 76 + b"\r\n" * (3 << 20) + b"</body></html>\r\n"
    assert pixel.insert(submission(body=body), _SNIPPET) is NoPixel.TOO_LARGE


def test_a_large_attachment_is_no_large_html() -> None:
    after = _pixel_in(_multipart("mixed", _HTML, "Content-Type: a/b\r\n\r\n" + "x" * (5 << 20)))
    assert isinstance(after, WithPixel)


def test_the_invisible_picture_takes_one_pixel_and_the_visible_one_its_size() -> None:
    address = _URL.encode()
    assert pixel.image_tag(_URL, visible=False) == b'<img src="' + address + b'" width="1" height="1" alt="">'
    assert pixel.image_tag(_URL, visible=True) == b'<img src="' + address + b'" alt="">'


@given(st.text(max_size=60) | st.text('"&<>\r\n', max_size=30), st.booleans())
def test_the_address_cannot_leave_its_attribute(url: str, visible: bool) -> None:
    tag = pixel.image_tag(url, visible=visible)
    assert tag.isascii()
    assert b"\n" not in tag
    assert b"\r" not in tag
    assert len(tag) < 900
    assert tag.count(b'"') == (4 if visible else 8)
    assert (tag.count(b"<"), tag.count(b">")) == (1, 1)


def test_an_address_that_makes_a_line_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        pixel.image_tag("https://t.example/" + "x" * 900, visible=True)


_TEXT = "Content-Type: text/plain\r\n\r\nHello"
_HTML = "Content-Type: text/html\r\n\r\n<html><body>Hello</body></html>"
_OTHER = "Content-Type: text/html\r\n\r\n<html><body>Other</body></html>"
_FILE = "Content-Type: text/html\r\nContent-Disposition: attachment; filename=a.html\r\n\r\n<body>a file</body>"
_NAMED = "Content-Type: text/html; name=a.html\r\n\r\n<body>a file</body>"
_AMP = "Content-Type: text/x-amp-html\r\n\r\n<html><body>AMP</body></html>"
_CALENDAR = "Content-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR"
_PICTURE = "Content-Type: image/gif\r\nContent-ID: <1>\r\nContent-Transfer-Encoding: base64\r\n\r\nR0lG"
_FORWARDED = f"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n{_OTHER}"


def _multipart(subtype: str, *parts: str, parameters: str = "") -> str:
    boundary = f"b{sum(part.count('boundary=') for part in parts)}"  # each another
    lines = "".join(f"--{boundary}\r\n{part}\r\n" for part in parts)
    return f"Content-Type: multipart/{subtype}; boundary={boundary}{parameters}\r\n\r\n{lines}--{boundary}--\r\n"


def _pixel_in(entity: str) -> WithPixel | NoPixel:
    return pixel.insert(from_wire(entity.encode()), _SNIPPET)


@pytest.mark.parametrize(
    "entity",
    [
        _multipart("alternative", _TEXT, _HTML),
        _multipart("alternative", _OTHER, _HTML),  # the last one is the best
        _multipart("alternative", _HTML, _TEXT),
        _multipart("alternative", _TEXT, _HTML, _AMP),
        _multipart("alternative", _TEXT, _HTML, _CALENDAR),
        _multipart("mixed", _HTML, _OTHER),
        _multipart("mixed", _TEXT, _HTML, _OTHER),
        _multipart("mixed", _FILE, _NAMED, _HTML),
        _multipart("mixed", _HTML, _FORWARDED),
        _multipart("mixed", _FORWARDED, _HTML),
        _multipart("mixed", _multipart("alternative", _TEXT, _multipart("related", _HTML, _PICTURE)), _FILE),
        _multipart("related", _multipart("alternative", _TEXT, _HTML), _PICTURE, _OTHER),
        _multipart("related", _PICTURE, f"Content-ID: <2>\r\n{_HTML}", _OTHER, parameters='; start="<2>"'),
        _multipart("related", _HTML, _OTHER, parameters='; start="<3>"'),
        _multipart("x-unknown", _TEXT, _HTML),
    ],
)
def test_the_pixel_goes_into_the_html_that_readers_show(entity: str) -> None:
    before = from_wire(entity.encode())
    after = _pixel_in(entity)
    assert isinstance(after, WithPixel)
    end = before.body.index(b"Hello</body></html>") + len(b"Hello")
    assert after.body == before.body[:end] + b"\r\n" + _SNIPPET + b"\r\n" + before.body[end:]


@pytest.mark.parametrize(
    ("entity", "reason"),
    [
        (_multipart("alternative", _TEXT, _AMP), NoPixel.NOT_HTML),
        (_multipart("mixed", _TEXT, _FILE), NoPixel.NOT_HTML),
        (_multipart("mixed", _TEXT, _FORWARDED), NoPixel.NOT_HTML),
        (_multipart("related", _PICTURE, _HTML), NoPixel.NOT_HTML),
        (_multipart("appledouble", _TEXT, _HTML), NoPixel.NOT_HTML),
        (_multipart("mixed", _HTML, _multipart("signed", _TEXT, _FILE)), NoPixel.SEALED),
        (_multipart("mixed", _multipart("alternative", _HTML, _multipart("encrypted", _TEXT))), NoPixel.SEALED),
        (_multipart("mixed", _HTML, "Content-Type: application/pkcs7-mime\r\n\r\nx"), NoPixel.SEALED),
        (_multipart("mixed", _HTML, _TEXT.replace("Hello", "-----BEGIN PGP MESSAGE-----")), NoPixel.SEALED),
        (_multipart("report", _TEXT, "Content-Type: message/delivery-status\r\n\r\nx"), NoPixel.AUTOMATIC),
        (_multipart("mixed", _HTML, "Content-Type: message/disposition-notification\r\n\r\nx"), NoPixel.AUTOMATIC),
        (_multipart("mixed", "Content-Type: a/b\r\n" + _HTML), NoPixel.MALFORMED),
        (_multipart("mixed", _HTML, "Content-Type: a/b\r\n" + _TEXT), NoPixel.MALFORMED),
        (_multipart("mixed", "no field\r\n" + _HTML), NoPixel.MALFORMED),
        (_multipart("mixed", _HTML.replace("text/html", "text/html; charset=utf-16")), NoPixel.CHARSET),
        (_multipart("mixed", "Content-Transfer-Encoding: uuencode\r\n" + _HTML), NoPixel.ENCODING),
        (_multipart("mixed", *[_HTML] * 1000), NoPixel.TOO_MANY_PARTS),
    ],
)
def test_multipart_mail_that_cannot_carry_a_pixel_has_its_reason(entity: str, reason: NoPixel) -> None:
    assert _pixel_in(entity) is reason


def test_mail_that_is_too_deep_has_its_reason() -> None:
    entity = _HTML
    for _ in range(25):
        entity = _multipart("mixed", entity)
    assert _pixel_in(entity) is NoPixel.TOO_DEEP


def test_a_seal_in_a_forwarded_message_is_not_ours() -> None:
    forwarded = "Content-Type: message/rfc822\r\n\r\n" + _multipart("signed", _TEXT, _FILE)
    assert isinstance(_pixel_in(_multipart("mixed", _HTML, forwarded)), WithPixel)


@pytest.mark.parametrize("encoding", ["quoted-printable", "base64"])
def test_inline_pgp_is_seen_through_its_encoding(encoding: str) -> None:
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    message.set_content("-----BEGIN PGP MESSAGE-----\nx = y\n", cte=encoding)
    message.add_alternative("<html><body>Hello</body></html>", subtype="html")
    raw = message.as_bytes().replace(b"-----BEGIN", b"=2D----BEGIN")
    assert pixel.insert(from_wire(raw), _SNIPPET) is NoPixel.SEALED


_LEAF = st.tuples(
    st.sampled_from(["text/plain", "text/html", "image/png"]),
    st.sampled_from(["7bit", "8bit", "quoted-printable", "base64"]),
    st.sampled_from(["utf-8", "iso-8859-1", "koi8-r", "gb18030"]),
    st.text("aé=<> \n", max_size=100),
    st.booleans(),
)
_TREE = st.recursive(
    _LEAF,
    lambda inner: st.tuples(
        st.sampled_from(["mixed", "alternative", "related"]), st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=6,
)


def _made(node: object, depth: int = 0) -> email.message.Message:
    message = email.message.Message(policy=email.policy.SMTP)
    match node:
        case (str(kind), str(encoding), str(charset), str(text), bool(attached)):
            content = f"<html><body>{text}</body></html>\n".encode(charset, "replace")
            if encoding == "base64":
                payload = base64.encodebytes(content)
            else:
                payload = quopri.encodestring(content) if encoding == "quoted-printable" else content
            message["Content-Type"] = f"{kind}; charset={charset}"
            message["Content-Transfer-Encoding"] = encoding
            if attached:
                message["Content-Disposition"] = "attachment; filename=x"
            message.set_payload(payload.decode("ascii", "surrogateescape"))
        case (str(kind), list(children)):
            message["Content-Type"] = f'multipart/{kind}; boundary="{depth}{id(node)}"'
            message.set_payload([_made(child, depth + 1) for child in children])
        case _:
            raise AssertionError(node)
    return message


@settings(max_examples=200)
@given(_TREE)
def test_the_library_reads_the_same_mail_and_the_snippet(tree: object) -> None:
    raw = _made(tree).as_bytes()
    before = from_wire(raw)
    after = pixel.insert(before, _SNIPPET)
    if isinstance(after, NoPixel):
        return
    old = [part for part in _read(to_wire(before.headers, before.body)).walk() if not part.is_multipart()]
    new = [part for part in _read(to_wire(before.headers, after.body)).walk() if not part.is_multipart()]
    assert [part.items() for part in old] == [part.items() for part in new]
    changed = [
        (was, now)
        for was, now in zip(old, new, strict=True)
        if was.get_payload(decode=True) != now.get_payload(decode=True)
    ]
    ((was, now),) = changed
    assert (was.get_content_type(), was.get_filename()) == ("text/html", None)
    head, _, tail = _decoded(now).partition(_SNIPPET)
    assert _decoded(was) in {head + tail, head.removesuffix(b"\r\n") + tail.removeprefix(b"\r\n"), head + tail[2:]}
    assert tail.lstrip().startswith(b"</body>")
    again = pixel.insert(submission(headers=before.headers, body=after.body), _SNIPPET)
    assert again == after


def _read(raw: bytes) -> email.message.Message:
    return email.parser.BytesParser().parsebytes(raw)


def _decoded(message: email.message.Message) -> bytes:
    content = message.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


@given(st.binary(max_size=300))
def test_any_multipart_body_gives_a_pixel_or_a_reason(body: bytes) -> None:
    message = with_fields((_TYPE, b"multipart/mixed; boundary=b"), body=b"--b\r\n" + body)
    assert isinstance(pixel.insert(message, _SNIPPET), WithPixel | NoPixel)


def test_a_pixel_that_is_there_costs_no_new_body() -> None:
    once = pixel.insert(submission(), _SNIPPET)
    assert isinstance(once, WithPixel)
    twice = pixel.insert(submission(body=once.body), _SNIPPET)
    assert isinstance(twice, WithPixel)
    assert twice.body is once.body
