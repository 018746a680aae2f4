"""Transcripts as values: what became of one message, recipient by recipient. Pure.

`transcript_queries` reads them from the record; the command line, the site and the demo show these same values.
"""

import datetime as dt
import uuid
from dataclasses import dataclass

from sendproof_core.states import RecipientState

# The grade of an open that says nothing about a person.
MACHINE = "machine"


@dataclass(frozen=True)
class DialogueLine:
    """One line of the SMTP conversation. ``from_server``: the receiving server said it."""

    at: dt.datetime
    from_server: bool
    text: str


@dataclass(frozen=True)
class AttemptView:
    """One attempt at one recipient. ``troubles``: other servers that failed before this one answered."""

    at: dt.datetime
    status: str
    dsn: str
    relay: str
    delay_seconds: float
    delays_seconds: tuple[float, ...]
    reply: str
    remote_queue_id: str | None
    tls: str | None
    troubles: tuple[str, ...]
    dialogue: tuple[DialogueLine, ...]


@dataclass(frozen=True)
class OpenView:
    """One fetch of the pixel. ``shared``: the pixel was in every recipient's copy."""

    at: dt.datetime
    grade: str
    user_agent: str
    shared: bool


@dataclass(frozen=True)
class RecipientView:
    """One recipient's transcript."""

    id: int
    address: str
    final_address: str | None
    state: RecipientState
    state_at: dt.datetime
    attempts: tuple[AttemptView, ...]
    opens: tuple[OpenView, ...]
    # Of the recipient's own copy, if Postfix made one; else the message's counts.
    copy_queue_id: str | None = None


@dataclass(frozen=True)
class MessageView:
    """What all recipients of a message share."""

    id: uuid.UUID
    account_id: int
    login: str
    credential_label: str
    submitted_at: dt.datetime
    envelope_sender: str
    message_id_header: str | None
    subject: str | None
    size_bytes: int
    client_address: str | None
    client_tls: str | None
    # of each: domain, selector, algorithm
    signatures: tuple[tuple[str, str, str], ...]
    pixel: str
    host: str | None
    queue_id: str | None
    queued_at: dt.datetime | None
    # What was changed so that no server on the way has to, or why that could not be.
    wire_edits: tuple[str, ...] = ()
    test_mode: bool = False


@dataclass(frozen=True)
class Transcript:
    """A message and its recipients, in the order of RCPT TO."""

    message: MessageView
    recipients: tuple[RecipientView, ...]


@dataclass(frozen=True)
class RefusalView:
    """A message that was refused at submission."""

    at: dt.datetime
    envelope_sender: str
    recipients: tuple[str, ...]
    subject: str | None
    reason: str
    reply: str


@dataclass(frozen=True)
class MessageSummary:
    """A line of the message list: each recipient's address and state. ``opened``: and not by a machine."""

    id: uuid.UUID
    submitted_at: dt.datetime
    subject: str | None
    recipients: tuple[tuple[str, RecipientState], ...]
    opened: bool
    test_mode: bool = False
