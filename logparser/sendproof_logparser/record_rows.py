"""The record's rows as values: which column holds what of a change. Pure; `store` writes them."""

import datetime as dt
from dataclasses import asdict
from typing import Any

from sendproof_core.journal_records import Admitted, Copied, Opened, Refused
from sendproof_logparser import remote_queue_id
from sendproof_logparser.grammar import may_be_kept
from sendproof_logparser.queue_file import QueueFileCopy, RecipientCopy
from sendproof_logparser.transcript import Attempted, DeliveryKey, DeliveryState

Row = dict[str, Any]

_UNKNOWN_LINE_OCTETS = 4_000
# Columns of `queue_files` that a copy has under the same name.
COPIED = (
    "born_at", "message_id", "message_id_header", "envelope_sender", "client", "login", "size_bytes", "recipient_count",
    "parent_queue_id", "disposed_at", "removed_at",
)  # fmt: skip


def queue_file(queue_file: QueueFileCopy) -> Row:
    """A row of ``queue_files``."""
    return {
        "host": queue_file.key.host,
        "instance": queue_file.key.instance,
        "queue_id": queue_file.key.queue_id,
        "disposition": queue_file.disposition.value if queue_file.disposition else None,
        **{name: getattr(queue_file, name) for name in COPIED},
    }


def recipient(queue_file: QueueFileCopy, recipient: RecipientCopy) -> Row:
    """A row of ``recipients``."""
    return {
        "queue_file_id": queue_file.id,
        "address": recipient.address,
        "final_address": recipient.final_address,
        "number": recipient.number,
        "state": recipient.state.value,
        "state_at": recipient.state_at,
    }


def conversation(state: DeliveryState) -> Row:
    """The columns of ``deliveries`` that grow while the conversation goes on."""
    return {"tls": state.tls, "dialogue": state.dialogue, "troubles": state.troubles}


def delivery(state: DeliveryState, queue_file: QueueFileCopy) -> Row:
    """A row of ``deliveries``."""
    process = state.delivery.process
    return {
        "queue_file_id": queue_file.id,
        "service": process.service,
        "pid": process.pid,
        "began_at": state.began_at,
        **conversation(state),
    }


def attempt(change: Attempted, recipient: RecipientCopy, delivery_ids: dict[DeliveryKey, int]) -> Row:
    """A row of ``attempts``."""
    line = change.status_line
    return {
        "recipient_id": recipient.id,
        "delivery_id": delivery_ids.get(change.delivery) if change.delivery is not None else None,
        "attempted_at": change.at,
        "service": change.service,
        "status": line.status,
        "dsn": line.dsn,
        "relay": line.relay,
        "delay_seconds": line.delay_seconds,
        "delays_seconds": line.delays_seconds,
        "text": line.text,
        "remote_queue_id": remote_queue_id.find(line.text) if line.status == "sent" else None,
    }


def message(record: Admitted) -> Row:
    """A row of ``messages``."""
    return {
        "id": record.message_id,
        "account_id": record.account_id,
        "login": record.login,
        "credential_label": record.credential_label,
        "submitted_at": record.at,
        "envelope_sender": record.envelope_sender,
        "message_id_header": record.message_id_header,
        "subject": record.subject,
        "size_bytes": record.size_bytes,
        "client_address": record.client_address,
        "client_tls": record.client_tls,
        "recipient_count": len(record.recipients),
        "signatures": [asdict(signature) for signature in record.signatures],
        "pixel": record.pixel,
        "wire_edits": record.wire_edits,
        "charged_recipients": record.charged_recipients,
        "split": record.split,
        "test_mode": record.test_mode,
    }


def copied(record: Copied) -> Row:
    """The columns of ``messages`` that only the copies of a split message know; its id as ``b_id``."""
    return {
        "b_id": record.message_id,
        "signatures": [asdict(signature) for signature in record.signatures],
    }


def refusal(record: Refused) -> Row:
    """A row of ``refusals``."""
    return {
        "account_id": record.account_id,
        "login": record.login,
        "refused_at": record.at,
        "host": record.host,
        "queue_id": record.queue_id,
        "envelope_sender": record.envelope_sender,
        "recipients": record.recipients,
        "subject": record.subject,
        "reason": record.reason,
        "reply": record.reply,
    }


def opened(record: Opened) -> Row:
    """A row of ``opens``."""
    return {
        "message_id": record.message_id,
        "recipient_number": record.recipient_number,
        "opened_at": record.at,
        "grade": record.grade,
        "user_agent": record.user_agent,
    }


def unknown_line(source: str, offset: int, raw: bytes, now: dt.datetime) -> Row:
    """A row of ``unknown_lines``."""
    return {"source": source, "offset": offset, "read_at": now, "line": _kept(raw)}


def _kept(raw: bytes) -> str:
    """As much of a line as may be stored: Postfix's verbose lines can hold secrets."""
    text = raw[:_UNKNOWN_LINE_OCTETS].replace(b"\0", b"").decode("utf-8", "replace")
    prefix, separator, rest = text.partition("]: ")
    return f"{prefix}]: [hidden]" if separator and not may_be_kept(rest) else text
