"""Backup files: whole or not there, never over something else; SQLite's copied while it is written to."""

import errno
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pysqlite3 import dbapi2 as sqlite_driver
from sqlalchemy import text

from sendproof_core import backups, schema_version
from sendproof_core.database import Database, open_database
from sendproof_core.errors import UserError
from sendproof_core.schema import Plan

_ADD = "INSERT INTO plans (name, recipients_per_day) VALUES (?, 1)"


def quiet(_done: int, _total: int | None, _what: str) -> None: ...


def test_a_copy_of_a_database_that_is_written_to_is_one_moment_of_it(sqlite_database: Database, tmp_path: Path) -> None:
    """Two plans are added at a time: an odd number would be half of something."""
    over, shown = threading.Event(), list[int]()

    def write() -> None:
        number = 0
        while not over.is_set():
            with sqlite_database.fixed_statements() as statements:
                for half in "ab":
                    statements.run(_ADD, (f"{number}{half}" + "x" * 2000,))
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            file = tmp_path / f"{number}.backup"
            backups.back_up_sqlite(tmp_path / "sendproof.db", file, lambda done, _total, _what: shown.append(done))
            backups.check_sqlite(file)
            restored = tmp_path / f"{number}.db"
            backups.restore_sqlite(file, restored, quiet)
            database = open_database(f"sqlite:///{restored}")
            with database.reading() as session:
                assert session.execute(text("SELECT count(*) FROM plans")).scalar_one() % 2 == 0
            database.close()
    finally:
        over.set()
        writer.join()
    assert max(shown) > 0


def test_a_backup_is_one_file_that_only_its_owner_reads(sqlite_database: Database, tmp_path: Path) -> None:
    with sqlite_database.writing() as session:
        session.add(Plan(name="a", recipients_per_day=1))
    folder = tmp_path / "backups"
    folder.mkdir()
    backups.back_up_sqlite(tmp_path / "sendproof.db", folder / "one", quiet)
    assert [path.name for path in folder.iterdir()] == ["one"]
    assert (folder / "one").stat().st_mode & 0o777 == 0o600
    assert backups.kind_of(folder / "one") == backups.SQLITE


def test_what_stands_there_is_never_overwritten(sqlite_database: Database, tmp_path: Path) -> None:
    schema_version.check(sqlite_database)
    target = tmp_path / "kept"
    target.write_text("precious")
    for path in (target, tmp_path / "link"):
        if path.name == "link":
            path.symlink_to(tmp_path / "nowhere")
        with pytest.raises(UserError, match="exists already, and nothing was changed"):
            backups.back_up_sqlite(tmp_path / "sendproof.db", path, quiet)
    assert target.read_text() == "precious"
    with pytest.raises(UserError, match="exists already"):
        _make(tmp_path / "late", lambda: (tmp_path / "late").write_text("theirs"))
    assert (tmp_path / "late").read_text() == "theirs"
    assert not list(tmp_path.glob(".*.partial"))


def test_a_full_disk_leaves_nothing_and_says_so(tmp_path: Path) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match=r"one cannot be written: No space left on device; nothing was left"):
        _make(tmp_path / "one", full)
    assert list(tmp_path.iterdir()) == []


def _make(target: Path, meanwhile: Callable[[], object]) -> None:
    with backups.new_file(target) as made:
        made.write_text("half")
        meanwhile()


@pytest.mark.integration
def test_a_disk_that_is_really_full_leaves_the_database_and_nothing_else(
    sqlite_database: Database, tmp_path: Path
) -> None:
    """A file system of 64 KiB."""
    schema_version.check(sqlite_database)
    script = (
        'mkdir -p "$1/small" && mount -t tmpfs -o size=64k none "$1/small" && cd "$1/small" && shift && "$@"; code=$?; '
        "ls -A . ; exit $code"
    )
    config = tmp_path / "sendproof.toml"
    config.write_text(
        f'[database]\nurl = "sqlite:///{tmp_path}/sendproof.db"\n[secrets]\ndirectory = "{tmp_path}/secrets"\n'
    )
    program = [sys.executable, "-c", "from sendproof_core.cli import main; main()"]
    command = [*program, "--config", str(config), "database", "backup", "one"]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), *command],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done
    assert "one cannot be written" in done.stderr
    assert "full" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("damage", ["cut", "scribbled", "empty", "no tables", "newer", "orphan"])
def test_a_file_that_is_no_good_backup_is_refused_and_nothing_is_made(
    sqlite_database: Database, tmp_path: Path, damage: str
) -> None:
    schema_version.check(sqlite_database)
    file, target = tmp_path / "file", tmp_path / "restored.db"
    backups.back_up_sqlite(tmp_path / "sendproof.db", file, quiet)
    content = file.read_bytes()
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "scribbled":
        file.write_bytes(content[:8192] + b"\xa5" * 65536 + content[8192 + 65536 :])
    elif damage == "empty":
        file.write_bytes(b"")
    else:
        file.unlink() if damage == "no tables" else None
        connection = sqlite_driver.connect(file, isolation_level=None)
        connection.execute({
            "no tables": "CREATE TABLE a (b)",
            "newer": "UPDATE alembic_version SET version_num = '9999'",
            "orphan": "INSERT INTO own_addresses (account_id, address, address_key, created_at)"
            " VALUES (7, 'a@b', 'a@b', '2026-11-22 00:00:00')",
        }[damage])  # fmt: skip
        connection.close()
    with pytest.raises(UserError) as caught:
        _restore(file, target)
    wanted = {"empty": "no backup", "no tables": "no tables of Sendproof", "newer": "schema 9999, newer"}
    assert wanted.get(damage, "") in str(caught.value)
    assert str(file) in str(caught.value)
    assert not target.exists()


def _restore(file: Path, target: Path) -> None:
    """As the command does."""
    assert backups.kind_of(file) == backups.SQLITE
    backups.restore_sqlite(file, target, quiet)


def test_a_database_with_anything_in_it_is_not_restored_into(sqlite_database: Database, tmp_path: Path) -> None:
    with sqlite_database.writing() as session:
        session.add(Plan(name="a", recipients_per_day=1))
    backups.back_up_sqlite(tmp_path / "sendproof.db", tmp_path / "one", quiet)
    with pytest.raises(UserError, match="is not empty; stop every program"):
        backups.restore_sqlite(tmp_path / "one", tmp_path / "sendproof.db", quiet)
    (tmp_path / "touched.db").touch()
    assert backups.restore_sqlite(tmp_path / "one", tmp_path / "touched.db", quiet) == schema_version.newest()


def test_a_database_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.db does not exist"):
        backups.back_up_sqlite(tmp_path / "none.db", tmp_path / "one", quiet)
    assert list(tmp_path.iterdir()) == []
