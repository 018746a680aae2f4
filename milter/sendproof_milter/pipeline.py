"""The steps that every message takes, in their order. Decides; what it needs from outside is passed in as `Services`.

who -> may -> charge -> edit -> sign. Policy fails closed (a refusal, or `Unavailable` which becomes 451); decoration
fails open (the message goes out unchanged and the reason is recorded).
"""

import dataclasses
import datetime as dt
import enum
import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sendproof_core import tokens
from sendproof_core.journal_records import Admitted, Refused, SignatureRecord, Withdrawn
from sendproof_core.plans import OverQuota
from sendproof_milter import pixel, signing
from sendproof_milter.message import Submission, domain_of, from_addresses, message_id_header, printable, subject_text
from sendproof_milter.sender import Sender, SigningKey

TRACE_HEADER = "X-Sendproof-Trace"
# As long as a complaint about a message may come; the token names nobody.
_TRACE_LIFETIME = dt.timedelta(days=3650)
_PIXEL_LIFETIME = dt.timedelta(days=730)


class Reason(enum.StrEnum):
    """Why a message was refused, as the journal has it."""

    NO_LOGIN = "no-login"
    UNKNOWN_LOGIN = "unknown-login"
    SUSPENDED = "suspended"
    NO_FROM = "no-from"
    FOREIGN_SENDER = "foreign-sender"
    FOREIGN_FROM = "foreign-from"
    OVER_QUOTA = "over-quota"


@dataclass(frozen=True)
class Refusal:
    """Refuse the message: ``code`` (SMTP), ``dsn`` (RFC 3463), one line of ASCII text."""

    reason: Reason
    code: int
    dsn: str
    text: str


class Unavailable(Exception):
    """Something that policy needs cannot be reached: the client is told 451 and tries again."""


class Services(Protocol):
    """What the steps need from outside."""

    def sender(self, login: str) -> Sender | None:
        """Who that login is; None if nobody. Raises `Unavailable`."""

    def charge(
        self, sender: Sender, message_id: uuid.UUID, queue_id: str, recipients: int, now: dt.datetime
    ) -> OverQuota | None:
        """Charge a message, all or nothing; what stands against it, or None. Raises `Unavailable`."""


@dataclass(frozen=True)
class Site:
    """The settings that the steps read."""

    host: str
    tracking_url: str
    token_key_number: int
    token_keys: Mapping[int, bytes]


@dataclass(frozen=True)
class Work:
    """A message on its way through the steps. Each step returns a changed copy, or a `Refusal`."""

    submission: Submission
    message_id: uuid.UUID
    sender: Sender | None = None
    charged_recipients: int = 0
    pixel: str = pixel.NoPixel.TRACKING_OFF.value
    # None: the body stays as it is.
    new_body: bytes | None = None
    trace: str = ""
    body_hash: bytes = b""
    signatures: tuple[SignatureRecord, ...] = ()
    signature_values: tuple[bytes, ...] = ()

    @property
    def known_sender(self) -> Sender:
        """The sender, for the steps after `who`."""
        if self.sender is None:
            raise AssertionError("the step `who` comes first")
        return self.sender


Step = Callable[[Work, Services, Site], Work | Refusal]


def who(work: Work, services: Services, site: Site) -> Work | Refusal:
    """The login's account, plan and keys."""
    del site
    if not work.submission.login:
        return Refusal(Reason.NO_LOGIN, 530, "5.7.0", "Sign in first: this service takes mail from its own users only")
    sender = services.sender(work.submission.login)
    if sender is None:
        return Refusal(Reason.UNKNOWN_LOGIN, 550, "5.7.1", "This login has no account or was revoked")
    return dataclasses.replace(work, sender=sender)


def may(work: Work, services: Services, site: Site) -> Work | Refusal:
    """Whether the account may send now, and as the addresses that the message names."""
    del services, site
    sender = work.known_sender
    if sender.suspended_reason is not None:
        return Refusal(Reason.SUSPENDED, 550, "5.7.1", f"This account is suspended: {_ascii(sender.suspended_reason)}")
    envelope_sender = work.submission.envelope_sender
    if not sender.owns(domain_of(envelope_sender)):
        text = f"<{_ascii(envelope_sender)}> does not belong to your account: send with an address of your own domains"
        return Refusal(Reason.FOREIGN_SENDER, 550, "5.7.1", text)
    addresses = from_addresses(work.submission)
    if addresses is None:
        return Refusal(
            Reason.NO_FROM,
            550,
            "5.7.1",
            "From is missing or cannot be understood: write it as '\"Your name\" <you@your.domain>'",
        )
    for address in addresses:
        if not sender.owns(domain_of(address)):
            text = f"From: <{_ascii(address)}> does not belong to your account: use an address of your own domains"
            return Refusal(Reason.FOREIGN_FROM, 550, "5.7.1", text)
    if not _signing_keys(work):
        raise Unavailable("no active DKIM key signs for this message")
    return work


def charge(work: Work, services: Services, site: Site) -> Work | Refusal:
    """The plan's limits, raised all together or not at all."""
    del site
    submission, sender = work.submission, work.known_sender
    count = len(submission.recipients)
    over = services.charge(sender, work.message_id, submission.queue_id, count, submission.received_at)
    if over is not None:
        return Refusal(Reason.OVER_QUOTA, 550, "5.7.1", over.reply_text(sender.time_zone))
    return dataclasses.replace(work, charged_recipients=count)


def edit(work: Work, services: Services, site: Site) -> Work:
    """The pixel, where the account wants one and the message can carry it; the trace header always."""
    del services
    now = work.submission.received_at
    trace = _token(tokens.Purpose.TRACE, work, site, now + _TRACE_LIFETIME)
    work = dataclasses.replace(work, trace=trace)
    if not work.known_sender.tracking:
        return work
    url = f"{site.tracking_url}/o/{_token(tokens.Purpose.PIXEL, work, site, now + _PIXEL_LIFETIME)}.gif"
    match pixel.insert(work.submission, url):
        case pixel.WithPixel(body):
            return dataclasses.replace(work, pixel=pixel.INSERTED, new_body=body)
        case reason:
            return dataclasses.replace(work, pixel=reason.value)


def sign(work: Work, services: Services, site: Site) -> Work:
    """A signature with the domain of the From address where the account has its key, and with the provider's."""
    del services, site
    submission, keys = work.submission, _signing_keys(work)
    body_hash = signing.body_hash(submission.body if work.new_body is None else work.new_body)
    headers = [pair for pair in submission.headers if pair[0].lower() != TRACE_HEADER.lower().encode("ascii")]
    values = signing.sign_each(headers, body_hash, keys, submission.received_at)
    records = tuple(SignatureRecord(key.domain, key.selector, key.algorithm) for key in keys)
    return dataclasses.replace(work, body_hash=body_hash, signatures=records, signature_values=values)


STEPS: tuple[Step, ...] = (who, may, charge, edit, sign)


def run(work: Work, services: Services, site: Site) -> tuple[Work, Refusal | None]:
    """All steps, or those up to the first refusal; the work as it was then.

    Raises:
        Unavailable: policy could not be decided; answer 451.
    """
    for step in STEPS:
        outcome = step(work, services, site)
        if isinstance(outcome, Refusal):
            return work, outcome
        work = outcome
    return work, None


def admitted_record(work: Work, site: Site) -> Admitted:
    """The journal line of a message that goes out."""
    submission, sender = work.submission, work.known_sender
    return Admitted(
        at=submission.received_at,
        host=site.host,
        queue_id=submission.queue_id,
        message_id=work.message_id,
        account_id=sender.account_id,
        login=sender.login,
        credential_label=sender.credential_label,
        envelope_sender=printable(submission.envelope_sender),
        recipients=tuple(printable(address) for address in submission.recipients),
        message_id_header=message_id_header(submission),
        subject=subject_text(submission),
        size_bytes=submission.size_bytes,
        client_address=submission.client_address,
        client_tls=submission.client_tls,
        signatures=work.signatures,
        body_sha256=hashlib.sha256(submission.body if work.new_body is None else work.new_body).hexdigest(),
        pixel=work.pixel,
        charged_recipients=work.charged_recipients,
    )


def withdrawn_record(work: Work, site: Site) -> Withdrawn:
    """The journal line of a message that was let through and answered 451 after all."""
    submission = work.submission
    return Withdrawn(
        at=submission.received_at, host=site.host, queue_id=submission.queue_id, message_id=work.message_id
    )


def refused_record(work: Work, refusal: Refusal, site: Site) -> Refused:
    """The journal line of a message that is refused."""
    submission, sender = work.submission, work.sender
    return Refused(
        at=submission.received_at,
        host=site.host,
        queue_id=submission.queue_id or None,
        account_id=sender.account_id if sender else None,
        login=printable(submission.login),
        envelope_sender=printable(submission.envelope_sender),
        recipients=tuple(printable(address) for address in submission.recipients),
        subject=subject_text(submission),
        reason=refusal.reason.value,
        reply=f"{refusal.code} {refusal.dsn} {refusal.text}",
    )


def _signing_keys(work: Work) -> tuple[SigningKey, ...]:
    """The From domain's own active keys and the provider's; not those of the account's other domains."""
    sender = work.known_sender
    addresses = from_addresses(work.submission) or ()
    from_domain = domain_of(addresses[0]) if addresses else ""
    return tuple(key for key in sender.keys if key.domain == from_domain or not sender.owns(key.domain))


def _token(purpose: tokens.Purpose, work: Work, site: Site, expires: dt.datetime) -> str:
    # Recipient 0: the pixel is shared, because a milter sees one body for all recipients.
    number = 1 if len(work.submission.recipients) == 1 else 0
    token = tokens.Token(purpose, work.message_id, number, expires)
    return tokens.make(token, site.token_key_number, site.token_keys[site.token_key_number])


def _ascii(text: str) -> str:
    """Printable ASCII for an SMTP reply, short."""
    return "".join(character if " " <= character <= "~" else "?" for character in text)[:200]
