"""A log file that grows fast and is rotated in every way that is usual, and a logparser that is killed meanwhile.

Everything that was written also goes into an archive outside of the log's folder. Decides nothing about right or wrong.
"""

import enum
import io
import itertools
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import text

from sendproof_core.database import Database
from sendproof_testing import processes
from sendproof_testing.processes import Program

_LINES_PER_SECOND = 5_000
_LARGEST_BURST = 1_500
# Between two rotations: files whose last lines are of the same moment have no order.
_BETWEEN_ROTATIONS_SECONDS = 0.02
_KEPT = 4
_PATIENCE_SECONDS = 60.0


class Rotation(enum.Enum):
    """How a log file is put aside."""

    # logrotate: mail.log.1, the older ones one up; the writer is told a moment after the new file is there
    RENAME = enum.auto()
    # the same, and gzip at once
    RENAME_AND_GZIP = enum.auto()
    # `postfix logrotate`: mail.log.DATE-TIME, gzip; the new file comes with its first line
    POSTFIX = enum.auto()
    # logrotate's copytruncate; the copy may be gzipped
    COPY_AND_TRUNCATE = enum.auto()
    COPY_TRUNCATE_AND_GZIP = enum.auto()


class Writer(threading.Thread):
    """Writes lines into a log file as fast as a busy Postfix, in bursts, until it is ended."""

    def __init__(self, log: Path, archive: Path, lines: Iterator[bytes], chance: random.Random) -> None:
        """``lines``: should not run out. ``archive``: gets all of them."""
        super().__init__(daemon=True)
        self._log = log
        self._lines = lines
        self._chance = chance
        self._archive: io.FileIO = archive.open("ab", buffering=0)
        self._file: io.FileIO = log.open("ab", buffering=0)
        self.lines_written = 0
        self._may_write = threading.Lock()
        self._ending = threading.Event()
        self._is_paused = False
        self._rotated_at = time.monotonic()
        self._numbers = itertools.count(1)
        self._next_rotations: list[Rotation] = []
        self.rotations: list[Rotation] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Write."""
        try:
            while not self._ending.is_set():
                with self._may_write:
                    written = 0 if self._ending.is_set() else self._write_some()
                time.sleep(written / _LINES_PER_SECOND * self._chance.uniform(0.5, 1.5))
        except BaseException as error:
            self.failure = error
            raise

    def end(self) -> None:
        """Stop for good."""
        self._ending.set()
        if self._is_paused:
            self.go_on()
        self.join()
        self._file.close()
        self._archive.close()

    def pause(self) -> None:
        """Write nothing until `go_on`; the last line is whole."""
        assert self.failure is None, self.failure
        self._may_write.acquire()
        self._is_paused = True

    def go_on(self) -> None:
        """Write again."""
        self._is_paused = False
        self._may_write.release()

    def rotate(self) -> None:
        """Put the log file aside, whoever reads it: in each way before any comes again."""
        if not self._next_rotations:
            self._next_rotations = self._chance.sample(list(Rotation), len(Rotation))
        how = self._next_rotations.pop()
        with self._may_write:
            time.sleep(max(0.0, self._rotated_at + _BETWEEN_ROTATIONS_SECONDS - time.monotonic()))
            while os.fstat(self._file.fileno()).st_size == 0:  # logrotate's notifempty
                self._write_some()
            self.rotations.append(how)
            match how:
                case Rotation.RENAME | Rotation.RENAME_AND_GZIP:
                    self._rename()
                case Rotation.POSTFIX:
                    self._rename_as_postfix_does()
                case Rotation.COPY_AND_TRUNCATE | Rotation.COPY_TRUNCATE_AND_GZIP:
                    self._copy_and_truncate()
            if how in {Rotation.RENAME_AND_GZIP, Rotation.COPY_TRUNCATE_AND_GZIP}:
                _gzip(self._numbered(1))
            self._rotated_at = time.monotonic()

    def delete_old(self) -> None:
        """Delete the older of the files that were put aside; they must have been read."""
        aside = sorted(self._log.parent.glob(f"{self._log.name}.*"), key=lambda path: path.stat().st_mtime_ns)
        for path in aside[:-_KEPT]:
            path.unlink()

    def _write_some(self) -> int:
        count = min(_LARGEST_BURST, 1 + int(self._chance.expovariate(1 / 200)))
        data = b"".join(line + b"\n" for line in itertools.islice(self._lines, count))
        # The reader sees half lines, too.
        cut = self._chance.randrange(len(data))
        _write(self._archive, data)
        _write(self._file, data[:cut])
        _write(self._file, data[cut:])
        self.lines_written += count
        return count

    def _rename(self) -> None:
        self._shift_numbers()
        self._log.rename(self._numbered(1))
        successor = self._log.open("ab", buffering=0)
        self._write_some()
        self._file.close()
        self._file = successor
        self._write_some()

    def _rename_as_postfix_does(self) -> None:
        aside = self._log.with_name(f"{self._log.name}.20260101-{next(self._numbers):06}")
        self._log.rename(aside)
        self._write_some()
        self._file.close()
        if self._chance.random() < 0.5:
            _gzip(aside)
        self._file = self._log.open("ab", buffering=0)
        self._write_some()
        if aside.exists():
            _gzip(aside)

    def _copy_and_truncate(self) -> None:
        self._shift_numbers()
        shutil.copyfile(self._log, self._numbered(1))
        os.ftruncate(self._file.fileno(), 0)
        self._write_some()

    def _numbered(self, number: int) -> Path:
        return self._log.with_name(f"{self._log.name}.{number}")

    def _shift_numbers(self) -> None:
        shape = re.compile(re.escape(self._log.name) + r"\.(\d{1,5})((?:\.gz)?)")
        found = [match for path in self._log.parent.iterdir() if (match := shape.fullmatch(path.name))]
        for match in sorted(found, key=lambda match: -int(match[1])):
            self._log.with_name(match[0]).rename(f"{self._numbered(int(match[1]) + 1)}{match[2]}")


class Reader:
    """The program `sendproof-logparser`, started and killed."""

    def __init__(self, config: Path, output: Path) -> None:
        self._command = [str(Path(sys.executable).parent / "sendproof-logparser"), "--config", str(config)]
        self._output = output
        self._program: Program | None = None

    def start(self) -> None:
        """Start it; does not wait."""
        self._program = processes.start("logparser", self._command, self._output)

    def run_once(self) -> None:
        """Let it read all that is there, to its end."""
        subprocess.run([*self._command, "--once"], check=True, capture_output=True)

    def kill(self) -> None:
        """Send SIGKILL, whatever it is doing."""
        if self._program:
            assert self._program.running, f"it ended by itself: {self._program.last_words()}"
            self._program.process.kill()
            self._program.process.wait()

    def end(self) -> None:
        """End it if it runs."""
        if self._program:
            self._program.end()

    def wait_until_reading(self, database: Database) -> None:
        """Return when it has read anything at all."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not _lines_read(database):
            assert time.monotonic() < deadline, f"nothing was read: {self._program}"
            time.sleep(0.02)

    def wait_until_read(self, database: Database, lines: int) -> None:
        """Return when its positions say that it read so many lines.

        Raises:
            AssertionError: they say less after a minute, or they say more.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (read := _lines_read(database)) != lines:
            words = self._program.last_words() if self._program else ""
            assert read < lines, f"{read} lines were read of {lines}: {words}"
            assert time.monotonic() < deadline, f"{read} lines were read of {lines}: {words}"
            time.sleep(0.02)


def _lines_read(database: Database) -> int:
    with database.reading() as session:
        return int(session.scalar(text("SELECT COALESCE(SUM(lines_read), 0) FROM reading_positions")) or 0)


def _write(file: io.FileIO, data: bytes) -> None:
    written = file.write(data)
    assert written == len(data), "a disk is full"


def _gzip(path: Path) -> None:
    """Keeps the time of the last change, and deletes the plain file when the other is complete."""
    subprocess.run(["gzip", "-1", str(path)], check=True)
