import datetime as dt
from pathlib import Path

import pytest

from sendproof_core.errors import UserError
from sendproof_core.source_names import host_of, is_import
from sendproof_logparser import sources
from sendproof_logparser.chunk import Chunk
from sendproof_logparser.position import Position
from sendproof_logparser.reader import Journal, Lines, Log
from sendproof_logparser.settings import LogparserSettings

_HOST = "relay.example"
_WRITTEN_AT = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)


def _followed(settings: LogparserSettings) -> list[Log | Journal]:
    return sources.followed(settings, _HOST, grace_seconds=0)


def _lines(log: Log, head: bytes = b"", reference: dt.datetime | None = None) -> Lines:
    chunk = Chunk(head, 0, Position("f" * 64, 4, 1, len(head)), head, _WRITTEN_AT)
    return log.lines_of(lambda _host, _program, _pid: None, reference, chunk)


def _at(lines: Lines, stamp: str) -> dt.datetime:
    found = lines.read(f"{stamp} relay postfix/smtp[7]: 4F5C64474F: words")
    assert found is not None
    return found[0]


def test_journals_come_before_logs() -> None:
    """A message is then most often known before its delivery lines come."""
    settings = LogparserSettings(
        maillogs=(Path("/var/log/mail.log"), Path("/var/log/other.log")), journals=(Path("/a.journal"),), journald=True
    )
    found = _followed(settings)
    assert [(type(origin), origin.name) for origin in found] == [
        (Journal, "relay.example:/a.journal"),
        (Log, "relay.example:/var/log/mail.log"),
        (Log, "relay.example:/var/log/other.log"),
        (Log, "relay.example:journald"),
    ]
    assert {host_of(origin.name) for origin in found} == {_HOST}
    assert not any(is_import(origin.name) for origin in found)


def test_nothing_is_read_that_the_settings_do_not_name() -> None:
    assert _followed(LogparserSettings()) == []


def test_a_source_is_named_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (named,) = _followed(LogparserSettings(maillogs=(Path("mail.log"),)))
    (elsewhere,) = _followed(LogparserSettings(journald=True, journald_directory="journal"))
    assert named.name == f"relay.example:{tmp_path}/mail.log"
    assert elsewhere.name == f"relay.example:journald:{tmp_path}/journal"


def test_each_file_is_read_as_itself_and_from_its_position(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.log", "b.log", "c.journal", "d.journal")]
    for path in paths:
        path.write_text(f"first of {path.name}\nsecond of {path.name}\n", encoding="utf-8")
    found = _followed(LogparserSettings(maillogs=tuple(paths[:2]), journals=tuple(paths[2:])))
    for origin, path in zip(found, (*paths[2:], *paths[:2]), strict=True):
        source = origin.open(None)
        chunk = source.read()
        source.close()
        assert chunk is not None
        assert chunk.data.decode() == f"first of {path.name}\nsecond of {path.name}"
        again = origin.open(chunk.position)
        assert again.read() is None
        again.close()


def test_stamps_without_a_zone_are_of_the_zone_that_the_settings_name() -> None:
    (log,) = _followed(LogparserSettings(maillogs=(Path("/var/log/mail.log"),), time_zone="Europe/Berlin"))
    assert isinstance(log, Log)
    assert _at(_lines(log), "Nov 22 13:00:00") == dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)


def test_stamps_without_a_year_are_near_the_line_before_or_the_file_s_own_time() -> None:
    (log,) = _followed(LogparserSettings(maillogs=(Path("/var/log/mail.log"),), time_zone="UTC"))
    assert isinstance(log, Log)
    assert _at(_lines(log), "Nov 22 13:00:00").year == 2026
    before = dt.datetime(2023, 11, 22, tzinfo=dt.UTC)
    assert _at(_lines(log, reference=before), "Nov 22 13:00:00").year == 2023


def test_an_unknown_time_zone_is_said() -> None:
    with pytest.raises(UserError, match="time_zone"):
        _followed(LogparserSettings(time_zone="Mars/Olympus"))


def test_the_files_of_the_system_journal_are_watched(tmp_path: Path) -> None:
    (tmp_path / "0123").mkdir()
    for name in ("remote.journal", "0123/system.journal", "0123/user-1000.journal"):
        (tmp_path / name).touch()
    settings = LogparserSettings(journald=True, journald_directory=str(tmp_path))
    found = {str(path.relative_to(tmp_path)) for path in sources.journal_files(settings)}
    assert found == {"remote.journal", "0123/system.journal"}
    assert sources.journal_files(LogparserSettings(journald_directory=str(tmp_path))) == []
