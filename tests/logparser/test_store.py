import dataclasses
import datetime as dt
import uuid

import pytest
from sqlalchemy import event, select

from sendproof_core import schema_version
from sendproof_core.database import open_database
from sendproof_core.errors import UserError
from sendproof_core.journal_records import Opened, Withdrawn
from sendproof_core.schema import Attempt, Message, Open, ReadingPosition, Recipient, UnknownLine
from sendproof_logparser.position import Position
from sendproof_logparser.store import Batch, DatabaseAway, Line, SourceProgress, Store
from sendproof_testing.record_reading import NOW, Machine, admitted

_POSITION = Position("f" * 64, 4, 1, 10)
_SOURCE = "relay.example:/var/log/mail.log"


def _progress(lines_before: int = 0) -> SourceProgress:
    return SourceProgress(_SOURCE, _POSITION, lines_before, 1)


def test_rows_and_position_are_one_transaction(machine: Machine) -> None:
    store = Store(machine.database, "relay.example")
    store.write(Batch(NOW, [Line(_SOURCE, 0, b"", [admitted("4F5C64474F", "a@example.net")])], progress=[_progress()]))
    with machine.database.reading() as session:
        position = session.get(ReadingPosition, _SOURCE)
        assert position is not None
        assert (position.offset, position.lines_read) == (10, 1)
    assert [row.address for row in machine.rows(Recipient)] == ["a@example.net"]


def test_a_second_reader_of_a_source_is_refused_and_changes_nothing(machine: Machine) -> None:
    store = Store(machine.database, "relay.example")
    batch = Batch(NOW, [Line(_SOURCE, 0, b"", [admitted("4F5C64474F", "a@example.net")])], progress=[_progress()])
    store.write(batch)
    before = machine.everything()
    with pytest.raises(UserError, match="another logparser reads"):
        store.write(dataclasses.replace(batch, lines=[Line(_SOURCE, 0, b"x", is_unknown=True)]))
    assert machine.everything() == before


def test_a_message_that_is_admitted_twice_is_one(machine: Machine) -> None:
    machine.note(admitted("4F5C64474F", "a@example.net"), admitted("4F5C64474F", "a@example.net"))
    machine.read()
    machine.note(admitted("4F5C64474F", "a@example.net"))
    machine.read()
    assert (len(machine.rows(Message)), len(machine.rows(Recipient))) == (1, 1)


def test_a_line_that_no_database_takes_becomes_an_unknown_line(machine: Machine) -> None:
    store = Store(machine.database, "relay.example")
    opened = Opened(at=NOW, message_id=uuid.UUID(int=1), recipient_number=1, grade="proxy", user_agent="Mozilla/5.0")
    bad = dataclasses.replace(opened, user_agent="\ud800")
    lines = [
        Line(_SOURCE, 0, b"good", [opened]),
        Line(_SOURCE, 5, b"bad", [bad]),
        Line(_SOURCE, 9, b"worse", is_unknown=True),
    ]
    store.write(Batch(NOW, lines, progress=[_progress()]))
    assert len(machine.rows(Open)) == 1
    assert [row.line for row in machine.rows(UnknownLine)] == ["bad", "worse"]


def test_a_locked_database_is_away_and_the_same_batch_can_be_stored_later(machine: Machine) -> None:
    impatient = open_database(str(machine.database.engine.url))
    event.listen(impatient.engine, "checkout", lambda connection, *_: connection.execute("PRAGMA busy_timeout=1"))
    store = Store(impatient, "relay.example")
    batch = Batch(NOW, [Line(_SOURCE, 0, b"", [admitted("4F5C64474F", "a@example.net")])], progress=[_progress()])
    with machine.database.writing_connection(), pytest.raises(DatabaseAway, match="locked"):
        store.write(batch)
    store.write(batch)
    impatient.close()
    assert len(machine.rows(Message)) == 1


def test_silent_recipients_become_unknown(machine: Machine) -> None:
    machine.note(admitted("4F5C64474F", "a@example.net"))
    machine.read()
    store = Store(machine.database, "relay.example")
    lifetime_seconds = 5 * 86_400
    assert store.mark_silent_as_unknown(NOW + dt.timedelta(days=5), lifetime_seconds) == 0
    assert Store(machine.database, "edge2").mark_silent_as_unknown(NOW + dt.timedelta(days=7), lifetime_seconds) == 0
    assert store.mark_silent_as_unknown(NOW + dt.timedelta(days=7), lifetime_seconds) == 1
    assert machine.states() == {"a@example.net": "unknown"}


def test_more_queue_files_than_fit_in_one_query_are_found_again(machine: Machine) -> None:
    records = [admitted(f"4F5C6{number:05X}", "a@example.net", number=number + 1) for number in range(1500)]
    machine.note(*records)
    machine.read()
    line = "Nov 22 12:00:01 relay postfix/smtp[7]: {}: to=<a@example.net>, relay=none, delay=1, delays=0/0/0/1,"
    line += " dsn=2.0.0, status=sent (ok)"
    machine.log(*(line.format(record.queue_id) for record in records))
    machine.read()
    assert len(machine.rows(Attempt)) == len(machine.rows(Recipient)) == 1500
    assert {row.state for row in machine.rows(Recipient)} == {"delivered"}


# "Index row size exceeds btree maximum" is an OperationalError as well: it stopped the record for good.
@pytest.mark.postgres
def test_a_value_that_postgresql_cannot_index_does_not_stop_the_record(postgres_url: str) -> None:
    database = open_database(postgres_url)
    schema_version.upgrade(database)
    long_address = "".join(chr(0x4E00 + number) for number in range(2000)) + "@example.net"
    lines = [
        Line(_SOURCE, 0, b"long", [admitted("4F5C64474F", long_address, number=1)]),
        Line(_SOURCE, 5, b"good", [admitted("4F5C64474G", "a@example.net", number=2)]),
    ]
    Store(database, "relay.example").write(Batch(NOW, lines, progress=[_progress()]))
    with database.reading() as session:
        assert session.scalars(select(Recipient.address)).all() == ["a@example.net"]
        assert session.scalars(select(UnknownLine.line)).all() == ["long"]
        assert session.scalars(select(ReadingPosition.offset)).all() == [10]
    database.close()


def test_the_recipients_of_a_withdrawn_message_are_cancelled(machine: Machine) -> None:
    record = admitted("4F5C64474F", "a@example.net", "b@example.net")
    machine.note(record, Withdrawn(at=NOW, host=record.host, queue_id=record.queue_id, message_id=record.message_id))
    machine.read()
    assert machine.states() == {"a@example.net": "cancelled", "b@example.net": "cancelled"}
