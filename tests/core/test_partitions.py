"""PostgreSQL's partitions: every row lies on its day, strays get theirs, what is dropped is gone and nothing else."""

import datetime as dt
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from sendproof_core import clock, partitions, record_days, schema_version
from sendproof_core.database import Database, open_database
from sendproof_core.schema import QueueFile, Recipient
from sendproof_testing.dated_record import DatedRecord

_NOW = clock.now()
_TODAY = record_days.day_number(_NOW)
_DAY = dt.timedelta(days=1)
pytestmark = pytest.mark.postgres


@pytest.fixture
def database(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(clock, "now", lambda: _NOW)  # the days are made by it, perhaps after midnight
    database = open_database(postgres_url)
    schema_version.upgrade(database)
    yield database
    database.close()


def _places(database: Database) -> dict[str, set[str]]:
    """By table: the partitions that hold rows."""
    with database.engine.connect() as connection:
        return {
            table: set(connection.scalars(text(f"SELECT DISTINCT tableoid::regclass::text FROM {table}")))  # noqa: S608 - our own names
            for table in partitions.KEYS
        }


def _fill(database: Database, at: dt.datetime, *, is_dated: bool = True) -> QueueFile:
    with database.writing() as session:
        record = DatedRecord(session, is_dated)
        message_id = record.message(at)
        file = record.queue_file(at, message_id=message_id, ended_at=at)
        record.refusal(at)
        record.opened(at, message_id)
        session.expunge_all()
        return file


def test_an_upgrade_makes_today_and_the_days_ahead(database: Database) -> None:
    with database.engine.connect() as connection:
        there = partitions.existing(connection)
    days = {one.day for one in there if one.table == "recipients" and not one.is_before and one.day is not None}
    assert days == set(range(_TODAY, _TODAY + partitions.AHEAD_DAYS + 1))
    assert partitions.missing_days(there, _NOW) == []
    assert partitions.missing_days(there, _NOW + 2 * _DAY) == [_TODAY + 15, _TODAY + 16]


def test_rows_lie_in_the_partition_of_their_day(database: Database) -> None:
    _fill(database, _NOW)
    assert _places(database) == {table: {partitions.name_of(table, _TODAY)} for table in partitions.KEYS}


def test_a_row_of_a_day_without_partitions_is_a_stray_until_the_day_is_made(database: Database) -> None:
    old = _NOW - 40 * _DAY
    file = _fill(database, old)
    assert _places(database) == {table: {f"{table}_strays"} for table in partitions.KEYS}
    day = record_days.day_number(old)
    with database.writing_connection() as connection:
        assert partitions.stray_days(connection) == [day]
        assert partitions.create(connection, day) == len(partitions.KEYS)
        assert partitions.create(connection, day) == 0
    assert _places(database) == {table: {partitions.name_of(table, day)} for table in partitions.KEYS}
    with database.reading() as session:
        assert session.get_one(QueueFile, file.id).queue_id == file.queue_id
        assert partitions.stray_days(session.connection()) == []


def test_ids_of_no_day_stay_apart_from_the_days(database: Database) -> None:
    _fill(database, _NOW, is_dated=False)
    places = _places(database)
    for table in partitions.CONVERSATIONS:
        assert places[table] == {f"{table}_before_19700102"}


@pytest.mark.parametrize("is_dated", [False, True])
@pytest.mark.parametrize("days_ago", [0, 40])
def test_every_partition_keeps_what_refers_to_nothing_out(database: Database, days_ago: int, is_dated: bool) -> None:
    at = _NOW - days_ago * _DAY
    file_id = record_days.dated_id(record_days.day_number(at), 77) if is_dated else 77
    lost = Recipient(id=file_id, queue_file_id=file_id, address="a@x", state="queued", state_at=at)
    with pytest.raises(IntegrityError, match="foreign key"), database.writing() as session:
        session.add(lost)


def test_no_queue_file_is_there_twice_on_its_day(database: Database) -> None:
    file = _fill(database, _NOW)
    again = QueueFile(
        id=file.id + 1, host=file.host, instance=file.instance, queue_id=file.queue_id, born_at=file.born_at
    )  # fmt: skip
    with pytest.raises(IntegrityError, match="unique"), database.writing() as session:
        session.add(again)


def test_days_are_dropped_whole_and_alone(database: Database) -> None:
    tomorrow = _fill(database, _NOW + _DAY)
    _fill(database, _NOW)
    with database.writing_connection() as connection:
        today = [one for one in partitions.existing(connection) if one.day == _TODAY and not one.is_before]
        assert len(today) == len(partitions.KEYS)
        partitions.drop(connection, today)
    with database.reading() as session:
        assert session.scalars(select(QueueFile.id)).all() == [tomorrow.id]
        assert partitions.missing_days(partitions.existing(session.connection()), _NOW) == [_TODAY]


def test_more_days_want_more_locks(database: Database) -> None:
    with database.engine.connect() as connection:
        assert partitions.wanted_locks(connection) is None
        for number in range(1, 90):
            partitions.create(connection, _TODAY - number)
        wanted = partitions.wanted_locks(connection)
        assert wanted is not None
        assert 64 < wanted < 128
        connection.rollback()


def test_names_that_are_no_partition_are_left_alone() -> None:
    for name in ("recipients", "recipients_20261399", "recipients_2026112", "people_20261122", "search_words_idx"):
        assert partitions.of_name(name) is None
    found = partitions.of_name("messages_before_20261122")
    assert found is not None
    assert (found.table, found.is_before) == ("messages", True)
    assert record_days.date_of(found.day or 0) == dt.date(2026, 11, 22)


def test_the_timers_of_several_machines_do_not_disturb_each_other(database: Database) -> None:
    far = range(_TODAY + 20, _TODAY + 24)
    together = threading.Barrier(3)

    def made_and_dropped() -> list[str]:
        other = open_database(database.engine.url.render_as_string(hide_password=False))
        try:
            together.wait(30)
            for day in far:
                with other.writing_connection() as connection:
                    partitions.create(connection, day)
            together.wait(30)
            with other.engine.connect() as connection:
                these = [one for one in partitions.existing(connection) if one.day in far]
            together.wait(30)
            with other.writing_connection() as connection:
                partitions.drop(connection, these)
            return sorted(one.name for one in these)
        finally:
            other.close()

    with ThreadPoolExecutor(3) as pool:
        found = [running.result(120) for running in [pool.submit(made_and_dropped) for _ in range(3)]]
    assert found == [sorted(partitions.name_of(table, day) for table in partitions.KEYS for day in far)] * 3
    with database.engine.connect() as connection:
        assert not [one for one in partitions.existing(connection) if one.day in far]
