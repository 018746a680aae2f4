import datetime as dt
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from sendproof_core import schema_version
from sendproof_core.database import Database, check_sqlite_version, open_database
from sendproof_core.errors import UserError
from sendproof_core.schema import Account, KnownRecipient, Message, Plan, QuotaUse, UnknownLine

_NOW = dt.datetime(2026, 11, 22, 13, 0, tzinfo=dt.UTC)


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


_UNKNOWN = ("source", '"offset"', "read_at", "line", "daemon")
# What a way of its own to add rows (COPY) might take for something else.
_ODD_TEXTS = (
    "plain", "", "\\N", "\\.", "tab\tand\nnewline\r", "a\\b\\\\c", "'\"`%s ?", "☃\U0001f980",
    "NULL", "x" * 100_000,
)  # fmt: skip


def test_rows_that_are_added_at_once_are_there_as_they_were(database: Database) -> None:
    rows: list[tuple[Any, ...]] = []
    with database.fixed_statements() as statements:
        now = statements.moment(_NOW)
        rows = [(text, 2**62 + number, now, text, None) for number, text in enumerate(_ODD_TEXTS)]
        statements.insert("unknown_lines", _UNKNOWN, rows)
        statements.insert("unknown_lines", _UNKNOWN, [])
    with database.reading() as session:
        found = session.scalars(select(UnknownLine).order_by(UnknownLine.id)).all()
        assert [(row.source, row.offset, row.line, row.daemon) for row in found] == [
            (source, offset, line, None) for source, offset, _, line, _ in rows
        ]
        assert {row.read_at for row in found} == {_NOW}


def test_rows_of_every_kind_of_column_are_added_at_once(database: Database) -> None:
    """Numbers, fractions, JSON, ids, truth."""
    message_id, columns = uuid.uuid4(), (
        "id", "account_id", "login", "credential_label", "submitted_at", "envelope_sender", "message_id_header",
        "subject", "size_bytes", "client_address", "client_tls", "recipient_count", "signatures", "pixel",
        "wire_edits", "charged_recipients", "split", "test_mode",
    )  # fmt: skip
    with database.fixed_statements() as statements:
        statements.insert("messages", columns, [(
            statements.id(message_id), 1, "max", "laptop", statements.moment(_NOW), "max@own.example", None, "Offer",
            100, None, None, 2, '[{"domain": "own.example"}]', "inserted", "[]", 2, True, False,
        )])  # fmt: skip
    with database.reading() as session:
        message = session.scalars(select(Message)).one()
        assert (message.id, message.submitted_at, message.signatures) == (message_id, _NOW, [{"domain": "own.example"}])
        assert (message.split, message.test_mode, message.message_id_header) == (True, False, None)


def test_rows_that_cannot_be_added_fail_as_any_other_statement_and_leave_nothing(database: Database) -> None:
    rows = [("a", 1), ("b", 2), ("a", 3)]
    with pytest.raises(IntegrityError) as caught, database.fixed_statements() as statements:
        statements.insert("plans", ("name", "recipients_per_day"), rows)
    assert not caught.value.connection_invalidated
    with pytest.raises(DBAPIError), database.fixed_statements() as statements:
        statements.insert("nowhere", ("name",), [("a",)])
    assert _count(database) == 0
    with database.fixed_statements() as statements:
        statements.insert("plans", ("name", "recipients_per_day"), rows[:2])
    assert _count(database) == 2


def test_after_a_savepoint_a_transaction_goes_on_without_what_failed(database: Database) -> None:
    columns = ("name", "recipients_per_day")
    with database.fixed_statements() as statements:
        statements.insert("plans", columns, [("a", 1)])
        statements.run("SAVEPOINT line", ())
        with pytest.raises(IntegrityError):
            statements.insert("plans", columns, [("b", 1), ("a", 1)])
        statements.run("ROLLBACK TO SAVEPOINT line", ())
        statements.insert("plans", columns, [("c", 1)])
    with database.reading() as session:
        assert session.scalars(select(Plan.name).order_by(Plan.name)).all() == ["a", "c"]


def test_numbers_are_of_no_row_and_come_once(database: Database) -> None:
    """Also among rows that the database has numbered itself, and of two transactions at once."""
    with database.writing() as session:
        session.add_all(UnknownLine(source="s", offset=number, read_at=_NOW, line="") for number in range(3))
    taken: list[int] = []
    columns = (*_UNKNOWN, "id")
    for count in (2, 0, 3):
        with database.fixed_statements() as statements:
            numbers = list(statements.numbers("unknown_lines", [0] * count))
            assert len(numbers) == count
            taken += numbers
            now = statements.moment(_NOW)
            statements.insert("unknown_lines", columns, [("s", 9, now, "", None, number) for number in numbers])
        with database.writing() as session:
            session.add(UnknownLine(source="s", offset=9, read_at=_NOW, line=""))
    with database.reading() as session:
        ids = session.scalars(select(UnknownLine.id)).all()
    assert len(set(ids)) == len(ids) == 3 + 5 + 3
    assert set(taken) <= set(ids)


def test_a_number_whose_row_is_gone_does_not_come_again_on_another_day(database: Database) -> None:
    """What was named by it must not be named so again."""
    taken: list[int] = []
    for day in (20_779, 20_819, 20_820):
        with database.fixed_statements() as statements:
            numbers = list(statements.numbers("unknown_lines", [day] * 3))
            rows = [("s", 9, statements.moment(_NOW), "", None, number) for number in numbers]
            statements.insert("unknown_lines", (*_UNKNOWN, "id"), rows)
        with database.writing() as session:
            session.execute(delete(UnknownLine))
        taken += numbers
    assert len(set(taken)) == len(taken) == 9


@pytest.mark.postgres
def test_two_transactions_at_once_are_given_different_numbers(postgres_url: str) -> None:
    database = open_database(postgres_url)
    schema_version.upgrade(database)
    with database.fixed_statements() as first, database.fixed_statements() as second:
        numbers = [*first.numbers("attempts", [0] * 3), *second.numbers("attempts", [0] * 3)]
    database.close()
    assert len(set(numbers)) == 6


def test_moments_and_ids_that_were_found_are_values_again(database: Database) -> None:
    moments = [_NOW, _NOW.replace(microsecond=1), _NOW.replace(microsecond=500_000)]
    message_id = uuid.uuid4()
    with database.fixed_statements() as statements:
        rows = [(statements.id(message_id), number, statements.moment(at), "proxy", "")
                for number, at in enumerate(moments)]  # fmt: skip
        statements.insert("opens", ("message_id", "recipient_number", "opened_at", "grade", "user_agent"), rows)
        found = statements.rows("SELECT message_id, opened_at FROM opens ORDER BY recipient_number", ())
        assert [statements.read_id(row[0]) for row in found] == [message_id] * 3
        read = [statements.read_moment(row[1]) for row in found]
    assert read == moments
    assert {at.utcoffset() for at in read} == {dt.timedelta()}


def test_nothing_is_stored_as_nothing(database: Database) -> None:
    """However many NULLs are in a row."""
    with database.fixed_statements() as statements:
        statements.run(_ADD, ("a", None))
        statements.run_each(_ADD, [("b", None), ("c", 0)])
        found = statements.rows("SELECT name FROM plans WHERE recipients_per_day IS NULL ORDER BY name", ())
    assert [row[0] for row in found] == ["a", "b"]


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
        assert session.execute(text("SHOW jit")).scalar_one() == "off"
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


@pytest.mark.postgres
def test_a_process_has_no_more_connections_than_it_was_told(postgres_url: str) -> None:
    """Whoever comes when all are in use waits for one."""
    database = open_database(postgres_url, connections=2)
    all_in = threading.Barrier(2)
    counts: list[int] = []

    def look(number: int) -> None:
        with database.reading() as session:
            if number < 2:
                all_in.wait(20)
            mine = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
            counts.append(session.execute(mine).scalar_one())

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(look, range(6)))
    database.close()
    assert len(counts) == 6
    assert max(counts) == 2
