"""Where octets go in an encoded HTML body, and what has to be inserted there; every other octet stays as it is.

Never re-serialises: all HTML and MIME libraries that were tried changed octets elsewhere. Decides nothing about
whether a message should be edited (`pixel` does).
"""

import binascii
import itertools
import re
from collections.abc import Iterable
from typing import NamedTuple

_LINE_CHARACTERS = 76  # RFC 2045 section 6.7 and 6.8
# Octets that are encoded or decoded at a time; whole base64 lines.
_BLOCK_OCTETS = 57 << 10
# What stands for one decoded octet, and an equals sign that is neither an escape nor a soft break; the line end of the
# last soft break may belong to a delimiter.
_QUOTED_PRINTABLE_OCTET = re.compile(rb"=[0-9A-Fa-f]{2}|.", re.DOTALL)
_QUOTED_PRINTABLE_BROKEN = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*(?:\r?\n|\Z))")
_BEHIND_A_NAME = b" \t\n\r\x0b\x0c/>"
# What matters on the way to the last </body>: text inside these is no markup (HTML standard, 13.2.5).
_MARK = re.compile(
    rb"<(?:!--|!\[CDATA\[|(script|style|title|textarea|xmp|noscript)(?=[\s/>])|(/body|/html)(?=[\s/>]|\Z))",
    re.IGNORECASE,
)
_RAW_TEXT = (b"script", b"style", b"title", b"textarea", b"xmp", b"noscript")
# What begins text that is no markup, how many octets of it the end may share, and the end.
_HIDING = (
    (b"<!--", 2, b"-->"),
    (b"<![cdata[", 9, b"]]>"),
    *((b"<" + name, len(name) + 1, b"</" + name) for name in _RAW_TEXT),
)


class Edit(NamedTuple):
    """Octets from ``start`` to ``end`` of a content become others; nothing changes where both are empty."""

    start: int
    end: int
    octets: bytes


def decode(content: bytes, transfer_encoding: str) -> bytes:
    """What a content stands for.

    Raises:
        ValueError: it is not in that encoding, or readers would differ in what they show, or nobody knows the encoding.
    """
    match transfer_encoding:
        case "7bit" | "8bit" | "binary":
            return content
        case "quoted-printable":
            if _QUOTED_PRINTABLE_BROKEN.search(content):
                raise ValueError("broken quoted-printable")
            return binascii.a2b_qp(content)
        case "base64":
            return binascii.a2b_base64(content.translate(None, b" \t\r\n"), strict_mode=True)
        case _:
            raise ValueError("unknown transfer encoding")


def insert(content: bytes, transfer_encoding: str, html: bytes, snippet: bytes) -> Edit:
    """The edit of a content that stands for ``html`` (see `decode`); an empty one where the snippet is there already.

    ``snippet`` is ASCII without a line break.
    """
    # Wherever it is: what it stands behind may be no end tag any more, such as "</body>" after "<textarea".
    if snippet in html:
        return Edit(0, 0, b"")
    at = insertion_point(html)
    match transfer_encoding:
        case "quoted-printable":
            return _insert_quoted_printable(content, html, at, snippet)
        case "base64":
            text = b"".join(base64_lines((html[:at] + snippet + html[at:],)))
            return Edit(0, len(content), text if content[-1:] in b"\n" else text.removesuffix(b"\r\n"))
        case _:
            # On a line of its own, so that no line grows too long.
            break_before = b"" if at == 0 or content.endswith(b"\r\n", 0, at) else b"\r\n"
            return Edit(at, at, break_before + snippet + b"\r\n")


def base64_lines(pieces: Iterable[bytes]) -> Iterable[bytes]:
    """The pieces in base64, in lines of 76 characters; all but the last piece have a multiple of 57 octets."""
    for piece in pieces:
        for block in range(0, len(piece), _BLOCK_OCTETS):
            text = binascii.b2a_base64(piece[block : block + _BLOCK_OCTETS], newline=False)
            lines = [text[start : start + _LINE_CHARACTERS] for start in range(0, len(text), _LINE_CHARACTERS)]
            lines.append(b"")
            yield b"\r\n".join(lines)


def insertion_point(html: bytes) -> int:
    """Where to insert: before the last ``</body>`` that is markup, else before the last ``</html>``, else the end."""
    lowered = html.lower()
    at = _last_end_tag(lowered, b"</body")
    if at < 0:
        at = _last_end_tag(lowered, b"</html")
        if at < 0:
            return len(html)
    # An end tag can be inside a comment or a script only if one of these begins before it and does not end before it:
    # nearly every page is decided by that, without looking at all its tags.
    if all(_ends_before(lowered, at, *hiding) for hiding in _HIDING):
        return at
    return _insertion_point_by_marks(html)


def _last_end_tag(lowered: bytes, tag: bytes) -> int:
    at = lowered.rfind(tag)
    while at >= 0:
        behind = lowered[at + len(tag) : at + len(tag) + 1]
        if behind in _BEHIND_A_NAME:  # or nothing is behind it
            return at
        at = lowered.rfind(tag, 0, at)
    return -1


def _ends_before(lowered: bytes, at: int, begin: bytes, length: int, end: bytes) -> bool:
    """Whether the last ``begin`` before an offset, and so each one before it, has its ``end`` before the offset."""
    last = lowered.rfind(begin, 0, at)
    if last < 0:
        return True
    found = lowered.find(end, last + length, at)
    if found < 0:
        return False
    return not end.startswith(b"</") or lowered[found + len(end)] in _BEHIND_A_NAME


def _insertion_point_by_marks(html: bytes) -> int:
    body_end = html_end = -1
    position = 0
    while mark := _MARK.search(html, position):
        raw_text, end_tag = mark.group(1), mark.group(2)
        if end_tag:
            if end_tag.lower() == b"/body":
                body_end = mark.start()
            else:
                html_end = mark.start()
            position = mark.end()
            continue
        position = _end_of(html, mark, raw_text)
        if position < 0:
            break
    if body_end >= 0:
        return body_end
    return html_end if html_end >= 0 else len(html)


def _end_of(html: bytes, mark: re.Match[bytes], raw_text: bytes | None) -> int:
    """Behind the comment, CDATA section or raw text that begins at ``mark``; -1 if it never ends."""
    if raw_text:
        closing = re.compile(rb"</" + raw_text + rb"(?=[\s/>])", re.IGNORECASE).search(html, mark.end())
        return closing.end() if closing else -1
    terminator = b"-->" if mark.group() == b"<!--" else b"]]>"
    # "<!-->" is a whole, empty comment: its dashes may be those of the beginning
    found = html.find(terminator, mark.end() - 2 if terminator == b"-->" else mark.end())
    return found + len(terminator) if found >= 0 else -1


def _insert_quoted_printable(content: bytes, html: bytes, at: int, snippet: bytes) -> Edit:
    """The decoded text grows by just the snippet; at its end, by a line with the snippet."""
    if at == len(html):
        glue = b"" if not content or content.endswith(b"\n") else b"=\r\n"
        if content.rstrip(b" \t").endswith(b"="):
            glue = b"\r\n"  # a soft break whose line end belongs to a delimiter
        return Edit(len(content), len(content), glue + _soft_lines(snippet) + b"\r\n")
    start, column = _encoded_place(content, len(html) - at)
    glue = b"=\r\n" if column else b""
    return Edit(start + column, start + column, glue + _soft_lines(snippet) + b"=\r\n")


def _encoded_place(content: bytes, decoded_behind: int) -> tuple[int, int]:
    """The line and the column in it behind which so many decoded octets are."""
    end = len(content)
    # From the end, where the place is, first in blocks of lines, then in lines.
    for step in (_BLOCK_OCTETS, 1):
        while end:
            start = content.rfind(b"\n", 0, max(end - step, 0)) + 1
            length = len(binascii.a2b_qp(content[start:end]))
            if length >= decoded_behind:
                break
            decoded_behind -= length
            end = start
    start = content.rfind(b"\n", 0, max(end - 1, 0)) + 1
    line = content[start:end]
    return start, _encoded_column(line, len(binascii.a2b_qp(line)) - decoded_behind)


def _encoded_column(line: bytes, decoded_octets: int) -> int:
    """How many octets of an encoded line stand for its first ``decoded_octets``."""
    column = 0
    for piece in itertools.islice(_QUOTED_PRINTABLE_OCTET.finditer(line), decoded_octets):
        column = piece.end()
    return column


def _soft_lines(snippet: bytes) -> bytes:
    """The snippet in quoted-printable, in lines of at most 76 characters, without a break at its end."""
    text = snippet.replace(b"=", b"=3D")
    lines: list[bytes] = []
    start = 0
    while len(text) - start > _LINE_CHARACTERS - 1:
        end = start + _LINE_CHARACTERS - 1
        escape = text.rfind(b"=", end - 2, end)
        if escape >= 0:  # its two digits would be on the next line
            end = escape
        lines.append(text[start:end])
        start = end
    return b"=\r\n".join([*lines, text[start:]])
