import datetime as dt
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from sendproof_core import schema_version
from sendproof_core.database import Database, check_sqlite_version, open_database
from sendproof_core.errors import UserError
from sendproof_core.schema import Account, KnownRecipient, Plan, QuotaUse


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


_ADD = "INSERT INTO plans (name, recipients_per_day) VALUES (?, ?)"


def test_fixed_statements_are_committed_as_a_whole_or_not_at_all(database: Database) -> None:
    with database.fixed_statements() as statements:
        assert statements.run(_ADD, ("a", 1)) == 1
        assert statements.run_each(_ADD, [("b", None), ("c", 3)]) == 2
        assert list(map(tuple, statements.rows("SELECT name FROM plans WHERE name > ? ORDER BY name", ("a",)))) == [
            ("b",),
            ("c",),
        ]
    with pytest.raises(ZeroDivisionError), database.fixed_statements() as statements:  # noqa: PT012 - after a statement
        statements.run(_ADD, ("d", 1))
        raise ZeroDivisionError
    assert _count(database) == 3


def test_a_fixed_statement_fails_as_any_other_and_the_next_transaction_works(database: Database) -> None:
    for name in ("a", "b"):
        with pytest.raises(IntegrityError) as caught, database.fixed_statements() as statements:  # noqa: PT012 - the second one fails
            statements.run(_ADD, (name, 1))
            statements.run_each(_ADD, [(name, 1)])
        assert not caught.value.connection_invalidated
        with database.fixed_statements() as statements:
            statements.run(_ADD, (name, 1))
    with pytest.raises(DBAPIError), database.fixed_statements() as statements:
        statements.rows("SELECT nothing FROM nowhere", ())
    assert _count(database) == 2


def test_fixed_statements_keep_moments_and_ids_as_the_tables_do(database: Database) -> None:
    moments = [
        dt.datetime(2026, 11, 22, 13, 0, tzinfo=dt.UTC),
        dt.datetime(2026, 11, 22, 13, 0, 0, 1, tzinfo=dt.timezone(dt.timedelta(hours=-9, minutes=-30))),
    ]
    ids = [uuid.UUID(int=1), uuid.uuid4()]
    with database.writing() as session:
        session.add(Plan(id=1, name="a"))
        session.flush()
        session.add(Account(id=1, login="a", password_hash="", plan_id=1, time_zone="UTC", created_at=moments[0],
                            tracking=False, test_mode=False, shared_pixel=False))  # fmt: skip
        session.flush()
        session.add(KnownRecipient(account_id=1, digest=bytes(16), message_id=ids[0]))
    add = "INSERT INTO quota_use VALUES (1, 'day', ?, 1, 1, 1)"
    with database.fixed_statements() as statements:
        for moment in moments:
            statements.run(add, (statements.moment(moment),))
        ours = (statements.id(ids[0]),)
        assert len(statements.rows("SELECT 1 FROM known_recipients WHERE message_id = ?", ours)) == 1
        statements.run("UPDATE known_recipients SET message_id = ?", (statements.id(ids[1]),))
    with database.reading() as session:
        assert set(session.scalars(select(QuotaUse.window_begins))) == set(moments)
        assert session.scalars(select(KnownRecipient.message_id)).one() == ids[1]


def test_a_closed_database_leaves_no_connection_and_works_again(sqlite_database: Database) -> None:
    def open_files() -> list[str]:
        links = (link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
        return [link.name for link in links if str(link).startswith(str(sqlite_database.engine.url.database))]

    for _ in range(2):
        with sqlite_database.fixed_statements() as statements:
            statements.run(_ADD, (str(uuid.uuid4()), 1))
        sqlite_database.close()
        assert open_files() == []
    assert _count(sqlite_database) == 2


def test_writers_of_each_kind_wait_for_each_other(sqlite_database: Database) -> None:
    with sqlite_database.writing() as session:
        session.add(Plan(name="a", recipients_per_day=0))
    raise_it = "UPDATE plans SET recipients_per_day = recipients_per_day + 1"

    def write(_: int) -> None:
        with sqlite_database.fixed_statements() as statements:
            statements.run(raise_it, ())
        with sqlite_database.writing_connection() as connection:
            connection.execute(text(raise_it))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(40)))
    with sqlite_database.reading() as session:
        assert session.scalars(select(Plan.recipients_per_day)).one() == 80


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


def test_fixed_statements_that_find_the_database_locked_work_when_it_is_not(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sendproof_core.database._BUSY_TIMEOUT_MILLISECONDS", 50)
    other = open_database(f"sqlite:///{tmp_path}/sendproof.db")  # as another process
    with other.writing_connection():
        for _ in range(2):
            with pytest.raises(OperationalError, match="locked"), sqlite_database.fixed_statements() as statements:
                statements.run(_ADD, ("a", 1))
    with sqlite_database.fixed_statements() as statements:
        statements.run(_ADD, ("a", 1))
    other.close()
    assert _count(sqlite_database) == 1
