"""Old log files into the record, once. Follows nothing; what lines mean is the `Reader`'s matter.

An import is a source of its own, named by the file's beginning: given again, it goes on where it ended, whatever the
file is called by then. What the daemon has read already is not recorded again: a status line is one row, from whatever
file.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sendproof_core import clock
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.settings import HostSettings, SettingsFile
from sendproof_core.source_names import import_name
from sendproof_logparser import sources
from sendproof_logparser.batch import Batch
from sendproof_logparser.host_names import HostNames
from sendproof_logparser.imported_file import ImportedFile
from sendproof_logparser.position import Position, fingerprint_of
from sendproof_logparser.reader import Log, Reader
from sendproof_logparser.settings import LogparserSettings
from sendproof_logparser.store import DatabaseAway, Store, Written
from sendproof_logparser.time_zone import time_zone

_PAUSE_SECONDS = 1.0
_PAUSES = 60
_FINGERPRINT_DIGITS = 32
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Imported:
    """What an import has added. ``damage``: where the file is broken, if it is."""

    lines: int
    attempts: int
    unknown_lines: int
    damage: str | None


def import_file(
    path: Path, settings_file: SettingsFile, database: Database, on_progress: Callable[[int, int | None], None]
) -> Imported:
    """Read a log file, plain or gzip, into the record.

    Args:
        path: of a regular file.
        settings_file: for the host's name, its zone and addresses.
        database: of the record.
        on_progress: is told how many octets of the file are done, and how many there are (None: not known).

    Raises:
        UserError: no mail log, not readable, or the database stayed away for a minute.
    """
    settings = settings_file.table(LogparserSettings)
    host = settings_file.table(HostSettings).name
    name = import_name(host, _fingerprint(path))
    store = Store(database, name, host, settings.own_addresses)
    opened: list[ImportedFile] = []

    def open_file(position: Position | None) -> ImportedFile:
        opened.append(ImportedFile(path, position))
        return opened[0]

    lines_of = sources.of_zone(time_zone(settings.time_zone, "[logparser] time_zone"))
    reader = Reader([Log(name, open_file, lines_of)], HostNames(host, settings.host_labels), store)
    lines = attempts = unknown_lines = 0
    try:
        while (batch := reader.read(clock.now())) is not None:
            (portion,) = batch.portions
            if not lines and portion.formless == len(portion.lines):
                raise UserError(f"{path} is no mail log: none of its lines begins as a log's lines do.")
            lines += len(portion.lines)
            written = _store(store, batch)
            attempts += written.attempts
            unknown_lines += written.unknown_lines
            on_progress(opened[0].done_octets, opened[0].total_octets)
        store.forget_conversations()
    finally:
        reader.close()
    return Imported(lines, attempts, unknown_lines, opened[0].damage)


def _fingerprint(path: Path) -> str:
    """What names the file whatever it is called: a hash of its first lines."""
    file = ImportedFile(path, None)
    chunk = file.read()
    file.close()
    return fingerprint_of(chunk.head if chunk is not None else b"")[:_FINGERPRINT_DIGITS]


def _store(store: Store, batch: Batch) -> Written:
    """Store a batch; while the database is away, wait for some time."""
    for _ in range(_PAUSES):
        try:
            return store.write(batch)
        except DatabaseAway as error:
            _log.warning("event=database-away pause=%.1f error=%s", _PAUSE_SECONDS, error)
            time.sleep(_PAUSE_SECONDS)
    raise UserError("the database is away; give the command again when it is back: it goes on where it ended.")
