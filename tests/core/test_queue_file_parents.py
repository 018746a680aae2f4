import datetime as dt

import pytest
from sqlalchemy import select
from sqlalchemy.orm import aliased

from sendproof_core.database import Database
from sendproof_core.queue_file_parents import is_named_as_parent, is_parent
from sendproof_core.schema import QueueFile

AT = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)


def add(
    database: Database,
    host: str,
    queue_id: str,
    seconds: int = 0,
    *,
    parent: str | None = None,
    parent_host: str | None = None,
    header: str | None = "<7f3c@own.example>",
) -> int:
    """A queue file, born so many seconds later; its id."""
    with database.writing() as session:
        file = QueueFile(
            host=host,
            instance="postfix",
            queue_id=queue_id,
            born_at=AT + dt.timedelta(seconds=seconds),
            message_id_header=header,
            parent_queue_id=parent,
            parent_host=parent_host,
        )
        session.add(file)
        session.flush()
        return file.id


def parents(database: Database, child_id: int) -> set[int]:
    parent, child = aliased(QueueFile), aliased(QueueFile)
    with database.reading() as session:
        return set(session.scalars(select(parent.id).join(child, is_parent(parent, child)).where(child.id == child_id)))


def test_a_queue_file_comes_from_one_of_its_own_host_that_was_there_before_it(either_database: Database) -> None:
    first = add(either_database, "edge1", "A0001")
    add(either_database, "edge2", "A0001")
    add(either_database, "edge1", "A0001", 60)
    child = add(either_database, "edge1", "A0002", 5, parent="A0001")
    assert parents(either_database, child) == {first}
    assert parents(either_database, first) == set()


@pytest.mark.parametrize("seconds", [-5, 5])
def test_of_another_host_it_is_the_life_with_its_message_id_whatever_the_clocks_say(
    either_database: Database, seconds: int
) -> None:
    first = add(either_database, "edge1", "A0001")
    add(either_database, "edge1", "A0001", -900, header="<an older one>")
    add(either_database, "edge2", "A0001")
    child = add(either_database, "edge2", "B0001", seconds, parent="A0001", parent_host="edge1")
    assert parents(either_database, child) == {first}


def test_nothing_comes_from_itself(sqlite_database: Database) -> None:
    itself = add(sqlite_database, "edge1", "A0001", parent="A0001")
    with sqlite_database.reading() as session:
        assert session.scalars(select(QueueFile.id).where(is_named_as_parent(QueueFile, QueueFile))).all() == []
    assert parents(sqlite_database, itself) == set()
