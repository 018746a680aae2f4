"""Reads the sources of one machine and understands their lines: a batch at a time. Stores nothing.

A batch is worked out once; `daemon` stores it until it is stored.
"""

import dataclasses
import datetime as dt
import logging
import traceback
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sendproof_logparser import grammar, journal_line, transcript
from sendproof_logparser.batch import Batch, Gap, Portion, Unknown
from sendproof_logparser.chunk import Chunk
from sendproof_logparser.events import IRRELEVANT, Event, Irrelevant, LinesLost
from sendproof_logparser.host_names import HostNames
from sendproof_logparser.position import Position
from sendproof_logparser.process import Process
from sendproof_logparser.store import Store
from sendproof_logparser.transcript import Conversations

# Of the column that keeps it.
_TAG_LENGTH = 100
_log = logging.getLogger(__name__)


class _Readers(dict[str, Callable[[str], Event | Irrelevant | None]]):
    """By daemon: what reads its texts."""

    def __missing__(self, daemon: str) -> Callable[[str], Event | Irrelevant | None]:
        self[daemon] = grammar.reader(daemon)
        return self[daemon]


_READERS = _Readers()
Identify = Callable[[str, str, int], Process | None]


class Source(Protocol):
    """Where lines come from: `tail`, `journald`, `imported_file`."""

    # Not where something is in the way, such as a permission; what is not there yet is readable, and empty.
    is_readable: bool
    # What was there and cannot be read any more, in words; whoever has said so takes them out.
    losses: list[str]

    def read(self) -> Chunk | None:
        """The next lines; None if there are none now."""

    def unread_octets(self) -> int:
        """How much there is still to read, about."""

    def close(self) -> None:
        """Let go of it; the position stays."""


class Lines(Protocol):
    """Takes the lines of one log apart: `syslog_line.LineReader`, `journald.JournalLineReader`."""

    newest: dt.datetime | None
    # No line is from much later than this: when the file was written to.
    latest: dt.datetime

    def read(self, line: str) -> tuple[dt.datetime, Process | None, str] | None:
        """The moment, whose line it is (None: of a program that says nothing to us), and what it says."""


@dataclasses.dataclass
class Log:
    """A mail log that is to be read; ``lines_of``: makes what takes its lines apart, once the first chunk is there."""

    name: str
    open: Callable[[Position | None], Source]
    lines_of: Callable[[Identify, dt.datetime | None, Chunk], Lines]


@dataclasses.dataclass
class Journal:
    """A journal of ours that is to be read."""

    name: str
    open: Callable[[Position | None], Source]


@dataclasses.dataclass
class _Opened:
    origin: Log | Journal
    source: Source
    lines_read: int
    last_line_at: dt.datetime | None
    lines: Lines | None = None


class Reader:
    """Reads some sources into batches. Journals should stand first: most often the message is then known before its
    delivery lines come. Any order is right."""  # noqa: D205, D209 - one thought

    def __init__(self, origins: Sequence[Log | Journal], hosts: HostNames, store: Store) -> None:
        """The positions and open conversations come from the store."""
        self._hosts = hosts
        self._conversations = Conversations()
        store.load_conversations(self._conversations, self.identify)
        self._opened = []
        for origin in origins:
            stored = store.load_position(origin.name)
            source = origin.open(stored.position if stored else None)
            lines_read, last_line_at = (stored.lines_read, stored.last_line_at) if stored else (0, None)
            self._opened.append(_Opened(origin, source, lines_read, last_line_at))

    def identify(self, host: str, program: str, pid: int) -> Process | None:
        """The process of a line; None for a program that says nothing to us."""
        kept = program[:_TAG_LENGTH]  # whoever may write to the system log chooses the tag
        known = grammar.instance_and_daemon(kept)
        return Process(self._hosts.canonical(host), kept, pid, *known) if known is not None else None

    def read(self, now: dt.datetime) -> Batch | None:
        """The next lines of every source, understood; None if there are none."""
        batch = Batch(now, [])
        for opened in self._opened:
            chunk = opened.source.read()
            if chunk is not None:
                batch.portions.append(self._portion(opened, chunk))
        if not batch.portions:
            return None
        batch.grown, batch.states = self._conversations.finish_batch(now)
        return batch

    @property
    def source_names(self) -> tuple[str, ...]:
        """The sources as the record names them."""
        return tuple(opened.origin.name for opened in self._opened)

    @property
    def readable_names(self) -> tuple[str, ...]:
        """The sources that can be read: of the others nobody knows how much they have."""
        return tuple(opened.origin.name for opened in self._opened if opened.source.is_readable)

    @property
    def log_names(self) -> tuple[str, ...]:
        """Those of them that are mail logs."""
        return tuple(opened.origin.name for opened in self._opened if isinstance(opened.origin, Log))

    @property
    def open_conversations(self) -> int:
        """How many SMTP processes are in mid-conversation."""
        return len(self._conversations)

    def lag(self) -> dict[str, tuple[dt.datetime | None, int]]:
        """By source: the moment of the last line read, and how many octets are unread, about."""
        return {opened.origin.name: (opened.last_line_at, opened.source.unread_octets()) for opened in self._opened}

    def unread_octets(self) -> int:
        """How much there is still to read, about."""
        return sum(opened.source.unread_octets() for opened in self._opened)

    def close(self) -> None:
        """Close the sources."""
        for opened in self._opened:
            opened.source.close()

    def _portion(self, opened: _Opened, chunk: Chunk) -> Portion:
        portion = Portion(opened.origin.name, chunk, chunk.texts, opened.lines_read)
        before = opened.last_line_at
        if isinstance(opened.origin, Journal):
            self._take_journal(portion)
        else:
            if opened.lines is None:
                opened.lines = opened.origin.lines_of(self.identify, opened.last_line_at, chunk)
            opened.lines.latest = chunk.modified_at
            self._take_log(opened.lines, portion)
            opened.last_line_at = opened.lines.newest
        self._take_losses(opened.source, portion, before)
        portion.last_line_at = opened.last_line_at
        opened.lines_read += len(portion.lines)
        return portion

    def _take_log(self, of_log: Lines, portion: Portion) -> None:
        # The loop that a large log goes through a million times: local names, and no call that is not needed.
        read, readers, handlers = of_log.read, _READERS, transcript.HANDLERS
        conversations, facts, unknown = self._conversations, portion.facts, portion.unknown
        irrelevant = others = formless = 0
        at = of_log.newest
        for number, line in enumerate(portion.lines):
            process, text = None, ""
            try:
                found = read(line)
                if found is None:
                    formless += 1
                    continue
                before = at
                at, process, text = found
                if process is None:
                    others += 1
                    continue
                event = readers[process.daemon](text)
                if event is IRRELEVANT:
                    irrelevant += 1
                elif (handler := handlers.get(type(event))) is not None:
                    handler(conversations, number, at, process, event, facts)
                elif event is None:
                    unknown.append(_unknown(number, process, line, text))
                elif type(event) is LinesLost:
                    key = zlib.crc32(line.encode())
                    portion.gaps.append(Gap(number, process.host, before, at, event.lines, event.text, key))
                else:
                    facts.append((number, at, process, event, None))
            except Exception as error:  # noqa: BLE001 - a bug of ours must not stop the record: the line is kept
                _log_failure(portion, number, error)
                unknown.append(Unknown(number, None) if process is None else _unknown(number, process, line, text))
        portion.irrelevant, portion.others, portion.formless = irrelevant, others, formless

    def _take_losses(self, source: Source, portion: Portion, before: dt.datetime | None) -> None:
        """What the source itself has lost is a gap before the lines that it gives now."""
        first = portion.facts[0][1] if portion.facts else None
        for text in source.losses:
            ends_at = first or before or portion.chunk.modified_at
            key = zlib.crc32(f"{portion.source} {portion.chunk.offset} {text}".encode())
            portion.gaps.append(Gap(0, self._hosts.own_name, before, ends_at, None, text, key))
        source.losses.clear()

    def _take_journal(self, portion: Portion) -> None:
        for number, line in enumerate(portion.lines):
            if not line:  # what a full disk leaves behind (sendproof_core.journal)
                continue
            try:
                record: Any = journal_line.parse(portion.raw(number))
            except Exception as error:  # noqa: BLE001 - as above
                _log_failure(portion, number, error)
                record = None
            if record is None:
                portion.unknown.append(Unknown(number, None))
                continue
            if hasattr(record, "host"):
                record = dataclasses.replace(record, host=self._hosts.canonical(record.host))
            portion.notes.append((number, record))


def _unknown(number: int, process: Process, line: str, text: str) -> Unknown:
    """Of a verbose line only the beginning is kept: it can hold secrets."""
    if grammar.may_be_kept(text):
        return Unknown(number, process.daemon)
    # In the system journal's JSON it does not stand at the end.
    shown = f"{line.removesuffix(text) if line.endswith(text) else ''}[hidden]"
    return Unknown(number, process.daemon, shown)


def _log_failure(portion: Portion, number: int, error: Exception) -> None:
    where = traceback.extract_tb(error.__traceback__)[-1]  # not the message: it may quote the line
    offset = portion.offset_of(number)
    _log.error(
        "event=line-failed source=%s offset=%d error=%s at=%s", portion.source, offset, type(error).__name__, where
    )
