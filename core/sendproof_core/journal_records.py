"""The events in a journal, as values, and their JSON lines. Writers: milter, site. Reader: logparser.

A line is one JSON object with ``"event"`` first. Unknown keys are ignored by the reader and keys with a default may be
missing, so that an old reader survives a new writer, and the reverse. Text is whatever came over the wire: the reader
treats it as hostile.
"""

import dataclasses
import datetime as dt
import json
import uuid
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class SignatureRecord:
    """One DKIM signature that a message was given."""

    domain: str
    selector: str
    algorithm: str


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """The milter let a message through; Postfix queues it under ``queue_id`` unless it fails itself."""

    EVENT: ClassVar = "admitted"
    at: dt.datetime
    host: str
    queue_id: str
    message_id: uuid.UUID
    account_id: int
    login: str
    credential_label: str
    envelope_sender: str
    recipients: tuple[str, ...]
    message_id_header: str | None
    subject: str | None
    size_bytes: int
    client_address: str | None
    client_tls: str | None
    signatures: tuple[SignatureRecord, ...]
    # SHA-256 (hex) of the body that was signed
    body_sha256: str
    pixel: str
    charged_recipients: int
    # What was changed so that no server on the way has to, or why that could not be
    wire_edits: tuple[str, ...] = ()
    # Postfix makes a copy for each recipient out of it; those are `Copied`, and carry pixel and signatures.
    split: bool = False
    # Thrown away by the milter
    test_mode: bool = False


@dataclass(frozen=True, kw_only=True)
class Copied:
    """One recipient's copy of a message that was `Admitted` as ``parent_queue_id``; charged with that."""

    EVENT: ClassVar = "copied"
    at: dt.datetime
    host: str
    queue_id: str
    parent_queue_id: str
    message_id: uuid.UUID
    recipient: str
    # As in `Admitted.recipients`, from 1; 0: an alias made it, and none of them is known as its origin.
    recipient_number: int
    signatures: tuple[SignatureRecord, ...]
    body_sha256: str
    pixel: str
    # What the first pass had not made safe already: evidence, not stored
    wire_edits: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The milter refused a message; it was not charged."""

    EVENT: ClassVar = "refused"
    at: dt.datetime
    host: str
    queue_id: str | None
    account_id: int | None
    login: str
    envelope_sender: str
    recipients: tuple[str, ...]
    subject: str | None
    reason: str
    reply: str


@dataclass(frozen=True, kw_only=True)
class Opened:
    """Someone or something fetched a pixel.

    ``user_agent``, ``client_address``: empty and None where the account keeps only the grade; the user agent of a proxy
    or a machine names no person, and stays.
    """

    EVENT: ClassVar = "opened"
    at: dt.datetime
    message_id: uuid.UUID
    recipient_number: int
    grade: str
    user_agent: str
    client_address: str | None = None


@dataclass(frozen=True, kw_only=True)
class Withdrawn:
    """A message or copy was answered 451 after all: Postfix does not queue it. A message's charge is taken back."""

    EVENT: ClassVar = "withdrawn"
    at: dt.datetime
    host: str
    queue_id: str
    message_id: uuid.UUID


JournalRecord = Admitted | Copied | Refused | Opened | Withdrawn
KINDS: tuple[type[JournalRecord], ...] = (Admitted, Copied, Refused, Opened, Withdrawn)
_BY_EVENT = {kind.EVENT: kind for kind in KINDS}


def to_line(record: JournalRecord) -> bytes:
    """The JSON line, ASCII, without a newline."""
    return _ENCODER.encode({"event": record.EVENT, **vars(record)}).encode("ascii")


def from_line(line: bytes) -> JournalRecord | None:
    """What a line says; None if it is no record of ours."""
    try:
        values = json.loads(line)
        kind = _BY_EVENT[values["event"]]
        given = {
            field.name: values[field.name]
            if field.default is dataclasses.MISSING or field.name in values
            else field.default
            for field in dataclasses.fields(kind)
        }
        return kind(**_restored(given))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _plain(value: object) -> object:
    """What JSON has no word for."""
    match value:
        case dt.datetime():
            return value.isoformat()
        case uuid.UUID():
            return str(value)
        case SignatureRecord():
            return vars(value)
        case _:
            raise TypeError(f"a journal record holds no {type(value).__name__}")


# Made once: `json.dumps` with options makes one for each call.
_ENCODER = json.JSONEncoder(separators=(",", ":"), default=_plain)


def _restored(values: dict[str, Any]) -> dict[str, Any]:
    at = dt.datetime.fromisoformat(values["at"])
    if at.tzinfo is None:
        raise ValueError("a journal's time is aware")
    values["at"] = at
    if "message_id" in values:
        values["message_id"] = uuid.UUID(values["message_id"])
    if "signatures" in values:
        values["signatures"] = tuple(SignatureRecord(**item) for item in values["signatures"])
    for name in ("recipients", "wire_edits"):
        if name in values:
            values[name] = tuple(str(text) for text in values[name])
    return values
