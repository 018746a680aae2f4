"""Where the parts of a message are, as ranges of octets in its body (RFC 2045, 2046). Decodes and changes nothing.

A delimiter line is the whole line ``--boundary`` with or without blanks behind it (RFC 2046 section 5.1.1), of the
innermost multipart that is open. Where mail readers would differ the part has a `Defect`, and callers leave it alone.
Takes linear time: each boundary that is open is looked for once.
"""

import email.errors
import email.message
import email.policy
import enum
import functools
import itertools
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

LARGEST_DEPTH = 20
LARGEST_NUMBER_OF_PARTS = 1000
# RFC 2046 section 5.1.1 allows 70; Postfix compares up to 2048 (mime_boundary_length_limit).
_LONGEST_BOUNDARY = 200
# Transfer encodings that leave octets as they are.
IDENTITY = frozenset(("7bit", "8bit", "binary"))
_BLANK = b" \t\r\n"
# A field as a strict reader sees it: RFC 2045 section 5.1, no comments, no RFC 2231, each parameter in one piece.
_TOKEN = rb"[!#$%&'*+.0-9A-Z^_`a-z{|}~-]+"
_PARAMETER = rb"[ \t]*;[ \t]*(" + _TOKEN.replace(b"'*", b"") + rb")=(?:(" + _TOKEN + rb')|"([ !#-\[\]-~]*)")'
_ORDINARY = re.compile(rb"(" + _TOKEN + rb"(?:/" + _TOKEN + rb")?)((?:" + _PARAMETER + rb")*)[ \t]*;?[ \t]*")
_PARAMETERS = re.compile(_PARAMETER)
# RFC 5322 section 2.2, with the blanks before the colon that its section 4.5 allows.
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)(?:\n|\Z)")
# What says something about the content that follows.
DESCRIBING = frozenset((b"content-type", b"content-transfer-encoding", b"content-disposition", b"content-id"))
# Bounds of one part's header: Postfix cuts a message's own off there (header_size_limit).
_LARGEST_HEADER_OCTETS = 102400
_MOST_FIELDS = 1000
# The library's parser takes quadratic time.
LONGEST_VALUE = 2048
_LONGEST_CACHED_VALUE = 256
_NOWHERE = sys.maxsize


class Defect(enum.StrEnum):
    """Why a part cannot be read in just one way."""

    DUPLICATED_FIELD = "duplicated-field"
    DUPLICATED_PARAMETER = "duplicated-parameter"
    UNREADABLE_FIELD = "unreadable-field"
    BROKEN_HEADER = "broken-header"
    NO_BOUNDARY = "no-boundary"
    AMBIGUOUS_BOUNDARY = "ambiguous-boundary"
    ENCODED_MULTIPART = "encoded-multipart"
    # The only one that leaves one reading: the last part ends where its multipart does.
    NO_FINAL_BOUNDARY = "no-final-boundary"


class TooComplex(enum.StrEnum):
    """Why a message was not read to its end."""

    DEPTH = "too-deep"
    PARTS = "too-many-parts"


@dataclass(frozen=True, slots=True)
class Field:
    """One header field in the body: octets ``start`` to ``end`` with its line end; folds in ``value`` as ``\\n``."""

    name: bytes
    value: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Part:
    """A part. Offsets count octets of the body; the message's own header is not in it (``header_end`` is 0).

    ``header_end`` is before the empty line. ``content_end`` is before the line end that belongs to the delimiter.
    Types, encodings, dispositions and names of parameters are lower case. ``disposition`` and ``filename``: empty
    without one. ``encapsulated``: inside a message/rfc822.
    """

    content_type: str
    parameters: Mapping[str, str]
    transfer_encoding: str
    disposition: str
    filename: str
    content_id: bytes
    header_start: int
    header_end: int
    content_start: int
    content_end: int
    depth: int
    encapsulated: bool
    defects: frozenset[Defect]
    children: tuple["Part", ...] = ()

    @property
    def charset(self) -> str:
        """As it is written; US-ASCII without one (RFC 2045 section 5.2)."""
        return self.parameters.get("charset", "us-ascii")

    @property
    def is_multipart(self) -> bool:
        """By its type, whether or not a boundary was found."""
        return self.content_type.startswith("multipart/")

    @property
    def is_trusted(self) -> bool:
        """Whether it can be read in just one way, apart from its children."""
        return not self.defects or self.defects == _HARMLESS

    def walk(self) -> Iterator["Part"]:
        """It and all parts within, in the order of the message."""
        yield self
        for child in self.children:
            yield from child.walk()


_HARMLESS = frozenset((Defect.NO_FINAL_BOUNDARY,))
_NO_DEFECTS: frozenset[Defect] = frozenset()


def parse(headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Part | TooComplex:
    """The tree of parts of a message; ``headers`` as in `Submission`."""
    described = _described(headers, "text/plain")
    root = _Open(described, 0, 0, 0, depth=0, encapsulated=False)
    if not described.is_container:  # the common case
        return root.closed(len(body))
    return _Reader(body).read(root)


def fields(body: bytes, start: int, end: int) -> Iterator[Field]:
    """The header fields between two offsets; ends where a line is none."""
    position = start
    while position < end and (found := _FIELD.match(body, position, end)):
        value = found.group(2).replace(b"\r\n", b"\n").strip(b" \t\r")
        yield Field(found.group(1), value, position, found.end())
        position = found.end()


@dataclass(frozen=True, slots=True)
class _TypeField:
    """A Content-Type or Content-Disposition."""

    value: str
    parameters: Mapping[str, str]
    defects: frozenset[Defect]


@dataclass(frozen=True, slots=True)
class _Described:
    """What a header says about its content."""

    content_type: str
    parameters: Mapping[str, str]
    transfer_encoding: str
    disposition: str
    filename: str
    content_id: bytes
    defects: frozenset[Defect]

    @property
    def is_container(self) -> bool:
        return self.content_type.startswith("multipart/") or self.content_type == "message/rfc822"


@dataclass(slots=True)
class _Open:
    """A part whose end is not found yet."""

    described: _Described
    header_start: int
    header_end: int
    content_start: int
    depth: int
    encapsulated: bool
    defects: set[Defect] = field(default_factory=set)
    children: list[Part] = field(default_factory=list)
    # A multipart's: what its delimiter lines begin with, where the next such line is.
    delimiter: bytes = b""
    next_line: int = _NOWHERE
    ended: bool = False

    def closed(self, content_end: int) -> Part:
        described = self.described
        return Part(
            described.content_type,
            described.parameters,
            described.transfer_encoding,
            described.disposition,
            described.filename,
            described.content_id,
            self.header_start,
            self.header_end,
            self.content_start,
            # An empty part's line break and the next delimiter's may be the same one.
            max(content_end, self.content_start, *(child.content_end for child in self.children[-1:])),
            self.depth,
            self.encapsulated,
            described.defects | self.defects if self.defects else described.defects,
            tuple(self.children),
        )


class _Reader:
    """Reads one body from its beginning to its end."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._open: list[_Open] = []
        self._parts = 0
        self._false_delimiters = 0
        self._last_closed: Part

    def read(self, root: _Open) -> Part | TooComplex:
        refusal = self._enter(root)
        while refusal is None:
            at = min(part.next_line for part in self._open)
            if at == _NOWHERE:
                self._close(0, len(self._body))
                return self._last_closed
            refusal = self._take_line(at)
        return refusal

    def _enter(self, part: _Open) -> TooComplex | None:
        """Open a part, and the messages that begin where its content does."""
        while True:
            self._parts += 1
            if part.depth > LARGEST_DEPTH:
                return TooComplex.DEPTH
            if self._parts > LARGEST_NUMBER_OF_PARTS:
                return TooComplex.PARTS
            self._open.append(part)
            described = part.described
            if not described.is_container:
                return None
            if described.transfer_encoding not in IDENTITY:
                part.defects.add(Defect.ENCODED_MULTIPART)  # RFC 2045 section 6.4 forbids it
                return None
            if described.content_type != "message/rfc822":
                self._look_for_delimiters(part)
                return None
            part = self._part_at(part.content_start, part.depth + 1, "text/plain", encapsulated=True)

    def _look_for_delimiters(self, part: _Open) -> None:
        boundary = part.described.parameters.get("boundary", "").rstrip(" \t")
        part.defects.add(Defect.NO_BOUNDARY)  # until one is found
        if not boundary or len(boundary) > _LONGEST_BOUNDARY or not boundary.isascii():
            return
        delimiter = b"--" + boundary.encode("ascii")
        if any(other.delimiter == delimiter for other in self._open):
            # Some readers give such a line to the outer multipart, some to the inner one.
            part.defects.add(Defect.AMBIGUOUS_BOUNDARY)
            return
        part.delimiter = delimiter
        part.next_line = self._next_line(delimiter, part.content_start)

    def _next_line(self, delimiter: bytes, start: int) -> int:
        """Where the next line begins so, from a beginning of a line on."""
        if self._body.startswith(delimiter, start):
            return start
        found = self._body.find(b"\n" + delimiter, start)
        return found + 1 if found >= 0 else _NOWHERE

    def _take_line(self, at: int) -> TooComplex | None:
        """Act on a line that begins with the delimiter of one or several open multiparts."""
        body = self._body
        line_end = body.find(b"\n", at)
        after = line_end + 1 if line_end >= 0 else len(body)
        matches: list[tuple[int, bytes]] = []
        for level in range(len(self._open) - 1, -1, -1):
            part = self._open[level]
            if part.next_line != at:
                continue
            part.next_line = self._next_line(part.delimiter, after)
            rest = body[at + len(part.delimiter) : after].rstrip(b" \t\r\n")
            if rest in (b"", b"--"):
                matches.append((level, rest))
            elif not matches:
                part.defects.add(Defect.AMBIGUOUS_BOUNDARY)  # to some readers the beginning is enough
        if not matches:
            self._false_delimiters += 1
            return TooComplex.PARTS if self._false_delimiters > LARGEST_NUMBER_OF_PARTS else None
        level, rest = matches[0]
        self._close(level + 1, at)
        part = self._open[level]
        if len(matches) > 1:
            part.defects.add(Defect.AMBIGUOUS_BOUNDARY)
        part.defects.discard(Defect.NO_BOUNDARY)
        if rest:
            part.ended, part.next_line = True, _NOWHERE
            return None
        default = "message/rfc822" if part.described.content_type == "multipart/digest" else "text/plain"
        return self._enter(self._part_at(after, part.depth + 1, default, encapsulated=part.encapsulated))

    def _part_at(self, start: int, depth: int, default_type: str, *, encapsulated: bool) -> _Open:
        """A part whose header begins there."""
        body, position = self._body, start
        found: list[tuple[bytes, bytes]] = []
        limit = min(len(body), start + _LARGEST_HEADER_OCTETS, *(part.next_line for part in self._open))
        for one in itertools.islice(fields(body, start, limit), _MOST_FIELDS):
            found.append((one.name, one.value))
            position = one.end
        part = _Open(_described(found, default_type), start, position, position, depth, encapsulated)
        if body.startswith(b"\r\n", position):
            part.content_start = position + 2
        elif body.startswith(b"\n", position):
            part.content_start = position + 1
        else:
            part.defects.add(Defect.BROKEN_HEADER)  # its lines are content to some readers, to others they are not
        return part

    def _close(self, level: int, at: int) -> None:
        """Close the open parts from that level on: at a delimiter line, or at the end of the body."""
        end = at
        if at < len(self._body):
            end -= 2 if self._body.endswith(b"\r\n", 0, at) else 1
        while len(self._open) > level:
            part = self._open.pop()
            if part.delimiter and not part.ended and Defect.NO_BOUNDARY not in part.defects:
                part.defects.add(Defect.NO_FINAL_BOUNDARY)
            closed = part.closed(end)
            if self._open:
                self._open[-1].children.append(closed)
            self._last_closed = closed


def _described(headers: Iterable[tuple[bytes, bytes]], default_type: str) -> _Described:
    values: dict[bytes, bytes] = {}
    defects = _NO_DEFECTS
    for name, value in headers:
        if len(name) in _LENGTHS and (lowered := name.lower()) in DESCRIBING:
            if lowered in values:
                defects |= {Defect.DUPLICATED_FIELD}
            else:
                values[lowered] = value
    content_type, disposition = _NO_TYPE, _NO_DISPOSITION
    if b"content-type" in values:
        content_type = _type_field(values[b"content-type"])
        defects |= content_type.defects
    if b"content-disposition" in values:
        disposition = _disposition_field(values[b"content-disposition"])
        defects |= disposition.defects
    encoding = values.get(b"content-transfer-encoding", b"7bit")
    return _Described(
        content_type.value or default_type,
        content_type.parameters,
        encoding.strip(_BLANK).lower().decode("latin-1") or "7bit",
        disposition.value,
        disposition.parameters.get("filename") or content_type.parameters.get("name", ""),
        values.get(b"content-id", b"").strip(_BLANK),
        defects,
    )


def _type_field(value: bytes) -> _TypeField:
    return (_cached_type if len(value) <= _LONGEST_CACHED_VALUE else _read_type)(value, b"Content-Type")


def _disposition_field(value: bytes) -> _TypeField:
    return (_cached_type if len(value) <= _LONGEST_CACHED_VALUE else _read_type)(value, b"Content-Disposition")


def _read_type(value: bytes, name: bytes) -> _TypeField:
    value = value.replace(b"\n", b"").strip(_BLANK)
    ordinary = _ORDINARY.fullmatch(value)
    if not ordinary or (name == b"Content-Type") != (b"/" in ordinary.group(1)):
        return _read_odd_type(value, name)
    pairs = [
        (key.decode("ascii").lower(), (token or quoted).decode("ascii"))
        for key, token, quoted in _PARAMETERS.findall(value, ordinary.end(1))
    ]
    return _type_of(ordinary.group(1).decode("ascii").lower(), pairs)


def _read_odd_type(value: bytes, name: bytes) -> _TypeField:
    """By the library, which knows RFC 2231 and much that real mail has."""
    if len(value) > LONGEST_VALUE:
        return _UNREADABLE
    field_name = name.decode("ascii")
    message = email.message.Message(policy=email.policy.compat32)
    message[field_name] = value.decode("latin-1")
    try:
        # A value without a semicolon behind it is a parameter to the library.
        found: list[tuple[str, Any]] = message.get_params([], header=field_name) or []
        pairs = [(key.lower(), text[2] if isinstance(text, tuple) else text) for key, text in found[1:] if key]
        kind = message.get_content_type() if name == b"Content-Type" else message.get_content_disposition()
    except (ValueError, LookupError, TypeError, AttributeError, email.errors.MessageError):
        return _UNREADABLE  # the library stumbles over some parameters, such as filename* beside filename*0
    return _type_of(str(kind or ""), pairs)


def _type_of(value: str, pairs: list[tuple[str, str]]) -> _TypeField:
    parameters = dict(pairs)
    repeated = len(parameters) != len(pairs)
    return _TypeField(value, parameters, frozenset((Defect.DUPLICATED_PARAMETER,)) if repeated else _NO_DEFECTS)


_cached_type = functools.lru_cache(maxsize=1024)(_read_type)  # a client writes the same few
_LENGTHS = frozenset(map(len, DESCRIBING))
_NO_TYPE = _TypeField("", {}, _NO_DEFECTS)
_NO_DISPOSITION = _NO_TYPE
_UNREADABLE = _TypeField("", {}, frozenset((Defect.UNREADABLE_FIELD,)))
