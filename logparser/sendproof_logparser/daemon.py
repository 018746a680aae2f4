"""The loop: read what is there, advance, store, wait. Decides nothing about mail.

One round is one transaction over all sources. A batch is worked out once and stored until it is stored: a database that
is locked, full or away makes the reader wait with growing pauses, while the logs wait on disk.
"""

import dataclasses
import datetime as dt
import logging
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sendproof_core.clock import Clock
from sendproof_core.errors import UserError
from sendproof_core.identity import QueueFileKey
from sendproof_core.journal_records import Opened, Withdrawn
from sendproof_logparser import grammar, journal_line, syslog_line, transcript
from sendproof_logparser.grammar import IRRELEVANT, Disposition
from sendproof_logparser.host_names import HostNames
from sendproof_logparser.settings import LogparserSettings
from sendproof_logparser.store import Batch, DatabaseAway, Line, SourceProgress, Store
from sendproof_logparser.syslog_line import SyslogLine
from sendproof_logparser.tail import Chunk, Tail, Wakeup
from sendproof_logparser.transcript import Change, Conversations, QueueFileDisposed

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_SWEEP_EVERY = dt.timedelta(hours=1)
# How often the record says that everything was read: charges without a message are taken back on its word.
_MARK_EVERY = dt.timedelta(seconds=10)
_MACHINES_ZONE = Path("/etc/localtime")
_log = logging.getLogger(__name__)

# What one line is: changes (perhaps none), or None if no rule knows it.
Understood = Sequence[Change] | None


class _Understand(Protocol):
    """How the lines of one kind of source are understood."""

    def __call__(self, raw: bytes, newest: dt.datetime) -> Understood: ...


@dataclasses.dataclass
class _Source:
    """One file that is read, and how."""

    name: str
    tail: Tail
    understand: _Understand
    lines_read: int


class Reader:
    """Reads the sources of one machine into the record."""

    def __init__(self, settings: LogparserSettings, host: str, store: Store, *, grace_seconds: float) -> None:
        """``grace_seconds``: see `Tail`. The positions and open conversations come from the store."""
        self._store = store
        self._zone = _zone(settings.time_zone)
        self._hosts = HostNames(host, settings.host_labels)
        self._conversations = Conversations()
        for process, state in store.load_conversations().items():
            self._conversations.restore(process, state)
        # Journals first: most often the message is then known before its delivery lines come. Any order is right.
        self._sources = [
            *(self._source(host, path, self._understand_journal, grace_seconds) for path in settings.journals),
            *(self._source(host, path, self._understand_log, grace_seconds) for path in settings.maillogs),
        ]

    def read(self, now: dt.datetime) -> Batch | None:
        """The next lines of every source, understood; None if there are none."""
        batch = Batch(now, [])
        for source in self._sources:
            chunk = source.tail.read()
            if chunk is None:
                continue
            self._take(source, chunk, batch)
            progress = SourceProgress(source.name, chunk.position, source.lines_read, len(chunk.lines))
            source.lines_read += len(chunk.lines)
            batch.progress.append(progress)
        if not batch.progress:
            return None
        closing, conversations = self._conversations.finish_batch()
        return dataclasses.replace(batch, closing_changes=closing, conversations=conversations)

    @property
    def source_names(self) -> tuple[str, ...]:
        """The sources as the record names them."""
        return tuple(source.name for source in self._sources)

    def unread_octets(self) -> int:
        """How much there is still to read, about."""
        return sum(source.tail.unread_octets() for source in self._sources)

    def close(self) -> None:
        """Close the files."""
        for source in self._sources:
            source.tail.close()

    def _source(self, host: str, path: Path, understand: _Understand, grace_seconds: float) -> _Source:
        name = f"{host}:{path.absolute()}"
        stored = self._store.load_position(name)
        tail = Tail(path, stored.position if stored else None, grace_seconds=grace_seconds)
        return _Source(name, tail, understand, stored.lines_read if stored else 0)

    def _take(self, source: _Source, chunk: Chunk, batch: Batch) -> None:
        newest = syslog_line.newest_time(chunk.head.decode("utf-8", "replace"), batch.now)
        offset = chunk.offset
        for raw in chunk.lines:
            try:
                understood = source.understand(raw, newest)
            except Exception as error:  # noqa: BLE001 - a bug of ours must not stop the record: the line is kept and shown
                where = traceback.extract_tb(error.__traceback__)[-1]  # not the message: it may quote the line
                kind = type(error).__name__
                _log.error("event=line-failed source=%s offset=%d error=%s at=%s", source.name, offset, kind, where)
                understood = None
            if understood is None:
                batch.lines.append(Line(source.name, offset, raw, is_unknown=True))
            elif understood:
                batch.lines.append(Line(source.name, offset, raw, understood))
            offset += len(raw) + 1

    def _understand_log(self, raw: bytes, newest: dt.datetime) -> Understood:
        line = syslog_line.parse(raw.replace(b"\0", b"").decode("utf-8", "replace"), self._zone, newest)
        known = grammar.instance_and_daemon(line.program) if line is not None else None
        if line is None or known is None:
            return ()  # another program's line
        event = grammar.parse(known[1], line.text)
        if event is IRRELEVANT:
            return ()
        if event is None:
            return None
        line = SyslogLine(line.at, self._hosts.canonical(line.host), line.program, line.pid, line.text)
        return transcript.advance(self._conversations, line, event)

    def _understand_journal(self, raw: bytes, newest: dt.datetime) -> Understood:  # noqa: ARG002 - as for logs
        if not raw:  # what a full disk leaves behind (sendproof_core.journal)
            return ()
        record = journal_line.parse(raw)
        if record is None:
            return None
        if isinstance(record, Opened):
            return (record,)
        host = self._hosts.canonical(record.host)
        if isinstance(record, Withdrawn):
            return (QueueFileDisposed(QueueFileKey(host, "", record.queue_id), record.at, Disposition.REJECTED),)
        return (dataclasses.replace(record, host=host),)


@dataclasses.dataclass(frozen=True)
class Daemon:
    """Reads until it is told to stop."""

    reader: Reader
    store: Store
    clock: Clock
    poll_seconds: float
    queue_lifetime_seconds: int
    wakeup: Wakeup

    def run(self) -> None:
        """Follow the files until the wake-up says stop."""
        _log.info("event=started unread_octets=%d", self.reader.unread_octets())
        swept_at: dt.datetime | None = None
        marked_at: dt.datetime | None = None
        while not self.wakeup.stopping:
            now = self.clock()
            if self.read_once():
                continue
            if marked_at is None or now - marked_at >= _MARK_EVERY:
                marked_at = now
                self._mark_read_up_to(now)
            if swept_at is None or now - swept_at >= _SWEEP_EVERY:
                swept_at = now
                self._until_database_is_there(self._sweep)
            self.wakeup.wait(self.poll_seconds)
        _log.info("event=stopped")

    def read_all(self) -> None:
        """Read until nothing is left, or the wake-up says stop."""
        while not self.wakeup.stopping and self.read_once():
            pass

    def read_once(self) -> bool:
        """Read and store one batch; whether there was anything."""
        batch = self.reader.read(self.clock())
        if batch is None:
            return False
        self._until_database_is_there(lambda: self.store.write(batch))
        return True

    def _mark_read_up_to(self, at: dt.datetime) -> None:
        names = self.reader.source_names
        self._until_database_is_there(lambda: self.store.mark_read_up_to(names, at))

    def _sweep(self) -> None:
        marked = self.store.mark_silent_as_unknown(self.clock(), self.queue_lifetime_seconds)
        if marked:
            _log.warning("event=silent-recipients marked=unknown count=%d", marked)

    def _until_database_is_there(self, write: Callable[[], None]) -> None:
        """Carry ``write`` out; without success only when we are told to stop, and then nothing of it is stored."""
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return write()
            except DatabaseAway as error:
                unread = self.reader.unread_octets()
                _log.warning("event=database-away pause=%.1f unread_octets=%d error=%s", pause_seconds, unread, error)
            self.wakeup.pause(pause_seconds)
            if self.wakeup.stopping:
                return None
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)


def _zone(name: str) -> dt.tzinfo:
    if not name:
        try:
            with _MACHINES_ZONE.open("rb") as file:
                return ZoneInfo.from_file(file)
        except (OSError, ValueError):
            return dt.UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UserError(
            f"[logparser] time_zone names no time zone: {name!r}; it is one such as Europe/Berlin."
        ) from None
