"""Reads the mail lines of the system journal (systemd-journald), and says how far it came. Knows nothing of mail.

Runs ``journalctl`` once for each reading; a position is the journal's own cursor. Lines that the journal threw away
before they were read cannot be had; that it did so is said.
"""

import datetime as dt
import json
import logging
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from sendproof_core.errors import UserError
from sendproof_logparser.chunk import LINE_OCTETS, Chunk
from sendproof_logparser.position import Position

Who = TypeVar("Who")

# A run of journalctl gives no more than about this.
CHUNK_OCTETS = 4 * LINE_OCTETS
# RFC 5424 section 6.2.1: 2 is the mail system. The message is SD_MESSAGE_JOURNAL_DROPPED (sd-messages.h): a service
# said too much at once, and journald dropped lines of it.
_MATCHES = ("SYSLOG_FACILITY=2", "+", "MESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e")
_FIELDS = "MESSAGE,SYSLOG_IDENTIFIER,SYSLOG_PID,_PID,_COMM,_HOSTNAME"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_PROCESSES = 32768
_LARGEST_PID = 2**31 - 1
_log = logging.getLogger(__name__)


class Journald:
    """The mail lines of this machine's journal, or of one in a folder; each line is a JSON object."""

    def __init__(self, directory: Path | None, position: Position | None, *, program: str = "journalctl") -> None:
        """Begin after ``position``; None: at the beginning of the journal.

        ``directory``: as of ``journalctl --directory``; None: this machine's journal.
        """
        self._command = [program, "--output=json", f"--output-fields={_FIELDS}", "--all", "--no-pager", "--quiet"]
        self._command += ["--directory", str(directory)] if directory is not None else []
        self._cursor = position.cursor if position is not None else None
        self._has_more = False
        self._has_worked = False
        self.is_readable = True
        self.losses: list[str] = []

    def read(self) -> Chunk | None:
        """The next lines, about `CHUNK_OCTETS` at most; None if there are none now.

        Raises UserError if journalctl is missing, or the first time fails.
        """
        lines = self._run()
        if self._cursor is not None and lines:
            del lines[: self._known(lines, self._cursor)]
        if not lines:
            return None
        self._cursor = _cursor(lines[-1])
        newest = _moment(json.loads(lines[-1])) or _EPOCH
        position = Position("", 0, 0, 0, self._cursor)
        return Chunk(b"\n".join(lines), 0, position, b"", newest)

    def unread_octets(self) -> int:
        """What the journal does not say: 0 if the last reading came to its end, else what the next one may give."""
        return CHUNK_OCTETS if self._has_more else 0

    def close(self) -> None:
        """Nothing stays open between two readings."""

    def _known(self, lines: list[bytes], cursor: str) -> int:
        """How many of the lines were read before: that of the cursor, and what stands before it at the same moment.

        `--after-cursor` leaves out a line even where the one of the cursor is gone.
        """
        moment = _moment(json.loads(lines[0]))
        for number, line in enumerate(lines):
            entry = json.loads(line)
            if _names_the_same(entry["__CURSOR"], cursor):
                return number + 1
            if _moment(entry) != moment:
                break
        _log.warning("event=journal-lost after=%s", cursor)
        self.losses.append(
            "the system journal no longer has the entry that was read last, nor what came right after it"
        )
        # Files of several machines may hold lines in an order that changes; nothing is new if the last one is not.
        return len(lines) if _names_the_same(_cursor(lines[-1]), cursor) else 0

    def _run(self) -> list[bytes]:
        command = [*self._command, *([f"--cursor={self._cursor}"] if self._cursor is not None else []), *_MATCHES]
        with tempfile.TemporaryFile() as said:
            try:
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said)
            except OSError as error:
                raise UserError(
                    f"the system journal cannot be read: {command[0]}: {error.strerror}; install systemd."
                ) from None
            with process:
                lines = self._lines_of(process)
            if process.returncode > 0:
                said.seek(0)
                self._failed(said.read(1000).decode("utf-8", "replace").strip())
        self._has_worked = self.is_readable = True
        return lines

    def _lines_of(self, process: subprocess.Popen[bytes]) -> list[bytes]:
        lines: list[bytes] = []
        octets = 0
        self._has_more = False
        for line in process.stdout or ():
            if not line.endswith(b"\n"):  # journalctl was ended from outside
                break
            lines.append(line[:-1])
            octets += len(line)
            if octets >= CHUNK_OCTETS:
                self._has_more = True
                process.terminate()
                break
        return lines

    def _failed(self, reason: str) -> None:
        if not self._has_worked:
            raise UserError(f"the system journal cannot be read: {reason or 'journalctl failed'}.")
        self.is_readable = False
        _log.warning("event=journalctl-failed error=%s", reason)


class JournalLineReader(Generic[Who]):
    """Takes the lines of a `Journald` apart, one after the other."""

    def __init__(self, identify: Callable[[str, str, int], Who], reference: dt.datetime | None = None) -> None:
        """Begin after the line of the moment ``reference``; as for `syslog_line.LineReader`, but nothing depends on it.

        ``identify``: makes what `read` gives of host, program and pid (0: none); what it made is given again.
        """
        self.newest = reference
        self.latest = _EPOCH
        # Each line says when it is from.
        self.latest = _EPOCH
        self._identify = identify
        self._processes: dict[tuple[str, str, str], Who] = {}

    def read(self, line: str) -> tuple[dt.datetime, Who, str] | None:
        """The moment (UTC), whose line it is, and what it says; None if it is no JSON object of the journal."""
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            return None
        at = _moment(entry) if isinstance(entry, dict) else None
        if at is None:
            return None
        program = _text(entry.get("SYSLOG_IDENTIFIER")) or _text(entry.get("_COMM"))
        process = (_text(entry.get("_HOSTNAME")), program, _text(entry.get("SYSLOG_PID")) or _text(entry.get("_PID")))
        if process not in self._processes:
            if len(self._processes) >= _PROCESSES:
                self._processes.clear()
            self._processes[process] = self._identify(process[0], program, _pid(process[2]))
        self.newest = at
        return at, self._processes[process], _text(entry.get("MESSAGE"))


def _moment(entry: dict[str, Any]) -> dt.datetime | None:
    try:
        return _EPOCH + dt.timedelta(microseconds=int(entry["__REALTIME_TIMESTAMP"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _text(value: object) -> str:
    """A field: text; octets, where they are no text; several such, where it stands there more than once; or nothing."""
    if isinstance(value, str):
        return value.replace("\0", "") if "\0" in value else value
    if not isinstance(value, list) or not value:
        return ""
    if all(isinstance(octet, int) and 0 <= octet < 256 for octet in value):
        return bytes(value).decode("utf-8", "replace").replace("\0", "")
    return _text(value[0])


def _pid(number: str) -> int:
    pid = int(number) if number.isascii() and number.isdigit() and len(number) < 11 else 0
    return pid if pid <= _LARGEST_PID else 0


def _cursor(line: bytes) -> str:
    return str(json.loads(line)["__CURSOR"])


def _names_the_same(cursor: str, other: str) -> bool:
    """Whether two cursors are of one entry: its number (i) in its sequence (s) says that, the rest helps to find it."""

    def identity(text: str) -> tuple[str | None, str | None]:
        fields = dict(field.partition("=")[::2] for field in text.split(";"))
        return fields.get("s"), fields.get("i")

    return cursor == other or identity(cursor) == identity(other) != (None, None)
