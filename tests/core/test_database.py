import datetime as dt
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, OperationalError

from sendproof_core import schema_version
from sendproof_core.database import Database, check_sqlite_version, open_database
from sendproof_core.errors import UserError
from sendproof_core.schema import Plan


@pytest.fixture
def database(either_database: Database) -> Database:
    return either_database


def _count(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(Plan)) or 0


def test_a_writing_transaction_is_committed_as_a_whole_or_not_at_all(database: Database) -> None:
    with database.writing() as session:
        session.add(Plan(name="a", recipients_per_day=1))
        session.add(Plan(name="b", recipients_per_day=None))
    with pytest.raises(ZeroDivisionError), database.writing() as session:  # noqa: PT012 - the second statement fails
        session.add(Plan(name="c", recipients_per_day=1))
        session.add(Plan(name="d", recipients_per_day=1 // 0))
    with pytest.raises(ZeroDivisionError), database.writing_connection() as connection:  # noqa: PT012 - as above
        connection.execute(text("DELETE FROM plans"))
        connection.execute(text("DELETE FROM plans"), {"id": 1 // 0})
    assert _count(database) == 2


def test_a_reading_transaction_sees_one_state(database: Database) -> None:
    with database.reading() as reader:
        assert reader.scalar(select(func.count()).select_from(Plan)) == 0
        with database.writing() as writer:
            writer.add(Plan(name="a", recipients_per_day=1))
        assert reader.scalar(select(func.count()).select_from(Plan)) == 0
    assert _count(database) == 1


def test_two_writers_wait_for_each_other(empty_database_url: str, database: Database) -> None:
    script = """
import sys
from sqlalchemy import text
from sendproof_core.database import open_database
database = open_database(sys.argv[1])
for _ in range(40):
    with database.writing_connection() as connection:
        used = connection.execute(text("UPDATE plans SET recipients_per_day = recipients_per_day + 1"))
"""
    with database.writing() as session:
        session.add(Plan(name="a", recipients_per_day=0))
    command = [sys.executable, "-c", script, empty_database_url]
    writers = [subprocess.Popen(command) for _ in range(2)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    with database.reading() as session:
        assert session.scalars(select(Plan.recipients_per_day)).one() == 80


def test_sqlite_is_set_up_for_several_processes(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/a.db")
    with database.reading() as session:
        values = {
            name: session.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    database.close()
    assert values == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}


def test_the_sqlite_library_is_one_that_loses_no_commits() -> None:
    check_sqlite_version((3, 51, 3), "3.51.3")
    with pytest.raises(UserError, match=r"3\.40\.1, which can lose commits .* \(fixed in 3\.51\.3\)"):
        check_sqlite_version((3, 40, 1), "3.40.1")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "is no database URL"),
        ("/var/lib/sendproof.db", "is no database URL"),
        ("postgresql://a:secret@host:port/x", "is no database URL"),
        ("mysql://a:secret@host/x", "names 'mysql'; Sendproof knows sqlite and postgresql"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////no/such/folder/a.db", "/no/such/folder/a.db does not exist; make it first"),
    ],
)
def test_a_url_that_cannot_be_used_is_said_so_without_its_password(url: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        open_database(url)
    assert "secret" not in str(caught.value)


def test_whatever_driver_a_url_names_ours_is_used(tmp_path: Path) -> None:
    database = open_database(f"sqlite+aiosqlite:///{tmp_path}/a.db")
    with database.reading() as session:
        version = session.execute(text("SELECT sqlite_version()")).scalar_one()
    database.close()
    check_sqlite_version(tuple(map(int, version.split("."))), version)
    assert open_database("postgresql+psycopg2://a@127.0.0.1/x").engine.driver == "psycopg"


@pytest.mark.postgres
def test_postgresql_answers_in_utc_and_lets_nobody_write_while_reading(postgres_url: str) -> None:
    database = open_database(postgres_url)
    schema_version.upgrade(database)
    with database.reading() as session:
        moment = session.execute(text("SELECT now()")).scalar_one()
        assert moment.utcoffset() == dt.timedelta()
        with pytest.raises(DBAPIError, match="read-only"):
            session.execute(text("DELETE FROM plans"))
        session.rollback()
    database.close()


# Each thread waited for all before it: 10, 20, 30 and 40 s.
def test_a_thread_waits_for_one_time_out_and_not_for_those_before_it(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sendproof_core.database._BUSY_TIMEOUT_MILLISECONDS", 50)
    failures: list[str] = []

    def write() -> None:
        try:
            with sqlite_database.writing_connection():
                pass
        except OperationalError as error:
            failures.append(str(error.orig))

    with sqlite_database.writing_connection():
        threads = [threading.Thread(target=write) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == ["database is locked"] * 3
