import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_milter import pixel
from sendproof_milter.pixel import NoPixel, WithPixel
from sendproof_testing.submissions import from_wire, submission, with_fields

_CORPUS = Path(__file__).parents[1] / "corpus" / "mail"
_URL = "https://t.relay.example/o/AQEBAAGTU0nSjXAAgAAAAAAAAAEAAQAHmhQAAAAAAAAAAAAAAAAAAAAA.gif"
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


@pytest.mark.parametrize("source", sorted(_CORPUS.glob("*.in.eml")), ids=lambda path: path.name.removesuffix(".in.eml"))
def test_the_corpus_comes_out_as_expected(source: Path) -> None:
    expected = source.with_name(source.name.replace(".in.", ".out.")).read_bytes()
    before = from_wire(source.read_bytes())
    after = pixel.insert(before, _URL)
    reason, _, out = expected.partition(b"\n")
    if isinstance(after, NoPixel):
        assert (after.value.encode(), before.body) == (reason, from_wire(out).body)
    else:
        assert (pixel.INSERTED.encode(), after.body) == (reason, from_wire(out).body)


def test_the_corpus_is_there() -> None:
    assert len(list(_CORPUS.glob("*.in.eml"))) >= 12


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([(_TYPE, b"multipart/alternative; boundary=x")], NoPixel.MULTIPART),
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
    assert pixel.insert(with_fields(*fields), _URL) is reason


def test_mail_without_a_content_type_is_plain_text() -> None:
    headers = tuple(pair for pair in submission().headers if pair[0] != _TYPE)
    assert pixel.insert(submission(headers=headers), _URL) is NoPixel.NOT_HTML


def test_inline_pgp_is_left_alone() -> None:
    body = b"<html><pre>-----BEGIN PGP MESSAGE-----</pre></html>\r\n"
    assert pixel.insert(submission(body=body), _URL) is NoPixel.SEALED


@pytest.mark.parametrize(
    "charset", ["us-ascii", "UTF-8", "iso-8859-1", "windows-1252", "koi8-r", "shift_jis", "gb18030", "big5", "euc-jp"]
)
def test_charsets_that_contain_ascii_carry_a_pixel(charset: str) -> None:
    message = with_fields((_TYPE, b"text/html; charset=" + charset.encode()))
    assert isinstance(pixel.insert(message, _URL), WithPixel)


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
    assert pixel.insert(with_fields((_TYPE, b"text/html; charset=" + charset.encode())), _URL) is NoPixel.CHARSET


def test_auto_submitted_no_is_a_person() -> None:
    assert isinstance(pixel.insert(with_fields((b"Auto-Submitted", b" No ")), _URL), WithPixel)


def test_the_address_cannot_leave_its_attribute() -> None:
    after = pixel.insert(submission(), 'https://t.example/"><script>')
    assert isinstance(after, WithPixel)
    assert b"<script>" not in after.body


@given(_PARAMETERS, _PARAMETERS, st.sampled_from([b"7bit", b"8BIT ", b"quoted-printable", b"base64", b"\xff"]))
def test_any_fields_give_a_pixel_or_a_reason(content_type: bytes, disposition: bytes, encoding: bytes) -> None:
    message = with_fields((_TYPE, b"text/html" + content_type), (_DISPOSITION, disposition), (_ENCODING, encoding))
    assert isinstance(pixel.insert(message, _URL), WithPixel | NoPixel)


@given(st.binary(max_size=200), st.sampled_from([b"7bit", b"8bit", b"quoted-printable", b"base64"]))
def test_any_body_gives_a_pixel_or_a_reason(body: bytes, encoding: bytes) -> None:
    assert isinstance(pixel.insert(with_fields((_ENCODING, encoding), body=body), _URL), WithPixel | NoPixel)


def test_an_eight_bit_body_keeps_its_charset() -> None:
    body = "<html><body>Grüße</body></html>\r\n".encode("latin-1")
    after = pixel.insert(with_fields((_TYPE, b"text/html; charset=latin1"), (_ENCODING, b"8bit"), body=body), _URL)
    assert isinstance(after, WithPixel)
    assert after.body.decode("latin-1").startswith("<html><body>Grüße\r\n<img ")


def test_a_base64_body_is_edited_inside() -> None:
    body = base64.encodebytes(b"<html><body>Hello</body></html>")
    after = pixel.insert(with_fields((_ENCODING, b"Base64"), body=body), _URL)
    assert isinstance(after, WithPixel)
    assert f'Hello<img src="{_URL}" width="1" height="1" alt=""></body>'.encode() in base64.b64decode(after.body)


def test_a_body_that_nobody_reads_to_its_end_is_left_alone() -> None:
    body = b"<html><body>" + b"x" * 76 + b"\r\n" * (3 << 20) + b"</body></html>\r\n"
    assert pixel.insert(submission(body=body), _URL) is NoPixel.TOO_LARGE
