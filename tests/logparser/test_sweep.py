import datetime as dt
import uuid
from typing import Any

import pytest
from sqlalchemy import select, update

from sendproof_core.database import Database
from sendproof_core.schema import Message, QueueFile, ReadingPosition, Recipient
from sendproof_core.source_names import import_name, source_name
from sendproof_core.states import RecipientState
from sendproof_logparser import sweep

NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)
_HOST = "relay.example"
_DAY = dt.timedelta(days=1)
_MINUTE = dt.timedelta(minutes=1)
_FIVE_DAYS_SECONDS = 5 * 86_400


def _recipient(
    database: Database,
    state: RecipientState = RecipientState.QUEUED,
    state_at: dt.datetime = NOW - 7 * _DAY,
    number: int = 1,
    **queue_file: Any,
) -> None:
    row = {"host": _HOST, "instance": "postfix", "queue_id": f"4z{number}", "born_at": state_at, **queue_file}
    with database.writing() as session:
        file = QueueFile(**row)
        session.add(file)
        session.flush()
        session.add(Recipient(queue_file_id=file.id, address=f"a{number}@x.example", state=state, state_at=state_at))


def _admitted(database: Database, *, age: dt.timedelta = 11 * _MINUTE, number: int = 1, **changes: Any) -> None:
    """A message of which only the journal speaks."""
    with database.writing() as session:
        message = Message(
            id=uuid.UUID(int=number),
            account_id=1,
            login="max",
            credential_label="x",
            submitted_at=NOW - age,
            envelope_sender="max@own.example",
            size_bytes=1,
            recipient_count=1,
            signatures=[],
            pixel="inserted",
        )
        session.add(message)
    values = {"state_at": NOW - age, "instance": "", "message_id": uuid.UUID(int=number), "number": number, **changes}
    _recipient(database, **values)


def _states(database: Database) -> list[tuple[str, dt.datetime]]:
    with database.reading() as session:
        return [(row.state, row.state_at) for row in session.scalars(select(Recipient))]


def _silent(database: Database, host: str = _HOST) -> int:
    with database.writing_connection() as connection:
        return sweep.mark_silent_as_unknown(connection, host, NOW, _FIVE_DAYS_SECONDS)


def _unheard(database: Database, host: str = _HOST, read_up_to: dt.datetime = NOW) -> int:
    with database.writing_connection() as connection:
        return sweep.mark_unheard_as_unknown(connection, host, read_up_to, NOW)


def test_who_was_silent_for_longer_than_postfix_tries_is_unknown(either_database: Database) -> None:
    _recipient(either_database, RecipientState.DEFERRED, NOW - 6 * _DAY - _MINUTE)
    assert _silent(either_database, "edge2") == 0
    assert _silent(either_database) == 1
    assert _states(either_database) == [("unknown", NOW)]
    assert _silent(either_database) == 0


@pytest.mark.parametrize(
    ("state", "age"),
    [
        (RecipientState.QUEUED, 6 * _DAY - _MINUTE),
        (RecipientState.HELD, 100 * _DAY),
        (RecipientState.DELIVERED, 100 * _DAY),
        (RecipientState.UNKNOWN, 100 * _DAY),
    ],
)
def test_who_may_still_be_tried_or_is_done_with_keeps_its_state(
    sqlite_database: Database, state: RecipientState, age: dt.timedelta
) -> None:
    _recipient(sqlite_database, state, NOW - age)
    assert _silent(sqlite_database) == 0
    assert _states(sqlite_database) == [(state, NOW - age)]


def test_who_was_handed_on_is_not_silent(either_database: Database) -> None:
    _recipient(either_database)
    with either_database.writing() as session:
        session.execute(update(Recipient).values(handed_on_at=NOW))
    assert _silent(either_database) == 0


def test_whom_the_milter_admitted_and_no_line_names_is_unknown(either_database: Database) -> None:
    _admitted(either_database)
    assert _unheard(either_database, "edge2") == 0
    assert _unheard(either_database) == 1
    assert _states(either_database) == [("unknown", NOW)]
    assert _unheard(either_database) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"age": 9 * _MINUTE},
        {"instance": "postfix"},
        {"message_id": None},
        {"state": RecipientState.CANCELLED, "disposition": "rejected"},
        {"state": RecipientState.HELD},
    ],
)
def test_who_was_named_or_may_still_be_is_left_alone(sqlite_database: Database, changes: dict[str, Any]) -> None:
    _admitted(sqlite_database, **changes)
    assert _unheard(sqlite_database) == 0


def test_lines_that_were_not_read_yet_may_still_name_them(either_database: Database) -> None:
    _admitted(either_database, age=2 * _DAY)
    assert _unheard(either_database, read_up_to=NOW - 2 * _DAY + 9 * _MINUTE) == 0
    assert _unheard(either_database, read_up_to=NOW - 2 * _DAY + 11 * _MINUTE) == 1


def test_more_recipients_than_fit_in_one_statement_are_marked(either_database: Database) -> None:
    with either_database.writing_connection() as connection:
        rows = [
            {"id": n, "host": _HOST, "instance": "postfix", "queue_id": f"4z{n}", "born_at": NOW}
            for n in range(1, 2501)
        ]
        connection.execute(QueueFile.__table__.insert(), rows)  # type: ignore[attr-defined] # a Table, as declared
        recipients = [
            {"queue_file_id": n, "address": "a@x.example", "state": "queued", "state_at": NOW - 7 * _DAY}
            for n in range(1, 2501)
        ]
        connection.execute(Recipient.__table__.insert(), recipients)  # type: ignore[attr-defined]
    assert _silent(either_database) == 2500


def test_sources_that_are_no_longer_read_are_forgotten_and_imports_never(either_database: Database) -> None:
    kept = [
        source_name(_HOST, "/var/log/mail.log"),
        source_name("edge2", "/var/log/old.log"),
        source_name(f"{_HOST}.example", "/var/log/old.log"),
        import_name(_HOST, "/var/log/old.log.7.gz"),
    ]
    with either_database.writing() as session:
        for source in [*kept, source_name(_HOST, "/var/log/old.log"), source_name(_HOST, "journald")]:
            row = ReadingPosition(
                source=source, fingerprint="f" * 64, fingerprint_octets=4, inode=1, offset=1, lines_read=1, read_at=NOW
            )
            session.add(row)
    with either_database.writing_connection() as connection:
        assert sweep.forget_sources(connection, _HOST, kept[:1]) == 2
        assert sweep.forget_sources(connection, _HOST, kept[:1]) == 0
    with either_database.reading() as session:
        assert set(session.scalars(select(ReadingPosition.source))) == set(kept)
