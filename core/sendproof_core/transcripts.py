"""Transcripts as values: what became of one message, recipient by recipient. Pure.

`transcript_queries` reads them from the record; the command line, the site and the demo show these same values.
"""

import datetime as dt
import uuid
from dataclasses import dataclass, replace

from sendproof_core import receipt
from sendproof_core.addresses import address_key
from sendproof_core.links import LinkKind
from sendproof_core.receipt import Receipt
from sendproof_core.states import RecipientState

# What a transcript is of: a message that the milter admitted, by our id; or a queue file of which only the mail log
# speaks (an old log, mail from before the milter, a local submission), by the number of its row.
RecordId = uuid.UUID | int

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
    """One attempt at one recipient. ``troubles``: other servers that failed before this one answered.

    ``service``: who of our Postfix tried, as the log tags it; ``queue_id``: which queue file held the mail then;
    ``host``: where, if that is not the message's own host.
    """

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
    service: str = ""
    queue_id: str | None = None
    host: str | None = None

    @property
    def receipt(self) -> Receipt | None:
        """The receiving server's acknowledgement; None where the mail was not taken over by a server."""
        return receipt.read(self.reply, self.relay) if self.status == "sent" else None


@dataclass(frozen=True)
class HopView:
    """The mail went on in another queue file of ours. ``evidence``: a `links.LinkEvidence`, what says so."""

    at: dt.datetime
    kind: LinkKind
    from_queue_id: str
    queue_id: str
    evidence: str | None
    # Postfix instances, where the log names them.
    from_instance: str = ""
    instance: str = ""
    # Of ours, to which the mail went; None: it stayed on the same one, or nothing says so.
    host: str | None = None


@dataclass(frozen=True)
class GapView:
    """Lines that the system log says it dropped. ``begins_at``: None if unknown; so is ``lines``."""

    host: str
    source: str
    begins_at: dt.datetime | None
    ends_at: dt.datetime
    lines: int | None
    text: str


@dataclass(frozen=True)
class OpenView:
    """One fetch of the pixel. ``shared``: the pixel was in every recipient's copy.

    ``user_agent``, ``client_address``: empty and None where the account keeps only the grade.
    """

    at: dt.datetime
    grade: str
    user_agent: str
    shared: bool
    client_address: str | None = None


@dataclass(frozen=True)
class RecipientView:
    """One recipient's transcript. ``address``: as the sender wrote it, ``final_address``: where that leads.

    An alias that leads to several recipients is as many of these, with one ``address``.
    """

    id: int
    address: str
    final_address: str | None
    state: RecipientState
    state_at: dt.datetime
    attempts: tuple[AttemptView, ...]
    opens: tuple[OpenView, ...]
    # From queue file to queue file, oldest first.
    hops: tuple[HopView, ...] = ()
    # Since when Postfix counts the age of the queue file that holds it now; None: the message's.
    queued_at: dt.datetime | None = None
    # When the queue manager last said that it does not try at the moment, why, and how often it said so: no attempts.
    suspended_at: dt.datetime | None = None
    suspended_because: str | None = None
    suspensions: int = 0

    @property
    def copy_queue_id(self) -> str | None:
        """The queue id of the recipient's own copy, if Postfix made one."""
        return next((hop.queue_id for hop in reversed(self.hops) if hop.kind is LinkKind.COPY), None)


@dataclass(frozen=True)
class OriginView:
    """The queue file that mail of which only the mail log speaks comes from, or is about (`LinkKind`)."""

    queue_id: str
    kind: LinkKind


@dataclass(frozen=True)
class MessageView:
    """What all recipients of a message share.

    Where only the mail log speaks of it: None is what nothing says, ``submitted_at`` when its queue file was born;
    ``signatures``, ``wire_edits`` and ``test_mode`` then say nothing.
    """

    id: RecordId
    account_id: int | None
    login: str | None
    credential_label: str | None
    submitted_at: dt.datetime
    envelope_sender: str | None
    message_id_header: str | None
    subject: str | None
    size_bytes: int | None
    client_address: str | None
    client_tls: str | None
    # of each: domain, selector, algorithm
    signatures: tuple[tuple[str, str, str], ...]
    pixel: str | None
    host: str | None
    queue_id: str | None
    queued_at: dt.datetime | None
    # What was changed so that no server on the way has to, or why that could not be.
    wire_edits: tuple[str, ...] = ()
    test_mode: bool = False
    # Of the mail log of ``host``, since the message was submitted; oldest first.
    gaps: tuple[GapView, ...] = ()
    origin: OriginView | None = None

    @property
    def is_admitted(self) -> bool:
        """Whether the milter's journal speaks of it."""
        return isinstance(self.id, uuid.UUID)


@dataclass(frozen=True)
class Transcript:
    """A message and its recipients, in the order of RCPT TO."""

    message: MessageView
    recipients: tuple[RecipientView, ...]

    def only(self, key: str) -> "Transcript":
        """Without the recipients whose address, as written or behind an alias, has another `addresses.address_key`."""
        chosen = (
            recipient
            for recipient in self.recipients
            if key in {address_key(address) for address in (recipient.address, recipient.final_address) if address}
        )
        return replace(self, recipients=tuple(chosen))


@dataclass(frozen=True)
class Outline:
    """A message and its recipients without what was spoken: for the search and the statistics.

    ``queue_ids``: of all its queue files. ``opened``: and not by a machine.
    """

    message: MessageView
    recipients: tuple[RecipientView, ...]
    queue_ids: tuple[str, ...]
    opened: bool


@dataclass(frozen=True)
class RefusalView:
    """A message that was refused at submission."""

    at: dt.datetime
    envelope_sender: str
    recipients: tuple[str, ...]
    subject: str | None
    reason: str
    reply: str
    # Of its row.
    id: int = 0
    login: str = ""
    # "milter", "postfix" or "sign-in"; at which command or moment; from where.
    source: str = "milter"
    stage: str | None = None
    client_address: str | None = None


@dataclass(frozen=True)
class MessageSummary:
    """A line of the message list: each recipient's address and state. ``opened``: and not by a machine."""

    id: RecordId
    submitted_at: dt.datetime
    subject: str | None
    recipients: tuple[tuple[str, RecipientState], ...]
    opened: bool
    test_mode: bool = False
    # Of the first queue file; None: the mail log has not spoken of it yet.
    host: str | None = None
    queue_id: str | None = None
    # Whose it is; None where only the mail log speaks of it and names nobody.
    login: str | None = None

    @property
    def is_admitted(self) -> bool:
        """Whether the milter's journal speaks of it."""
        return isinstance(self.id, uuid.UUID)


@dataclass(frozen=True)
class Namesake:
    """What has a certain name: a queue id, a Message-ID. ``host``: None before the mail log has spoken of it."""

    id: RecordId
    at: dt.datetime
    host: str | None
