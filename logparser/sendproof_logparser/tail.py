"""Reads a growing file line by line across rotations, and says how far it came. Knows nothing of what the lines mean.

The truth is `stat`, the file's first octets and the offset; notifications (`Wakeup`) only end a wait early. A position
names its file by a hash of its beginning, not by its inode: inodes are reused, and gzip makes a new one.

Handled: rename, also several times and while nobody read; gzip; truncation and truncation followed by regrowth; a file
that is deleted and made anew, or not there yet; half lines at the end. Not handled: what was written and truncated
away between two readings and is in no sibling ``NAME.*`` or ``NAME-*`` either.
"""

import contextlib
import datetime as dt
import errno
import glob
import logging
import os
import queue
import stat
from collections.abc import Iterable
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from sendproof_core.clock import monotonic_seconds
from sendproof_core.errors import UserError
from sendproof_logparser.chunk import LINE_OCTETS, Chunk, end_of_lines
from sendproof_logparser.compressed import GzipText
from sendproof_logparser.position import Position, fingerprint_of

# How much is read at a time while catching up: about 30,000 lines.
CHUNK_OCTETS = 4 * LINE_OCTETS
FINGERPRINT_OCTETS = 4096
_log = logging.getLogger(__name__)


class _OpenFile:
    """One file, plain or gzip; still readable after it was renamed or deleted."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self.path = path
        # Without O_NONBLOCK, a pipe without a writer would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "it is no regular file")
        self._raw = open(descriptor, "rb", buffering=0)  # noqa: PTH123, SIM115 - a descriptor; `close` closes it
        self._gzip = GzipText(self._raw) if path.name.endswith(".gz") else None
        self._is_damage_said = False
        self._head = b""

    def read_at(self, offset: int, octets: int) -> bytes:
        """Up to so many octets; fewer only at the end (of what can be read, in a damaged gzip)."""
        if self._gzip is None:
            return os.pread(self._raw.fileno(), octets, offset)
        self._gzip.go_to(offset)
        text = self._gzip.read(octets)
        if self._gzip.damage is not None and not self._is_damage_said:
            _log.warning("event=damaged-gzip path=%s error=%s", self.path, self._gzip.damage)
            self._is_damage_said = True
        return text

    @property
    def damage(self) -> str | None:
        """Where a compressed file is broken, if that place was reached."""
        return self._gzip.damage if self._gzip is not None else None

    @property
    def is_damaged(self) -> bool:
        """Whether it breaks off in the middle: what stands there is no line."""
        return self._gzip is not None and self._gzip.damage is not None

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
            return os.path.samestat(path.stat(), self.status())
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

    def unread_octets(self, offset: int) -> int:
        """How much there is after ``offset``, in a compressed file of what is compressed."""
        done = self._gzip.compressed_octets if self._gzip is not None else offset
        return max(0, self.status().st_size - done)

    def close(self) -> None:
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
        self.is_readable = True
        # Whether there was more in the file when it was read last, if only half a line.
        self._has_unread = False
        # What was there and cannot be read any more, in words; whoever has said so takes them out.
        self.losses: list[str] = []

    def read(self) -> Chunk | None:
        """The next lines, `CHUNK_OCTETS` at most; None if there are none now."""
        while True:
            file = self._file = self._file or self._find()
            self.is_readable = file is not None or not _is_there(self.path)
            if file is None:
                return None
            is_current = file.is_at(self.path)
            if self._position is not None and not file.matches(self._position):
                self._turn_to_copy(file, self._position)
                continue
            chunk = self._next_lines(file)
            if chunk is not None or is_current or not self._is_left(file):
                return chunk
            # A writer that died left half a line; nobody will complete it now.
            chunk = self._next_lines(file, also_incomplete=not file.is_damaged)
            if chunk is not None:
                return chunk
            if file.damage is not None:
                self.losses.append(f"{file.path} is damaged: {file.damage}")
            self._turn_to_next(file)

    def unread_octets(self) -> int:
        """Of the file being read, about; 0 if there is none."""
        return self._file.unread_octets(self._offset) if self._file is not None else 0

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
        sibling = _sibling_of(self.path, self._position)
        if sibling is not None:
            if current is not None:
                current.close()
            return sibling
        if current is not None:
            self._lose(f"the file that was read up to octet {self._position.offset} is gone")
            self._position = None
        return current

    def _turn_to_copy(self, file: _OpenFile, position: Position) -> None:
        """After a truncation: read on in the copy that was made before; without one, at the file's new beginning."""
        copy = _sibling_of(self.path, position)
        if copy is not None:
            _log.info("event=truncated path=%s copy=%s", file.path, copy.path)
            self.close()
            self._file = copy
        else:
            if self._has_unread:
                self._lose(f"it was truncated after octet {position.offset} was read, and there is no copy")
            else:
                _log.info("event=truncated path=%s", file.path)
            self._position = None

    def _lose(self, what: str) -> None:
        _log.warning("event=lines-lost path=%s reason=%s", self.path, what)
        self.losses.append(f"{self.path}: {what}")

    def _next_lines(self, file: _OpenFile, *, also_incomplete: bool = False) -> Chunk | None:
        begin = self._offset
        data = file.read_at(begin, CHUNK_OCTETS)
        end, octets = end_of_lines(data, also_incomplete=also_incomplete)
        self._has_unread = len(data) > octets or len(data) == CHUNK_OCTETS
        if not octets:
            return None
        head_octets = min(FINGERPRINT_OCTETS, begin + octets)
        head = file.head(head_octets) if begin else data[:head_octets]
        if self._position is not None and not file.matches(self._position):
            return None  # truncated just now: what was read may be of the new lines
        status = file.status()
        self._position = Position(fingerprint_of(head), len(head), status.st_ino, begin + octets)
        self._left_since = None
        modified_at = dt.datetime.fromtimestamp(status.st_mtime, dt.UTC)
        return Chunk(data[:end], begin, self._position, head, modified_at)

    def _is_left(self, file: _OpenFile) -> bool:
        """Whether the writers have gone on to another file, and had time to notice."""
        following = _following(self.path, file)
        if following is None:
            return False
        # Without a line read in the file, there would be no position by which to find its copy after a truncation.
        has_lines = not following.is_at(self.path) or end_of_lines(
            following.read_at(0, LINE_OCTETS), also_incomplete=False
        ) != (0, 0)
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
        while True:
            # By its beginning it will be found again, should it be truncated before the first line of it is read.
            head = following.head(FINGERPRINT_OCTETS)
            again = _following(self.path, file)
            if again is None or os.path.samestat(again.status(), following.status()):
                break
            following.close()  # it was truncated before its beginning was read: what stood there is in another file
            following = again
        if again is not None:
            again.close()
        _log.info("event=next-file path=%s", following.path)
        self.close()
        self._file = following
        self._position = Position(fingerprint_of(head), len(head), following.status().st_ino, 0) if head else None


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


def _is_there(path: Path) -> bool:
    """Whether something has that name, or that cannot be told."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError:
        pass
    return True


# What is said once, until it is over.
_cannot_open: dict[Path, int | None] = {}


def _opened(path: Path) -> _OpenFile | None:
    try:
        file = _OpenFile(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        if _cannot_open.get(path) != error.errno:
            _log.warning("event=cannot-open path=%s error=%s", path, error.strerror)
        _cannot_open[path] = error.errno
        return None
    _cannot_open.pop(path, None)
    return file


def _siblings(path: Path) -> list[Path]:
    """The files that may have had this name before: oldest first; of two of one age, the plain one."""
    found = []
    name = glob.escape(path.name)
    for candidate in (*path.parent.glob(f"{name}.*"), *path.parent.glob(f"{name}-*")):
        try:
            found.append((candidate.stat().st_mtime_ns, candidate.name.endswith(".gz"), candidate))
        except OSError:  # deleted since
            continue
    return [candidate for _, _, candidate in sorted(found) if candidate.is_file()]


def _sibling_of(path: Path, position: Position) -> _OpenFile | None:
    """The file that the position is in, of those that may have had the name before."""
    for candidate in _siblings(path):
        sibling = _opened(candidate)
        if sibling is None:
            continue
        if sibling.matches(position):
            return sibling
        sibling.close()
    return None


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
