"""What the settings name as logs and journals, ready to be read. Reads nothing itself."""

import datetime as dt
from functools import partial
from pathlib import Path

from sendproof_core.source_names import source_name
from sendproof_logparser.chunk import Chunk
from sendproof_logparser.journald import Journald, JournalLineReader
from sendproof_logparser.position import Position
from sendproof_logparser.reader import Identify, Journal, Lines, Log
from sendproof_logparser.settings import LogparserSettings
from sendproof_logparser.syslog_line import LineReader, ReaderOfGivenYear
from sendproof_logparser.tail import Tail
from sendproof_logparser.time_zone import time_zone


def followed(settings: LogparserSettings, host: str, *, grace_seconds: float) -> list[Log | Journal]:
    """What the daemon reads, journals first. ``grace_seconds``: see `Tail`."""

    def tail(path: Path, position: Position | None) -> Tail:
        return Tail(path, position, grace_seconds=grace_seconds)

    zone = time_zone(settings.time_zone, "[logparser] time_zone")
    return [
        *(Journal(source_name(host, str(path.absolute())), partial(tail, path)) for path in settings.journals),
        *(
            Log(source_name(host, str(path.absolute())), partial(tail, path), of_zone(zone))
            for path in settings.maillogs
        ),
        *_journald(settings, host),
    ]


def journal_files(settings: LogparserSettings) -> list[Path]:
    """Files that change when the system journal does: a hint for `Wakeup`, as far as there are any."""
    if not settings.journald:
        return []
    named = settings.journald_directory
    folders = [Path(named)] if named else [Path("/var/log/journal"), Path("/run/log/journal")]
    return [file for folder in folders for file in (*folder.glob("*.journal"), *folder.glob("*/system.journal"))]


def of_zone(zone: dt.tzinfo, year: int | None = None) -> "_LinesOf":
    """Makes what takes a log file's lines apart.

    ``zone``: of stamps that name none. ``year``: of its first line, if somebody has said; queue ids do not count then.
    """
    return _LinesOf(zone, year)


class _LinesOf:
    def __init__(self, zone: dt.tzinfo, year: int | None) -> None:
        self._zone = zone
        self._year = year

    def __call__(self, identify: Identify, reference: dt.datetime | None, chunk: Chunk) -> Lines:
        if self._year is not None and reference is None:
            return ReaderOfGivenYear(identify, self._zone, self._year, chunk.modified_at)
        beginning = chunk.head.decode("utf-8", "replace")
        return LineReader(identify, self._zone, reference, latest=chunk.modified_at, beginning=beginning)


def _journald(settings: LogparserSettings, host: str) -> list[Log]:
    if not settings.journald:
        return []
    directory = Path(settings.journald_directory) if settings.journald_directory else None
    name = source_name(host, "journald" if directory is None else f"journald:{directory.absolute()}")
    return [
        Log(
            name,
            lambda position: Journald(directory, position),
            lambda identify, reference, _chunk: JournalLineReader(identify, reference),
        )
    ]
