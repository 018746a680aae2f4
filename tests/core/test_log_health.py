import datetime as dt
import uuid
from typing import Any

import pytest
from sqlalchemy.orm import Session

from sendproof_core import log_health
from sendproof_core.database import Database
from sendproof_core.log_health import Gap, LogHealth, UnheardMessage
from sendproof_core.schema import LogGap, Message, QueueFile, ReadingPosition, Recipient, UnknownLine
from sendproof_core.states import RecipientState

NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)
_MINUTE = dt.timedelta(minutes=1)
_HOST = "relay.example"


def _read(database: Database, newest: int = 20) -> LogHealth:
    with database.reading() as session:
        return log_health.read(session, NOW, newest)


def _source(session: Session, name: str, **values: Any) -> None:
    row = {
        "fingerprint": "f" * 64,
        "fingerprint_octets": 4,
        "inode": 1,
        "offset": 10,
        "lines_read": 3,
        "read_at": NOW,
        "read_up_to": NOW,
        **values,
    }
    session.add(ReadingPosition(source=name, **row))


def _message(session: Session, number: int = 1) -> uuid.UUID:
    message = Message(
        id=uuid.UUID(int=number),
        account_id=1,
        login="max",
        credential_label="x",
        submitted_at=NOW - _MINUTE,
        envelope_sender="max@own.example",
        size_bytes=1,
        recipient_count=1,
        signatures=[],
        pixel="inserted",
    )
    session.add(message)
    session.flush()
    return message.id


def _queue_file(session: Session, queue_id: str, **values: Any) -> QueueFile:
    row = {"host": _HOST, "instance": "postfix", "born_at": NOW - 10 * _MINUTE, **values}
    queue_file = QueueFile(queue_id=queue_id, **row)
    session.add(queue_file)
    session.flush()
    return queue_file


def _recipient(
    session: Session, queue_file: QueueFile, state: RecipientState, address: str = "a@x.example"
) -> Recipient:
    recipient = Recipient(queue_file_id=queue_file.id, address=address, state=state, state_at=NOW)
    session.add(recipient)
    session.flush()
    return recipient


def test_an_empty_record_is_in_good_health(either_database: Database) -> None:
    health = _read(either_database)
    assert health.sources == ()
    assert health.unknown_lines_by_daemon == {}
    assert (health.gap_count, health.unheard_count, health.silent_recipients) == (0, 0, 0)
    assert health.open_recipients == dict.fromkeys(log_health.OPEN_STATES, 0)


def test_each_source_says_how_far_it_was_read(either_database: Database) -> None:
    with either_database.writing() as session:
        _source(session, f"{_HOST}:/var/log/mail.log", read_up_to=NOW - _MINUTE, last_line_at=NOW - 2 * _MINUTE)
        _source(session, f"{_HOST}:journald", cursor="s=1;i=2", offset=0)
        _source(session, f"{_HOST}:import:/var/log/mail.log.2.gz", read_up_to=None)
    file, imported, journald = _read(either_database).sources
    assert (file.name, file.host, file.lines_read, file.offset) == (f"{_HOST}:/var/log/mail.log", _HOST, 3, 10)
    assert (file.behind_seconds, file.last_line_at, file.is_import) == (60, NOW - 2 * _MINUTE, False)
    assert (journald.cursor, journald.behind_seconds) == ("s=1;i=2", 0)
    assert (imported.is_import, imported.behind_seconds) == (True, None)


def test_unknown_lines_are_counted_by_daemon_and_the_newest_are_shown(either_database: Database) -> None:
    with either_database.writing() as session:
        for offset, daemon in enumerate(("smtpd", "cleanup", "smtpd", None)):
            line = UnknownLine(source="s", offset=offset, read_at=NOW, line=f"line {offset}", daemon=daemon)
            session.add(line)
            session.flush()
    health = _read(either_database, newest=2)
    assert list(health.unknown_lines_by_daemon.items()) == [("smtpd", 2), ("", 1), ("cleanup", 1)]
    assert [(line.line, line.daemon) for line in health.newest_unknown_lines] == [("line 3", None), ("line 2", "smtpd")]


def test_gaps_are_newest_first_and_all_counted(either_database: Database) -> None:
    with either_database.writing() as session:
        for number in range(3):
            ends_at = NOW - number * _MINUTE
            session.add(LogGap(host=_HOST, source="s", ends_at=ends_at, lines=number, text="lost", line_key=number))
    health = _read(either_database, newest=2)
    assert health.gap_count == 3
    assert health.gaps == (Gap(_HOST, "s", None, NOW, 0, "lost"), Gap(_HOST, "s", None, NOW - _MINUTE, 1, "lost"))


def test_recipients_that_postfix_still_has_are_counted_by_state(either_database: Database) -> None:
    with either_database.writing() as session:
        for number, state in enumerate(RecipientState):
            _recipient(session, _queue_file(session, f"4z{number}"), state)
        # handed on: what becomes of it is said of another queue file
        _recipient(session, _queue_file(session, "4zgone", removed_at=NOW), RecipientState.QUEUED)
        _recipient(session, _queue_file(session, "4zthere", host="edge2"), RecipientState.HELD)
    health = _read(either_database)
    assert health.open_recipients == {**dict.fromkeys(log_health.OPEN_STATES, 1), RecipientState.HELD: 2}
    with either_database.reading() as session:
        assert log_health.count_open(session, _HOST) == dict.fromkeys(log_health.OPEN_STATES, 1)
    assert health.silent_recipients == 1


def test_who_was_handed_on_is_not_silent(either_database: Database) -> None:
    with either_database.writing() as session:
        parent = _queue_file(session, "4zparent")
        _recipient(session, parent, RecipientState.UNKNOWN, "on@x.example").handed_on_at = NOW
        _recipient(session, parent, RecipientState.UNKNOWN, "silent@x.example")
    assert _read(either_database).silent_recipients == 1


def test_who_was_handed_on_is_not_open(either_database: Database) -> None:
    with either_database.writing() as session:
        parent = _queue_file(session, "4zparent")
        _recipient(session, parent, RecipientState.QUEUED, "on@x.example").handed_on_at = NOW
    assert set(_read(either_database).open_recipients.values()) == {0}


def _unheard(database: Database, **values: Any) -> bool:
    with database.writing() as session:
        message_id = _message(session)
        _queue_file(session, "4zquiet", **{"instance": "", "message_id": message_id, **values})
    health = _read(database)
    shown = health.admitted_without_a_line
    assert len(shown) == health.unheard_count
    return bool(shown)


def test_an_admitted_message_of_which_no_line_speaks_is_shown(sqlite_database: Database) -> None:
    with sqlite_database.writing() as session:
        _source(session, f"{_HOST}:/var/log/mail.log")
    assert _unheard(sqlite_database)
    born_at = NOW - 10 * _MINUTE
    quiet = (UnheardMessage(uuid.UUID(int=1), _HOST, "4zquiet", born_at),)
    assert _read(sqlite_database).admitted_without_a_line == quiet


@pytest.mark.parametrize(
    "values",
    [
        {"instance": "postfix"},
        {"born_at": NOW - dt.timedelta(seconds=59)},
        {"disposition": "rejected"},
        {"message_id": None},
        {"host": "edge2"},
    ],
)
def test_what_may_still_come_or_is_known_is_not_shown(sqlite_database: Database, values: dict[str, Any]) -> None:
    with sqlite_database.writing() as session:
        _source(session, f"{_HOST}:/var/log/mail.log")
    assert not _unheard(sqlite_database, **values)


@pytest.mark.parametrize("moment", [None, NOW - dt.timedelta(hours=1)])
def test_the_source_that_is_furthest_behind_decides(either_database: Database, moment: dt.datetime | None) -> None:
    with either_database.writing() as session:
        _source(session, f"{_HOST}:/var/log/mail.log")
        _source(session, f"{_HOST}:/var/lib/sendproof/milter.journal", read_up_to=moment)
    assert not _unheard(either_database)


def test_an_import_holds_nothing_back(either_database: Database) -> None:
    with either_database.writing() as session:
        _source(session, f"{_HOST}:/var/log/mail.log")
        _source(session, f"{_HOST}:import:/var/log/mail.log.2.gz", read_up_to=None)
    assert _unheard(either_database)
