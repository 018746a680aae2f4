"""Charsets as mail names them. Knows names and what Python decodes; looks at no message."""

import codecs
import encodings.aliases
import functools

_ASCII = bytes(range(0x20, 0x7F))
# Python's codecs that have a name of their own only.
_WITHOUT_ALIAS = ("cp720", "cp737", "cp856", "cp874", "koi8_t", "koi8_u")
# Names in mail that Python does not know: the IANA registry's, RFC 1556's for text in logical order, Windows' own.
_MAIL_NAMES = {
    "iso_8859_6_e": "iso8859_6",
    "iso_8859_6_i": "iso8859_6",
    "iso_8859_8_e": "iso8859_8",
    "iso_8859_8_i": "iso8859_8",
    "windows_31j": "cp932",
    "windows_874": "cp874",
    "windows_949": "cp949",
    "x_sjis": "shift_jis",
}
_ALIASES = {
    **encodings.aliases.aliases,
    **{name: name for name in encodings.aliases.aliases.values()},
    **{name: name for name in _WITHOUT_ALIAS},
    **_MAIL_NAMES,
}
# Registered with Python, and no charset of mail.
_NO_CHARSETS = frozenset(("mbcs", "unicode_escape", "raw_unicode_escape", "idna", "punycode", "palmos", "undefined"))


@functools.lru_cache(maxsize=256)
def codec_name(charset: str) -> str | None:
    """Python's codec for a charset; None without one. Python is asked for known names only: it never forgets others."""
    name = encodings.normalize_encoding(charset).lower() if charset.isascii() else ""
    codec = _ALIASES.get(name) or _ALIASES.get(name.replace("_", ""))
    if codec is None or codec in _NO_CHARSETS or codec.endswith("_codec") or codec == "rot_13":
        return None
    return codec


@functools.lru_cache(maxsize=256)
def extends_ascii(charset: str) -> bool:
    """Whether ASCII octets stand for themselves wherever they are in text of that charset."""
    name = codec_name(charset)
    if name is None:
        return False
    try:
        text = _ASCII.decode(codecs.lookup(name).name)
    except (LookupError, ValueError):
        return False
    # The ISO 2022 family switches to other sets by escapes, within which ASCII octets are halves of characters.
    return text == _ASCII.decode("ascii") and not name.startswith("iso2022")


def text_of(octets: bytes, charset: str) -> str:
    """8-bit text as its writer most likely meant it: UTF-8, else in that charset, else in windows-1252."""
    declared = codec_name(charset) if extends_ascii(charset) else None
    for codec in ("utf-8", declared, "windows-1252"):
        try:
            if codec:
                return octets.decode(codec)
        except ValueError:
            continue
    return octets.decode("latin-1")
