"""A machine whose mail log and journal are read into a record, for tests of the logparser. Starts no process."""

import contextlib
import dataclasses
import datetime as dt
import os
import uuid
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import select

from sendproof_core.database import Database
from sendproof_core.journal_records import Admitted, Copied, JournalRecord, SignatureRecord, to_line
from sendproof_core.schema import Base, Recipient
from sendproof_logparser import derive, sources
from sendproof_logparser.host_names import HostNames
from sendproof_logparser.reader import Reader
from sendproof_logparser.settings import LogparserSettings
from sendproof_logparser.store import Store

NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)
HOST = "relay.example"
LOGS = Path(__file__).parents[2] / "corpus" / "logs"


class Machine:
    """A machine with one mail log and one journal, whose reader can be ended and started again."""

    def __init__(self, folder: Path, database: Database, host: str = HOST) -> None:
        self.database = database
        self.host = host
        self.maillog = folder / "mail.log"
        self.journal = folder / "milter.journal"
        self.settings = LogparserSettings(maillogs=(self.maillog,), journals=(self.journal,), time_zone="UTC")

    def log(self, *lines: str) -> None:
        with self.maillog.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        os.utime(self.maillog, (NOW.timestamp(), NOW.timestamp()))  # by which stamps without a year are read

    def note(self, *records: JournalRecord) -> None:
        with self.journal.open("ab") as file:
            file.writelines(to_line(record) + b"\n" for record in records)

    def read(self, now: dt.datetime = NOW) -> int:
        """Start a reader, let it read all that is there, and end it; how many batches there were."""
        store = self.store()
        batches = 0
        with contextlib.closing(self.reader(store)) as reader:
            while (batch := reader.read(now)) is not None:
                store.write(batch)
                batches += 1
        return batches

    def store(self, database: Database | None = None) -> Store:
        """This machine's part of the record; ``database``: another connection to it."""
        settings = self.settings
        return Store(database or self.database, self.host, self.host, settings.own_addresses, settings.edges)

    def reader(self, store: Store) -> Reader:
        """A reader of its logs, which goes on where the last one ended."""
        origins = sources.followed(self.settings, self.host, grace_seconds=0)
        return Reader(origins, HostNames(self.host, self.settings.host_labels), store)

    def derive(self) -> None:
        """Let everything follow from what was read."""
        derive_all(self.database)

    def rows(self, table: type[Base]) -> list[Any]:
        with self.database.reading() as session:
            rows = list(session.scalars(select(table).order_by(*sqlalchemy.inspect(table).primary_key)))
            session.expunge_all()
            return rows

    def states(self) -> dict[str, str]:
        """Every recipient's state, by address; for tests with one queue file."""
        return {row.address: row.state for row in self.rows(Recipient)}

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of the record without their numbers, for comparing two records."""
        return record_of(self.database)


def derive_all(database: Database) -> None:
    """Let everything follow from what is in the record."""
    while derive.run(database.writing):
        pass


def record_of(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """What the record says, independent of the order in which rows were written."""
    queries = {
        "messages": "SELECT id, account_id, login, submitted_at, subject, recipient_count FROM messages",
        "queue_files": "SELECT host, instance, queue_id, born_at, message_id, message_id_header, envelope_sender,"
        " client, login, size_bytes, recipient_count, parent_host, parent_queue_id, link_kind, link_evidence,"
        " disposition, disposed_at, removed_at"
        " FROM queue_files",
        "recipients": "SELECT q.queue_id, q.born_at, r.address, r.final_address, r.number, r.state, r.state_at,"
        " r.handed_on_at, r.suspended_at, r.suspended_because, r.suspensions FROM recipients r"
        " JOIN queue_files q ON q.id = r.queue_file_id",
        "deliveries": "SELECT q.queue_id, d.service, d.pid, d.began_at, d.tls, d.dialogue, d.troubles"
        " FROM deliveries d JOIN queue_files q ON q.id = d.queue_file_id",
        "attempts": "SELECT q.queue_id, r.address, a.attempted_at, a.status, a.dsn, a.relay, a.text, a.remote_queue_id,"
        " d.began_at, d.dialogue FROM attempts a JOIN recipients r ON r.id = a.recipient_id"
        " JOIN queue_files q ON q.id = r.queue_file_id LEFT JOIN deliveries d ON d.id = a.delivery_id",
        "opens": "SELECT message_id, recipient_number, opened_at, grade FROM opens",
        "refusals": "SELECT login, refused_at, host, queue_id, reply, source, stage, client_address FROM refusals",
        "log_gaps": "SELECT host, begins_at, ends_at, lines, text FROM log_gaps",
        "unknown_lines": "SELECT line, daemon FROM unknown_lines",
    }
    with database.engine.connect() as connection:
        return {
            name: sorted((tuple(row) for row in connection.exec_driver_sql(query)), key=repr)
            for name, query in queries.items()
        }


def admitted(queue_id: str, *recipients: str, number: int = 1, **changes: Any) -> Admitted:
    """What the milter's journal says of a message."""
    record = Admitted(
        at=dt.datetime(2026, 11, 22, 12, 0, 0, 400_000, dt.UTC),
        host="relay.example",
        queue_id=queue_id,
        message_id=uuid.UUID(int=number),
        account_id=1,
        login="max",
        credential_label="Thunderbird at home",
        envelope_sender="max@own.example",
        recipients=recipients,
        message_id_header="<7f3c@own.example>",
        subject="Offer",
        size_bytes=100,
        client_address="203.0.113.9",
        client_tls="TLSv1.3",
        signatures=(SignatureRecord("own.example", "s1", "rsa-sha256"),),
        body_sha256="0" * 64,
        pixel="inserted",
        charged_recipients=len(recipients),
    )
    return dataclasses.replace(record, **changes)


def copied(parent: Admitted, queue_id: str, number: int) -> Copied:
    """The journal line of one recipient's copy."""
    return Copied(
        at=parent.at,
        host=parent.host,
        queue_id=queue_id,
        parent_queue_id=parent.queue_id,
        message_id=parent.message_id,
        recipient=parent.recipients[number - 1],
        recipient_number=number,
        signatures=(SignatureRecord("own.example", "sp1", "rsa-sha256"),),
        body_sha256="0" * 64,
        pixel="inserted",
    )
