"""Reads a growing file line by line across rotations, and says how far it came. Knows nothing of what the lines mean.

The truth is `stat`, the file's first octets and the offset; notifications (`Wakeup`) only end a wait early. A position
names its file by a hash of its beginning, not by its inode: inodes are reused, and gzip makes a new one.

Handled: rename, also several times and while nobody read; gzip; truncation and truncation followed by regrowth; a file
that is not there yet; half lines at the end. Not handled: what was written and truncated away between two readings and
is in no sibling ``NAME.*`` or ``NAME-*`` either.
"""

import contextlib
import gzip
import logging
import os
import queue
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from sendproof_core.clock import monotonic_seconds
from sendproof_core.errors import UserError
from sendproof_logparser.position import Position, fingerprint_of

# A longer line is read in pieces of this size. It is also how much is read at a time, so about 5,000 lines.
LINE_OCTETS = 1 << 20
FINGERPRINT_OCTETS = 4096
# What stands before the damage in a gzip file is read up to a piece of this size.
_GZIP_PIECE = 8192
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chunk:
    """Complete lines that follow each other in one file, without their newlines, and where that ends.

    ``head``: the first octets of the file that they are from.
    """

    lines: list[bytes]
    offset: int
    position: Position
    head: bytes


class _OpenFile:
    """One file, plain or gzip; still readable after it was renamed or deleted."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self.path = path
        self._raw = path.open("rb", buffering=0)
        self._gzip = gzip.GzipFile(fileobj=self._raw) if path.name.endswith(".gz") else None
        self._is_damaged = False
        self._head = b""

    def read_at(self, offset: int, octets: int) -> bytes:
        """Up to so many octets; fewer only at the end (of what can be read, in a damaged gzip)."""
        if self._gzip is None:
            return os.pread(self._raw.fileno(), octets, offset)
        text = b""
        try:
            self._gzip.seek(offset)
            while len(text) < octets and (piece := self._gzip.read(min(_GZIP_PIECE, octets - len(text)))):
                text += piece
        except (EOFError, OSError, zlib.error) as error:
            if not self._is_damaged:
                _log.warning("event=damaged-gzip path=%s offset=%d error=%s", self.path, offset + len(text), error)
            self._is_damaged = True
        return text

    def head(self, octets: int) -> bytes:
        """The first octets. A compressed file does not change, so they are read once."""
        if self._gzip is None:
            return self.read_at(0, octets)
        self._head = self._head or self.read_at(0, FINGERPRINT_OCTETS)
        return self._head[:octets]

    def status(self) -> os.stat_result:
        """Inode, size and times, now."""
        return os.fstat(self._raw.fileno())

    def is_at(self, path: Path) -> bool:
        """Whether the path still names this file."""
        try:
            return path.stat().st_ino == self.status().st_ino
        except OSError:
            return False

    def matches(self, position: Position) -> bool:
        """Whether the file begins as the one that the position is in, and is long enough."""
        head = self.head(position.fingerprint_octets)
        if len(head) < position.fingerprint_octets or fingerprint_of(head) != position.fingerprint:
            return False
        return self._gzip is not None or self.status().st_size >= position.offset

    def is_the_same_as(self, other: "_OpenFile") -> bool:
        """Whether one is a copy of the other, as far as the shorter goes."""
        heads = (self.head(FINGERPRINT_OCTETS), other.head(FINGERPRINT_OCTETS))
        octets = min(map(len, heads))
        return octets > 0 and heads[0][:octets] == heads[1][:octets]

    def close(self) -> None:
        if self._gzip is not None:
            self._gzip.close()
        self._raw.close()


class Tail:
    """The lines of one path and of the files that had its name before."""

    def __init__(self, path: Path, position: Position | None, *, grace_seconds: float) -> None:
        """Begin at ``position``; None: at the beginning of the file that is there (or will be).

        ``grace_seconds``: how long a renamed file is read on after another has its name, because a writer may not have
        noticed yet.
        """
        self.path = path
        self._grace_seconds = grace_seconds
        self._file: _OpenFile | None = None
        self._position = position
        self._left_since: float | None = None

    def read(self) -> Chunk | None:
        """The next lines, about `LINE_OCTETS` at most; None if there are none now."""
        while True:
            file = self._file = self._file or self._find()
            if file is None:
                return None
            is_current = file.is_at(self.path)
            if is_current and self._position is not None and not file.matches(self._position):
                _log.info("event=truncated path=%s", self.path)
                self.close()
                continue
            chunk = self._next_lines(file)
            if chunk is not None or is_current or not self._is_left(file):
                return chunk
            # A writer that died left half a line; nobody will complete it now.
            chunk = self._next_lines(file, also_incomplete=True)
            if chunk is not None:
                return chunk
            self._turn_to_next(file)

    def unread_octets(self) -> int:
        """Of the file being read, about; 0 if there is none."""
        return max(0, self._file.status().st_size - self._offset) if self._file is not None else 0

    def close(self) -> None:
        """Close the file; the position stays where it is."""
        if self._file is not None:
            self._file.close()
        self._file = None
        self._left_since = None

    @property
    def _offset(self) -> int:
        return self._position.offset if self._position is not None else 0

    def _find(self) -> _OpenFile | None:
        """The file that the position is in: the path itself, or else a sibling."""
        current = _opened(self.path)
        if self._position is None or (current is not None and current.matches(self._position)):
            return current
        for path in _siblings(self.path):
            sibling = _opened(path)
            if sibling is not None and sibling.matches(self._position):
                if current is not None:
                    current.close()
                return sibling
            if sibling is not None:
                sibling.close()
        if current is not None:
            _log.warning("event=file-lost path=%s offset=%d", self.path, self._position.offset)
            self._position = None
        return current

    def _next_lines(self, file: _OpenFile, *, also_incomplete: bool = False) -> Chunk | None:
        begin = self._offset
        data = file.read_at(begin, LINE_OCTETS)
        end = data.rfind(b"\n") + 1
        if end == 0 and (len(data) == LINE_OCTETS or (also_incomplete and data)):
            lines, octets = [data], len(data)
        elif end:
            lines, octets = data[: end - 1].split(b"\n"), end
        else:
            return None
        head = file.head(min(FINGERPRINT_OCTETS, begin + octets))
        self._position = Position(fingerprint_of(head), len(head), file.status().st_ino, begin + octets)
        self._left_since = None
        return Chunk(lines, begin, self._position, head)

    def _is_left(self, file: _OpenFile) -> bool:
        """Whether the writers have gone on to another file, and had time to notice."""
        following = _following(self.path, file)
        if following is None:
            return False
        has_lines = following.status().st_size > 0
        following.close()
        if not has_lines:
            return False
        now = monotonic_seconds()
        self._left_since = now if self._left_since is None else self._left_since
        return now - self._left_since >= self._grace_seconds

    def _turn_to_next(self, file: _OpenFile) -> None:
        following = _following(self.path, file)
        if following is None:
            return
        _log.info("event=next-file path=%s", following.path)
        self.close()
        self._file = following
        self._position = None


class Wakeup:
    """Ends a wait when something changes in the folders of the files, or when the program is to stop.

    Events are hints: they may be late or missing.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        """Raises UserError for a folder that does not exist or cannot be watched."""
        # Unlike an Event's, this `put` may be called by a signal handler that interrupts `get` (its documentation).
        self._events: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.stopping = False
        self._observer = Observer()
        watcher = _Watcher(self._events)
        for folder in sorted({path.absolute().parent for path in paths}):
            try:
                self._observer.schedule(watcher, str(folder), recursive=False)
            except OSError as error:
                raise UserError(f"the folder {folder} cannot be watched ({error.strerror}); make it first.") from None
        try:
            self._observer.start()
        except OSError as error:
            raise UserError(f"the folders of the logs cannot be watched: {error.strerror}; make them first.") from None

    def wait(self, seconds: float) -> None:
        """Return when something may have changed, or `stop` was called, or after so many seconds."""
        if self.stopping:
            return
        with contextlib.suppress(queue.Empty):
            self._events.get(timeout=seconds)

    def pause(self, seconds: float) -> None:
        """Return after so many seconds; earlier only if `stop` was called."""
        ends = monotonic_seconds() + seconds
        while not self.stopping and (left := ends - monotonic_seconds()) > 0:
            self.wait(left)

    def stop(self) -> None:
        """Ask the program to stop; for signal handlers."""
        self.stopping = True
        self._events.put(None)

    def close(self) -> None:
        """Stop watching."""
        self._observer.stop()
        self._observer.join()


class _Watcher(FileSystemEventHandler):
    def __init__(self, events: "queue.SimpleQueue[None]") -> None:
        self._events = events

    def on_any_event(self, event: FileSystemEvent) -> None:
        # Our own reading must not wake us, and one hint is enough.
        if event.event_type not in {"opened", "closed_no_write"} and self._events.empty():
            self._events.put(None)


def _opened(path: Path) -> _OpenFile | None:
    try:
        return _OpenFile(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.warning("event=cannot-open path=%s error=%s", path, error.strerror)
        return None


def _siblings(path: Path) -> list[Path]:
    """The files that may have had this name before: oldest first; of two of one age, the plain one."""
    found = []
    for candidate in (*path.parent.glob(f"{path.name}.*"), *path.parent.glob(f"{path.name}-*")):
        try:
            found.append((candidate.stat().st_mtime_ns, candidate.name.endswith(".gz"), candidate))
        except OSError:  # deleted since
            continue
    return [candidate for _, _, candidate in sorted(found) if candidate.is_file()]


def _following(path: Path, file: _OpenFile) -> _OpenFile | None:
    """The file to read after one that lost its name: the oldest sibling that was written to later, else the path's.

    Copies of either do not count.
    """
    current = _opened(path)  # None right after a rotation: Postfix makes the file with its next line
    written = file.status().st_mtime_ns
    for sibling_path in _siblings(path):
        sibling = _opened(sibling_path)
        if sibling is None:
            continue
        is_later = sibling.status().st_mtime_ns > written and bool(sibling.head(1))
        is_copy = sibling.is_the_same_as(file) or (current is not None and sibling.is_the_same_as(current))
        if is_later and not is_copy:
            if current is not None:
                current.close()
            return sibling
        sibling.close()
    return current
