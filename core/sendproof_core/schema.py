"""Every table: the one place where a stored datum is defined.

Four kinds of tables, each with one writer (ARCHITECTURE.md, "where does a datum live"):
*directory* (site and `sendproof` command), *ledger* (milter), *record* (logparser), *outbox* (notices).
This module holds no queries.
"""

import datetime as dt
import enum
import uuid
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Date,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sendproof_core.states import Digest, KeyState, LinkPurpose, NoticeKind, NoticeState, RecipientState, Span


class UtcDateTime(TypeDecorator[dt.datetime]):
    """An aware moment, kept in UTC. SQLite drops the zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Refuse naive values: a time without a zone is a bug of ours."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a stored time must be aware")
        utc = value.astimezone(dt.UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Aware UTC again."""
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if dialect.name == "sqlite" else value.astimezone(dt.UTC)


class Base(DeclarativeBase):
    """The metadata of all tables; constraint names are fixed so that migrations can drop them on SQLite too."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        dt.datetime: UtcDateTime(),
        uuid.UUID: Uuid(),
        dict[str, Any]: JSON(),
        list[Any]: JSON(),
    }


# SQLite numbers only INTEGER primary keys by itself.
BigId = BigInteger().with_variant(Integer(), "sqlite")


def _one_of(column: str, values: type[enum.StrEnum]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


# --- directory: written by the site and the `sendproof` command -----------------------------------------------------


class Plan(Base):
    """What an account may send."""

    __tablename__ = "plans"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    # None: unlimited. `plans.QuotaLimits` has the same names.
    messages_per_hour: Mapped[int | None]
    recipients_per_hour: Mapped[int | None]
    messages_per_day: Mapped[int | None]
    recipients_per_day: Mapped[int | None]
    messages_per_month: Mapped[int | None]
    recipients_per_month: Mapped[int | None]
    recipients_per_message: Mapped[int | None]
    message_octets: Mapped[int | None]
    new_recipients_per_day: Mapped[int | None]


class Account(Base):
    """A customer: the person or organisation that sends, and how they sign in to the site."""

    __tablename__ = "accounts"
    id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(String(100), unique=True)
    password_hash: Mapped[str] = mapped_column(Text)
    plan_id: Mapped[int] = mapped_column(ForeignKey("plans.id"))
    time_zone: Mapped[str] = mapped_column(String(64))
    tracking: Mapped[bool]
    notice_address: Mapped[str | None] = mapped_column(String(320))
    created_at: Mapped[dt.datetime]
    suspended_at: Mapped[dt.datetime | None]
    suspended_reason: Mapped[str | None] = mapped_column(Text)
    # Mail is accepted and thrown away: for trying a client or a program out.
    test_mode: Mapped[bool] = mapped_column(default=False)
    # One pixel for all recipients of a message, instead of one copy for each.
    shared_pixel: Mapped[bool] = mapped_column(default=False)
    # A visible picture instead of the pixel: the name of a file in the site's folder of images.
    tracking_image: Mapped[str | None] = mapped_column(String(100))
    # Keep who opened (address and mail reader), not only the grade.
    open_details: Mapped[bool] = mapped_column(default=False)
    # Where the site writes to the person (links, warnings), once it is confirmed; and `addresses.address_key` of it.
    address: Mapped[str | None] = mapped_column(String(320))
    address_key: Mapped[str | None] = mapped_column(String(320), index=True)
    address_confirmed_at: Mapped[dt.datetime | None]
    # May see and change every account.
    is_provider: Mapped[bool] = mapped_column(default=False)
    # Of the site and the notices; None: what the browser asks for.
    language: Mapped[str | None] = mapped_column(String(10))
    # The second factor: a TOTP secret (RFC 6238), sealed as DKIM keys are; in force since; the last time step used.
    totp_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    totp_since: Mapped[dt.datetime | None]
    totp_last_step: Mapped[int | None] = mapped_column(BigInteger)


class OwnAddress(Base):
    """An address that an account may send as, at a domain that is not its own."""

    __tablename__ = "own_addresses"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    address: Mapped[str] = mapped_column(String(320))
    # What makes two spellings one address (`addresses.address_key`).
    address_key: Mapped[str] = mapped_column(String(320), unique=True)
    created_at: Mapped[dt.datetime]


class Credential(Base):
    """What one device or application submits with; revocable by itself."""

    __tablename__ = "credentials"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    login: Mapped[str] = mapped_column(String(100), unique=True)
    label: Mapped[str] = mapped_column(String(100))
    secret_hash: Mapped[str] = mapped_column(Text)
    created_at: Mapped[dt.datetime]
    revoked_at: Mapped[dt.datetime | None]


class Domain(Base):
    """A domain that signs. Without an account it is the provider's own."""

    __tablename__ = "domains"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"), index=True)
    created_at: Mapped[dt.datetime]
    # When the account was seen to own it; until then none of its addresses may be sent as.
    proved_at: Mapped[dt.datetime | None]
    # What its owner published to prove that: that of the account's claim.
    challenge: Mapped[str | None] = mapped_column(String(40))


class DomainClaim(Base):
    """A domain that an account says is its own. Several may say so; the first that proves it has a `Domain`."""

    __tablename__ = "domain_claims"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    name: Mapped[str] = mapped_column(String(255))
    # What the account publishes to prove it: not guessable, another for every claim.
    challenge: Mapped[str] = mapped_column(String(40))
    created_at: Mapped[dt.datetime]
    # As in `DomainCheck`.
    checked_at: Mapped[dt.datetime | None]
    result: Mapped[dict[str, Any] | None]
    __table_args__ = (UniqueConstraint("account_id", "name"),)


class DkimKey(Base):
    """A DKIM key of a domain. The private key is sealed with the key-encryption key."""

    __tablename__ = "dkim_keys"
    id: Mapped[int] = mapped_column(primary_key=True)
    domain_id: Mapped[int] = mapped_column(ForeignKey("domains.id"))
    selector: Mapped[str] = mapped_column(String(63))
    algorithm: Mapped[str] = mapped_column(String(20))
    sealed_private_key: Mapped[bytes] = mapped_column(LargeBinary)
    public_key: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(10))
    state_since: Mapped[dt.datetime]
    created_at: Mapped[dt.datetime]
    __table_args__ = (UniqueConstraint("domain_id", "selector"), _one_of("state", KeyState))


class RecoveryCode(Base):
    """One of the codes that sign in once when the second factor is lost."""

    __tablename__ = "recovery_codes"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    code_hash: Mapped[str] = mapped_column(Text)
    used_at: Mapped[dt.datetime | None]


class SiteSession(Base):
    """A browser that is signed in; the cookie holds the token, this row its SHA-256."""

    __tablename__ = "site_sessions"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    # The account that a provider's session acts as at the moment.
    acting_as_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"))
    created_at: Mapped[dt.datetime]
    # Written at most once a minute.
    last_seen_at: Mapped[dt.datetime]
    # When the password (and second factor) was last given: changes of credentials want it fresh.
    authenticated_at: Mapped[dt.datetime]
    client_address: Mapped[str] = mapped_column(String(64))
    user_agent: Mapped[str] = mapped_column(Text)
    ended_at: Mapped[dt.datetime | None]


class SiteLink(Base):
    """A link that the site mailed to somebody: good once and for a while. Its token is not stored: `site_links`."""

    __tablename__ = "site_links"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    purpose: Mapped[str] = mapped_column(String(20))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"), index=True)
    # Whom the link was mailed to.
    address: Mapped[str] = mapped_column(String(320))
    data: Mapped[dict[str, Any]]
    created_at: Mapped[dt.datetime]
    expires_at: Mapped[dt.datetime]
    used_at: Mapped[dt.datetime | None]
    __table_args__ = (_one_of("purpose", LinkPurpose),)


class ThrottledFailure(Base):
    """A failed attempt at something that is guarded against guessing."""

    __tablename__ = "throttled_failures"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    # What was tried: "sign-in", "code", "reset", ...
    kind: Mapped[str] = mapped_column(String(20))
    # SHA-256 of who tried it: nothing that was typed is kept.
    key: Mapped[bytes] = mapped_column(LargeBinary(32))
    failed_at: Mapped[dt.datetime]
    __table_args__ = (
        Index("ix_throttled_failures_key", "kind", "key", "failed_at"),
        Index("ix_throttled_failures_failed_at", "failed_at"),
    )


class HandOver(Base):
    """A link to one recipient's transcript, for the recipient's IT department."""

    __tablename__ = "hand_overs"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    message_id: Mapped[uuid.UUID] = mapped_column(index=True)
    # `addresses.address_key` of the recipient, as the sender wrote it.
    recipient_key: Mapped[str] = mapped_column(Text)
    created_at: Mapped[dt.datetime]
    expires_at: Mapped[dt.datetime]
    revoked_at: Mapped[dt.datetime | None]
    # How often the page was shown, and when last.
    shown: Mapped[int] = mapped_column(default=0)
    shown_at: Mapped[dt.datetime | None]
    __table_args__ = (Index("ix_hand_overs_account_id_created_at", "account_id", "created_at"),)


class NoticePreferences(Base):
    """What an account wants to be told by mail; without a row, the defaults of `notice_choices`."""

    __tablename__ = "notice_preferences"
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    delivered: Mapped[bool]
    deferred: Mapped[bool]
    deferred_after_minutes: Mapped[int]
    failed: Mapped[bool]
    opened: Mapped[bool]
    plan_use: Mapped[bool]
    digest: Mapped[str] = mapped_column(String(10))
    changed_at: Mapped[dt.datetime]
    __table_args__ = (_one_of("digest", Digest),)


class MailRequest(Base):
    """A mail that the site wants sent (a link to confirm an address, say): notices put it in their outbox."""

    __tablename__ = "mail_requests"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    # Which letter: a name that `sendproof_notices` has words for.
    kind: Mapped[str] = mapped_column(String(40))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"))
    to_address: Mapped[str] = mapped_column(String(320))
    language: Mapped[str | None] = mapped_column(String(10))
    # The link in it, if it has one: its token is made when the mail is.
    link_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("site_links.id"))
    data: Mapped[dict[str, Any]]
    requested_at: Mapped[dt.datetime] = mapped_column(index=True)


class DomainCheck(Base):
    """What was last seen in DNS of a domain's records: `domain_check` says what the result holds."""

    __tablename__ = "domain_checks"
    domain_id: Mapped[int] = mapped_column(ForeignKey("domains.id"), primary_key=True)
    checked_at: Mapped[dt.datetime]
    result: Mapped[dict[str, Any]]


class AuditEntry(Base):
    """Who did what to whom, on the site or by command. Never changed, never deleted."""

    __tablename__ = "audit_entries"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[dt.datetime]
    # None: the `sendproof` command, or nobody who is signed in. No foreign key: entries outlive accounts.
    actor_id: Mapped[int | None]
    # The actor's login then; or "command".
    actor: Mapped[str] = mapped_column(String(100))
    # Whose account it is about; None: nobody's (a plan, a page).
    account_id: Mapped[int | None]
    event: Mapped[str] = mapped_column(String(60))
    details: Mapped[dict[str, Any]]
    client_address: Mapped[str | None] = mapped_column(String(64))
    __table_args__ = (
        Index("ix_audit_entries_at", "at"),
        Index("ix_audit_entries_account_id_at", "account_id", "at"),
        Index("ix_audit_entries_actor_id_at", "actor_id", "at"),
    )


class Page(Base):
    """A page that the provider writes in Markdown: plans, help, contact."""

    __tablename__ = "pages"
    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(String(60), unique=True)
    title: Mapped[str] = mapped_column(String(200))
    markdown: Mapped[str] = mapped_column(Text)
    # In the footer of every page, in this order; None: only by its address.
    position: Mapped[int | None]
    changed_at: Mapped[dt.datetime]


# --- ledger: written by the milter ----------------------------------------------------------------------------------


class QuotaUse(Base):
    """What an account has sent in one hour, day or month. The window's begin is derived from the time."""

    __tablename__ = "quota_use"
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    span: Mapped[str] = mapped_column(String(5), primary_key=True)
    window_begins: Mapped[dt.datetime] = mapped_column(primary_key=True)
    messages: Mapped[int]
    recipients: Mapped[int]
    new_recipients: Mapped[int]
    __table_args__ = (
        _one_of("span", Span),
        CheckConstraint("messages >= 0 AND recipients >= 0 AND new_recipients >= 0", name="use"),
    )


class Charge(Base):
    """What one message was charged: at most once."""

    __tablename__ = "charges"
    message_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    host: Mapped[str] = mapped_column(String(255))
    queue_id: Mapped[str] = mapped_column(String(40))
    recipients: Mapped[int]
    new_recipients: Mapped[int]
    hour_begins: Mapped[dt.datetime]
    day_begins: Mapped[dt.datetime]
    month_begins: Mapped[dt.datetime]
    charged_at: Mapped[dt.datetime]
    # When the record showed that Postfix queued the message; a charge without that evidence is taken back.
    settled_at: Mapped[dt.datetime | None]
    __table_args__ = (Index("ix_charges_host_settled_at", "host", "settled_at"),)


class KnownRecipient(Base):
    """An address that an account has mailed, and the message that was the first to it."""

    __tablename__ = "known_recipients"
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    # `addresses.address_digest`
    digest: Mapped[bytes] = mapped_column(LargeBinary(16), primary_key=True)
    message_id: Mapped[uuid.UUID] = mapped_column(index=True)


# --- record: written by the logparser -------------------------------------------------------------------------------


class Message(Base):
    """A message that the milter admitted: one line of its journal."""

    __tablename__ = "messages"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    account_id: Mapped[int]
    login: Mapped[str] = mapped_column(String(100))
    credential_label: Mapped[str] = mapped_column(String(100))
    submitted_at: Mapped[dt.datetime]
    envelope_sender: Mapped[str] = mapped_column(Text)
    message_id_header: Mapped[str | None] = mapped_column(Text)
    subject: Mapped[str | None] = mapped_column(Text)
    size_bytes: Mapped[int]
    client_address: Mapped[str | None] = mapped_column(String(64))
    client_tls: Mapped[str | None] = mapped_column(String(200))
    recipient_count: Mapped[int]
    # [{"domain": ..., "selector": ..., "algorithm": ...}], in the order of the header fields
    signatures: Mapped[list[Any]]
    # "inserted", or the name of the reason why the message carries none
    pixel: Mapped[str] = mapped_column(String(60))
    # Names of what was changed so that no server on the way has to (or why that could not be).
    wire_edits: Mapped[list[Any]] = mapped_column(default=list)
    charged_recipients: Mapped[int] = mapped_column(default=0)
    # Each recipient has a queue file of its own, which Postfix made out of the first.
    split: Mapped[bool] = mapped_column(default=False)
    test_mode: Mapped[bool] = mapped_column(default=False)
    __table_args__ = (
        Index("ix_messages_account_id_submitted_at", "account_id", "submitted_at"),
        Index("ix_messages_submitted_at", "submitted_at"),
        # A hash has no longest value, unlike a row of a tree.
        Index("ix_messages_message_id_header", "message_id_header", postgresql_using="hash"),
    )


class Refusal(Base):
    """A message, a command or a sign-in that was refused at submission, and why: visible to the sender."""

    __tablename__ = "refusals"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int | None]
    login: Mapped[str] = mapped_column(String(100))
    refused_at: Mapped[dt.datetime]
    host: Mapped[str] = mapped_column(String(255))
    queue_id: Mapped[str | None] = mapped_column(String(40))
    envelope_sender: Mapped[str] = mapped_column(Text)
    recipients: Mapped[list[Any]]
    subject: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(String(40))
    reply: Mapped[str] = mapped_column(Text)
    # Who says so: "milter" (our journal), "postfix" (a reject line) or "sign-in" (a failed AUTH).
    source: Mapped[str] = mapped_column(String(10), default="milter")
    # SMTP command or moment, as Postfix names it: RCPT, END-OF-MESSAGE, ...
    stage: Mapped[str | None] = mapped_column(String(40))
    client_address: Mapped[str | None] = mapped_column(String(64))
    # CRC-32 of what the line says: the same line read again, from whatever file, is the same row.
    line_key: Mapped[int | None] = mapped_column(BigInteger)
    __table_args__ = (
        Index("ix_refusals_account_id_refused_at", "account_id", "refused_at"),
        Index("ix_refusals_line", "refused_at", "host", "line_key", unique=True),
        Index("ix_refusals_queue_id", "queue_id", "refused_at"),
        Index("ix_refusals_client_address", "client_address", "refused_at"),
    )


class QueueFile(Base):
    """A Postfix queue file: the life of one queue id on one host and instance."""

    __tablename__ = "queue_files"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    instance: Mapped[str] = mapped_column(String(100))
    queue_id: Mapped[str] = mapped_column(String(40))
    born_at: Mapped[dt.datetime]
    message_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("messages.id"), index=True)
    message_id_header: Mapped[str | None] = mapped_column(Text)
    envelope_sender: Mapped[str | None] = mapped_column(Text)
    client: Mapped[str | None] = mapped_column(Text)
    login: Mapped[str | None] = mapped_column(Text)
    size_bytes: Mapped[int | None]
    recipient_count: Mapped[int | None]
    # The queue file that this one comes from; how (`links.LinkKind`); and what says so.
    parent_queue_id: Mapped[str | None] = mapped_column(String(40))
    # The host of the parent queue file; None: the same.
    parent_host: Mapped[str | None] = mapped_column(String(255))
    link_kind: Mapped[str | None] = mapped_column(String(20))
    link_evidence: Mapped[str | None] = mapped_column(String(20))
    # What was done with it as a whole (held, expired, removed, deleted, ...): recipients that the journal names later
    # begin in the state that follows from it.
    disposition: Mapped[str | None] = mapped_column(String(10))
    disposed_at: Mapped[dt.datetime | None]
    removed_at: Mapped[dt.datetime | None]
    __table_args__ = (
        UniqueConstraint("host", "instance", "queue_id", "born_at"),
        Index("ix_queue_files_queue_id", "queue_id"),
        Index(
            "ix_queue_files_parent_queue_id",
            "parent_queue_id",
            sqlite_where=text("parent_queue_id IS NOT NULL"),
            postgresql_where=text("parent_queue_id IS NOT NULL"),
        ),
        Index("ix_queue_files_message_id_header", "message_id_header", postgresql_using="hash"),
    )


class Recipient(Base):
    """One recipient of a queue file, with the state that the evidence supports."""

    __tablename__ = "recipients"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    queue_file_id: Mapped[int] = mapped_column(ForeignKey("queue_files.id"))
    # As the sender wrote it; `final_address` where an alias changed it.
    address: Mapped[str] = mapped_column(Text)
    final_address: Mapped[str | None] = mapped_column(Text)
    # 1, 2, ... in the order of RCPT TO; None where only the mail log names the recipient.
    number: Mapped[int | None]
    state: Mapped[str] = mapped_column(String(10))
    state_at: Mapped[dt.datetime]
    # When the mail went on in another queue file of this machine: what becomes of the recipient is said there.
    handed_on_at: Mapped[dt.datetime | None]
    # When the queue manager last said that it does not try at the moment, why, and how often it said so: no attempts.
    suspended_at: Mapped[dt.datetime | None]
    suspended_because: Mapped[str | None] = mapped_column(Text)
    suspensions: Mapped[int] = mapped_column(default=0)
    __table_args__ = (
        UniqueConstraint("queue_file_id", "address"),
        _one_of("state", RecipientState),
        Index("ix_recipients_state_at", "state", "state_at"),
    )


class Delivery(Base):
    """One conversation of an smtp process about one queue file, shared by the recipients it was about."""

    __tablename__ = "deliveries"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    queue_file_id: Mapped[int] = mapped_column(ForeignKey("queue_files.id"), index=True)
    service: Mapped[str] = mapped_column(String(100))
    pid: Mapped[int]
    began_at: Mapped[dt.datetime]
    tls: Mapped[str | None] = mapped_column(Text)
    # [[time as RFC 3339, "C" or "S", text], ...]: what we said and what the server said, as spoken
    dialogue: Mapped[list[Any]]
    # Connection failures and refusals by other MX hosts before this one: [[time, text], ...]
    troubles: Mapped[list[Any]]


class Attempt(Base):
    """One delivery status line: what became of one recipient in one attempt."""

    __tablename__ = "attempts"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    recipient_id: Mapped[int] = mapped_column(ForeignKey("recipients.id"))
    delivery_id: Mapped[int | None] = mapped_column(ForeignKey("deliveries.id"))
    attempted_at: Mapped[dt.datetime]
    service: Mapped[str] = mapped_column(String(100))
    status: Mapped[str] = mapped_column(String(30))
    dsn: Mapped[str] = mapped_column(String(20))
    relay: Mapped[str] = mapped_column(Text)
    delay_seconds: Mapped[float] = mapped_column(Float)
    # before the queue manager, in it, connection set-up, transmission
    delays_seconds: Mapped[list[Any]]
    # What stood in the parentheses, whole.
    text: Mapped[str] = mapped_column(Text)
    # The receiving server's own queue id, parsed out of its acknowledgement.
    remote_queue_id: Mapped[str | None] = mapped_column(Text)
    # CRC-32 of what the line says: the same line read again, from whatever file, is the same row.
    line_key: Mapped[int | None] = mapped_column(BigInteger)
    __table_args__ = (
        Index("ix_attempts_line", "recipient_id", "attempted_at", "line_key", unique=True),
        Index("ix_attempts_remote_queue_id", "remote_queue_id", postgresql_using="hash"),
        # For SQLite's foreign key: whoever deletes a delivery asks who refers to it. PostgreSQL has neither.
        Index("ix_attempts_delivery_id", "delivery_id").ddl_if(dialect="sqlite"),
    )


class Open(Base):
    """One request for a message's pixel. Never proof that a person read it."""

    __tablename__ = "opens"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    message_id: Mapped[uuid.UUID] = mapped_column(index=True)
    recipient_number: Mapped[int]
    opened_at: Mapped[dt.datetime]
    grade: Mapped[str] = mapped_column(String(20))
    # Empty, and no address, where the account keeps only the grade.
    user_agent: Mapped[str] = mapped_column(Text)
    client_address: Mapped[str | None] = mapped_column(String(64))
    __table_args__ = (Index("ix_opens_opened_at", "opened_at"),)


class ReadingPosition(Base):
    """How far one source was read: written in the same transaction as the rows that were read from it."""

    __tablename__ = "reading_positions"
    source: Mapped[str] = mapped_column(Text, primary_key=True)
    # Of the file that ``offset`` belongs to: SHA-256 of its first octets, and how many of them were hashed.
    fingerprint: Mapped[str] = mapped_column(String(64))
    fingerprint_octets: Mapped[int]
    inode: Mapped[int] = mapped_column(BigInteger)
    offset: Mapped[int] = mapped_column(BigInteger)
    lines_read: Mapped[int] = mapped_column(BigInteger)
    read_at: Mapped[dt.datetime]
    # Everything that was in the source at this time has been read.
    read_up_to: Mapped[dt.datetime | None]
    # Of the last line: what stamps without year or zone are near to.
    last_line_at: Mapped[dt.datetime | None]
    # The journal's own name of the last line, where the source is journald.
    cursor: Mapped[str | None] = mapped_column(Text)


class OpenConversation(Base):
    """An smtp process in mid-conversation: what the reader must know again after a restart."""

    __tablename__ = "open_conversations"
    # Who reads: this machine's name, or that of an import.
    reader: Mapped[str] = mapped_column(String(255), primary_key=True)
    host: Mapped[str] = mapped_column(String(255), primary_key=True)
    service: Mapped[str] = mapped_column(String(100), primary_key=True)
    pid: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[dict[str, Any]]
    changed_at: Mapped[dt.datetime]


class UnknownLine(Base):
    """A line that no rule knows: kept, counted, shown to the operator."""

    __tablename__ = "unknown_lines"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    offset: Mapped[int] = mapped_column(BigInteger)
    read_at: Mapped[dt.datetime]
    line: Mapped[str] = mapped_column(Text)
    # Whose line it is (`smtpd`); None: of no program that we know, or a journal's.
    daemon: Mapped[str | None] = mapped_column(String(100), index=True)


class LogGap(Base):
    """Lines that the system log says it dropped: between the last line before and the report, evidence is missing."""

    __tablename__ = "log_gaps"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    source: Mapped[str] = mapped_column(Text)
    begins_at: Mapped[dt.datetime | None]
    ends_at: Mapped[dt.datetime]
    # None: the system log does not say how many.
    lines: Mapped[int | None] = mapped_column(BigInteger)
    text: Mapped[str] = mapped_column(Text)
    line_key: Mapped[int] = mapped_column(BigInteger)
    __table_args__ = (Index("ix_log_gaps_line", "ends_at", "host", "line_key", unique=True),)


class RecordChange(Base):
    """What was written and is to be derived from: a queue file (its message), a message, or a refusal.

    Written in the transaction of what it names, and deleted in that of what is derived from it.
    """

    __tablename__ = "record_changes"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    queue_file_id: Mapped[int | None] = mapped_column(BigInteger)
    message_id: Mapped[uuid.UUID | None]
    refusal_id: Mapped[int | None] = mapped_column(BigInteger)


class SearchEntry(Base):
    """A message or a refusal as the search knows it. Its words are in ``search_words`` (`search_entries`)."""

    __tablename__ = "search_entries"
    # By time: `search_entries.number`.
    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    message_id: Mapped[uuid.UUID | None] = mapped_column(unique=True)
    refusal_id: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    # What of it is in `delivery_days` and `acceptance_times`: to be taken out when it is counted anew.
    counted: Mapped[list[Any]]


class DeliveryDay(Base):
    """What was sent to one receiving domain, and what became of it, on one day of UTC. Domain "": all together."""

    __tablename__ = "delivery_days"
    day: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    domain: Mapped[str] = mapped_column(String(255), primary_key=True)
    messages: Mapped[int]
    recipients: Mapped[int]
    delivered: Mapped[int]
    deferred: Mapped[int]
    bounced: Mapped[int]
    expired: Mapped[int]
    # Kept in the order of the key: a month is read at once.
    __table_args__ = ({"sqlite_with_rowid": False},)


class AcceptanceTime(Base):
    """How many recipients' mail was taken over within a time (`acceptance_times`), by receiving domain and day."""

    __tablename__ = "acceptance_times"
    domain: Mapped[str] = mapped_column(String(255), primary_key=True)
    day: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    bucket: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    recipients: Mapped[int]
    __table_args__ = ({"sqlite_with_rowid": False},)


class CredentialUse(Base):
    """When a login was last used for a message that was let through."""

    __tablename__ = "credential_uses"
    login: Mapped[str] = mapped_column(String(100), primary_key=True)
    last_used_at: Mapped[dt.datetime]


# --- written by migrations ------------------------------------------------------------------------------------------


class SchemaCompatibility(Base):
    """The oldest program that may use this schema: the newest revision that it was written for. One row."""

    __tablename__ = "schema_compatibility"
    oldest_program: Mapped[str] = mapped_column(String(10), primary_key=True)


# --- outbox: written by notices -------------------------------------------------------------------------------------


class Notice(Base):
    """A mail to a person about their messages, their plan or their account. Each is sent once: `outbox` says how."""

    __tablename__ = "notices"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    # What it is, in a word that no other notice has: `recipient:55:failed`, `letter:12`, `digest:7:2026-11-22T14`.
    key: Mapped[str] = mapped_column(String(200), unique=True)
    kind: Mapped[str] = mapped_column(String(20))
    # None: a letter to somebody without an account.
    account_id: Mapped[int | None]
    to_address: Mapped[str] = mapped_column(String(320))
    # The message that it is about; None: about none, or about several.
    message_id: Mapped[uuid.UUID | None]
    # The letter's request (`mail_requests`).
    request_id: Mapped[int | None] = mapped_column(BigInteger)
    # Its own Message-ID: by it the record says whether it was taken over.
    message_id_header: Mapped[str | None] = mapped_column(String(400), unique=True)
    created_at: Mapped[dt.datetime]
    state: Mapped[str] = mapped_column(String(10))
    # Claimed: when the lease ends.
    next_try_at: Mapped[dt.datetime]
    tries: Mapped[int]
    # Raised by every claim: what an earlier one still wants to write is refused.
    fence: Mapped[int] = mapped_column(default=0)
    # When the try began of which it is not known how it ended.
    attempted_at: Mapped[dt.datetime | None]
    sent_at: Mapped[dt.datetime | None]
    last_error: Mapped[str | None] = mapped_column(Text)
    __table_args__ = (
        _one_of("kind", NoticeKind),
        _one_of("state", NoticeState),
        Index("ix_notices_state_next_try_at", "state", "next_try_at"),
        Index("ix_notices_account_id", "account_id", "id"),
        Index("ix_notices_sent_at", "sent_at"),
    )


class NoticeItem(Base):
    """One thing that somebody is told, at most once; in a notice of its own, or in one with others."""

    __tablename__ = "notice_items"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    # `recipient:55:failed`, `opened:<message>:2`, `plan:7:recipients_per_day:2026-11-22T00:80`
    key: Mapped[str] = mapped_column(String(200), unique=True)
    account_id: Mapped[int]
    kind: Mapped[str] = mapped_column(String(20))
    message_id: Mapped[uuid.UUID | None]
    recipient_id: Mapped[int | None] = mapped_column(BigInteger)
    # What the record cannot say later: the use of a plan when it was seen, the number of the recipient who opened.
    data: Mapped[dict[str, Any]]
    found_at: Mapped[dt.datetime]
    # None: it waits for a digest.
    notice_id: Mapped[int | None] = mapped_column(ForeignKey("notices.id"), index=True)
    __table_args__ = (
        _one_of("kind", NoticeKind),
        Index("ix_notice_items_kind_found_at", "kind", "found_at"),
        Index(
            "ix_notice_items_waiting",
            "account_id",
            "found_at",
            sqlite_where=text("notice_id IS NULL"),
            postgresql_where=text("notice_id IS NULL"),
        ),
    )
