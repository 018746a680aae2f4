"""Reads a log that is read once: a file that does not grow, plain or gzip, or standard input. Follows nothing.

Knows nothing of what the lines mean. Whether it is gzip, the first octets say, not the name.
"""

import datetime as dt
import io
import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from sendproof_core import clock
from sendproof_core.errors import UserError
from sendproof_logparser.chunk import LINE_OCTETS, Chunk, end_of_lines
from sendproof_logparser.compressed import GzipText
from sendproof_logparser.position import Position, fingerprint_of

CHUNK_OCTETS = 4 * LINE_OCTETS
# Several hundred lines: somewhere there, the year and the zone can be learned.
HEAD_OCTETS = 1 << 16
_FINGERPRINT_OCTETS = 4096
_GZIP_MAGIC = b"\x1f\x8b"
# A daemon that logs to the file just now completes its line in less time.
_HALF_LINE_SECONDS = 0.2


class _ReadOnce:
    """What files and standard input have in common."""

    is_readable = True
    # Where the log is broken and why, once it was read up to there.
    damage: str | None = None
    # On disk, compressed or not; None: not known.
    total_octets: int | None = None

    def __init__(self, inode: int) -> None:
        # What is damaged is said by `damage`.
        self.losses: list[str] = []
        self._inode = inode
        self._offset = 0
        self._head = b""
        # Read, but not given yet.
        self._text = b""

    def read(self) -> Chunk | None:
        """The next lines, `CHUNK_OCTETS` at most; None at the end."""
        is_at_end = False
        while not (ends := end_of_lines(self._text, also_incomplete=is_at_end and self.damage is None))[1]:
            if is_at_end:
                return None
            more = self._more(CHUNK_OCTETS - len(self._text))
            is_at_end = not more
            self._text += more
            if self._offset == 0:
                self._head = self._text[:HEAD_OCTETS]
        end, octets = ends
        chunk_offset = self._offset
        self._offset += octets
        head = self._head[: min(self._offset, _FINGERPRINT_OCTETS)]
        position = Position(fingerprint_of(head), len(head), self._inode, self._offset)
        data, self._text = self._text[:end], self._text[octets:]
        return Chunk(data, chunk_offset, position, self._head, self._modified_at())

    @property
    def done_octets(self) -> int:
        """How much of `total_octets` was read, about."""
        return self._offset

    def unread_octets(self) -> int:
        """How much is left of `total_octets`, about; 0 if that is not known."""
        return max(0, (self.total_octets or 0) - self.done_octets)

    def close(self) -> None:
        """Let go of it."""

    def _more(self, octets: int) -> bytes:
        """Up to so many octets of text; none at the end."""
        raise NotImplementedError

    def _modified_at(self) -> dt.datetime:
        raise NotImplementedError


class ImportedFile(_ReadOnce):
    """The lines of one file."""

    def __init__(self, path: Path, position: Position | None) -> None:
        """Begin at ``position``, if that is one in this file; else at the beginning.

        Raises UserError for what is no regular file, or cannot be read.
        """
        try:
            # Without O_NONBLOCK, a pipe without a writer would be waited for.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}.") from None
        except ValueError:  # NUL in the name
            raise UserError(f"{str(path)!r} is no name of a file.") from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise UserError(f"{path} cannot be read: it is no regular file.")
        self._file = os.fdopen(descriptor, "rb", buffering=0)
        super().__init__(status.st_ino)
        self._path = path
        self.total_octets = status.st_size
        try:
            self._gzip = GzipText(self._file) if self._pread(len(_GZIP_MAGIC), 0) == _GZIP_MAGIC else None
            self._head = self._read_at(0, HEAD_OCTETS)
        except OSError as error:
            self._file.close()
            raise UserError(f"{path} cannot be read: {error.strerror}.") from None
        if position is not None and self._names_this(position):
            self._offset = position.offset

    @property
    def done_octets(self) -> int:
        """How much of `total_octets` was read, about; of a compressed file, compressed octets."""
        return min(self._gzip.compressed_octets if self._gzip is not None else self._offset, self.total_octets or 0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _names_this(self, position: Position) -> bool:
        head = self._head[: position.fingerprint_octets]
        return len(head) == position.fingerprint_octets and fingerprint_of(head) == position.fingerprint

    def _more(self, octets: int) -> bytes:
        place = self._offset + len(self._text)
        try:
            text = self._read_at(place, octets)
            if not text and self._text and self._gzip is None:
                time.sleep(_HALF_LINE_SECONDS)
                text = self._read_at(place, octets)
        except OSError as error:
            self.damage = f"{error.strerror}, after {place} octets"
            return b""
        self.damage = self._gzip.damage if self._gzip is not None else None
        return text

    def _read_at(self, offset: int, octets: int) -> bytes:
        if self._gzip is None:
            return self._pread(octets, offset)
        self._gzip.go_to(offset)
        return self._gzip.read(octets)

    def _pread(self, octets: int, offset: int) -> bytes:
        return os.pread(self._file.fileno(), octets, offset)

    def _modified_at(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(os.fstat(self._file.fileno()).st_mtime, dt.UTC)


class StandardInput(_ReadOnce):
    """The lines of standard input, as they come."""

    def __init__(self, file: BinaryIO | None = None) -> None:
        """``file``: another one to read instead."""
        super().__init__(inode=0)
        self._stream = _Stream(file if file is not None else sys.stdin.buffer)
        self._gzip: GzipText | None = None

    def _more(self, octets: int) -> bytes:
        try:
            if self._stream.begins_with(_GZIP_MAGIC):
                self._gzip = GzipText(self._stream)
            text = self._gzip.read(octets) if self._gzip is not None else self._stream.read(octets)
        except OSError as error:
            self.damage = f"{error.strerror}, after {self._offset + len(self._text)} octets"
            return b""
        self.damage = self._gzip.damage if self._gzip is not None else None
        return text

    def _modified_at(self) -> dt.datetime:
        return clock.now()


class _Stream:
    """Gives what is there, without waiting for more."""

    def __init__(self, file: BinaryIO) -> None:
        self._read: Callable[[int], bytes] = getattr(file, "read1", file.read)
        self._beginning = b""
        self._is_begun = False

    def begins_with(self, octets: bytes) -> bool:
        """Whether it does, as long as nothing was read."""
        if self._is_begun:
            return False
        while len(self._beginning) < len(octets) and (more := self._read(CHUNK_OCTETS)):
            self._beginning += more
        return self._beginning.startswith(octets)

    def read(self, octets: int) -> bytes:
        """Up to so many octets, or what was read to know the beginning; none at the end."""
        self._is_begun = True
        text, self._beginning = self._beginning, b""
        return text or self._read(octets)

    def seek(self, offset: int) -> int:
        """It only goes forward."""
        raise io.UnsupportedOperation(f"seek to {offset}")
