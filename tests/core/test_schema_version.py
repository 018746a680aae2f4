"""Migrations: both kinds of databases end with the tables of the schema, and without any."""

import contextlib
import datetime as dt
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import alembic.autogenerate
import pytest
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from sendproof_core import clock, partitions, record_days, schema_version, transcript_queries
from sendproof_core.addresses import address_digest
from sendproof_core.database import Database, open_database
from sendproof_core.errors import UserError
from sendproof_core.identity import new_message_id
from sendproof_core.schema import (
    Account,
    Attempt,
    Base,
    Charge,
    Domain,
    KnownRecipient,
    Message,
    OpenConversation,
    QueueFile,
    QuotaUse,
    ReadingPosition,
    Recipient,
    Refusal,
    UnknownLine,
)

_UPGRADE = """
import sys
from sendproof_core import schema_version
from sendproof_core.addresses import address_digest
from sendproof_core.database import open_database
print("ready", flush=True)
sys.stdin.readline()
schema_version.upgrade(open_database(sys.argv[1]))
"""


def _tables(database: Database) -> set[str]:
    return set(filter(_is_described, inspect(database.engine).get_table_names()))


def _is_described(name: str | None) -> bool:
    """Not so each database's own index of words and partitions; SQLite's FTS5 keeps tables beside the index."""
    if name is None:
        return True
    return name != "search_words" and not name.startswith("search_words_") and partitions.of_name(name) is None


def _is_of_the_whole_table(thing: object, _name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
    """Not so what on PostgreSQL only each partition has: foreign keys, and what is unique without the day."""
    table = getattr(thing, "table", None)
    if kind == "foreign_key_constraint":
        return table is None or table.name not in partitions.KEYS
    return getattr(thing, "name", None) not in {"uq_queue_files_host", "ix_attempts_delivery_id"}


def test_the_newest_migration_makes_just_the_schema(empty_database_url: str) -> None:
    database = open_database(empty_database_url)
    assert schema_version.upgrade(database)
    with database.engine.connect() as connection:
        options = {"compare_type": True, "include_name": lambda name, kind, _: kind != "table" or _is_described(name)}
        if connection.dialect.name == "postgresql":
            options["include_object"] = _is_of_the_whole_table
        context = MigrationContext.configure(connection, opts=options)
        assert alembic.autogenerate.compare_metadata(context, Base.metadata) == []
    assert _tables(database) == {*Base.metadata.tables, "alembic_version"}
    schema_version.check(database)
    assert not schema_version.upgrade(database)
    database.close()


def test_back_to_the_base_leaves_no_tables_and_up_again_works(empty_database_url: str) -> None:
    database = open_database(empty_database_url)
    schema_version.upgrade(database)
    schema_version.downgrade(database, "base")
    assert _tables(database) == {"alembic_version"}
    with pytest.raises(UserError, match=r"has schema none, not .*; run `sendproof database upgrade`"):
        schema_version.check(database)
    schema_version.upgrade(database)
    schema_version.check(database)
    database.close()


@pytest.mark.integration
def test_several_processes_upgrade_at_once_and_all_succeed(empty_database_url: str) -> None:
    command = [sys.executable, "-c", _UPGRADE, empty_database_url]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("begin\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0, 0, 0]
    database = open_database(empty_database_url)
    schema_version.check(database)
    database.close()


def test_a_migration_that_fails_leaves_nothing_behind(empty_database_url: str) -> None:
    database = open_database(empty_database_url)
    with database.writing_connection() as connection:
        connection.exec_driver_sql("CREATE TABLE quota_use (used INTEGER)")  # stands in the way
    with pytest.raises((UserError, SQLAlchemyError), match="quota_use"):
        schema_version.upgrade(database)
    assert _tables(database) == {"quota_use"}
    database.close()


def test_a_database_that_is_away_is_said_so_without_its_password() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets the port
        database = open_database(f"postgresql://a:very-secret@127.0.0.1:{taken.getsockname()[1]}/x")
        for act in (schema_version.check, schema_version.upgrade):
            with pytest.raises(UserError, match=r"cannot be reached .*; check \[database\] url") as caught:
                act(database)
            assert "very-secret" not in str(caught.value)
            assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_bytes(b"somebody's notes" * 100)
    database = open_database(f"sqlite:///{tmp_path}/notes.db")
    for act in (schema_version.check, schema_version.upgrade):
        with pytest.raises(UserError, match="not a database"):
            act(database)
    assert (tmp_path / "notes.db").read_bytes() == b"somebody's notes" * 100


_OF_0001 = """
INSERT INTO plans (id, name, recipients_per_day) VALUES (1, 'personal', 50);
INSERT INTO accounts (id, login, password_hash, plan_id, time_zone, tracking, created_at)
    VALUES (1, 'max', 'x', 1, 'UTC', TRUE, '2026-11-01 10:00:00');
INSERT INTO domains (id, name, account_id, created_at) VALUES (1, 'own.example', 1, '2026-11-01 10:00:00');
INSERT INTO messages (id, account_id, login, credential_label, submitted_at, envelope_sender, size_bytes,
    recipient_count, signatures, pixel) VALUES ('019ab000000070008000000000000001', 1, 'max', 'laptop',
    '2026-11-22 12:00:00', 'max@own.example', 100, 2, '[]', 'inserted');
INSERT INTO queue_files (id, host, instance, queue_id, born_at, message_id) VALUES (1, 'edge1', 'postfix', '4Zabc',
    '2026-11-22 12:00:00', '019ab000000070008000000000000001');
INSERT INTO recipients (id, queue_file_id, address, number, state, state_at)
    VALUES (1, 1, 'Anna@example.net', 1, 'delivered', '2026-11-22 12:00:01');
INSERT INTO recipients (id, queue_file_id, address, number, state, state_at)
    VALUES (2, 1, 'ben@example.net', 2, 'queued', '2026-11-22 12:00:01');
INSERT INTO attempts (id, recipient_id, attempted_at, service, status, dsn, relay, delay_seconds, delays_seconds, text)
    VALUES (1, 1, '2026-11-22 12:00:01', 'postfix/smtp', 'sent', '2.0.0', 'mx', 1, '[]', 'ok');
INSERT INTO quota_use (account_id, limit_name, window_begins, used)
    VALUES (1, 'recipients_per_day', '2026-11-22 00:00:00', 2);
INSERT INTO charges (message_id, account_id, host, queue_id, recipients, window_begins, charged_at) VALUES
    ('019ab000000070008000000000000001', 1, 'edge1', '4Zabc', 2, '2026-11-22 00:00:00', '2026-11-22 12:00:00');
"""


def test_what_an_older_schema_held_is_there_after_an_upgrade(empty_database_url: str) -> None:
    """Use of the day, charges, and who was mailed before: nobody gets more, or less, for an upgrade."""
    database = open_database(empty_database_url)
    schema_version.upgrade(database, "0001")
    with database.writing_connection() as connection:
        for statement in filter(str.strip, _OF_0001.split(";")):
            connection.exec_driver_sql(statement)
    assert schema_version.upgrade(database)
    with database.reading() as session:
        use = session.scalars(select(QuotaUse)).one()
        charge = session.scalars(select(Charge)).one()
        known = session.scalars(select(KnownRecipient)).all()
        message = session.scalars(select(Message)).one()
        account = session.scalars(select(Account)).one()
        domain = session.scalars(select(Domain)).one()
        assert (use.span, use.messages, use.recipients, use.new_recipients) == ("day", 1, 2, 0)
        assert (charge.recipients, charge.day_begins, charge.settled_at) == (2, use.window_begins, charge.charged_at)
        assert {row.digest for row in known} == {
            address_digest(name) for name in ("anna@example.net", "ben@example.net")
        }
        assert (message.charged_recipients, message.wire_edits, message.split, message.test_mode) == (
            2,
            [],
            False,
            False,
        )
        assert (account.test_mode, account.shared_pixel, account.tracking_image) == (False, False, None)
        assert domain.proved_at == domain.created_at
    schema_version.downgrade(database, "0001")
    with database.engine.connect() as connection:
        used = connection.exec_driver_sql("SELECT limit_name, used FROM quota_use").all()
    assert [tuple(row) for row in used] == [("recipients_per_day", 2)]
    database.close()


# As version 0002 of the logparser wrote them.
_OPEN_STATE = (
    '{{"reader": "{}", "delivery_id": {}, "conversation": {{"number": 1, "began_at": "2026-11-22T12:00:00+00:00",'
    ' "changed_at": "2026-11-22T12:00:0{}+00:00"}}}}'
)
_OF_0002 = """
INSERT INTO messages (id, account_id, login, credential_label, submitted_at, envelope_sender, size_bytes,
    recipient_count, signatures, pixel, wire_edits, charged_recipients, split, test_mode)
    VALUES ('019ab000000070008000000000000001', 1, 'max', 'laptop', '2026-11-22 12:00:00', 'max@own.example', 100, 2,
    '[]', 'inserted', '[]', 2, TRUE, FALSE);
INSERT INTO queue_files (id, host, instance, queue_id, born_at, message_id, parent_queue_id) VALUES
    (1, 'edge1', 'postfix', '4Zabc', '2026-11-22 12:00:00', '019ab000000070008000000000000001', NULL),
    (2, 'edge1', 'postfix', '4Zcopy', '2026-11-22 12:00:01', '019ab000000070008000000000000001', '4Zabc'),
    (3, 'edge1', 'postfix', '4Zbounce', '2026-11-22 12:00:02', NULL, '4Zabc'),
    (4, 'edge1', 'postfix', '4Zother', '2026-11-22 12:00:02', NULL, NULL);
INSERT INTO recipients (id, queue_file_id, address, number, state, state_at)
    VALUES (1, 1, 'Anna@example.net', 1, 'deferred', '2026-11-22 12:00:01');
INSERT INTO attempts (id, recipient_id, attempted_at, service, status, dsn, relay, delay_seconds, delays_seconds, text)
    VALUES (1, 1, '2026-11-22 12:00:01', 'postfix/smtp', 'deferred', '4.2.0', 'mx', 1, '[]', 'later'),
           (2, 1, '2026-11-22 12:00:01', 'postfix/smtp', 'deferred', '4.2.0', 'mx', 1, '[]', 'later');
INSERT INTO refusals (id, account_id, login, refused_at, host, queue_id, envelope_sender, recipients, reason, reply)
    VALUES (1, 1, 'max', '2026-11-22 12:00:00', 'edge1', '4Zxyz', 'max@own.example', '[]', 'quota', '452 no'),
           (2, 1, 'max', '2026-11-22 12:00:00', 'edge1', '4Zxyz', 'max@own.example', '[]', 'quota', '452 no');
INSERT INTO reading_positions (source, fingerprint, fingerprint_octets, inode, "offset", lines_read, read_at)
    VALUES ('edge1:/var/log/mail.log', 'f', 4, 1, 10, 1, '2026-11-22 12:00:00');
INSERT INTO unknown_lines (id, source, "offset", read_at, line)
    VALUES (1, 'edge1:/var/log/mail.log', 0, '2026-11-22 12:00:00', 'odd words')
"""
_OPEN = "INSERT INTO open_conversations VALUES ('{}', 'postfix/smtp', {}, '{}', '2026-11-22 12:00:0{}.000000')"


def _execute(database: Database, script: str) -> None:
    with database.writing_connection() as connection:
        for statement in filter(str.strip, script.split(";")):
            connection.exec_driver_sql(statement)


def test_what_the_record_of_0002_held_is_there_after_an_upgrade_and_back(empty_database_url: str) -> None:
    """Links know what they are, conversations whose they are; attempts that were doubled before stay as they are."""
    database = open_database(empty_database_url)
    schema_version.upgrade(database, "0002")
    _execute(database, _OF_0002)
    opened = [("edge1", 7, "edge1", 1, 1), ("edge2", 7, "edge2", "null", 2), ("edge2", 8, "edge1", "null", 3)]
    for host, pid, reader, delivery_id, second in opened:
        _execute(database, _OPEN.format(host, pid, _OPEN_STATE.format(reader, delivery_id, second), second))
    before = _record(database)
    assert schema_version.upgrade(database)
    with database.reading() as session:
        links = session.execute(select(QueueFile.queue_id, QueueFile.link_kind, QueueFile.link_evidence)).all()
        assert {tuple(row) for row in links} == {
            ("4Zabc", None, None),
            ("4Zcopy", "copy", "journal"),
            ("4Zbounce", "non-delivery", "notification"),
            ("4Zother", None, None),
        }
        recipient = session.scalars(select(Recipient)).one()
        assert (recipient.suspensions, recipient.suspended_at, recipient.suspended_because) == (0, None, None)
        assert recipient.handed_on_at is None
        assert session.scalars(select(Attempt.line_key)).all() == [None, None]
        refused = session.scalars(select(Refusal)).all()
        assert [(row.source, row.stage, row.client_address, row.line_key) for row in refused] == [
            ("milter", None, None, None)
        ] * 2
        position = session.scalars(select(ReadingPosition)).one()
        assert (position.last_line_at, position.cursor, position.offset) == (None, None, 10)
        assert session.scalars(select(UnknownLine.daemon)).one() is None
        conversations = session.scalars(select(OpenConversation)).all()
        assert {(row.reader, row.host, row.pid, row.state["delivery_id"]) for row in conversations} == {
            ("edge1", "edge1", 7, 1),
            ("edge2", "edge2", 7, None),
            ("edge1", "edge2", 8, None),
        }
        assert {row.changed_at.second for row in conversations} == {1, 2, 3}
    schema_version.downgrade(database, "0002")
    assert _record(database) == before
    assert schema_version.upgrade(database)
    schema_version.check(database)
    database.close()


def test_of_two_readers_of_one_process_the_older_schema_keeps_the_newest(empty_database_url: str) -> None:
    database = open_database(empty_database_url)
    schema_version.upgrade(database)
    with database.writing() as session:
        for reader, second in (("edge1", 2), ("edge1:import:/old", 1)):
            at = dt.datetime(2026, 11, 22, 12, 0, second, tzinfo=dt.UTC)
            state = {"reader": reader}
            session.add(
                OpenConversation(reader=reader, host="edge1", service="postfix/smtp", pid=7, state=state, changed_at=at)
            )
    schema_version.downgrade(database, "0002")
    with database.engine.connect() as connection:
        ((state, pid),) = connection.exec_driver_sql("SELECT state, pid FROM open_conversations").all()
    assert (json.loads(state) if isinstance(state, str) else state, pid) == ({"reader": "edge1"}, 7)
    database.close()


_OF_0006 = """
INSERT INTO messages (id, account_id, login, credential_label, submitted_at, envelope_sender, size_bytes,
    recipient_count, signatures, pixel, wire_edits, charged_recipients, split, test_mode)
    VALUES ('{old}', 1, 'max', 'laptop', '2026-01-22 12:00:00', 'max@own.example', 100, 2,
    '[]', 'inserted', '[]', 2, TRUE, FALSE),
    ('{far}', 1, 'max', 'laptop', '2090-01-22 12:00:00', 'max@own.example', 100, 2,
    '[]', 'inserted', '[]', 2, TRUE, FALSE);
INSERT INTO queue_files (id, host, instance, queue_id, born_at, message_id) VALUES
    (1, 'edge1', 'postfix', '4Zabc', '2026-01-22 12:00:00', '{old}'),
    (2, 'edge1', 'postfix', '4Zdef', '2090-01-22 12:00:00', '{far}');
INSERT INTO recipients (id, queue_file_id, address, number, state, state_at, suspensions) VALUES
    (1, 1, 'anna@example.net', 1, 'delivered', '2026-01-22 12:00:01', 0),
    (2, 2, 'ben@example.net', 1, 'queued', '2090-01-22 12:00:01', 0);
INSERT INTO deliveries (id, queue_file_id, service, pid, began_at, dialogue, troubles)
    VALUES (1, 1, 'postfix/smtp', 7, '2026-01-22 12:00:00', '[]', '[]');
INSERT INTO attempts (id, recipient_id, delivery_id, attempted_at, service, status, dsn, relay, delay_seconds,
    delays_seconds, text) VALUES (1, 1, 1, '2026-01-22 12:00:01', 'postfix/smtp', 'sent', '2.0.0', 'mx', 1, '[]', 'ok');
INSERT INTO refusals (id, account_id, login, refused_at, host, envelope_sender, recipients, reason, reply, source)
    VALUES (1, 1, 'max', '2026-01-22 12:00:00', 'edge1', 'max@own.example', '[]', 'quota', '452 no', 'milter'),
           (2, 1, 'max', '2090-01-22 12:00:00', 'edge1', 'max@own.example', '[]', 'quota', '452 no', 'milter');
INSERT INTO opens (id, message_id, recipient_number, opened_at, grade, user_agent)
    VALUES (1, '{old}', 1, '2026-01-22 12:00:00', 'person', 'Mozilla')
"""


def test_the_record_of_0006_is_there_after_an_upgrade_and_back_and_goes_on(empty_database_url: str) -> None:
    """Old rows keep their small ids; new ones beside them carry days (PostgreSQL); the way back keeps both."""
    database = open_database(empty_database_url)
    schema_version.upgrade(database, "0006")
    at = (dt.datetime(2026, 1, 22, 12, tzinfo=dt.UTC), dt.datetime(2090, 1, 22, 12, tzinfo=dt.UTC))
    old, far = (new_message_id(moment) for moment in at)
    _execute(database, _OF_0006.format(old=old.hex, far=far.hex))
    before = _record(database)
    assert schema_version.upgrade(database)
    with database.reading() as session:
        assert session.scalars(select(Message.id).order_by(Message.id)).all() == [old, far]
        transcript = transcript_queries.load_transcript(session, old)
        assert transcript is not None
        assert [recipient.address for recipient in transcript.recipients] == ["anna@example.net"]
        assert [attempt.status for attempt in transcript.recipients[0].attempts] == ["sent"]
        assert len(transcript.recipients[0].opens) == 1
        assert session.scalars(select(QueueFile.parent_host)).all() == [None, None]
        assert session.scalars(select(Refusal.id).order_by(Refusal.id)).all() == [1, 2]
    now = clock.now()
    with database.fixed_statements() as statements:
        days = [record_days.day_number(now)]
        (number,) = statements.numbers("queue_files", days)
    assert number not in (1, 2)
    new = {"host": "edge1", "instance": "postfix", "queue_id": "4Znew", "born_at": now}
    with database.writing() as session:
        session.add(QueueFile(id=number, **new))
        session.flush()
        session.add(Recipient(id=number, queue_file_id=number, address="eva@x", state="queued", state_at=now))
    schema_version.downgrade(database, "0006")
    found = _record(database)
    assert [len(found[table]) for table in ("messages", "queue_files", "recipients", "attempts", "refusals")] == [
        2, 3, 3, 1, 2,
    ]  # fmt: skip
    for table, rows in before.items():
        assert set(rows) <= set(found[table]), table
    assert schema_version.upgrade(database)
    with database.reading() as session:
        assert set(session.scalars(select(Recipient.id))) == {1, 2, number}
    with pytest.raises(SQLAlchemyError), database.writing() as session:
        session.add(QueueFile(id=number + 1, **new))
    database.close()


def _says(database: Database, revision: str, oldest_program: str | None) -> None:
    """As if a newer program had migrated it."""
    with database.writing_connection() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")  # noqa: S608 - the test's
        if oldest_program is None:
            connection.exec_driver_sql("DROP TABLE schema_compatibility")
        else:
            connection.exec_driver_sql(f"UPDATE schema_compatibility SET oldest_program = '{oldest_program}'")  # noqa: S608 - as above


def test_a_newer_schema_can_be_used_by_the_programs_that_it_names(empty_database_url: str) -> None:
    newest = schema_version.newest()
    database = open_database(empty_database_url)
    schema_version.upgrade(database)
    for oldest_program, is_good in ((newest, True), ("0001", True), ("9998", False), (None, False)):
        _says(database, "9999", oldest_program)
        if is_good:
            schema_version.check(database)
            continue
        with pytest.raises(
            UserError, match=f"has schema 9999, .* newer programs than this one .{newest}.; update"
        ) as caught:
            schema_version.check(database)
        assert not isinstance(caught.value, schema_version.SchemaTooOld)
    database.close()


def test_an_older_schema_can_be_used_by_a_program_that_says_so(empty_database_url: str) -> None:
    database = open_database(empty_database_url)
    for oldest in (None, "0006"):
        with pytest.raises(UserError, match="has schema none"):
            schema_version.check(database, oldest)
    schema_version.upgrade(database, "0005")
    with pytest.raises(schema_version.SchemaTooOld, match="has schema 0005"):
        schema_version.check(database, "0006")
    schema_version.upgrade(database, "0006")
    schema_version.check(database, "0006")
    with pytest.raises(schema_version.SchemaTooOld, match="run `sendproof database upgrade`"):
        schema_version.check(database)
    database.close()


def test_whoever_waits_for_the_schema_goes_on_when_it_is_there(
    empty_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    database = open_database(empty_database_url)
    with pytest.raises(UserError, match="has schema none"):  # it may be the wrong database
        schema_version.wait_until_usable(database, lambda _: True)
    schema_version.upgrade(database, "0006")
    waited: list[float] = []

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        if len(waited) == 3:
            schema_version.upgrade(database)
        return True

    assert schema_version.wait_until_usable(database, wait)
    assert len(waited) == 3
    said = [record.getMessage() for record in caplog.records if "schema" in record.getMessage()]
    assert len([words for words in said if "event=waiting-for-schema" in words]) == 1
    assert schema_version.wait_until_usable(database, lambda _: False)
    schema_version.downgrade(database, "0006")
    assert not schema_version.wait_until_usable(database, lambda _: False)
    database.close()


@pytest.mark.postgres
def test_an_upgrade_that_others_are_in_the_way_of_is_tried_again(postgres_url: str) -> None:
    """A deadlock: the reader holds what the migration wants first, and wants what it holds."""
    database = open_database(postgres_url)
    schema_version.upgrade(database, "0006")
    reader = open_database(postgres_url)
    with reader.reading() as session:
        session.execute(text("SELECT count(*) FROM messages"))
        thread = threading.Thread(target=schema_version.upgrade, args=(database,))
        thread.start()
        with database.reading() as looking:
            waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database"
                         " WHERE datname = current_database())")  # fmt: skip
            deadline = time.monotonic() + 20
            while not looking.scalar(waits) and time.monotonic() < deadline:
                time.sleep(0.05)
        with contextlib.suppress(SQLAlchemyError):
            session.execute(text("SELECT count(*) FROM queue_files"))
    thread.join(60)
    schema_version.check(database)
    for each in (database, reader):
        each.close()


def _record(database: Database) -> dict[str, list[str]]:
    """What the tables of 0002 hold, by columns' names."""
    tables = (
        "messages", "queue_files", "recipients", "attempts", "refusals", "reading_positions", "unknown_lines",
        "open_conversations",
    )  # fmt: skip
    with database.engine.connect() as connection:
        found = {}
        for table in tables:
            rows = connection.exec_driver_sql(f"SELECT * FROM {table}").mappings().all()  # noqa: S608 - our own names
            found[table] = sorted(repr(sorted(row.items())) for row in rows)
    return found
