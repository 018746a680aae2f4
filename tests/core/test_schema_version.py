"""Migrations: both kinds of databases end with the tables of the schema, and without any."""

import socket
import subprocess
import sys
from pathlib import Path

import alembic.autogenerate
import pytest
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError

from sendproof_core import schema_version
from sendproof_core.database import Database, open_database
from sendproof_core.errors import UserError
from sendproof_core.schema import Base

_UPGRADE = """
import sys
from sendproof_core import schema_version
from sendproof_core.database import open_database
print("ready", flush=True)
sys.stdin.readline()
schema_version.upgrade(open_database(sys.argv[1]))
"""


def _tables(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names())


def test_the_newest_migration_makes_just_the_schema(empty_database_url: str) -> None:
    database = open_database(empty_database_url)
    assert schema_version.upgrade(database)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert alembic.autogenerate.compare_metadata(context, Base.metadata) == []
    assert _tables(database) == {*Base.metadata.tables, "alembic_version"}
    schema_version.check(database)
    assert not schema_version.upgrade(database)
    database.close()


def test_back_to_the_base_leaves_no_tables_and_up_again_works(empty_database_url: str) -> None:
    database = open_database(empty_database_url)
    schema_version.upgrade(database)
    schema_version.downgrade(database, "base")
    assert _tables(database) == {"alembic_version"}
    with pytest.raises(UserError, match=r"has schema none, not .*; run `sendproof database upgrade`"):
        schema_version.check(database)
    schema_version.upgrade(database)
    schema_version.check(database)
    database.close()


@pytest.mark.integration
def test_several_processes_upgrade_at_once_and_all_succeed(empty_database_url: str) -> None:
    command = [sys.executable, "-c", _UPGRADE, empty_database_url]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("begin\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0, 0, 0]
    database = open_database(empty_database_url)
    schema_version.check(database)
    database.close()


def test_a_migration_that_fails_leaves_nothing_behind(empty_database_url: str) -> None:
    database = open_database(empty_database_url)
    with database.writing_connection() as connection:
        connection.exec_driver_sql("CREATE TABLE quota_use (used INTEGER)")  # stands in the way
    with pytest.raises((UserError, SQLAlchemyError), match="quota_use"):
        schema_version.upgrade(database)
    assert _tables(database) == {"quota_use"}
    database.close()


def test_a_database_that_is_away_is_said_so_without_its_password() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets the port
        database = open_database(f"postgresql://a:very-secret@127.0.0.1:{taken.getsockname()[1]}/x")
        for act in (schema_version.check, schema_version.upgrade):
            with pytest.raises(UserError, match=r"cannot be reached .*; check \[database\] url") as caught:
                act(database)
            assert "very-secret" not in str(caught.value)
            assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_bytes(b"somebody's notes" * 100)
    database = open_database(f"sqlite:///{tmp_path}/notes.db")
    for act in (schema_version.check, schema_version.upgrade):
        with pytest.raises(UserError, match="not a database"):
            act(database)
    assert (tmp_path / "notes.db").read_bytes() == b"somebody's notes" * 100
