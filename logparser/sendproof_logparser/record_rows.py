"""The record's rows as values: which column holds what. Pure; `store` writes them.

Rows are tuples in the order of the table's ``..._COLUMNS``, in the form in which the database keeps them (`Keeps`).
"""

import datetime as dt
import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol

from sendproof_core.journal_records import Admitted, Copied, Opened, Refused, SignatureRecord
from sendproof_core.receipt import remote_queue_id
from sendproof_core.states import RecipientState
from sendproof_logparser.events import SignInFailed
from sendproof_logparser.queue_file import Attempt, QueueFileCopy, RecipientCopy, Refusal
from sendproof_logparser.transcript import Conversation

Row = tuple[Any, ...]

_quoted = json.encoder.encode_basestring_ascii
_UNKNOWN_LINE_OCTETS = 4_000
_TEXT = 100_000  # of what outsiders choose: far more than Postfix lets through

QUEUE_FILE_COLUMNS = (
    "host", "instance", "queue_id", "born_at", "message_id", "message_id_header", "envelope_sender", "client", "login",
    "size_bytes", "recipient_count", "parent_queue_id", "link_kind", "link_evidence", "disposition", "disposed_at",
    "removed_at", "id",
)  # fmt: skip
RECIPIENT_COLUMNS = (
    "queue_file_id", "address", "final_address", "number", "state", "state_at", "handed_on_at", "suspended_at",
    "suspended_because", "suspensions", "id",
)  # fmt: skip
# What grows while the conversation goes on, and the rest.
DELIVERY_GROWS = ("tls", "dialogue", "troubles", "id")
DELIVERY_COLUMNS = ("queue_file_id", "service", "pid", "began_at", *DELIVERY_GROWS)
ATTEMPT_COLUMNS = (
    "recipient_id", "delivery_id", "attempted_at", "service", "status", "dsn", "relay", "delay_seconds",
    "delays_seconds", "text", "remote_queue_id", "line_key",
)  # fmt: skip
MESSAGE_COLUMNS = (
    "id", "account_id", "login", "credential_label", "submitted_at", "envelope_sender", "message_id_header", "subject",
    "size_bytes", "client_address", "client_tls", "recipient_count", "signatures", "pixel", "wire_edits",
    "charged_recipients", "split", "test_mode",
)  # fmt: skip
REFUSAL_COLUMNS = (
    "account_id", "login", "refused_at", "host", "queue_id", "envelope_sender", "recipients", "subject", "reason",
    "reply", "source", "stage", "client_address", "line_key",
)  # fmt: skip
OPEN_COLUMNS = ("message_id", "recipient_number", "opened_at", "grade", "user_agent", "client_address")
UNKNOWN_LINE_COLUMNS = ("source", '"offset"', "read_at", "line", "daemon")
GAP_COLUMNS = ("host", "source", "begins_at", "ends_at", "lines", "text", "line_key")


class Keeps(Protocol):
    """How the database keeps moments and ids (`database.FixedStatements`)."""

    def moment(self, value: dt.datetime) -> Any:
        """As a column of `schema.UtcDateTime` keeps it."""

    def id(self, value: uuid.UUID) -> Any:
        """As a column of `sqlalchemy.Uuid` keeps it."""


class Rows:
    """Makes rows for one database. Most moments come again and again: they are written once."""

    def __init__(self, keeps: Keeps) -> None:
        self._keeps = keeps
        self._moments: dict[dt.datetime, Any] = {}

    def moment(self, value: dt.datetime) -> Any:
        """A moment as the database keeps it."""
        known = self._moments.get(value)
        if known is None:
            known = self._moments[value] = self._keeps.moment(value)
        return known

    def _optional(self, value: dt.datetime | None) -> Any:
        return None if value is None else self.moment(value)

    def queue_file(self, copy: QueueFileCopy, row_id: int) -> Row:
        """A row of ``queue_files``."""
        return (
            copy.host,
            copy.instance,
            copy.queue_id,
            self._keeps.moment(copy.born_at),
            None if copy.message_id is None else self._keeps.id(copy.message_id),
            copy.message_id_header,
            copy.envelope_sender,
            copy.client,
            copy.login,
            copy.size_bytes,
            copy.recipient_count,
            copy.parent_queue_id,
            copy.link_kind,
            copy.link_evidence,
            copy.disposition,
            self._optional(copy.disposed_at),
            self._optional(copy.removed_at),
            row_id,
        )

    def recipient(self, copy: RecipientCopy, queue_file_id: int, row_id: int) -> Row:
        """A row of ``recipients``."""
        return (
            queue_file_id,
            copy.address,
            copy.final_address,
            copy.number,
            _STATES[copy.state],
            self.moment(copy.state_at),
            self._optional(copy.handed_on_at),
            self._optional(copy.suspended_at),
            copy.suspended_because,
            copy.suspensions,
            row_id,
        )

    def delivery_growth(self, delivery: Conversation, row_id: int) -> Row:
        """The columns of ``deliveries`` that grow while the conversation goes on."""
        troubles = [(at.isoformat(), text) for at, text, _ in delivery.troubles] if delivery.troubles else []
        # As `json.dumps` would, in half the time: most of a verbose log is dialogue.
        spoken = [f'["{at}", "{speaker}", {_quoted(text)}]' for at, speaker, text in delivery.dialogue]
        dialogue = f"[{', '.join(spoken)}]"
        return (delivery.tls, dialogue, json.dumps(troubles) if troubles else "[]", row_id)

    def delivery(self, delivery: Conversation, queue_file_id: int, row_id: int) -> Row:
        """A row of ``deliveries``."""
        process = delivery.process
        growth = self.delivery_growth(delivery, row_id)
        return (queue_file_id, process.program, process.pid, self.moment(delivery.began_at), *growth)

    def attempt(self, attempt: Attempt, recipient_id: int, delivery_id: int | None) -> Row:
        """A row of ``attempts``."""
        line = attempt.line
        first, second, third, fourth = line.delays_seconds
        return (
            recipient_id,
            delivery_id,
            self.moment(attempt.at),
            attempt.process.program,
            line.status,
            line.dsn,
            line.relay,
            line.delay_seconds,
            f"[{first}, {second}, {third}, {fourth}]",
            line.text,
            remote_queue_id(line.text) if line.status == "sent" else None,
            attempt.line_key,
        )

    def message(self, record: Admitted) -> Row:
        """A row of ``messages``."""
        return (
            self._keeps.id(record.message_id),
            record.account_id,
            record.login[:100],
            record.credential_label[:100],
            self.moment(record.at),
            record.envelope_sender,
            record.message_id_header,
            record.subject,
            record.size_bytes,
            _cut(record.client_address, 64),
            _cut(record.client_tls, 200),
            len(record.recipients),
            _signatures(record.signatures),
            record.pixel[:60],
            json.dumps(record.wire_edits),
            record.charged_recipients,
            record.split,
            record.test_mode,
        )

    def copied(self, record: Copied) -> Row:
        """What of ``messages`` only the copies of a split message know: the signatures; and the id."""
        return (_signatures(record.signatures), self._keeps.id(record.message_id))

    def refused(self, record: Refused) -> Row:
        """A row of ``refusals``: the milter's."""
        return (
            record.account_id,
            record.login[:100],
            self.moment(record.at),
            record.host,
            _cut(record.queue_id, 40),
            record.envelope_sender,
            json.dumps(record.recipients),
            record.subject,
            record.reason[:40],
            record.reply,
            "milter",
            None,
            None,
            None,
        )

    def refusal(self, refusal: Refusal, account_id: int | None) -> Row:
        """A row of ``refusals``: Postfix's or Dovecot's."""
        event, address = refusal.event, address_of(refusal.event.client)
        if isinstance(event, SignInFailed):
            return (
                account_id, (event.login or "")[:100], self.moment(refusal.at), refusal.host, None, "", "[]", None,
                "sign-in", event.reason, "sign-in", refusal.daemon[:40], address, refusal.line_key,
            )  # fmt: skip
        recipients = json.dumps([event.recipient] if event.recipient is not None else [])
        return (
            account_id, (event.login or "")[:100], self.moment(refusal.at), refusal.host, event.queue_id,
            event.sender or "", recipients, None, event.by, event.reply, "postfix", event.stage[:40], address,
            refusal.line_key,
        )  # fmt: skip

    def opened(self, record: Opened) -> Row:
        """A row of ``opens``."""
        at = self.moment(record.at)
        return (
            self._keeps.id(record.message_id),
            record.recipient_number,
            at,
            record.grade[:20],
            record.user_agent,
            _cut(record.client_address, 64),
        )

    def unknown_line(self, source: str, offset: int, raw: bytes, now: dt.datetime, daemon: str | None) -> Row:
        """A row of ``unknown_lines``."""
        return (source, offset, self.moment(now), _kept(raw), _cut(daemon, 100))

    def gap(self, host: str, source: str, begins_at: dt.datetime | None, ends_at: dt.datetime, lines: int | None,
            text: str, line_key: int) -> Row:  # fmt: skip
        """A row of ``log_gaps``."""
        return (host, source, self._optional(begins_at), self.moment(ends_at), lines, text[:_TEXT], line_key)


# The driver stores a plain str ten times as fast as one of an Enum.
_STATES: dict[str, str] = {state: str(state.value) for state in RecipientState}


def address_of(client: str) -> str | None:
    """The address in ``name[address]``, or the address itself."""
    _, bracket, rest = client.rpartition("[")
    address = rest.partition("]")[0] if bracket else client
    return address[:64] or None


def _cut(value: str | None, length: int) -> str | None:
    return value[:length] if value is not None else None


def _signatures(signatures: Sequence[SignatureRecord]) -> str:
    return json.dumps([asdict(signature) for signature in signatures])


def _kept(raw: bytes) -> str:
    """As much of a line as a database takes."""
    return raw[:_UNKNOWN_LINE_OCTETS].replace(b"\0", b"").decode("utf-8", "replace")
