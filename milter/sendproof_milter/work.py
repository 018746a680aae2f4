"""A message on its way through the steps, as values: what it is, what was decided so far, what ends it early."""

import datetime as dt
import enum
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sendproof_core.journal_records import SignatureRecord
from sendproof_core.plans import OverQuota
from sendproof_milter import pixel
from sendproof_milter.message import Headers, Submission
from sendproof_milter.sender import Sender
from sendproof_milter.split_stamp import Stamp
from sendproof_milter.wire_safe import ChangedField

TRACE_HEADER = "X-Sendproof-Trace"
# A sender's wish for one message: "yes" or "no".
TRACK_HEADER = "X-Sendproof-Track"


class Reason(enum.StrEnum):
    """Why a message was refused, as the journal has it."""

    NO_LOGIN = "no-login"
    UNKNOWN_LOGIN = "unknown-login"
    SUSPENDED = "suspended"
    NO_FROM = "no-from"
    FOREIGN_SENDER = "foreign-sender"
    FOREIGN_FROM = "foreign-from"
    TOO_MANY_RECIPIENTS = "too-many-recipients"
    TOO_LARGE = "too-large"
    OVER_QUOTA = "over-quota"
    NO_STAMP = "no-stamp"


@dataclass(frozen=True)
class Refusal:
    """Refuse the message: ``code`` (SMTP), ``dsn`` (RFC 3463), one line of ASCII text."""

    reason: Reason
    code: int
    dsn: str
    text: str
    # Of the plan, where one was reached: a name of `plans.QuotaLimits`.
    limit_name: str | None = None


class Unavailable(Exception):
    """Something that policy needs cannot be reached: the client is told 451 and tries again."""


class Services(Protocol):
    """What the steps need from outside."""

    def sender(self, login: str) -> Sender | None:
        """Who that login is; None if nobody. Raises `Unavailable`."""

    def account(self, account_id: int) -> Sender | None:
        """The account, without a login; None if there is none. Raises `Unavailable`."""

    def charge(self, sender: Sender, message_id: uuid.UUID, submission: Submission) -> OverQuota | None:
        """Charge a message, all or nothing; what stands against it, or None. Raises `Unavailable`."""


@dataclass(frozen=True)
class Site:
    """The settings that the steps read."""

    host: str
    tracking_url: str
    token_key_number: int
    token_keys: Mapping[int, bytes]
    # Postfix has the transport that makes a copy for each recipient.
    split: bool = False
    # Mail goes out uncharged while the ledger is away; it is charged later.
    accept_uncharged: bool = False


@dataclass(frozen=True)
class Work:
    """A message on its way through the steps. Each step returns a changed copy, or a `Refusal`."""

    submission: Submission
    message_id: uuid.UUID
    sender: Sender | None = None
    charged_recipients: int = 0
    # On the second pass: what the first has said.
    stamp: Stamp | None = None
    recipient_number: int = 0
    # Postfix makes a copy for each recipient out of it; those get the pixel, and signatures of their own.
    split: bool = False
    wants_pixel: bool = False
    # "inserted", or the name of the reason why there is none.
    pixel: str = pixel.NoPixel.TRACKING_OFF.value
    # None: the body stays as it is.
    new_body: bytes | None = None
    changed_fields: tuple[ChangedField, ...] = ()
    wire_edits: tuple[str, ...] = ()
    trace: str = ""
    signed_headers: Headers = ()
    body_hash: bytes = b""
    signatures: tuple[SignatureRecord, ...] = ()
    signature_values: tuple[bytes, ...] = ()

    def but(self, **changes: Any) -> "Work":
        """A copy with these fields instead, as `dataclasses.replace` makes it in ten times as long."""
        copy = object.__new__(Work)
        copy.__dict__.update(self.__dict__, **changes)
        return copy

    @property
    def known_sender(self) -> Sender:
        """The sender, for the steps after the first."""
        if self.sender is None:
            raise AssertionError("the first step says who the sender is")
        return self.sender

    @property
    def body(self) -> bytes:
        """The body as it will be queued."""
        return self.submission.body if self.new_body is None else self.new_body

    @property
    def received_at(self) -> dt.datetime:
        """When the message was complete."""
        return self.submission.received_at
