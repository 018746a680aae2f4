"""What follows from the record, read from real lines: by what the search finds and the statistics count."""

import contextlib
import datetime as dt
import logging
import random
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.orm import Session

from sendproof_core import database_url, entry_list, message_search, schema_version, search_query, statistics
from sendproof_core.database import Database, open_database
from sendproof_core.journal_records import Refused
from sendproof_core.schema import (
    AcceptanceTime,
    DeliveryDay,
    Message,
    RecordChange,
    Refusal,
    SearchEntry,
)
from sendproof_core.statistics import Figures
from sendproof_core.transcripts import Outline
from sendproof_logparser import derive, statistics_rows, sweep
from sendproof_logparser.statistics_rows import Counted
from sendproof_logparser.store import DatabaseAway
from sendproof_testing import sample_record
from sendproof_testing.record_reading import Machine, admitted, copied

NOW = sample_record.SENT_AT + dt.timedelta(hours=1)
DAY = sample_record.SENT_AT.date()


def note_everything(session: Session) -> None:
    for column, table in (("message_id", "messages"), ("queue_file_id", "queue_files"), ("refusal_id", "refusals")):
        session.execute(text(f"INSERT INTO record_changes ({column}) SELECT id FROM {table}"))  # noqa: S608


def derive_all(database: Database, limit: int = derive.STEP) -> int:
    done = 0
    while taken := derive.run(database.writing, limit):
        done += taken
    return done


def sums(database: Database) -> list[tuple[object, ...]]:
    with database.reading() as session:
        days = session.scalars(select(DeliveryDay).order_by(DeliveryDay.day, DeliveryDay.domain))
        found: list[tuple[object, ...]] = [
            (row.day, row.domain, row.messages, row.recipients, row.delivered, row.deferred, row.bounced, row.expired)
            for row in days
        ]
        times = session.scalars(select(AcceptanceTime).where(AcceptanceTime.recipients != 0))
        found += sorted((row.domain, row.day, row.bucket, row.recipients) for row in times)
    return [row for row in found if any(isinstance(value, int) and value for value in row[2:])]


def found(database: Database, words: str) -> list[str | None]:
    query = search_query.parse(words, dt.UTC, NOW)
    with database.reading() as session:
        rows = message_search.find(session, None, query, limit=50).rows
        return [row.message.subject if row.message else "refused" for row in rows]


@pytest.fixture
def filled(either_database: Database) -> Database:
    with either_database.writing() as session:
        sample_record.fill(session, older_messages=3)
    return either_database


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_whatever_is_noted_how_often_and_in_steps_of_any_size_it_counts_once(filled: Database, limit: int) -> None:
    expected = sums(filled)
    assert len(expected) > 10
    for _ in range(2):
        with filled.writing() as session:
            note_everything(session)
            note_everything(session)
        assert derive_all(filled, limit) > 20
        assert sums(filled) == expected
    assert found(filled, "offer") == ["Offer 2026-117"]
    with filled.reading() as session:
        assert derive.count_open(session) == 0


def test_what_is_derived_anew_is_what_was_derived_bit_by_bit(filled: Database) -> None:
    expected = sums(filled)
    with filled.writing() as session:
        notes = derive.begin_anew(session)
    assert sums(filled) == []
    assert derive_all(filled) == notes
    assert sums(filled) == expected


def test_a_step_that_is_killed_has_done_nothing(filled: Database) -> None:
    expected = sums(filled)
    with filled.writing() as session:
        session.execute(update(Message).where(Message.id == sample_record.OFFER_ID).values(subject="Tender"))
        note_everything(session)

    @contextlib.contextmanager
    def killed() -> Iterator[Session]:
        with filled.writing() as session:
            yield session
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        derive.run(killed)
    with filled.reading() as session:
        assert derive.count_open(session) >= 20
    assert sums(filled) == expected
    derive_all(filled)
    assert (found(filled, "tender"), found(filled, "offer")) == (["Tender"], [])
    assert sums(filled) == expected


def test_what_changes_is_taken_out_of_the_sums_and_put_in_anew(filled: Database) -> None:
    with filled.writing() as session:
        session.execute(text("UPDATE recipients SET state = 'bounced' WHERE address = 'anna@example.net'"))
        note_everything(session)
    with filled.reading() as session:
        before = statistics.days(session, DAY, DAY)[0].figures
    derive_all(filled)
    with filled.reading() as session:
        after = statistics.days(session, DAY, DAY)[0].figures
    assert after.delivered < before.delivered
    assert after.bounced - before.bounced == before.delivered - after.delivered
    assert after.recipients == before.recipients


def test_a_refusal_that_is_gone_is_not_found_and_another_with_its_number_stands_at_its_own_time(
    filled: Database,
) -> None:
    with filled.writing() as session:
        old = session.scalars(select(Refusal)).one()
        values = {column.key: getattr(old, column.key) for column in Refusal.__table__.columns}
        session.execute(delete(Refusal))
        session.execute(insert(RecordChange).values(refusal_id=old.id))
    derive_all(filled)
    assert found(filled, "status:refused") == []
    for hours in (0, 2):
        with filled.writing() as session:
            session.execute(delete(Refusal))
            at = sample_record.SENT_AT - dt.timedelta(hours=hours)
            session.execute(insert(Refusal).values({**values, "refused_at": at, "subject": f"Number {hours}"}))
            session.execute(insert(RecordChange).values(refusal_id=values["id"]))
        derive_all(filled)
        assert found(filled, f"number status:refused after:{at:%Y-%m-%dT%H:%MZ}") == ["refused"]
        assert found(filled, f"number status:refused before:{at:%Y-%m-%dT%H:%MZ}") == []


def test_what_names_nothing_that_is_there_is_passed_over(filled: Database) -> None:
    with filled.writing() as session:
        for values in ({"message_id": uuid.UUID(int=9)}, {"queue_file_id": 9_999}, {"refusal_id": 9_999}, {}):
            session.execute(insert(RecordChange).values(**values))
    assert derive_all(filled) == 4


def test_what_cannot_be_derived_from_is_said_and_does_not_stop_the_rest(
    sqlite_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with sqlite_database.writing() as session:
        sample_record.fill(session)
        derive.begin_anew(session)
        # A form of it that no version of ours has written.
        session.execute(
            text("UPDATE messages SET signatures = '[7]' WHERE id = :id"), {"id": sample_record.HOSTILE_ID.hex}
        )
    with caplog.at_level(logging.ERROR):
        derive_all(sqlite_database)
    assert [record.message.split()[0] for record in caplog.records] == ["event=derive-failed"]
    assert str(sample_record.HOSTILE_ID) in caplog.text
    assert "<script>" not in caplog.text
    assert found(sqlite_database, "offer") == ["Offer 2026-117"]
    with sqlite_database.reading() as session:
        assert derive.count_open(session) == 0
        # A list that goes by entries has it all the same.
        entries = entry_list.open_list(session, 1)
        assert entries is not None
        heads = entries.heads(None, None, lambda _: True, 50, oldest_first=False)
        assert sample_record.HOSTILE_ID in {head.id for head in heads or ()}


def test_while_the_database_is_away_nothing_is_left_out(filled: Database) -> None:
    with filled.writing() as session:
        note_everything(session)

    class Away(contextlib.AbstractContextManager[Session]):
        def __enter__(self) -> Session:
            raise DatabaseAway("gone")

        def __exit__(self, *_: object) -> None:
            """Nothing was entered."""

    with pytest.raises(DatabaseAway):
        derive.run(Away)
    with filled.reading() as session:
        assert derive.count_open(session) >= 20


@pytest.mark.postgres
def test_one_logparser_derives_at_a_time(postgres_url: str) -> None:
    database = open_database(postgres_url)
    schema_version.upgrade(database)
    with database.writing() as session:
        sample_record.fill(session)
        note_everything(session)
    with database.writing() as one, database.writing() as other:
        assert derive.step(one, 5) == 5
        assert derive.step(other, 5) == 0
    database.close()


@pytest.mark.postgres
def test_what_takes_long_to_think_about_is_derived_all_the_same(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(open_database(postgres_url)) as database:
        schema_version.upgrade(database)
        with database.writing() as session:
            sample_record.fill(session)
            note_everything(session)
    contribution = statistics_rows.contribution

    def slow(outline: Outline) -> Counted:
        time.sleep(0.5)
        return contribution(outline)

    monkeypatch.setattr(statistics_rows, "contribution", slow)
    short = {**database_url.ROLE_SETTINGS, "idle_in_transaction_session_timeout": "200ms"}
    monkeypatch.setattr(database_url, "ROLE_SETTINGS", short)
    with contextlib.closing(open_database(postgres_url)) as database:
        assert derive.run(database.writing, 3) == 3


# --- with lines that are read ---------------------------------------------------------------------------------------

SUBMITTED = dt.datetime(2026, 11, 22, 12, 0, 0, 400_000, dt.UTC)
MESSAGE = admitted("4jXGhv32rHzJLdv", "anna@example.net", "ben@example.org")
RELAY = "relay=mx1.example.net[192.0.2.25]:25, delay="
LINES = (
    "Nov 22 12:00:00 relay postfix/smtpd[1]: 4jXGhv32rHzJLdv: client=pc[203.0.113.9], sasl_username=max",
    "Nov 22 12:00:00 relay postfix/cleanup[2]: 4jXGhv32rHzJLdv: message-id=<7f3c@own.example>",
    "Nov 22 12:00:00 relay postfix/qmgr[3]: 4jXGhv32rHzJLdv: from=<max@own.example>, size=4000, nrcpt=2 (queue active)",
    f"Nov 22 12:00:02 relay postfix/smtp[4]: 4jXGhv32rHzJLdv: to=<anna@example.net>, {RELAY}2.1, delays=0.1/0/1/1,"
    " dsn=4.2.0, status=deferred (host mx1.example.net[192.0.2.25] said: 450 4.2.0 Greylisted (in reply to RCPT TO"
    " command))",
    f"Nov 22 12:00:03 relay postfix/smtp[4]: 4jXGhv32rHzJLdv: to=<ben@example.org>, {RELAY}3, delays=0.1/0/1/1.9,"
    " dsn=5.1.1, status=bounced (host mx1.example.net[192.0.2.25] said: 550 5.1.1 Unknown (in reply to RCPT TO"
    " command))",
    f"Nov 22 12:10:02 relay postfix/smtp[4]: 4jXGhv32rHzJLdv: to=<anna@example.net>, {RELAY}602, delays=601/0/0.5/0.5,"
    " dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4dDn2K1zQqz9sM2)",
    "Nov 22 12:10:02 relay postfix/qmgr[3]: 4jXGhv32rHzJLdv: removed",
)
COUNTED = Figures(messages=1, recipients=2, delivered=1, deferred=1, bounced=1)


def figures(machine: Machine) -> Figures:
    with machine.database.reading() as session:
        return statistics.days(session, DAY, DAY)[0].figures


def notes(machine: Machine) -> int:
    with machine.database.reading() as session:
        return derive.count_open(session)


@pytest.mark.parametrize("seed", range(6))
def test_in_whatever_order_and_pieces_lines_are_read_and_derived_from_the_sums_are_the_same(
    make_machine: Callable[[], Machine], seed: int
) -> None:
    chance, machine = random.Random(seed), make_machine()
    note_at = chance.randrange(len(LINES) + 1)
    for number, line in enumerate((*LINES, None)):
        if number == note_at:
            machine.note(MESSAGE)
        if line is not None:
            machine.log(line)
        if chance.random() < 0.7:
            machine.read()
        if chance.random() < 0.5:
            derive_all(machine.database, chance.choice((1, 50)))
    machine.read()
    derive_all(machine.database)
    assert figures(machine) == COUNTED
    for words in (
        "offer",
        "to:anna@example.net",
        "id:4dDn2K1zQqz9sM2",
        "reply:greylisted",
        "status:bounced",
        "7f3c@own.example",
    ):
        assert found(machine.database, words) == ["Offer"]
    assert found(machine.database, "status:deferred") == []
    with machine.database.reading() as session:
        assert statistics.last_used(session, ["max"]) == {"max": SUBMITTED}


def test_only_what_changed_is_noted_and_lines_that_are_read_again_note_nothing(machine: Machine) -> None:
    machine.note(MESSAGE)
    machine.log(*LINES)
    machine.read()
    assert notes(machine) > 0
    derive_all(machine.database)
    machine.log("Nov 22 12:20:00 relay postfix/smtpd[1]: disconnect from pc[203.0.113.9]", *LINES)
    machine.read()
    assert notes(machine) == 0
    assert figures(machine) == COUNTED


def test_a_copy_that_is_delivered_counts_for_the_message_and_the_handing_on_does_not(machine: Machine) -> None:
    """The first queue file hands the mail to our own service for copies; what counts is what the copy says."""
    parent = admitted("4jXGhv32rHzJLdv", "anna@example.net", split=True)
    machine.note(parent, copied(parent, "4jXGhw1fv9zJLdw", 1))
    machine.log(
        *LINES[:3],
        "Nov 22 12:00:00 relay postfix/split[5]: 4jXGhv32rHzJLdv: to=<anna@example.net>,"
        " relay=127.0.0.1[127.0.0.1]:10026,"
        " delay=0.2, delays=0.1/0/0/0.1, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4jXGhw1fv9zJLdw)",
        "Nov 22 12:00:00 relay postfix/resubmit/smtpd[6]: 4jXGhw1fv9zJLdw: client=pc[203.0.113.9],"
        " orig_queue_id=4jXGhv32rHzJLdv, orig_client=pc[203.0.113.9]",
        f"Nov 22 12:00:05 relay postfix/smtp[7]: 4jXGhw1fv9zJLdw: to=<anna@example.net>, {RELAY}5, delays=0/0/2/3,"
        " dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4dDn2K1zQqz9sM2)",
    )
    machine.read()
    derive_all(machine.database)
    assert figures(machine) == Figures(messages=1, recipients=1, delivered=1)
    assert found(machine.database, "id:4jXGhw1fv9zJLdw") == ["Offer"]


def test_a_recipient_that_becomes_unknown_is_noted(machine: Machine) -> None:
    machine.note(MESSAGE)
    machine.log(*LINES[:4])
    machine.read()
    derive_all(machine.database)
    assert found(machine.database, "status:unknown") == []
    with machine.database.writing_connection() as connection:
        assert sweep.mark_silent_as_unknown(connection, "relay.example", NOW + dt.timedelta(days=9), 5 * 86_400) == 2
    assert notes(machine) == 1
    assert found(machine.database, "status:unknown") == ["Offer"]  # as it is, before anything is derived
    derive_all(machine.database)
    assert found(machine.database, "status:unknown") == ["Offer"]
    assert found(machine.database, "status:deferred") == []


def test_a_refusal_of_the_milter_takes_the_place_of_postfixs_line_of_it(machine: Machine) -> None:
    machine.log(
        "Nov 22 12:30:00 relay postfix/smtpd[1]: 4jXGhx1fv9zJLdx: client=pc[203.0.113.9], sasl_username=max",
        "Nov 22 12:30:00 relay postfix/cleanup[2]: 4jXGhx1fv9zJLdx: milter-reject: END-OF-MESSAGE from"
        " pc[203.0.113.9]: 5.7.1 Plan limit reached; from=<max@own.example> to=<anna@example.net> proto=ESMTP",
    )
    machine.read()
    derive_all(machine.database)
    assert found(machine.database, "status:refused") == ["refused"]
    machine.note(
        Refused(
            at=SUBMITTED + dt.timedelta(minutes=30), host="relay.example", queue_id="4jXGhx1fv9zJLdx", account_id=1,
            login="max", envelope_sender="max@own.example",
            recipients=("anna@example.net",), subject="Too much", reason="over quota", reply="550 5.7.1 Plan limit",
        )
    )  # fmt: skip
    machine.read()
    derive_all(machine.database)
    assert found(machine.database, "status:refused") == ["refused"]
    assert found(machine.database, "subject:much") == ["refused"]
    with machine.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(SearchEntry)) == 1
