"""What a line of the mail log says, as values. Pure; `grammar` makes them, `transcript` puts them together.

Named tuples, not dataclasses: a million are made of each large log.
"""

import enum
from typing import NamedTuple


class Disposition(enum.StrEnum):
    """What was done with a queue file as a whole."""

    HELD = "held"
    RELEASED = "released"
    EXPIRED = "expired"
    # by the queue manager: it is done with the file
    REMOVED = "removed"
    # by an administrator
    DELETED = "deleted"
    # by an administrator, back to where pickup finds it: it goes on under another queue id
    REQUEUED = "requeued"
    DISCARDED = "discarded"
    # by a filter, after the queue id was given: the client was told
    REJECTED = "rejected"


class Irrelevant(enum.Enum):
    """Texts that are understood and say nothing about a recipient."""

    IRRELEVANT = enum.auto()


IRRELEVANT = Irrelevant.IRRELEVANT


class StatusLine(NamedTuple):
    """What became of one recipient in one attempt."""

    queue_id: str
    recipient: str
    original_recipient: str | None
    relay: str
    conn_use: int | None
    delay_seconds: float
    # before the queue manager, in it, connection set-up, transmission
    delays_seconds: tuple[float, float, float, float]
    dsn: str
    status: str
    # what stood in the parentheses, whole
    text: str


class ClientSeen(NamedTuple):
    """smtpd opened a queue file; None: a filter before the queue gets the message.

    ``original_queue_id``: the one that it is a copy of (XFORWARD IDENT).
    """

    queue_id: str | None
    client: str
    login: str | None
    original_queue_id: str | None


class PickedUp(NamedTuple):
    """pickup opened a queue file: a local submission, or one that `postsuper -r` put back (``original_queue_id``)."""

    queue_id: str
    sender: str
    original_queue_id: str | None


class MessageIdSeen(NamedTuple):
    """cleanup read the Message-ID header; None where the message has none."""

    queue_id: str
    message_id_header: str | None


class QueueActive(NamedTuple):
    """The queue manager begins a round of deliveries."""

    queue_id: str
    sender: str
    size_bytes: int
    recipient_count: int


class Disposed(NamedTuple):
    """Something was done with a queue file as a whole."""

    queue_id: str
    disposition: Disposition


class NotificationSent(NamedTuple):
    """A notification about ``queue_id`` was queued as ``child_queue_id``.

    ``kind``: "non-delivery", "delay", "delivery status" or "postmaster".
    """

    queue_id: str
    child_queue_id: str
    kind: str


class Filtered(NamedTuple):
    """A content filter says under which queue ids it gave a message back (amavis: ``queued_as:``)."""

    queue_id: str
    child_queue_ids: tuple[str, ...]


class Trouble(NamedTuple):
    """A server that did not take the mail while others remain to be tried."""

    queue_id: str | None
    text: str


class TlsSession(NamedTuple):
    """An smtp process has TLS with ``peer``."""

    peer: str
    text: str


class DialogueLine(NamedTuple):
    """One line of the SMTP conversation, as spoken: it may hold a secret."""

    from_server: bool
    peer: str
    text: str


class ClientLeft(NamedTuple):
    """smtpd's client is gone, or a new one is there: it has another login."""


class SubmissionRefused(NamedTuple):
    """smtpd or cleanup refused a command, or the whole message.

    ``queue_id``: None for NOQUEUE. ``by``: "reject", "milter-reject" or "proxy-reject". ``stage``: CONNECT, EHLO, MAIL,
    RCPT, DATA, END-OF-MESSAGE, "header", "body". ``client``: name[address]. ``reply``: what the client was told, as far
    as the log has it (cleanup leaves the three-digit code out). Addresses are None where the line has none.
    ``whole_message``: nothing of the message goes on; else only this command was refused.
    """

    queue_id: str | None
    by: str
    stage: str
    client: str
    reply: str
    sender: str | None
    recipient: str | None
    login: str | None
    whole_message: bool


class SignInFailed(NamedTuple):
    """A client's AUTH failed. ``client``: name[address], or an address alone. ``login``: None where none is named."""

    client: str
    login: str | None
    reason: str


class LinesLost(NamedTuple):
    """The system log says that it dropped lines; ``lines``: how many, None where it does not say."""

    lines: int | None
    text: str


Event = (
    StatusLine
    | ClientSeen
    | PickedUp
    | MessageIdSeen
    | QueueActive
    | Disposed
    | NotificationSent
    | Filtered
    | Trouble
    | TlsSession
    | DialogueLine
    | ClientLeft
    | SubmissionRefused
    | SignInFailed
    | LinesLost
)
