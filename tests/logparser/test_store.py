import dataclasses
import datetime as dt
import uuid
from collections.abc import Callable

import pytest
from sqlalchemy import event, select

from sendproof_core import schema_version, transcript_queries
from sendproof_core.database import open_database
from sendproof_core.errors import UserError
from sendproof_core.journal_records import Opened, Withdrawn
from sendproof_core.schema import Attempt, Message, Open, ReadingPosition, Recipient, UnknownLine
from sendproof_logparser.position import Position
from sendproof_logparser.store import Batch, DatabaseAway, Line, SourceProgress, Store
from sendproof_testing.record_reading import NOW, Machine, admitted, copied

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


def test_everything_that_was_read_is_said_until_when(machine: Machine) -> None:
    store = Store(machine.database, "relay.example")
    store.write(Batch(NOW, [], progress=[_progress()]))
    assert [row.read_up_to for row in machine.rows(ReadingPosition)] == [None]
    store.mark_read_up_to(["another source"], NOW)
    assert [row.read_up_to for row in machine.rows(ReadingPosition)] == [None]
    store.mark_read_up_to([_SOURCE], NOW)
    assert [row.read_up_to for row in machine.rows(ReadingPosition)] == [NOW]


def test_the_copies_of_a_split_message_are_its_recipients(machine: Machine) -> None:
    """In whatever order the mail log and the journal are read."""
    parent = dataclasses.replace(admitted("4F5C64474F", "a@example.net", "b@example.net"), split=True, signatures=())
    copies = [copied(parent, f"4F5C64475{number}", number) for number in (1, 2)]
    handed_on = (
        "Nov 22 12:00:01 relay postfix/sendproof-split/smtp[7]: 4F5C64474F: to=<{}>, relay=127.0.0.1[127.0.0.1]:10026,"
    )
    handed_on += " delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as {})"
    delivered = (
        "Nov 22 12:00:02 relay postfix/smtp[8]: 4F5C644751: to=<a@example.net>, relay=mx[192.0.2.1]:25, delay=1,"
    )
    delivered += " delays=0/0/0/1, dsn=2.0.0, status=sent (250 ok)"
    steps: list[Callable[[], None]] = [
        lambda: machine.log(handed_on.format("a@example.net", "4F5C644751"), delivered),
        lambda: machine.note(parent, *copies),
        lambda: machine.log(
            handed_on.format("b@example.net", "4F5C644752"),
            "Nov 22 12:00:03 relay postfix/qmgr[9]: 4F5C64474F: removed",
        ),
    ]
    for step in steps:
        step()
        machine.read()
    (message,) = machine.rows(Message)
    assert message.split
    assert message.signatures == [{"domain": "own.example", "selector": "sp1", "algorithm": "rsa-sha256"}]
    with machine.database.reading() as session:
        found = transcript_queries.load_transcript(session, parent.message_id)
        assert found
        (summary,) = transcript_queries.list_messages(session, parent.account_id, limit=9)
    assert [(item.address, item.state, item.copy_queue_id, len(item.attempts)) for item in found.recipients] == [
        ("a@example.net", "delivered", "4F5C644751", 1),
        ("b@example.net", "queued", "4F5C644752", 0),
    ]
    assert summary.recipients == (("a@example.net", "delivered"), ("b@example.net", "queued"))
    assert found.message.queue_id == "4F5C64474F"


def test_handed_on_to_a_copy_is_not_delivered(machine: Machine) -> None:
    """Where the copy's own lines are missing, nothing is claimed of its delivery."""
    machine.note(dataclasses.replace(admitted("4F5C64474F", "a@example.net", "b@example.net"), split=True))
    machine.log(
        "Nov 22 12:00:01 relay postfix/sendproof-split/smtp[7]: 4F5C64474F: to=<a@example.net>,"
        " relay=127.0.0.1[127.0.0.1]:10026, delay=1, delays=0/0/0/1, dsn=2.0.0,"
        " status=sent (250 2.0.0 Ok: queued as 4F5C644751)"
    )
    machine.read()
    assert machine.states() == {"a@example.net": "queued", "b@example.net": "queued"}
    machine.log("Nov 22 12:00:03 relay postfix/qmgr[9]: 4F5C64474F: removed")
    machine.read()
    assert machine.states()["a@example.net"] == "unknown"


def test_a_copy_that_was_made_again_counts_once(machine: Machine) -> None:
    """The milter died at the end of the first one, Postfix kept the recipient and tried again."""
    parent = dataclasses.replace(admitted("4F5C64474F", "a@example.net", "b@example.net"), split=True)
    machine.note(
        parent, copied(parent, "4F5C644751", 1), copied(parent, "4F5C644752", 2), copied(parent, "4F5C644753", 1)
    )
    machine.log(
        "Nov 22 12:00:01 relay postfix/cleanup[7]: 4F5C644751: milter-reject: END-OF-MESSAGE from localhost[127.0.0.1]:"
        " 4.7.1 Service unavailable - try again later; from=<max@own.example> to=<a@example.net> proto=ESMTP helo=<x>"
    )
    machine.read()
    with machine.database.reading() as session:
        found = transcript_queries.load_transcript(session, parent.message_id)
    assert found
    assert [(item.address, item.state, item.copy_queue_id) for item in found.recipients] == [
        ("a@example.net", "queued", "4F5C644753"),
        ("b@example.net", "queued", "4F5C644752"),
    ]


def test_a_copys_recipient_is_shown_as_the_sender_wrote_it(machine: Machine) -> None:
    """Postfix passes an odd local part on in quotation marks."""
    parent = dataclasses.replace(admitted("4F5C64474F", "a..b@example.net", "b@example.net"), split=True)
    copy = dataclasses.replace(copied(parent, "4F5C644751", 1), recipient='"a..b"@example.net')
    machine.note(parent, copy, copied(parent, "4F5C644752", 2))
    machine.read()
    with machine.database.reading() as session:
        found = transcript_queries.load_transcript(session, parent.message_id)
        (summary,) = transcript_queries.list_messages(session, parent.account_id, limit=9)
    assert found
    assert [item.address for item in found.recipients] == ["a..b@example.net", "b@example.net"]
    assert [address for address, _ in summary.recipients] == ["a..b@example.net", "b@example.net"]


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
