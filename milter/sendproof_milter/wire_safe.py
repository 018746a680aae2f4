"""Makes a message safe for any wire before it is signed, minimally: nothing on the way has to rewrite it then.

Postfix's smtp(8) breaks lines of more than 998 octets (smtp_line_length_limit), and what is labelled 8bit it turns into
quoted-printable for servers without 8BITMIME, even where all octets are ASCII. Either breaks signatures. ASCII that
stands for the same text replaces such lines and parts; what is signed, encrypted or cannot be read in just one way
stays as it is, with its reason. Form feeds and vertical tabs go from header fields, for verifiers differ in what they
are. Knows nothing of pixels: whoever edits a message does that first, and this last.
"""

import binascii
import codecs
import enum
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sendproof_milter import header_words, mime_edit
from sendproof_milter.header_words import LONGEST_LINE_OCTETS
from sendproof_milter.mime_structure import DESCRIBING, LONGEST_VALUE, Defect, Field, Part, TooComplex, fields, parse

Headers = Sequence[tuple[bytes, bytes]]

_ENCODING = b"content-transfer-encoding"
_EIGHT_BIT_LABELS = frozenset(("8bit", "binary"))
_SEALED = frozenset(("multipart/signed", "multipart/encrypted"))
_BLOCK_OCTETS = 57 << 14
_DASHES_AFTER_SOFT_BREAK = re.compile(rb"=\r\n(--+)")
_EIGHT_BIT = re.compile(rb"[\x80-\xff]")
# Blanks behind the equals sign: some readers take them for text.
_PADDED_SOFT_BREAK = re.compile(rb"=[ \t]+(?:\r?\n|\Z)")
_LINES = re.compile(rb"[^\n]*\n|[^\n]+")
_BASE64_TEXT = re.compile(rb"[A-Za-z0-9+/= \t\r\n]*")
_ALL_ASCII = bytes(range(128))
_LINE_CHARACTERS = 76  # RFC 2045 sections 6.7 and 6.8
_REWRAPPED_OCTETS = _LINE_CHARACTERS << 12


# Of a packet of the milter protocol (65,535), with the field's name and index
_LONGEST_CHANGE = 64_000
# To RFC 6376 section 3.4.2 these are text, but OpenDKIM, rspamd and dkimpy each take at least one of them for a blank.
_VERTICAL_TAB, _FORM_FEED = b"\x0b", b"\x0c"
_FEEDS = _VERTICAL_TAB + _FORM_FEED
_AS_BLANKS = bytes.maketrans(_FEEDS, b"  ")


class WireEdit(enum.StrEnum):
    """What was changed; and what was left alone, with the reason."""

    LONG_HEADER_LINES = "long-header-lines"
    EIGHT_BIT_HEADER = "8-bit-header"
    LONG_BODY_LINES = "long-body-lines"
    EIGHT_BIT_PARTS = "8-bit-parts"
    # A part of ASCII octets whose field said 8bit or binary.
    EIGHT_BIT_LABELS = "8-bit-labels"
    SEALED_LONG_LINES = "sealed-long-lines"
    SEALED_EIGHT_BIT = "sealed-8-bit"
    # No blank to fold at.
    LONG_HEADER_WORD = "long-header-word"
    # In an address or an identifier, where nothing can stand for it.
    EIGHT_BIT_HEADER_WORD = "8-bit-header-word"
    MALFORMED_LONG_LINES = "malformed-long-lines"
    MALFORMED_EIGHT_BIT = "malformed-8-bit"


@dataclass(frozen=True)
class ChangedField:
    """A header field's new value, folds as ``\\n``. ``index`` counts those of that name from 1; beyond: it is added."""

    name: str
    index: int
    value: str


@dataclass(frozen=True)
class Safe:
    """What has to change. ``body``: None if it stays as it is. ``edits``: in the order of `WireEdit`.

    That form feeds and vertical tabs went from header fields is no edit to tell anybody of: nobody sees them.
    """

    body: bytes | None
    changed_fields: tuple[ChangedField, ...]
    edits: tuple[WireEdit, ...]


_UNCHANGED = Safe(None, (), ())
_MALFORMED = (WireEdit.MALFORMED_EIGHT_BIT, WireEdit.MALFORMED_LONG_LINES)
_SEALED_REASONS = (WireEdit.SEALED_EIGHT_BIT, WireEdit.SEALED_LONG_LINES)


def make_safe(headers: Headers, body: bytes, *, smtputf8: bool) -> Safe:
    """What makes a message safe for any wire.

    ``headers`` and ``body`` as in `Submission`. ``smtputf8``: the message goes to servers with SMTPUTF8 only, so that
    UTF-8 in header fields is as good as ASCII (RFC 6532).
    """
    label = container = False
    values = b"".join([value for _, value in headers])
    safe_header = _FORM_FEED not in values and _VERTICAL_TAB not in values
    for name, value in headers:
        if not value.isascii() or len(value) > LONGEST_LINE_OCTETS - len(name) - 2:
            safe_header = False
        length = len(name)
        if length == 25 and not label and name.lower() == _ENCODING:
            label = value.strip().lower() in (b"8bit", b"binary")
        elif length == 12 and not container and name.lower() == b"content-type":
            container = value.lstrip()[:2].lower() in (b"mu", b"me")
    safe_body = body.isascii() and not _has_long_lines(body, 0, len(body))
    if safe_body and not label and container:
        label = _mentions_label(body)
    if safe_header and safe_body and not label:
        return _UNCHANGED
    blanked = headers if safe_header else [(name, _without_feeds(name, value)) for name, value in headers]
    work = _Work(blanked, body, smtputf8)
    if not safe_body or label:
        work.make_body_safe()
    if not safe_header:
        work.make_header_safe(headers)
    return work.result()


def apply_fields(headers: Headers, changed: Sequence[ChangedField]) -> tuple[tuple[bytes, bytes], ...]:
    """The header with the changes, as the MTA will have it: fields that are added come last."""
    result = list(headers)
    for change in changed:
        name, value = change.name.encode("ascii"), change.value.encode("utf-8")
        places = [place for place, (other, _) in enumerate(result) if other.lower() == name.lower()]
        if change.index <= len(places):
            place = places[change.index - 1]
            result[place] = (result[place][0], value)
        else:
            result.append((name, value))
    return tuple(result)


def _without_feeds(name: bytes, value: bytes) -> bytes:
    if _FORM_FEED not in value and _VERTICAL_TAB not in value:
        return value
    if header_words.has_addresses(name):
        # A blank could end an address early: who may send was decided on the address without the feed.
        return value.translate(None, _FEEDS) or b" "  # an empty value would remove the field
    return value.translate(_AS_BLANKS)


def _mentions_label(body: bytes) -> bool:
    """Whether a part may be labelled 8bit or binary: a look at the parts is not worth it if none is."""
    for at in range(0, len(body), _BLOCK_OCTETS):
        block = body[at : at + _BLOCK_OCTETS + len(b"binary")].lower()
        if b"8bit" in block or b"binary" in block:
            return True
    return False


def _has_long_lines(body: bytes, start: int, end: int) -> bool:
    """Whether a line between two beginnings of lines is too long. Leaps from line end to line end."""
    while end - start > LONGEST_LINE_OCTETS:
        line_end = body.rfind(b"\n", start, min(start + LONGEST_LINE_OCTETS + 2, end))
        if line_end < 0 or (line_end == start + LONGEST_LINE_OCTETS + 1 and body[line_end - 1] != 0x0D):
            return True
        start = line_end + 1
    return False


def _is_ascii(body: bytes, start: int, end: int) -> bool:
    if start == 0 and end == len(body):
        return body.isascii()
    return all(body[at : min(at + _BLOCK_OCTETS, end)].isascii() for at in range(start, end, _BLOCK_OCTETS))


@dataclass(frozen=True, slots=True)
class _Replacement:
    """Octets from ``start`` to ``end`` of the body become others, made when they are written."""

    start: int
    end: int
    octets: Iterable[bytes]


@dataclass
class _Work:
    """One message, and what was found to change in it so far."""

    headers: Headers
    body: bytes
    smtputf8: bool
    replacements: dict[int, _Replacement] = field(default_factory=dict)  # by their start
    changed: list[ChangedField] = field(default_factory=list)
    edits: set[WireEdit] = field(default_factory=set)
    charset: str = "us-ascii"

    def result(self) -> Safe:
        edits = tuple(edit for edit in WireEdit if edit in self.edits)
        return Safe(self._new_body() if self.replacements else None, tuple(self.changed), edits)

    def _new_body(self) -> bytes:
        octets = memoryview(self.body)  # slices of it are no copies
        out = io.BytesIO()  # hands out what it holds without a copy
        position = 0
        for replacement in sorted(self.replacements.values(), key=lambda one: one.start):
            out.write(octets[position : replacement.start])
            out.writelines(replacement.octets)
            position = replacement.end
        out.write(octets[position:])
        return out.getvalue()

    def make_body_safe(self) -> None:
        root = parse(self.headers, self.body)
        if isinstance(root, TooComplex):
            self._is_clean(0, len(self.body), _MALFORMED)
            if _mentions_label(self.body) or any(name.lower() == _ENCODING for name, _ in self.headers):
                self.edits.add(WireEdit.MALFORMED_EIGHT_BIT)  # perhaps: nobody counted
            return
        self.charset = root.charset
        self._visit(root, is_message=True)

    def make_header_safe(self, submitted: Headers) -> None:
        root = parse(self.headers, b"")
        self.charset = root.charset if isinstance(root, Part) else self.charset
        counts: dict[bytes, int] = {}
        relabelled = {change.name.lower().encode("ascii") for change in self.changed}
        for (name, value), (_, original) in zip(self.headers, submitted, strict=True):
            lowered = name.lower()
            counts[lowered] = counts.get(lowered, 0) + 1
            if lowered in relabelled and counts[lowered] == 1:
                continue
            new, edits = self._safe_value(name, value)
            change = _change(name, counts[lowered], new)
            if change is None:
                edits = set() if value.isascii() else {WireEdit.EIGHT_BIT_HEADER_WORD}
                if header_words.has_long_lines(name, value):
                    edits.add(WireEdit.LONG_HEADER_WORD)
            elif new != original:
                self.changed.append(change)
            self.edits |= edits

    def _safe_value(self, name: bytes, value: bytes) -> tuple[bytes, set[WireEdit]]:
        edits: set[WireEdit] = set()
        new = value
        if len(value) > LONGEST_VALUE and name.lower() in DESCRIBING:
            # Nobody read what it says; a shorter spelling might suddenly say something.
            edits |= set() if value.isascii() else {WireEdit.EIGHT_BIT_HEADER_WORD}
            return value, edits | ({WireEdit.LONG_HEADER_WORD} if header_words.has_long_lines(name, value) else set())
        if not value.isascii() and not (self.smtputf8 and _is_utf8(value)):
            new = header_words.in_ascii(name, value, self.charset)
            if new != value:
                edits.add(WireEdit.EIGHT_BIT_HEADER)
            if not new.isascii() and not (self.smtputf8 and _is_utf8(new)):
                edits.add(WireEdit.EIGHT_BIT_HEADER_WORD)
        if header_words.has_long_lines(name, new):
            folded = header_words.refolded(name, new)
            if folded != new:
                edits.add(WireEdit.LONG_HEADER_LINES)
            if header_words.has_long_lines(name, folded):
                edits.add(WireEdit.LONG_HEADER_WORD)
            new = folded
        return new, edits

    def _visit(self, part: Part, *, is_message: bool) -> bool:
        """Make a part safe; whether it has no 8-bit octet or label then. ``is_message``: its header is a message's."""
        self._visit_header(part)
        sealed = part.content_type in _SEALED
        if sealed or not part.is_trusted:
            clean = self._leave(part, _SEALED_REASONS if sealed else _MALFORMED)
        elif part.children:
            clean = self._visit_children(part)
        else:
            return self._visit_leaf(part, is_message=is_message)
        if part.transfer_encoding in _EIGHT_BIT_LABELS:
            if clean and part.is_trusted:  # what is signed begins behind this field
                self._relabel(part, "7bit")
            elif clean:  # else there is a reason already
                self.edits.add(WireEdit.MALFORMED_EIGHT_BIT)
                clean = False
        return clean

    def _visit_header(self, part: Part) -> None:
        start, end = part.header_start, part.header_end
        if _is_ascii(self.body, start, end) and not _has_long_lines(self.body, start, end):
            return
        if Defect.BROKEN_HEADER in part.defects:
            self._is_clean(start, end, _MALFORMED)
            return
        for one in fields(self.body, start, end):
            new, edits = self._safe_value(one.name, one.value)
            self.edits |= edits
            # Blanks at the end, which are not in the value, can make a line too long as well.
            too_long = WireEdit.LONG_HEADER_WORD not in edits and _has_long_lines(self.body, one.start, one.end)
            if new != one.value or too_long:
                self._replace_field(one, new)
                self.edits |= {WireEdit.LONG_HEADER_LINES} if too_long else set()

    def _visit_children(self, part: Part) -> bool:
        clean, position = True, part.content_start
        for child in part.children:
            clean &= self._is_clean(position, child.header_start, _MALFORMED)  # nothing can stand for a preamble
            clean &= self._visit(child, is_message=part.content_type == "message/rfc822")
            position = child.content_end
        return self._is_clean(position, part.content_end, _MALFORMED) and clean

    def _leave(self, part: Part, reasons: tuple[WireEdit, WireEdit]) -> bool:
        """Leave a part's content alone; whether no 8-bit octet or label is in it."""
        labels = any(one.transfer_encoding in _EIGHT_BIT_LABELS for one in part.walk() if one is not part)
        if labels:
            self.edits.add(reasons[0])
        return self._is_clean(part.content_start, part.content_end, reasons) and not labels

    def _is_clean(self, start: int, end: int, reasons: tuple[WireEdit, WireEdit]) -> bool:
        """Whether what stays as it is has no 8-bit octet; notes the reasons why it stays if it is not safe."""
        if _has_long_lines(self.body, start, end):
            self.edits.add(reasons[1])
        if _is_ascii(self.body, start, end):
            return True
        self.edits.add(reasons[0])
        return False

    def _visit_leaf(self, part: Part, *, is_message: bool) -> bool:
        body, start, end = self.body, part.content_start, part.content_end
        eight_bit, long_lines = not _is_ascii(body, start, end), _has_long_lines(body, start, end)
        if not eight_bit and not long_lines:
            if part.transfer_encoding in _EIGHT_BIT_LABELS:
                self._relabel(part, "7bit")
            return True
        encoding, octets = part.transfer_encoding, None
        match part.transfer_encoding:
            case "quoted-printable":
                octets = _repaired_quoted_printable(body[start:end])
            case "base64" if not eight_bit and _BASE64_TEXT.fullmatch(body, start, end):
                octets = _rewrapped(body, start, end)
            # RFC 2046 section 5.2: no encoding but 7bit, 8bit and binary
            case "7bit" | "8bit" | "binary" if not part.content_type.startswith(("message/", "multipart/")):
                readable = part.content_type.startswith("text/") and _suits_quoted_printable(body, start, end)
                encoding = "quoted-printable" if readable else "base64"
                octets = (_in_quoted_printable if readable else _in_base64)(body, start, end)
        if octets is None:
            clean = self._is_clean(start, end, _MALFORMED)
            if clean and part.transfer_encoding in _EIGHT_BIT_LABELS:
                self._relabel(part, "7bit")
            return clean
        self.replacements[start] = _Replacement(start, end, octets)
        self.edits |= {WireEdit.EIGHT_BIT_PARTS} if eight_bit else set()
        self.edits |= {WireEdit.LONG_BODY_LINES} if long_lines else set()
        if encoding != part.transfer_encoding:
            self._relabel(part, encoding, eight_bit=eight_bit, is_message=is_message)
        return True

    def _relabel(self, part: Part, encoding: str, *, eight_bit: bool = False, is_message: bool = False) -> None:
        """Say the transfer encoding; what else a message's header has to say for that to count."""
        if encoding == "7bit" and WireEdit.EIGHT_BIT_PARTS not in self.edits:
            self.edits.add(WireEdit.EIGHT_BIT_LABELS)
        if part.depth == 0:
            names = {name.lower() for name, _ in self.headers}
            added = self._missing(part, names, eight_bit=eight_bit) if is_message else []
            self.changed += [ChangedField(name, 1, value) for name, value in added]
            self.changed.append(ChangedField("Content-Transfer-Encoding", 1, encoding))
            return
        found = list(fields(self.body, part.header_start, part.header_end))
        label = next((one for one in found if one.name.lower() == _ENCODING), None)
        added = self._missing(part, {one.name.lower() for one in found}, eight_bit=eight_bit) if is_message else []
        if label:
            self._replace_field(label, encoding.encode("ascii"))
        else:
            added.append(("Content-Transfer-Encoding", encoding))
        if added:
            text = "".join(f"{name}: {value}\r\n" for name, value in added).encode("ascii")
            self.replacements[part.header_end] = _Replacement(part.header_end, part.header_end, (text,))

    def _missing(self, part: Part, names: set[bytes], *, eight_bit: bool) -> list[tuple[str, str]]:
        missing: list[tuple[str, str]] = []
        if b"mime-version" not in names:
            missing.append(("MIME-Version", "1.0"))
        if b"content-type" not in names and eight_bit:
            # Octets without any label: readers guessed. RFC 1428 has a name for it.
            utf8 = _is_utf8_text(self.body, part.content_start, part.content_end)
            missing.append(("Content-Type", f"text/plain; charset={'utf-8' if utf8 else 'unknown-8bit'}"))
        return missing

    def _replace_field(self, one: Field, value: bytes) -> None:
        text = one.name + b": " + value.replace(b"\n", b"\r\n") + b"\r\n"
        self.replacements[one.start] = _Replacement(one.start, one.end, (text,))


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_utf8_text(body: bytes, start: int, end: int) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for at in range(start, end, _BLOCK_OCTETS):
            decoder.decode(body[at : min(at + _BLOCK_OCTETS, end)])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _suits_quoted_printable(body: bytes, start: int, end: int) -> bool:
    """Whether text has CRLF line ends only, and base64 is not much shorter (half of it in escapes)."""
    line_ends = body.count(b"\r\n", start, end)
    if body.count(b"\r", start, end) != line_ends or body.count(b"\n", start, end) != line_ends:
        return False
    blocks = (body[at : min(at + _BLOCK_OCTETS, end)] for at in range(start, end, _BLOCK_OCTETS))
    return sum(len(block.translate(None, _ALL_ASCII)) for block in blocks) * 2 <= end - start


def _in_base64(body: bytes, start: int, end: int) -> Iterator[bytes]:
    blocks = (body[at : min(at + _BLOCK_OCTETS, end)] for at in range(start, end, _BLOCK_OCTETS))
    before = b""
    for text in mime_edit.base64_lines(blocks):
        yield before
        before = text
    yield before if end == len(body) else before.removesuffix(b"\r\n")


def _in_quoted_printable(body: bytes, start: int, end: int) -> Iterator[bytes]:
    """In blocks of whole lines."""
    while start < end:
        stop = body.rfind(b"\n", start, min(start + _BLOCK_OCTETS, end)) + 1
        if not stop:
            stop = body.find(b"\n", start, end) + 1 or end
        block = body[start:stop]
        # Where a block has no line end, the library breaks its lines with LF.
        text = binascii.b2a_qp(block) if block.endswith(b"\n") else binascii.b2a_qp(block + b"\r\n")[:-2]
        # No new line may look like a delimiter.
        yield _DASHES_AFTER_SOFT_BREAK.sub(_dashes_in_escapes, text)
        start = stop


def _dashes_in_escapes(found: re.Match[bytes]) -> bytes:
    count = len(found.group(1))
    per_line = _LINE_CHARACTERS // 3 - 1
    lines = [b"=2D" * min(per_line, count - at) for at in range(0, count, per_line)]
    return b"=\r\n" + b"=\r\n".join(lines) + b"=\r\n"


def _repaired_quoted_printable(content: bytes) -> Iterable[bytes] | None:
    """With escapes for its 8-bit octets and with soft breaks in lines that are too long; None if it is broken."""
    try:
        mime_edit.decode(content, "quoted-printable")
    except ValueError:
        return None
    content = _EIGHT_BIT.sub(lambda found: b"=%02X" % found.group()[0], content)
    if _PADDED_SOFT_BREAK.search(content):
        return None
    return (
        _short_quoted_printable(line) if len(line) > LONGEST_LINE_OCTETS else line for line in _LINES.findall(content)
    )


def _short_quoted_printable(line: bytes) -> bytes:
    pieces: list[bytes] = []
    start, first = 0, b""
    while len(line) - start > _LINE_CHARACTERS - 3:
        end = start + _LINE_CHARACTERS - 4
        escape = line.rfind(b"=", end - 2, end)
        if escape >= 0:  # its two digits would be on the next line
            end = escape
        pieces.append(first + line[start:end] + b"=\r\n")
        start, first = end, b""
        if line.startswith(b"--", start):  # no new line may look like a delimiter
            start, first = start + 1, b"=2D"
    return b"".join([*pieces, first, line[start:]])


def _rewrapped(body: bytes, start: int, end: int) -> Iterator[bytes]:
    """Base64 with breaks in lines that are too long."""
    while start < end:
        line_end = body.find(b"\n", start, end)
        stop = line_end + 1 if line_end >= 0 else end
        if stop - start <= LONGEST_LINE_OCTETS:
            yield body[start:stop]
        else:
            for at in range(start, stop, _REWRAPPED_OCTETS):
                text = body[at : min(at + _REWRAPPED_OCTETS, stop)]
                lines = [text[piece : piece + _LINE_CHARACTERS] for piece in range(0, len(text), _LINE_CHARACTERS)]
                yield b"\r\n".join(lines) + (b"\r\n" if at + _REWRAPPED_OCTETS < stop else b"")
        start = stop


def _change(name: bytes, index: int, value: bytes) -> ChangedField | None:
    """The change, if the milter protocol and its library can carry it: UTF-8 only, and no more than a packet holds."""
    try:
        return (
            ChangedField(name.decode("ascii"), index, value.decode("utf-8")) if len(value) < _LONGEST_CHANGE else None
        )
    except UnicodeDecodeError:
        return None
