import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sendproof_core.database import Database, open_database
from sendproof_core.errors import UserError
from sendproof_core.schema import Attempt, OpenConversation, QueueFile, ReadingPosition, RecordChange, UnknownLine
from sendproof_core.settings import SettingsFile, load
from sendproof_logparser.importing import Imported, Importer
from sendproof_testing.record_reading import HOST, LOGS, NOW, Machine

_LINES = (LOGS / "dialogue.log").read_text(encoding="utf-8").splitlines()


@pytest.fixture
def settings(machine: Machine, tmp_path: Path) -> SettingsFile:
    path = tmp_path / "sendproof.toml"
    path.write_text(
        f'[host]\nname = "{HOST}"\n[database]\nurl = "{machine.database.engine.url}"\n[logparser]\ntime_zone = "UTC"\n'
    )
    return load(path)


def _import(
    path: Path, settings: SettingsFile, database: Database, **how: Any
) -> tuple[Imported, list[tuple[int, int | None]]]:
    shown: list[tuple[int, int | None]] = []
    importer = Importer(settings, database, **how)
    found = importer.read(path, lambda done, total: shown.append((done, total)))
    importer.finish()
    return found, shown


def _lines_read(machine: Machine) -> int:
    return sum(row.lines_read for row in machine.rows(ReadingPosition))


@pytest.mark.parametrize("name", ["mail.log.7", "mail.log.7.gz"])
def test_an_old_file_becomes_part_of_the_record(
    machine: Machine, settings: SettingsFile, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    text = "".join(f"{line}\n" for line in _LINES).encode()
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    found, shown = _import(path, settings, machine.database)
    assert (found.lines, found.attempts, found.unknown_lines, found.damage) == (len(_LINES), 4, 0, None)
    assert found.begins_at is not None
    assert f"{found.begins_at:%m-%d %H:%M:%S}" == "11-22 04:45:19"
    assert shown[-1] == (path.stat().st_size, path.stat().st_size)
    assert [row.queue_id for row in machine.rows(QueueFile)] == ["4jXGhv32rHzJLdv", "4jXGhv3rKyzJLdy"]
    assert machine.rows(OpenConversation) == []
    assert machine.rows(RecordChange) == []  # all that follows was derived


def test_a_file_that_is_given_again_adds_nothing_whatever_it_is_called(
    machine: Machine, settings: SettingsFile, tmp_path: Path
) -> None:
    path = tmp_path / "old.log"
    path.write_text("".join(f"{line}\n" for line in [*_LINES, "Nov 22 05:00:00 relay postfix/qmgr[1]: odd words"]))
    _import(path, settings, machine.database)
    before = machine.everything()
    again, _ = _import(path.rename(tmp_path / "renamed.log"), settings, machine.database)
    assert (again.lines, again.attempts) == (len(_LINES) + 1, 0)
    assert machine.everything() == before
    assert len(machine.rows(UnknownLine)) == 1


def test_what_the_daemon_has_read_is_not_doubled(machine: Machine, settings: SettingsFile, tmp_path: Path) -> None:
    machine.log(*_LINES)
    machine.read()
    before = machine.everything()
    path = tmp_path / "copy.log"
    path.write_bytes(machine.maillog.read_bytes())
    found, _ = _import(path, settings, machine.database)
    assert (found.lines, found.attempts) == (len(_LINES), 0)
    assert machine.everything() == before


def test_an_import_that_came_to_its_end_leaves_no_position(
    machine: Machine, settings: SettingsFile, tmp_path: Path
) -> None:
    """By it, another file that begins alike would be taken for this one."""
    first, second = tmp_path / "a.log", tmp_path / "b.log"
    first.write_text("".join(f"{line}\n" for line in _LINES))
    second.write_text("".join(f"{line}\n" for line in _LINES[:-1]).replace("status=sent", "status=deferred"))
    _import(first, settings, machine.database)
    assert machine.rows(ReadingPosition) == []
    assert _import(second, settings, machine.database)[0].lines == len(_LINES) - 1


# zlib went on to decode behind the damage, and the position was behind the end of the sound file.
def test_after_a_damaged_file_the_sound_one_adds_what_is_missing(
    machine: Machine, settings: SettingsFile, tmp_path: Path
) -> None:
    whole, damaged = tmp_path / "mail.log.2", tmp_path / "mail.log.2.gz"
    whole.write_text("".join(f"{line}\n" for line in _LINES))
    packed = bytearray(gzip.compress(whole.read_bytes()))
    packed[-40:-20] = b"X" * 20
    damaged.write_bytes(packed)
    _import(damaged, settings, machine.database)
    _import(whole, settings, machine.database)
    assert {row.queue_id for row in machine.rows(QueueFile)} >= {"4jXGhv32rHzJLdv", "4jXGhv3rKyzJLdy"}
    assert len({row.line_key for row in machine.rows(Attempt)}) >= 4


def test_files_that_were_one_log_are_read_as_one(
    machine: Machine, settings: SettingsFile, tmp_path: Path, make_machine: Callable[[], Machine]
) -> None:
    """A conversation begins in one and ends in the next."""
    whole = make_machine()
    whole.log(*_LINES)
    whole.read()
    importer = Importer(settings, machine.database)
    half = len(_LINES) // 2
    for name, lines in (("mail.log.2", _LINES[:half]), ("mail.log.1", _LINES[half:])):
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in lines))
        os.utime(path, (NOW.timestamp(), NOW.timestamp()))
        importer.read(path, lambda *_: None)
    importer.finish()
    assert machine.everything() == whole.everything()


def test_the_year_and_the_zone_can_be_said(machine: Machine, settings: SettingsFile, tmp_path: Path) -> None:
    path = tmp_path / "old.log"
    path.write_text("Mar  5 12:00:00 relay postfix/qmgr[1]: 4F5C64474F: removed\n")
    found, _ = _import(path, settings, machine.database, year=2021, zone="Europe/Berlin")
    assert str(found.begins_at) == "2021-03-05 11:00:00+00:00"


@pytest.mark.parametrize("content", [b"Dear Anna,\nhere is the offer.\n", b"\0" * 5000, b"\x7fELF\x02\x01" * 999])
def test_what_is_no_mail_log_changes_nothing(
    machine: Machine, settings: SettingsFile, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "letter.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match="no mail log"):
        _import(path, settings, machine.database)
    assert machine.rows(ReadingPosition) == []


def test_an_empty_file_is_an_empty_log(machine: Machine, settings: SettingsFile, tmp_path: Path) -> None:
    path = tmp_path / "empty.log"
    path.touch()
    assert _import(path, settings, machine.database)[0] == Imported(0, 0, 0, None)


def test_of_a_damaged_gzip_what_can_be_read_is_recorded(
    machine: Machine, settings: SettingsFile, tmp_path: Path
) -> None:
    path = tmp_path / "mail.log.2.gz"
    packed = gzip.compress("".join(f"{line}\n" for line in _LINES * 40).encode())
    path.write_bytes(packed[: len(packed) // 2])
    found, _ = _import(path, settings, machine.database)
    assert found.damage is not None
    assert 0 < found.lines < 40 * len(_LINES)
    assert len(machine.rows(Attempt)) == 4


@pytest.mark.integration
def test_an_import_that_is_killed_goes_on_where_it_ended(
    machine: Machine, settings: SettingsFile, tmp_path: Path
) -> None:
    path = tmp_path / "large.log"
    status = (
        "Nov 22 12:{:02}:{:02} relay postfix/smtp[7]: 4F5C6{:05X}: to=<a@example.net>, relay=mx[192.0.2.1]:25, delay=1,"
        " delays=0/0/0/1, dsn=2.0.0, status=sent (250 ok)\n"
    )
    count = 120_000
    path.write_text("".join(status.format(n // 2000, n // 40 % 50, n) for n in range(count)))
    database = open_database(str(machine.database.engine.url))
    program = Path(sys.executable).parent / "sendproof"
    command = [str(program), "--config", str(settings.path), "logs", "import", str(path)]
    for _ in range(2):
        before = _lines_read(machine)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and _lines_read(machine) == before:
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert 0 < _lines_read(machine) < count
    _import(path, settings, database)
    database.close()
    assert len(machine.rows(Attempt)) == count
