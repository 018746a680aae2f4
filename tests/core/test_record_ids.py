"""Conditions by id: they find what they should, and PostgreSQL looks into no other day."""

import datetime as dt
from collections.abc import Iterator

import pytest
from sqlalchemy import ColumnElement, select, text
from sqlalchemy.orm import Session

from sendproof_core import clock, partitions, record_days, record_ids, schema_version
from sendproof_core.database import Database, open_database
from sendproof_core.schema import Open, QueueFile, Recipient, Refusal
from sendproof_testing.dated_record import DatedRecord

_NOW = clock.now()
_DAY = dt.timedelta(days=1)


def _fill(session: Session) -> tuple[DatedRecord, QueueFile, int]:
    record = DatedRecord(session)
    message_id = record.message(_NOW)
    file = record.queue_file(_NOW, message_id=message_id, ended_at=_NOW)
    record.opened(_NOW + _DAY, message_id)
    return record, file, record.refusal(_NOW)


def test_the_conditions_find_what_has_the_ids(either_database: Database) -> None:
    is_postgresql = either_database.engine.dialect.name == "postgresql"
    with either_database.writing() as session:
        record, file, refusal_id = _fill(session)
        other = record.refusal(_NOW - 40 * _DAY)
        record.is_dated = False
        undated = record.refusal(_NOW)
        for wanted in ([refusal_id], [refusal_id, other], [refusal_id, other, undated], []):
            found = session.scalars(select(Refusal.id).where(record_ids.is_refusal(wanted))).all()
            assert sorted(found) == sorted(wanted)
        recipient = session.scalars(select(Recipient.id)).one()
        assert session.scalars(select(Recipient.id).where(record_ids.is_recipient([recipient]))).all() == [recipient]
        assert file.message_id is not None
        first, end = record_ids.file_span([file.message_id], [])
        assert session.scalars(select(QueueFile.id).where(record_ids.is_within(QueueFile, first, end))).all()
        assert record_ids.file_span([], [7])[0] == 0
        opened = record_ids.is_open([file.message_id], is_postgresql)
        assert len(session.scalars(select(Open.id).where(opened)).all()) == 1


def test_days_are_those_that_ids_carry_and_no_day_is_one_too(either_database: Database) -> None:
    with either_database.writing() as session:
        record = DatedRecord(session)
        files = [record.queue_file(_NOW - days * _DAY) for days in (0, 1, 2, 5)]
        record.is_dated = False
        files.append(record.queue_file(_NOW))
        day = record_days.day_number(_NOW)
        found = session.scalars(select(record_ids.file_day(Recipient.queue_file_id)).distinct()).all()
        assert sorted(found) == [0, day - 5, day - 2, day - 1, day]
        for wanted in ((), (0,), (day,), (day - 2, day - 1), (0, day - 5, day - 1, day), (day - 3,)):
            rows = session.scalars(select(QueueFile.id).where(record_ids.is_of_days(QueueFile.id, wanted))).all()
            assert sorted(rows) == sorted(file.id for file in files if record_days.day_of_id(file.id) in wanted)


@pytest.fixture
def database(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr(clock, "now", lambda: _NOW)  # the days are made by it, perhaps after midnight
    database = open_database(postgres_url)
    schema_version.upgrade(database)
    yield database
    database.close()


@pytest.mark.postgres
def test_other_days_are_not_looked_into(database: Database) -> None:
    with database.writing() as session:
        _, file, refusal_id = _fill(session)
        recipient = session.scalars(select(Recipient.id)).one()
        day = record_days.day_number(_NOW)
        for table, condition in (
            (Refusal, record_ids.is_refusal([refusal_id])),
            (Recipient, record_ids.is_recipient([recipient])),
            (QueueFile, QueueFile.id.in_([file.id])),
        ):
            plan = _plan(session, table, condition)
            assert partitions.name_of(table.__tablename__, day) in plan
            assert partitions.name_of(table.__tablename__, day + 1) not in plan
            assert "strays" not in plan


def _plan(session: Session, table: type[Refusal | Recipient | QueueFile], condition: ColumnElement[bool]) -> str:
    statement = select(table.id).where(condition)
    compiled = statement.compile(session.get_bind(), compile_kwargs={"literal_binds": True})
    return "\n".join(session.scalars(text(f"EXPLAIN {compiled}".replace(":", r"\:"))))
