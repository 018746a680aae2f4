"""The journal's lines about a message: what was decided, as `journal_records`. Pure; writes nothing."""

import hashlib

from sendproof_core.journal_records import Admitted, Copied, Refused, Withdrawn
from sendproof_milter.message import message_id_header, printable, subject_text
from sendproof_milter.split_stamp import Stamp
from sendproof_milter.work import Refusal, Site, Work


def of_passed(work: Work, site: Site) -> Admitted | Copied:
    """The line of a message that goes out."""
    return admitted(work, site) if work.stamp is None else _copied(work, work.stamp, site)


def admitted(work: Work, site: Site) -> Admitted:
    """The line of the first pass."""
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
        body_sha256=hashlib.sha256(work.body).hexdigest(),
        pixel=work.pixel,
        charged_recipients=work.charged_recipients,
        wire_edits=work.wire_edits,
        split=work.split,
        test_mode=sender.test_mode,
    )


def _copied(work: Work, stamp: Stamp, site: Site) -> Copied:
    submission = work.submission
    return Copied(
        at=submission.received_at,
        host=site.host,
        queue_id=submission.queue_id,
        parent_queue_id=stamp.parent_queue_id,
        message_id=work.message_id,
        recipient=printable(submission.recipients[0]) if submission.recipients else "",
        recipient_number=work.recipient_number,
        signatures=work.signatures,
        body_sha256=hashlib.sha256(work.body).hexdigest(),
        pixel=work.pixel,
        wire_edits=work.wire_edits,
    )


def withdrawn(work: Work, site: Site) -> Withdrawn:
    """The line of a message that was let through and answered 451 after all."""
    submission = work.submission
    return Withdrawn(
        at=submission.received_at, host=site.host, queue_id=submission.queue_id, message_id=work.message_id
    )


def refused(work: Work, refusal: Refusal, site: Site) -> Refused:
    """The line of a message that is refused."""
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
