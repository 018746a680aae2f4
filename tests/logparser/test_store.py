import dataclasses
import datetime as dt
import itertools
import uuid
from collections.abc import Callable

import pytest
from sqlalchemy import event, select

from sendproof_core import schema_version, transcript_queries
from sendproof_core.database import Database, open_database
from sendproof_core.errors import UserError
from sendproof_core.journal_records import JournalRecord, Opened, Refused, Withdrawn
from sendproof_core.schema import (
    Account,
    Attempt,
    Base,
    Credential,
    Delivery,
    LogGap,
    Message,
    Open,
    OpenConversation,
    Plan,
    QueueFile,
    ReadingPosition,
    Recipient,
    Refusal,
    UnknownLine,
)
from sendproof_logparser.batch import Batch, Portion, Unknown
from sendproof_logparser.chunk import Chunk
from sendproof_logparser.position import Position
from sendproof_logparser.store import DatabaseAway, Store
from sendproof_testing.log_story import NOTES, STORY
from sendproof_testing.record_reading import HOST, NOW, Machine, admitted, copied

_POSITION = Position("f" * 64, 4, 1, 10)
_SOURCE = "relay.example:/var/log/mail.log"
_MX = "mx.example.net[192.0.2.1]:25"
_MX2 = "mx2.example.net[192.0.2.2]:25"
_OURSELVES = "127.0.0.1[127.0.0.1]:10024"


def _batch(*records: JournalRecord, lines: tuple[bytes, ...] = (), unknown: tuple[int, ...] = ()) -> Batch:
    """The first lines of a source: each says a record, if there are that many."""
    lines = lines or tuple(f"line {number}".encode() for number in range(len(records) or 1))
    chunk = Chunk(b"\n".join(lines), 0, _POSITION, b"line", NOW)
    portion = Portion(_SOURCE, chunk, chunk.texts, 0, last_line_at=NOW)
    portion.notes = list(enumerate(records))
    portion.unknown = [Unknown(number, "smtpd") for number in unknown]
    return Batch(NOW, [portion])


def _status(
    queue_id: str, to: str, status: str = "sent (250 ok)", *, relay: str = _MX, at: str = "12:00:01",
    service: str = "smtp", pid: int = 7,
) -> str:  # fmt: skip
    return (
        f"Nov 22 {at} relay postfix/{service}[{pid}]: {queue_id}: to=<{to}>, relay={relay}, delay=1,"
        f" delays=0/0/0/1, dsn=2.0.0, status={status}"
    )


def test_rows_and_position_are_one_transaction(machine: Machine) -> None:
    machine.store().write(_batch(admitted("4F5C64474F", "a@example.net")))
    with machine.database.reading() as session:
        position = session.get(ReadingPosition, _SOURCE)
        assert position is not None
        assert (position.offset, position.lines_read, position.last_line_at) == (10, 1, NOW)
    assert [row.address for row in machine.rows(Recipient)] == ["a@example.net"]


def test_a_second_reader_of_a_source_is_refused_and_changes_nothing(machine: Machine) -> None:
    machine.store().write(_batch(admitted("4F5C64474F", "a@example.net")))
    before = machine.everything()
    with pytest.raises(UserError, match="another logparser reads"):
        machine.store().write(_batch(unknown=(0,)))
    assert machine.everything() == before


def test_a_message_that_is_admitted_twice_is_one(machine: Machine) -> None:
    machine.note(admitted("4F5C64474F", "a@example.net"), admitted("4F5C64474F", "a@example.net"))
    machine.read()
    machine.note(admitted("4F5C64474F", "a@example.net"))
    machine.read()
    assert (len(machine.rows(Message)), len(machine.rows(Recipient))) == (1, 1)


def test_a_line_that_no_database_takes_becomes_an_unknown_line(machine: Machine) -> None:
    opened = Opened(at=NOW, message_id=uuid.UUID(int=1), recipient_number=1, grade="proxy", user_agent="Mozilla/5.0")
    bad = dataclasses.replace(opened, user_agent="\ud800")
    machine.store().write(_batch(opened, bad, lines=(b"good", b"bad", b"worse"), unknown=(2,)))
    assert len(machine.rows(Open)) == 1
    unknown = [(row.line, row.offset, row.daemon) for row in machine.rows(UnknownLine)]
    assert unknown == [("bad", 5, None), ("worse", 9, "smtpd")]


def test_who_opened_is_stored_where_the_journal_names_it(machine: Machine) -> None:
    opened = Opened(at=NOW, message_id=uuid.UUID(int=1), recipient_number=1, grade="person", user_agent="")
    named = dataclasses.replace(opened, recipient_number=2, user_agent="Thunderbird", client_address="192.0.2.9")
    machine.store().write(_batch(opened, named))
    found = sorted((row.recipient_number, row.user_agent, row.client_address) for row in machine.rows(Open))
    assert found == [(1, "", None), (2, "Thunderbird", "192.0.2.9")]


def test_a_locked_database_is_away_and_the_same_batch_can_be_stored_later(machine: Machine) -> None:
    impatient = open_database(str(machine.database.engine.url))
    event.listen(impatient.engine, "checkout", lambda connection, *_: connection.execute("PRAGMA busy_timeout=1"))
    store = machine.store(impatient)
    batch = _batch(admitted("4F5C64474F", "a@example.net"))
    with machine.database.writing_connection(), pytest.raises(DatabaseAway, match="locked"):
        store.write(batch)
    store.write(batch)
    impatient.close()
    assert len(machine.rows(Message)) == 1


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
    store = machine.store()
    store.write(_batch())
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
    records = admitted("4F5C64474F", long_address, number=1), admitted("4F5C64474G", "a@example.net", number=2)
    Store(database, HOST, HOST).write(_batch(*records, lines=(b"long", b"good")))
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


# --- one batch or many, one kind of database or the other ---


@pytest.mark.postgres
def test_both_kinds_of_database_keep_the_same_record(machine: Machine, postgres_url: str) -> None:
    """In one batch, and again in one for each line."""
    machine.note(*NOTES)
    machine.log(*STORY, _REFUSED_BY_POSTFIX, _DROPPED)
    machine.read()
    wanted = _contents(machine.database)
    for at_once in (True, False):
        database = open_database(postgres_url)
        schema_version.upgrade(database)
        other = Machine(machine.maillog.parent / f"postgres-{at_once}", database)
        other.maillog.parent.mkdir()
        if at_once:
            other.note(*NOTES)
            other.log(*STORY, _REFUSED_BY_POSTFIX, _DROPPED)
            other.read()
        else:
            for note in NOTES:
                other.note(note)
                other.read()
            for line in (*STORY, _REFUSED_BY_POSTFIX, _DROPPED):
                other.log(line)
                other.read()
        assert _contents(database) == wanted
        schema_version.downgrade(database, "base")
        database.close()


def _names(table: type[Base]) -> list[str]:
    return [column.name for column in table.__table__.columns]


def _contents(database: Database) -> dict[str, list[str]]:
    """All rows without their numbers, and without the names of files."""
    tables: tuple[type[Base], ...] = (
        Message, QueueFile, Recipient, Delivery, Attempt, Open, Refusal, LogGap, UnknownLine, OpenConversation,
    )  # fmt: skip
    left_out = {"id", "source", "queue_file_id", "recipient_id", "delivery_id", "offset", "state"}
    with database.reading() as session:
        return {
            table.__tablename__: sorted(
                repr([(name, getattr(row, name)) for name in _names(table) if name not in left_out])
                for row in session.scalars(select(table))
            )
            for table in tables
        } | {"states": sorted(session.scalars(select(Recipient.state)))}


def test_one_line_that_cannot_be_stored_changes_nothing_else(make_machine: Callable[[], Machine]) -> None:
    """The others are stored one by one, as they would have been together."""
    whole, other = make_machine(), make_machine()
    for machine in (whole, other):
        machine.note(*NOTES)
        machine.log(*STORY, _REFUSED_BY_POSTFIX, _DROPPED)
    whole.read()
    store = other.store()
    reader = other.reader(store)
    batch = reader.read(NOW)
    reader.close()
    assert batch is not None
    bad = Opened(at=NOW, message_id=uuid.UUID(int=1), recipient_number=1, grade="proxy", user_agent="\ud800")
    log = batch.portions[-1]
    log.notes.append((3, bad))  # beside what the line says itself
    written = store.write(batch)
    found, wanted = other.everything(), whole.everything()
    wanted["unknown_lines"] = sorted([(STORY[3], None), *wanted["unknown_lines"]], key=repr)
    assert found == wanted
    assert written.attempts == len(other.rows(Attempt)) == 3


def test_what_was_written_is_counted(machine: Machine) -> None:
    machine.note(*NOTES)
    machine.log(*STORY)
    store = machine.store()
    reader = machine.reader(store)
    batch = reader.read(NOW)
    reader.close()
    assert batch is not None
    written = store.write(batch)
    assert (written.attempts, written.unknown_lines) == (3, 1)
    assert written.rows >= sum(
        len(machine.rows(table)) for table in (QueueFile, Recipient, Delivery, Attempt, UnknownLine)
    )


def test_how_far_a_source_was_read_is_known_again(machine: Machine) -> None:
    store = machine.store()
    assert store.load_position(_SOURCE) is None
    batch = _batch()
    cursor = dataclasses.replace(_POSITION, cursor="s=1;i=2")
    batch.portions[0].chunk = dataclasses.replace(batch.portions[0].chunk, position=cursor)
    store.write(batch)
    found = store.load_position(_SOURCE)
    assert found is not None
    assert (found.position, found.lines_read, found.last_line_at) == (cursor, 1, NOW)


def test_each_reader_has_its_own_open_conversations(machine: Machine) -> None:
    """An import reads the lines of processes that are still there, or have the numbers of those that are."""
    machine.log(f"Nov 22 12:00:00 relay postfix/smtp[7]: < {_MX}: 220 mx")
    machine.read()
    importer = Store(machine.database, f"{HOST}:import:/old", HOST)
    reader = machine.reader(importer)
    assert reader.open_conversations == 0
    reader.close()
    old = machine.maillog.with_name("old.log")
    old.write_text(f"Nov 21 12:00:00 relay postfix/smtp[7]: < {_MX2}: 220 mx2\n", encoding="utf-8")
    machine.settings = dataclasses.replace(machine.settings, maillogs=(old,), journals=())
    reader = machine.reader(importer)
    batch = reader.read(NOW)
    reader.close()
    assert batch is not None
    importer.write(batch)
    assert {row.reader for row in machine.rows(OpenConversation)} == {HOST, f"{HOST}:import:/old"}
    importer.forget_conversations()
    assert [row.reader for row in machine.rows(OpenConversation)] == [HOST]


def test_whatever_is_asked_of_a_database_that_is_away_may_be_asked_later(machine: Machine) -> None:
    impatient = open_database(str(machine.database.engine.url))
    event.listen(impatient.engine, "checkout", lambda connection, *_: connection.execute("PRAGMA busy_timeout=1"))
    store = machine.store(impatient)
    with machine.database.writing_connection():
        with pytest.raises(DatabaseAway, match="locked"):
            store.mark_read_up_to([_SOURCE], NOW)
        with pytest.raises(DatabaseAway, match="locked"), store.connection():
            pass
        with pytest.raises(DatabaseAway, match="locked"):
            store.forget_conversations()
    store.mark_read_up_to([_SOURCE], NOW)
    assert store.open_recipients() == {"queued": 0, "deferred": 0, "held": 0}
    impatient.close()


# --- refusals ---


_REFUSED_BY_POSTFIX = (
    "Nov 22 12:09:00 relay postfix/submission/smtpd[3]: NOQUEUE: reject: RCPT from x[203.0.113.9]: 554 5.7.1 no;"
    " from=<max@own.example> to=<a@example.net> proto=ESMTP helo=<x> sasl_username=<max>"
)
_DROPPED = "Nov 22 12:09:06 relay rsyslogd: imuxsock[pid 2717]: 412 messages lost due to rate-limiting"
_SIGN_IN = (
    "Nov 22 12:00:00 relay postfix/submission/smtpd[3]: warning: unknown[203.0.113.9]: SASL PLAIN authentication"
    " failed: (reason unavailable), sasl_username={}"
)
# What our milter's refusal at the message's end looks like in Postfix's log, and in its journal.
_OUR_REFUSAL = (
    "Nov 22 12:00:00 relay postfix/submission/smtpd[3]: 4F5C64474F: client=x[203.0.113.9], sasl_method=PLAIN,"
    " sasl_username=max",
    "Nov 22 12:00:01 relay postfix/cleanup[4]: 4F5C64474F: milter-reject: END-OF-MESSAGE from x[203.0.113.9]: 4.7.1"
    " Over the limit; from=<max@own.example> to=<a@example.net> proto=ESMTP helo=<x>",
)


def _refused(
    queue_id: str | None = "4F5C64474F", at: dt.datetime = dt.datetime(2026, 11, 22, 12, 0, 0, 900_000, dt.UTC)
) -> Refused:
    return Refused(
        at=at, host=HOST, queue_id=queue_id, account_id=1, login="max", envelope_sender="max@own.example",
        recipients=("a@example.net",), subject="Offer", reason="quota", reply="452 4.7.1 Over the limit",
    )  # fmt: skip


@pytest.mark.parametrize("order", list(itertools.permutations(("journal", "log"))))
@pytest.mark.parametrize("at_once", [True, False])
def test_what_our_milter_refused_is_one_refusal_in_any_order(
    machine: Machine, order: tuple[str, ...], at_once: bool
) -> None:
    for source in order:
        if source == "journal":
            machine.note(_refused())
        else:
            machine.log(*_OUR_REFUSAL)
        if not at_once:
            machine.read()
    machine.read()
    assert [(row.source, row.reason, row.subject) for row in machine.rows(Refusal)] == [("milter", "quota", "Offer")]
    assert [row.disposition for row in machine.rows(QueueFile)] == ["rejected"]


def test_another_milter_s_refusal_is_one_of_its_own(machine: Machine) -> None:
    """Also where ours has refused another message, or one of that queue id at another time."""
    machine.note(_refused("4F5C644750"), _refused(at=NOW - dt.timedelta(days=1)), _refused(None))
    machine.log(*_OUR_REFUSAL)
    machine.read()
    found = [(row.source, row.queue_id, row.login) for row in machine.rows(Refusal) if row.source != "milter"]
    assert found == [("postfix", "4F5C64474F", "max")]
    assert len(machine.rows(Refusal)) == 4


def test_a_refusal_is_the_account_s_whose_login_it_has(machine: Machine) -> None:
    with machine.database.writing() as session:
        session.add(Plan(id=1, name="a"))
        session.flush()
        session.add(Account(id=5, login="max", password_hash="", plan_id=1, time_zone="UTC", created_at=NOW,
                            tracking=False, test_mode=False, shared_pixel=False))  # fmt: skip
        session.flush()
        session.add(Credential(account_id=5, login="max.laptop", label="laptop", secret_hash="x", created_at=NOW))
    machine.log(
        _SIGN_IN.format("max.laptop"),
        _SIGN_IN.format("nobody"),
        _REFUSED_BY_POSTFIX.replace("<max>", "<max.laptop>"),
        _REFUSED_BY_POSTFIX.removesuffix(" sasl_username=<max>"),
    )
    machine.read()
    found = {(row.source, row.login, row.account_id) for row in machine.rows(Refusal)}
    assert found == {
        ("sign-in", "max.laptop", 5), ("sign-in", "nobody", None), ("postfix", "max.laptop", 5), ("postfix", "", None),
    }  # fmt: skip


def test_a_refusal_says_what_the_client_was_told_and_when(machine: Machine) -> None:
    machine.log(_REFUSED_BY_POSTFIX, _SIGN_IN.format("max"))
    machine.read()
    machine.log(_REFUSED_BY_POSTFIX, _SIGN_IN.format("max"))  # said again: the same lines
    machine.read()
    refused, sign_in = machine.rows(Refusal)
    assert (refused.source, refused.reason, refused.stage, refused.client_address, refused.queue_id) == (
        "postfix", "reject", "RCPT", "203.0.113.9", None,
    )  # fmt: skip
    assert (refused.reply, refused.envelope_sender, refused.recipients, refused.refused_at) == (
        "554 5.7.1 no", "max@own.example", ["a@example.net"], dt.datetime(2026, 11, 22, 12, 9, tzinfo=dt.UTC),
    )  # fmt: skip
    assert (sign_in.source, sign_in.reason, sign_in.login, sign_in.client_address) == (
        "sign-in", "sign-in", "max", "203.0.113.9",
    )  # fmt: skip


# --- links, over several batches ---


def _links(machine: Machine) -> dict[str, tuple[str | None, str | None]]:
    return {
        row.queue_id: (row.parent_queue_id, row.link_evidence)
        for row in machine.rows(QueueFile)
        if row.parent_queue_id is not None
    }


_GIVEN_BACK = [
    "Nov 22 12:00:00 relay postfix/smtpd[3]: 4F5C64474F: client=x[203.0.113.9], sasl_method=PLAIN, sasl_username=max",
    "Nov 22 12:00:00 relay postfix/qmgr[5]: 4F5C64474F: from=<max@own.example>, size=100, nrcpt=1 (queue active)",
    "Nov 22 12:00:01 relay postfix/10025/smtpd[6]: 4F5C644750: client=localhost[127.0.0.1]",
    "Nov 22 12:00:01 relay postfix/qmgr[5]: 4F5C644750: from=<max@own.example>, size=110, nrcpt=1 (queue active)",
    _status("4F5C644750", "a@example.net", at="12:00:02"),
    "Nov 22 12:00:02 relay postfix/qmgr[5]: 4F5C644750: removed",
    _status(
        "4F5C64474F", "a@example.net", "sent (250 2.0.0 Ok: queued as 4F5C644750)", relay=_OURSELVES, at="12:00:03"
    ),
    "Nov 22 12:00:03 relay postfix/qmgr[5]: 4F5C64474F: removed",
]


@pytest.mark.parametrize("cuts", [(), (4,), (6,), (7,), tuple(range(1, len(_GIVEN_BACK)))])
def test_what_a_filter_gives_back_is_linked_however_the_log_is_cut(machine: Machine, cuts: tuple[int, ...]) -> None:
    begin = 0
    for end in (*cuts, len(_GIVEN_BACK)):
        machine.log(*_GIVEN_BACK[begin:end])
        machine.read()
        begin = end
    assert _links(machine) == {"4F5C644750": ("4F5C64474F", "queued as")}
    states = {row.queue_file_id: str(row.state) for row in machine.rows(Recipient)}
    files = {row.queue_id: states[row.id] for row in machine.rows(QueueFile)}
    assert files == {"4F5C64474F": "queued", "4F5C644750": "delivered"}


def test_a_status_line_that_names_no_child_is_a_handover_where_an_earlier_batch_knows_the_child(
    machine: Machine,
) -> None:
    machine.log(
        _GIVEN_BACK[0],
        "Nov 22 12:00:01 relay postfix/10025/smtpd[6]: 4F5C644750: client=localhost[127.0.0.1],"
        " orig_queue_id=4F5C64474F, orig_client=x[203.0.113.9]",
    )
    machine.read()
    machine.log(_status("4F5C64474F", "a@example.net", relay=_OURSELVES, at="12:00:03"))
    machine.read()
    assert machine.states() == {"a@example.net": "queued"}
    assert _links(machine) == {"4F5C644750": ("4F5C64474F", "orig_queue_id")}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_better_evidence_replaces_weaker_in_later_batches_too(machine: Machine, order: tuple[int, ...]) -> None:
    machine.log(_GIVEN_BACK[2], _GIVEN_BACK[0], _GIVEN_BACK[0].replace("4F5C64474F", "4F5C644760"))
    machine.read()
    evidence = [
        "Nov 22 12:00:01 relay postfix/10025/smtpd[6]: 4F5C644750: client=localhost[127.0.0.1],"
        " orig_queue_id=4F5C64474F",
        "Nov 22 12:00:02 relay amavis[9]: (1-1) Passed CLEAN {RelayedOutbound}, <max@own.example> -> <a@example.net>,"
        " Queue-ID: 4F5C644760, Message-ID: <x@own.example>, queued_as: 4F5C644750, 300 ms",
        _status("4F5C644760", "a@example.net", "sent (250 2.0.0 Ok: queued as 4F5C644750)", relay=_OURSELVES),
    ]
    for number in order:
        machine.log(evidence[number])
        machine.read()
    assert _links(machine) == {"4F5C644750": ("4F5C64474F", "orig_queue_id")}


def test_a_queue_file_that_is_put_back_is_linked_over_restarts(machine: Machine) -> None:
    lines = [
        _GIVEN_BACK[0],
        _status("4F5C64474F", "a@example.net", "deferred (later)"),
        "Nov 22 12:10:00 relay postfix/postsuper[9]: 4F5C64474F: requeued",
        "Nov 22 12:10:01 relay postfix/pickup[8]: 4F5C644750: uid=108 from=<max@own.example> orig_id=4F5C64474F",
        _status("4F5C644750", "a@example.net", at="12:10:02"),
        "Nov 22 12:10:02 relay postfix/qmgr[5]: 4F5C644750: removed",
    ]
    for line in lines:
        machine.log(line)
        machine.read()
    assert _links(machine) == {"4F5C644750": ("4F5C64474F", "orig_id")}
    assert [str(row.state) for row in machine.rows(Recipient)] == ["queued", "delivered"]


def test_a_suspension_that_is_read_again_after_a_restart_counts_once(machine: Machine) -> None:
    put_off = "deferred (delivery temporarily suspended: connect to mx[192.0.2.1]:25: Connection refused)"
    first, second = (
        _status("4F5C64474F", "a@example.net", put_off, relay="none", service="error", at=f"12:0{minute}:00")
        for minute in (1, 2)
    )
    for line in (first, first, second, first, second):
        machine.log(line)
        machine.read()
    (recipient,) = machine.rows(Recipient)
    assert (recipient.suspensions, recipient.suspended_because) == (
        2,
        "connect to mx[192.0.2.1]:25: Connection refused",
    )
    assert recipient.suspended_at == dt.datetime(2026, 11, 22, 12, 2, tzinfo=dt.UTC)
    assert machine.rows(Attempt) == []


# The recipient's state and its time stay as they were: what changed was not stored.
def test_that_a_recipient_was_handed_on_is_known_in_later_batches(machine: Machine) -> None:
    parent = dataclasses.replace(admitted("4F5C64474F", "a@example.net"), split=True)
    machine.note(parent)
    machine.read()
    for line in (
        "smtpd[3]: 4F5C644751: client=localhost[127.0.0.1], orig_queue_id=4F5C64474F",
        "sendproof-split/smtp[7]: 4F5C64474F: to=<a@example.net>, relay=127.0.0.1[127.0.0.1]:10026, delay=1,"
        " delays=0/0/0/1, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4F5C644751)",
        "qmgr[9]: 4F5C64474F: removed",
    ):
        machine.log(f"Nov 22 12:00:00 relay postfix/{line}")
        machine.read()
    assert machine.states() == {"a@example.net": "queued"}
