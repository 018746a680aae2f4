"""Old log files into the record. Follows nothing; what lines mean is the `Reader`'s matter.

Where an import was killed, it goes on when the file is given again, whatever it is called by then. One that came to its
end can be given again, too: it is read anew and adds what is missing. What the daemon has read already is not recorded
again: a status line is one row, from whatever file.
"""

import datetime as dt
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from sendproof_core import clock
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.settings import HostSettings, SettingsFile
from sendproof_core.source_names import import_name
from sendproof_logparser import derive, sources
from sendproof_logparser.host_names import HostNames
from sendproof_logparser.imported_file import ImportedFile
from sendproof_logparser.position import Position, fingerprint_of
from sendproof_logparser.reader import Log, Reader
from sendproof_logparser.settings import LogparserSettings
from sendproof_logparser.store import DatabaseAway, Store
from sendproof_logparser.time_zone import time_zone

_PAUSE_SECONDS = 1.0
_PAUSES = 60
_FINGERPRINT_DIGITS = 32
_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Imported:
    """What an import has added. ``damage``: where the file is broken, if it is.

    ``begins_at``, ``ends_at``: what its stamps were taken to mean; None where no line was understood.
    """

    lines: int
    attempts: int
    unknown_lines: int
    damage: str | None
    begins_at: dt.datetime | None = None
    ends_at: dt.datetime | None = None


class Importer:
    """Reads old files one after the other: conversations go on from one to the next."""

    def __init__(
        self, settings_file: SettingsFile, database: Database, *, year: int | None = None, zone: str = ""
    ) -> None:
        """``year``: of each file's first line, where stamps name none. ``zone``: instead of ``[logparser] time_zone``.

        Raises:
            UserError: there is no such zone.
        """
        self._settings = settings_file.table(LogparserSettings)
        self._host = settings_file.table(HostSettings).name
        self._database = database
        of_stamps = time_zone(zone, "--zone") if zone else time_zone(self._settings.time_zone, "[logparser] time_zone")
        self._lines_of = sources.of_zone(of_stamps, year)
        # Of the first file: by it, what was open when an import was killed is found again.
        self._reader_name: str | None = None

    def read(self, path: Path, on_progress: Callable[[int, int | None], None]) -> Imported:
        """Read a log file, plain or gzip, into the record.

        Args:
            path: of a regular file.
            on_progress: is told how many octets of the file are done, and how many there are (None: not known).

        Raises:
            UserError: no mail log, not readable, or the database stayed away for a minute.
        """
        name = import_name(self._host, _fingerprint(path))
        self._reader_name = self._reader_name or name
        store = Store(self._database, self._reader_name, self._host, self._settings.own_addresses, self._settings.edges)
        if store.load_position(name) is None:
            _until_database_is_there(lambda: store.begin_source(name))
        opened: list[ImportedFile] = []

        def open_file(position: Position | None) -> ImportedFile:
            opened.append(ImportedFile(path, position))
            return opened[0]

        hosts = HostNames(self._host, self._settings.host_labels)
        reader = Reader([Log(name, open_file, self._lines_of)], hosts, store)
        lines = attempts = unknown_lines = 0
        begins_at = ends_at = None
        try:
            while (batch := reader.read(clock.now())) is not None:
                (portion,) = batch.portions
                if not lines and portion.formless == len(portion.lines):
                    raise UserError(f"{path} is no mail log: none of its lines begins as a log's lines do.")
                written = _until_database_is_there(partial(store.write, batch))
                lines += len(portion.lines)
                attempts += written.attempts
                unknown_lines += written.unknown_lines
                if portion.facts:
                    begins_at, ends_at = begins_at or portion.facts[0][1], portion.facts[-1][1]
                on_progress(opened[0].done_octets, opened[0].total_octets)
        finally:
            reader.close()
        _until_database_is_there(lambda: store.forget_source(name))
        return Imported(lines, attempts, unknown_lines, opened[0].damage, begins_at, ends_at)

    def finish(self) -> None:
        """All files were read to their ends."""
        if self._reader_name is not None:
            store = Store(self._database, self._reader_name, self._host)
            _until_database_is_there(store.forget_conversations)
            while _until_database_is_there(lambda: derive.run(store.session, derive.LARGE_STEP)):
                pass


def _fingerprint(path: Path) -> str:
    """What names the file whatever it is called: a hash of its first lines."""
    file = ImportedFile(path, None)
    chunk = file.read()
    file.close()
    return fingerprint_of(chunk.head if chunk is not None else b"")[:_FINGERPRINT_DIGITS]


def _until_database_is_there(act: Callable[[], _Result]) -> _Result:
    """Carry ``act`` out; while the database is away, wait for some time."""
    for _ in range(_PAUSES):
        try:
            return act()
        except DatabaseAway as error:
            _log.warning("event=database-away pause=%.1f error=%s", _PAUSE_SECONDS, error)
            time.sleep(_PAUSE_SECONDS)
    raise UserError("the database is away; give the command again when it is back: it goes on where it ended.")
