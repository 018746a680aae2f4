"""Append to a journal: JSON lines, one per event, on disk before the reply that they speak of.

Many processes append to one file: each ``write`` is of whole lines, to a descriptor opened with O_APPEND. Threads of
one process that append at the same time share a ``write`` and the wait for the disk. A file that was renamed by
logrotate is noticed before each write, so nobody has to be told. This module only writes; the logparser reads.
"""

import os
import threading
from collections.abc import Sequence
from pathlib import Path

from sendproof_core.errors import UserError
from sendproof_core.group_commit import GroupCommit

# Far longer than any disk that works takes for the lines before.
_WAIT_SECONDS = 60.0


class Journal:
    """One journal file, opened at the first line and again after a rotation."""

    def __init__(self, path: Path, *, synchronous: bool) -> None:
        """``synchronous``: `append` returns only when the line is on disk."""
        self._path = path
        self._synchronous = synchronous
        self._descriptor = -1
        self._inode = -1
        self._lock = threading.Lock()
        self._appending = GroupCommit(self._append_together)

    def append(self, line: bytes) -> None:
        """Write one line (without its newline).

        Raises:
            OSError: the disk is full, gone or far too slow; nothing may be answered that relies on the line.
        """
        if b"\n" in line:
            raise ValueError("a journal line holds no newline")
        self._appending.submit(line + b"\n", _WAIT_SECONDS)

    def close(self) -> None:
        """Close the file; the next `append` opens it again."""
        with self._lock:
            self._close()

    def _append_together(self, lines: Sequence[bytes]) -> list[OSError | None]:
        with self._lock:  # else `close` takes the descriptor away, and another file may have its number
            descriptor = self._current()
            mended = b"\n" if self._ends_torn(descriptor) else b""
            data = b"".join((mended, *lines))
            written = os.write(descriptor, data)
            if self._synchronous:
                os.fdatasync(descriptor)
        if written == len(data):
            return [None] * len(lines)
        outcomes: list[OSError | None] = []
        end = len(mended)
        for line in lines:
            end += len(line)
            fits = end <= written
            outcomes.append(None if fits else OSError(f"only {written} of {len(data)} octets fit in {self._path}"))
        return outcomes

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @staticmethod
    def _ends_torn(descriptor: int) -> bool:
        """Whether a full disk cut the last line off: it must not swallow the next one.

        Another process in the middle of its line looks alike, and gives an empty line; the reader ignores those.
        """
        size = os.fstat(descriptor).st_size
        return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"

    def _current(self) -> int:
        if self._descriptor >= 0:
            try:
                if os.stat(self._path).st_ino == self._inode:  # noqa: PTH116 - hot path
                    return self._descriptor
            except FileNotFoundError:
                pass
            self._close()
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._inode = os.fstat(self._descriptor).st_ino
        return self._descriptor


def check_folder(path: Path) -> None:
    """Raise UserError unless a journal at ``path`` could be written."""
    if not path.name or path.is_dir():
        raise UserError(f"the journal {path} must be a file; name one in a folder of its own.")
    if not path.parent.is_dir():
        raise UserError(f"the journal's folder {path.parent} does not exist; make it first.")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"the journal's folder {path.parent} is not writable for this user; change its owner.")
