"""Insert octets into an encoded HTML body and leave every other octet as it is.

Never re-serialises: all HTML and MIME libraries that were tried changed octets elsewhere. Decides nothing about
whether a message should be edited (`pixel` does).
"""

import base64
import binascii
import itertools
import re

_LINE_CHARACTERS = 76  # RFC 2045 section 6.7 and 6.8
# What stands for one decoded octet, and an equals sign that is neither an escape nor a soft break.
_QUOTED_PRINTABLE_OCTET = re.compile(rb"=[0-9A-Fa-f]{2}|.", re.DOTALL)
_QUOTED_PRINTABLE_BROKEN = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*\r?\n)")
# What matters on the way to the last </body>: text inside these is no markup (HTML standard, 13.2.5).
_MARK = re.compile(
    rb"<(?:!--|!\[CDATA\[|(script|style|title|textarea|xmp|noscript)(?=[\s/>])|(/body|/html)(?=[\s/>]))", re.IGNORECASE
)


def insertion_point(html: bytes) -> int:
    """Where to insert: before the last ``</body>`` that is markup, else before the last ``</html>``, else the end."""
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


def insert_plain(body: bytes, snippet: bytes) -> bytes:
    """Insert into a body without a transfer encoding; on a line of its own, so that no line grows too long."""
    at = insertion_point(body)
    return body[:at] + _line_break_before(body, at) + snippet + b"\r\n" + body[at:]


def insert_quoted_printable(body: bytes, snippet: bytes) -> bytes:
    """Insert into a quoted-printable body; ``snippet`` is ASCII.

    The decoded text grows by just the snippet; at its end, by a line with the snippet.

    Raises:
        ValueError: an escape is broken, and mail readers would differ in what they show.
    """
    if _QUOTED_PRINTABLE_BROKEN.search(body):
        raise ValueError("broken quoted-printable")
    lines: list[bytes] = re.findall(rb"[^\n]*\n|[^\n]+", body)  # a lone CR ends no line
    at = insertion_point(binascii.a2b_qp(body))
    index, decoded = 0, 0
    for index, line in enumerate(lines):  # noqa: B007 - the last index is used below
        length = len(binascii.a2b_qp(line))
        if decoded + length > at:
            break
        decoded += length
    else:
        index = len(lines)
    before = b"".join(lines[:index])
    if index == len(lines):
        return _append_quoted_printable(before, snippet)
    column = _encoded_column(lines[index], at - decoded)
    head = before + lines[index][:column]
    if column:
        head += b"=\r\n"
    return head + _soft_lines(snippet) + b"=\r\n" + lines[index][column:] + b"".join(lines[index + 1 :])


def insert_base64(body: bytes, snippet: bytes) -> bytes:
    """Insert into a base64 body, which is encoded anew.

    Raises:
        ValueError: it is no base64.
    """
    html = base64.b64decode(b"".join(body.split()), validate=True)
    at = insertion_point(html)
    text = base64.b64encode(html[:at] + snippet + html[at:])
    lines = [text[start : start + _LINE_CHARACTERS] for start in range(0, len(text), _LINE_CHARACTERS)]
    return b"\r\n".join(lines) + b"\r\n"


def _line_break_before(body: bytes, at: int) -> bytes:
    return b"" if at == 0 or body.endswith(b"\r\n", 0, at) else b"\r\n"


def _append_quoted_printable(before: bytes, snippet: bytes) -> bytes:
    """At the end: a soft break that dangles there would swallow the snippet's line."""
    glue = b"" if not before or before.endswith(b"\n") else b"=\r\n"
    return before + glue + _soft_lines(snippet) + b"\r\n"


def _encoded_column(line: bytes, decoded_octets: int) -> int:
    """How many octets of an encoded line stand for its first ``decoded_octets``."""
    column = 0
    for piece in itertools.islice(_QUOTED_PRINTABLE_OCTET.finditer(line), decoded_octets):
        column = piece.end()
    return column


def _soft_lines(snippet: bytes) -> bytes:
    """The snippet in quoted-printable, in lines of at most 76 characters, without a break at its end."""
    lines: list[bytes] = []
    line = b""
    for octet in snippet:
        piece = b"=3D" if octet == ord("=") else bytes((octet,))
        if len(line) + len(piece) > _LINE_CHARACTERS - 1:
            lines.append(line)
            line = b""
        line += piece
    return b"=\r\n".join([*lines, line])
