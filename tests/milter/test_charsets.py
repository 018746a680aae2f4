import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_milter.charsets import codec_name, extends_ascii, text_of


@pytest.mark.parametrize(
    "charset",
    [
        *(
            "us-ascii",
            "ANSI_X3.4-1968",
            "UTF-8",
            "utf8",
            "iso-8859-1",
            "ISO_8859-15",
            "latin1",
            "windows-1252",
            "cp1251",
        ),
        *(
            "koi8-r",
            "KOI8-U",
            "shift_jis",
            "x-sjis",
            "Windows-31J",
            "gb2312",
            "GBK",
            "gb18030",
            "Big5",
            "euc-jp",
            "euc-kr",
        ),
        *("ks_c_5601-1987", "iso-8859-8-i", "windows-874", "tis-620", "macintosh", "ibm850"),
    ],
)
def test_charsets_in_which_ascii_is_ascii(charset: str) -> None:
    assert extends_ascii(charset)


@pytest.mark.parametrize(
    "charset",
    [
        *("utf-7", "utf-16", "utf_16", "U16", "utf-16le", "utf-32", "iso-2022-jp", "csISO2022JP", "iso2022_kr", "hz"),
        *("hz-gb-2312", "cp037", "ibm037", "IBM500", "cp1140", "ebcdic-cp-us", "no-such-charset", "", "unknown-8bit"),
        *(
            "punycode",
            "idna",
            "hex",
            "rot13",
            "unicode_escape",
            "raw_unicode_escape",
            "zlib",
            "aliases",
            "\0",
            "utf-\xfc",
        ),
    ],
)
def test_charsets_in_which_ascii_octets_may_mean_something_else(charset: str) -> None:
    assert not extends_ascii(charset)


@given(st.text(max_size=60))
def test_any_name_is_a_charset_or_none(charset: str) -> None:
    name = codec_name(charset)
    assert name is None or codecs.lookup(name)
    assert name is not None or not extends_ascii(charset)


def test_names_that_strangers_make_up_are_not_asked_for() -> None:
    asked: list[str] = []
    codecs.register(search := asked.append)  # Python remembers each name that it was asked for
    try:
        assert not extends_ascii("made-up-by-a-stranger")
    finally:
        codecs.unregister(search)
    assert asked == []


@pytest.mark.parametrize(
    ("octets", "charset", "text"),
    [
        ("Grüße".encode(), "us-ascii", "Grüße"),
        ("Grüße".encode(), "iso-8859-1", "Grüße"),  # valid UTF-8 is no accident
        ("Привет".encode("koi8-r"), "koi8-r", "Привет"),
        ("Grüße €".encode("cp1252"), "us-ascii", "Grüße €"),
        (b"\x81\xff", "utf-8", "\x81ÿ"),  # what is nothing else is latin-1
        ("Grüße".encode("latin-1"), "utf-16", "Grüße"),
    ],
)
def test_text_is_read_as_its_writer_meant_it(octets: bytes, charset: str, text: str) -> None:
    assert text_of(octets, charset) == text


@given(
    st.binary(max_size=40), st.text(max_size=10) | st.sampled_from(["utf-7", "unicode_escape", "shift_jis", "gb18030"])
)
def test_any_octets_are_text_that_utf_8_can_hold(octets: bytes, charset: str) -> None:
    assert text_of(octets, charset).encode("utf-8") is not None
