"""Rows that name what is not there are found, whatever the database let pass."""

import contextlib
import datetime as dt
import uuid

import pytest
from pysqlite3 import dbapi2 as sqlite_driver

from sendproof_core import integrity, schema_version
from sendproof_core.database import Database, open_database
from sendproof_core.schema import QueueFile, Recipient

_NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)


def test_a_database_that_is_whole_has_no_problems_and_every_table_is_looked_at(either_database: Database) -> None:
    seen: list[str] = []
    assert integrity.problems(either_database, lambda _done, _total, what: seen.append(what)) == []
    assert {"plans", "recipients", "notice_items"} <= set(seen)


def test_rows_without_the_row_that_they_name_are_counted(sqlite_database: Database) -> None:
    with sqlite_database.writing() as session:
        file = QueueFile(host="edge", instance="postfix", queue_id="4abc", born_at=_NOW)
        session.add(file)
        session.flush()
        session.add_all(
            Recipient(queue_file_id=file.id, address=f"{name}@a.example", state="queued", state_at=_NOW)
            for name in "ab"
        )
    with contextlib.closing(sqlite_driver.connect(str(sqlite_database.engine.url.database))) as other:
        other.execute("DELETE FROM queue_files")  # who does not ask for foreign keys gets none
        other.commit()
    assert integrity.problems(sqlite_database, lambda *_: None) == [
        "2 rows of recipients name a row of queue_files that is not there"
    ]


@pytest.mark.postgres
def test_what_another_day_took_with_it_is_no_problem_between_partitions(postgres_url: str) -> None:
    """`docs/decisions/0018`: a queue file may name a message that is gone, and an attempt a conversation."""
    with contextlib.closing(open_database(postgres_url)) as database:
        schema_version.upgrade(database)
        with database.writing() as session:
            session.add(
                QueueFile(host="edge", instance="postfix", queue_id="4abc", born_at=_NOW, message_id=uuid.uuid4())
            )
        assert integrity.problems(database, lambda *_: None) == []
