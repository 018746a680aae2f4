"""Partitions under way: a reader holds them, a log of another day is read; transcripts say the same as on SQLite."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from sendproof_core import clock, partitions, record_days, retention, schema_version, transcript_queries
from sendproof_core.database import Database, open_database
from sendproof_core.retention import RecordSettings
from sendproof_core.schema import QueueFile
from sendproof_core.transcripts import Transcript
from sendproof_testing.record_reading import LOGS, Machine

pytestmark = [pytest.mark.integration, pytest.mark.postgres]
_FOR_EVER = RecordSettings(keep_days=0)
_HELD_SECONDS = 3.0


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    database = open_database(postgres_url)
    schema_version.upgrade(database)
    yield database
    database.close()


def test_a_day_is_made_once_the_reader_that_holds_the_strays_ends(database: Database) -> None:
    day = record_days.day_number(clock.now())
    with database.writing_connection() as connection:
        partitions.drop(connection, [one for one in partitions.existing(connection) if one.day == day])
    with database.engine.connect() as reader:
        reader.exec_driver_sql("SELECT count(*) FROM recipients")
        ending = threading.Timer(_HELD_SECONDS, reader.rollback)
        ending.start()
        done = retention.maintain(database, _FOR_EVER, clock.now())
        ending.join()
    assert done.days_made == [day]


def _transcripts(database: Database) -> dict[str, Transcript | None]:
    """By queue file, without the ids of rows, which the databases give."""
    with database.reading() as session:
        return {
            f"{file.host} {file.instance} {file.queue_id} {file.born_at}": transcript_queries.load_transcript(
                session, file.id
            )
            for file in session.scalars(select(QueueFile))
        }


def test_a_log_of_any_day_reads_the_same_before_and_after_it_has_its_day(
    database: Database, sqlite_database: Database, tmp_path: Path
) -> None:
    """The log's days have no partitions, unless it is read in the fortnight around them."""
    logs = sorted((LOGS / "situations").glob("*.txt"))
    assert logs
    for one in (database, sqlite_database):
        folder = tmp_path / one.engine.dialect.name
        folder.mkdir()
        machine = Machine(folder, one)
        for log in logs:
            machine.log(
                *(line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line[:1].isalnum())
            )
        machine.read()
    expected = _plain(sqlite_database)
    assert expected
    assert _plain(database) == expected
    retention.maintain(database, _FOR_EVER, clock.now())
    with database.engine.connect() as connection:
        today = record_days.day_number(clock.now())
        assert [day for day in partitions.stray_days(connection) if 0 < day <= today] == []
    assert _plain(database) == expected


def _plain(database: Database) -> dict[str, str]:
    found = {}
    for name, transcript in _transcripts(database).items():
        assert transcript is not None
        said = [
            (one.address, one.state, one.state_at, [(try_.at, try_.reply, try_.dialogue) for try_ in one.attempts])
            for one in transcript.recipients
        ]
        found[name] = repr(
            (transcript.message.submitted_at, transcript.message.envelope_sender, sorted(said, key=repr))
        )
    return found
