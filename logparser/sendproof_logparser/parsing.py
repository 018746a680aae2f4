"""Understands log lines one by one, for `sendproof logs parse`: correlates nothing and keeps no record.

The loop over the lines is short on purpose: a large log has millions.
"""

import collections
import datetime as dt
from collections.abc import Callable
from typing import NamedTuple

from sendproof_logparser import grammar, status_json
from sendproof_logparser.chunk import Chunk
from sendproof_logparser.events import Event, Irrelevant, StatusLine
from sendproof_logparser.process import Process
from sendproof_logparser.syslog_line import LineReader

# Of the lines that no rule knows, so many are kept to be shown; the others are counted.
UNKNOWN_KEPT = 1000
_HIDDEN = "[hidden]"

# How a status line is written: its number in the file, its moment, `status_json.process_keys`, what it says.
Render = Callable[[int, dt.datetime, str, StatusLine], str]


class UnknownLine(NamedTuple):
    """A line that no rule knows, without what may be a secret."""

    file: str
    number: int
    text: str


class Counts:
    """What stood in the lines of all files."""

    def __init__(self) -> None:
        self.lines = 0
        # of no form that a log line has
        self.formless = 0
        self.other_programs = 0
        # by the class of what `grammar.parse` gives
        self.kinds: collections.Counter[type] = collections.Counter()
        self.statuses: collections.Counter[str] = collections.Counter()
        self.unknown_lines: list[UnknownLine] = []

    @property
    def unknown(self) -> int:
        """How many lines no rule knows, those included that are not kept."""
        return self.kinds[type(None)]


class Writer(NamedTuple):
    """A process that writes lines: how they are read, and what their JSON has in common (`process_keys`)."""

    parse: Callable[[str], Event | Irrelevant | None]
    keys: str


def identify(host: str, program: str, pid: int) -> Writer | None:
    """Who wrote a line; None for a program whose lines say nothing about mail."""
    known = grammar.instance_and_daemon(program)
    if known is None:
        return None
    instance, daemon = known
    return Writer(grammar.reader(daemon), status_json.process_keys(Process(host, program, pid, instance, daemon)))


class FileParser:
    """The lines of one file, in their order."""

    def __init__(self, file: str, reader: LineReader[Writer | None], counts: Counts, render: Render | None) -> None:
        """``file``: its name in `Counts`. ``render``: None where only counts are wanted."""
        self._file = file
        self._reader = reader
        self._counts = counts
        self._render = render
        self._next_number = 1
        # Whether any line had a form that we know.
        self.is_log = False

    def take(self, chunk: Chunk) -> list[str]:
        """Read the lines; the status lines among them, rendered."""
        self._reader.latest = max(self._reader.latest, chunk.modified_at)
        lines = chunk.texts
        counts, render, read = self._counts, self._render, self._reader.read
        kinds, statuses = counts.kinds, counts.statuses
        formless = others = 0
        found: list[str] = []
        for number, line in enumerate(lines, self._next_number):
            taken_apart = read(line)
            if taken_apart is None:
                formless += 1
                continue
            at, writer, text = taken_apart
            if writer is None:
                others += 1
                continue
            event = writer.parse(text)
            kind = event.__class__
            kinds[kind] += 1
            if isinstance(event, StatusLine):
                statuses[event.status] += 1
                if render is not None:
                    found.append(render(number, at, writer.keys, event))
            elif event is None and len(counts.unknown_lines) < UNKNOWN_KEPT:
                counts.unknown_lines.append(UnknownLine(self._file, number, _kept(line, text)))
        counts.formless += formless
        counts.other_programs += others
        counts.lines += len(lines)
        self.is_log = self.is_log or formless < len(lines)
        # The piece of an overlong line has no newline after it: the next piece has the same number.
        self._next_number += len(lines) - (chunk.position.offset == chunk.offset + len(chunk.data))
        return found


def _kept(line: str, text: str) -> str:
    return line if grammar.may_be_kept(text) else line.removesuffix(text) + _HIDDEN
