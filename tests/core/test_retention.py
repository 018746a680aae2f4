"""Retention: what is past goes, whole; what is not stays, whole; on both databases the same."""

import contextlib
import datetime as dt
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pysqlite3 import dbapi2 as sqlite_driver
from sqlalchemy import delete, func, select, text

from sendproof_core import clock, partitions, record_days, retention, schema_version
from sendproof_core.database import Database, open_database
from sendproof_core.kept_mail import find_kept
from sendproof_core.retention import RecordSettings
from sendproof_core.schema import (
    Attempt,
    Base,
    Delivery,
    DeliveryDay,
    LogGap,
    Message,
    Open,
    QueueFile,
    Recipient,
    Refusal,
    SearchEntry,
    UnknownLine,
)
from sendproof_testing.dated_record import DatedRecord

_NOW = clock.now()
_KEEP = RecordSettings(keep_days=30)
_LIMIT = _KEEP.limit(_NOW) or 0
_BEGIN = record_days.begin_of(_LIMIT)
_HOUR = dt.timedelta(hours=1)
_DAY = dt.timedelta(days=1)
_TABLES: tuple[type[Base], ...] = (
    Attempt,
    Delivery,
    Recipient,
    QueueFile,
    Message,
    Refusal,
    Open,
    SearchEntry,
    UnknownLine,
    LogGap,
)


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[Database]:
    database = open_database(postgres_url)
    schema_version.upgrade(database)
    yield database
    database.close()


def _count(database: Database) -> dict[str, int]:
    with database.reading() as session:
        return {
            table.__tablename__: session.scalar(select(func.count()).select_from(table)) or 0
            for table in _TABLES
        }  # fmt: skip


@contextlib.contextmanager
def sqlite_connection(database: Database) -> Iterator[Any]:
    """As another process has one."""
    path = str(database.engine.url.database)
    with contextlib.closing(sqlite_driver.connect(path, isolation_level=None, timeout=10)) as connection:
        yield connection


def _clear(database: Database) -> None:
    with database.writing() as session:
        for table in _TABLES:
            session.execute(delete(table))


@dataclass(frozen=True)
class _File:
    """Hours are counted from the limit. ``parent``: which file before it, if any; ``belongs``: to the message."""

    born: int
    lasts: int | None
    belongs: bool
    parent: int | None
    elsewhere: bool


_FILES = st.lists(
    st.builds(
        _File,
        born=st.integers(-80, 30),
        lasts=st.one_of(st.none(), st.integers(0, 60)),
        belongs=st.booleans(),
        parent=st.one_of(st.none(), st.integers(0, 3)),
        elsewhere=st.booleans(),
    ),
    max_size=4,
)


def _conversation(record: DatedRecord, begins: int, files: list[_File]) -> tuple[uuid.UUID, list[int], bool]:
    """Its message, its queue files; whether it must stay. What comes out of a queue file, does so while it lives."""
    message_id = record.message(_BEGIN + begins * _HOUR)
    made: list[tuple[_File, QueueFile, set[int]]] = []
    # Of what hangs together with the message; then of each of the rest.
    groups: dict[int, set[int]] = {}
    stays: set[int] = set()
    for number, file in enumerate(files):
        parent = made[file.parent % len(made)] if file.parent is not None and made else None
        born = max(file.born, begins if file.belongs else -1_000, parent[0].born if parent else -1_000)
        file = _File(born, file.lasts, file.belongs, file.parent, file.elsewhere)  # noqa: PLW2901 - as it can be
        ends = None if file.lasts is None else _BEGIN + (born + file.lasts) * _HOUR
        row = record.queue_file(
            _BEGIN + born * _HOUR,
            message_id=message_id if file.belongs else None,
            ended_at=ends,
            parent=parent[1] if parent else None,
            host="edge2" if file.elsewhere else "edge1",
        )
        made.append((file, row, set()))
        groups[number] = {number}
        if parent:
            parent_number = file.parent % number if file.parent is not None else 0
            _join(groups, number, parent_number)
            ended = parent[1].removed_at
            if ended is not None and ended < row.born_at:
                parent[1].removed_at = row.born_at
        if file.belongs:
            for other in range(number):
                if files[other].belongs:
                    _join(groups, number, other)
    of_message = [number for number, file in enumerate(files) if file.belongs]
    for number, (_, row, _) in enumerate(made):
        if row.born_at >= _BEGIN or row.removed_at is None or row.removed_at >= _BEGIN:
            stays |= groups[number]
    message_stays = begins >= 0 or any(number in stays for number in of_message)
    record.session.flush()
    kept = [row.id for number, (_, row, _) in enumerate(made) if number in stays]
    return message_id, kept, message_stays


def _join(groups: dict[int, set[int]], one: int, other: int) -> None:
    together = groups[one] | groups[other]
    for number in together:
        groups[number] = together


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(conversations=st.lists(st.tuples(st.integers(-80, 30), _FILES), max_size=4), is_dated=st.booleans())
def test_just_the_conversations_that_are_past_go(
    either_database: Database, conversations: list[tuple[int, list[_File]]], is_dated: bool
) -> None:
    _clear(either_database)
    with either_database.writing() as session:
        record = DatedRecord(session, is_dated)
        made = [_conversation(record, begins, files) for begins, files in conversations]
    expected_files = {file_id for _, files, _ in made for file_id in files}
    expected = {message_id for message_id, _, stays in made if stays}
    retention.maintain(either_database, _KEEP, _NOW)
    with either_database.reading() as session:
        assert set(session.scalars(select(Message.id))) == expected
        assert set(session.scalars(select(SearchEntry.message_id))) == expected
        assert set(session.scalars(select(QueueFile.id))) == expected_files
        assert set(session.scalars(select(Recipient.queue_file_id))) == expected_files
        assert set(session.scalars(select(Delivery.queue_file_id))) == expected_files
        assert session.scalar(select(func.count()).select_from(Attempt)) == len(expected_files)


def _fill(database: Database) -> None:
    with database.writing() as session:
        record = DatedRecord(session)
        for days in (-3, -2, -1, 0, 1):
            at = _BEGIN + days * _DAY + _HOUR
            message_id = record.message(at)
            record.queue_file(at, message_id=message_id, ended_at=at)
            record.refusal(at)
            record.opened(at, message_id)
            session.add(UnknownLine(source="edge1:/var/log/mail.log", offset=1, read_at=at, line="?"))
            session.add(LogGap(host="edge1", source="x", ends_at=at, text="lost", line_key=days))
        session.add(
            DeliveryDay(
                day=_BEGIN.date() - _DAY, domain="", messages=1, recipients=1, delivered=1, deferred=0, bounced=0,
                expired=0,
            )
        )  # fmt: skip


def test_everything_of_a_day_that_is_past_goes_and_its_sums_stay(either_database: Database) -> None:
    _fill(either_database)
    retention.maintain(either_database, _KEEP, _NOW)
    counts = _count(either_database)
    assert counts.pop("search_entries") == 4
    assert set(counts.values()) == {2}
    with either_database.reading() as session:
        assert len(session.scalars(select(DeliveryDay)).all()) == 1


def test_a_plan_says_what_is_done_and_changes_nothing(either_database: Database) -> None:
    _fill(either_database)
    before = _count(either_database)
    planned = retention.plan(either_database, _KEEP, _NOW)
    assert _count(either_database) == before
    done = retention.maintain(either_database, _KEEP, _NOW)
    assert (planned.days_made, planned.stray_days) == (done.days_made, done.stray_days)
    for table in ("messages", "queue_files", "refusals", "opens", "unknown_lines", "log_gaps"):
        assert planned.rows_deleted.get(table) == done.rows_deleted.get(table) == 3
    assert retention.plan(either_database, _KEEP, _NOW) == retention.Done()
    assert retention.maintain(either_database, _KEEP, _NOW) == retention.Done()


def test_no_limit_keeps_everything(either_database: Database) -> None:
    _fill(either_database)
    before = _count(either_database)
    done = retention.maintain(either_database, RecordSettings(keep_days=0), _NOW)
    assert (done.days_dropped, done.rows_deleted) == ({}, {})
    assert _count(either_database) == before


def test_on_sqlite_others_write_between_the_steps(sqlite_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_STEP", 2)
    with sqlite_database.writing() as session:
        record = DatedRecord(session)
        for number in range(30):
            record.message(_BEGIN - _DAY - number * _HOUR)
    over, turns = threading.Event(), list[int]()

    def write() -> None:
        while not over.wait(0.01):
            with sqlite_connection(sqlite_database) as other:
                other.execute("BEGIN IMMEDIATE")
                turns.append(steps[0])
                other.execute("COMMIT")

    steps = [0]

    def count(_rows: int) -> None:
        steps[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        retention.maintain(sqlite_database, _KEEP, _NOW, count)
    finally:
        over.set()
        writer.join()
    assert steps[0] > 30
    assert len(set(turns)) > steps[0] / 2


def test_what_was_said_of_several_queue_files_at_once_goes_with_the_first(sqlite_database: Database) -> None:
    """SQLite's foreign keys would hold the older one."""
    with sqlite_database.writing() as session:
        record = DatedRecord(session)
        record.queue_file(_BEGIN - 2 * _DAY, ended_at=_BEGIN - 2 * _DAY)
        young = record.queue_file(_BEGIN + _DAY, ended_at=_BEGIN + _DAY)
        old_delivery = session.scalars(select(Delivery.id).order_by(Delivery.id)).first()
        attempt = session.scalars(select(Attempt).join(Recipient).where(Recipient.queue_file_id == young.id)).one()
        attempt.delivery_id = old_delivery
    retention.maintain(sqlite_database, _KEEP, _NOW)
    with sqlite_database.reading() as session:
        assert session.scalars(select(Attempt.delivery_id)).all() == [None]
        assert session.execute(text("PRAGMA foreign_key_check")).all() == []


@pytest.mark.postgres
def test_a_day_in_which_something_is_not_past_goes_row_by_row(postgres_database: Database) -> None:
    day = record_days.day_number(_BEGIN - 2 * _DAY)
    with postgres_database.writing_connection() as connection:
        partitions.create(connection, day)
        partitions.create(connection, day - 1)
    with postgres_database.writing() as session:
        record = DatedRecord(session)
        held = record.queue_file(_BEGIN - 2 * _DAY, ended_at=None).id
        for days in (2, 3):
            at = _BEGIN - days * _DAY
            record.queue_file(at, ended_at=at)
            record.message(at)
    done = retention.maintain(postgres_database, _KEEP, _NOW)
    assert done.days_dropped["queue_files"] == [day - 1]
    assert done.days_dropped["messages"] == [day - 1, day]
    assert done.rows_deleted["queue_files"] == 1
    with postgres_database.reading() as session:
        assert session.scalars(select(QueueFile.id)).all() == [held]
        assert find_kept(session.connection(), _LIMIT).files == {held}


@pytest.mark.postgres
def test_strays_get_their_day_or_go_with_what_is_past(postgres_database: Database) -> None:
    at = [_BEGIN - _DAY, _BEGIN + _DAY, _NOW + 400 * _DAY]
    with postgres_database.writing() as session:
        record = DatedRecord(session)
        for moment in at:
            record.queue_file(moment, ended_at=moment)
    done = retention.maintain(postgres_database, _KEEP, _NOW)
    assert done.stray_days == [_LIMIT + 1]
    with postgres_database.reading() as session:
        assert session.scalar(select(func.count()).select_from(QueueFile)) == 2
        left = partitions.stray_days(session.connection())
    assert left == [record_days.day_number(at[2])]
