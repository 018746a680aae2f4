"""What one round of reading gives, understood and not yet stored. Pure: `reader` makes it, `store` takes it."""

import datetime as dt
import itertools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sendproof_logparser.chunk import Chunk
from sendproof_logparser.process import Process
from sendproof_logparser.transcript import Conversation, Fact, Note


class Gap(NamedTuple):
    """The system log says that it dropped lines. ``number``: of the line that says so."""

    number: int
    host: str
    begins_at: dt.datetime | None
    ends_at: dt.datetime
    lines: int | None
    text: str
    line_key: int


class Unknown(NamedTuple):
    """A line that no rule knows. ``daemon``: whose it is. ``shown``: what may be stored of it; None: all of it."""

    number: int
    daemon: str | None
    shown: str | None = None


@dataclass
class Portion:
    """What was read of one source, understood. Numbers count its lines."""

    source: str
    chunk: Chunk
    # The chunk's lines as text.
    lines: list[str]
    # How many lines of the source were read before.
    lines_before: int
    last_line_at: dt.datetime | None = None
    facts: list[Fact] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)
    # How many lines say nothing about a recipient, are of other programs, or of no form that a log line has.
    irrelevant: int = 0
    others: int = 0
    formless: int = 0
    _raw_lines: list[bytes] | None = None
    _offsets: list[int] | None = None

    def raw(self, number: int) -> bytes:
        """A line as it was."""
        if self._raw_lines is None:
            self._raw_lines = self.chunk.lines
        return self._raw_lines[number]

    def offset_of(self, number: int) -> int:
        """Where it stands."""
        if self._offsets is None:
            lengths = (len(self.raw(before)) + 1 for before in range(len(self.lines)))
            self._offsets = list(itertools.accumulate(lengths, initial=self.chunk.offset))
        return self._offsets[number]


@dataclass
class Batch:
    """What one round of reading gives: journals first."""

    now: dt.datetime
    portions: list[Portion]
    # Stored or new deliveries that have grown.
    grown: list[Conversation] = field(default_factory=list)
    # Of each process that said something: a conversation, the plain state of a login, or None where it ended.
    states: dict[Process, Conversation | dict[str, Any] | None] = field(default_factory=dict)
