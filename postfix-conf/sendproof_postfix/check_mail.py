"""The doctor's own message: submitted as a user's would be, and followed until its transcript is complete.

Proves the whole chain at once. Leaves one message in the record, and no credential.
"""

import datetime as dt
import smtplib
import ssl
import time
import uuid
from collections.abc import Collection, Iterator, Sequence
from email.message import EmailMessage
from pathlib import Path

import dns.name
from cryptography.hazmat.primitives import serialization

from sendproof_core import plans, transcript_queries
from sendproof_core.domain_check import Questions
from sendproof_core.errors import UserError
from sendproof_core.queue_times import QueueTimes
from sendproof_core.states import RecipientState
from sendproof_core.transcript_story import tell_all
from sendproof_core.transcript_text import render
from sendproof_core.transcripts import RecipientView, Transcript
from sendproof_postfix import check_certificates, check_mail_route, check_record
from sendproof_postfix.check_mail_route import Door, Sender
from sendproof_postfix.doctor import CannotLook, Finding, Severity, Verdicts
from sendproof_postfix.doctor_subject import Subject

_SECONDS = 20.0
_LOOK_EVERY_SECONDS = 0.5
_FINAL = frozenset({RecipientState.DELIVERED, RecipientState.BOUNCED, RecipientState.EXPIRED, RecipientState.CANCELLED})
# Of a mailbox, from its end: our message is the last, or one of the last.
_MAILBOX_OCTETS = 2_000_000
_WIDTH = 100
_LOCAL_RELAYS = ("local", "virtual", "none", "lmtp", "pipe")


class _Refused(Exception):
    """What the server said, or why there was no conversation. Never what it answered to a password."""


class _OtherCertificate(Exception):
    """The server shows a certificate that is in none of its files."""


def look(subject: Subject, verdicts: Verdicts) -> Iterator[Finding]:
    """Submit, wait, judge."""
    wanted = subject.mail
    if wanted is None:
        raise CannotLook("no mail was sent, as you wished.")
    postfix = subject.postfix
    door = check_mail_route.door(subject)
    to = check_mail_route.recipient(wanted, postfix)
    database = subject.database
    with check_mail_route.sender(subject, wanted) as sender:
        mail = _mail(sender.address, to, subject.host, subject.now())
        subject.said(f"submitting a mail to {to} at {door.host}:{door.port}")
        try:
            _submit(door, sender, mail)
        except _OtherCertificate:
            files = " or ".join(map(str, door.certificates))
            yield verdicts.error(
                f"{door.service} does not show the certificate of {files}.",
                "`postfix reload`: a renewed certificate is read then. No password was sent.",
            )
            return
        except _Refused as error:
            yield verdicts.error(
                f"{door.service} did not take the mail: {error}.",
                "Postfix's log and `journalctl -u sendproof-milter` say more.",
            )
            return
    header = str(mail["Message-ID"])
    quiet = check_record.quiet_services(subject)
    deadline = time.monotonic() + wanted.wait_seconds
    found: Transcript | None = None
    while time.monotonic() < deadline:
        with database.reading() as session:
            named = transcript_queries.find(session, header)
            found = transcript_queries.load_transcript(session, named[0].id) if named else None
        if found is not None and is_complete(found, quiet):
            break
        subject.said(f"waiting for its transcript, {max(deadline - time.monotonic(), 0):.0f} s at most")
        time.sleep(_LOOK_EVERY_SECONDS)
    story = _told(found, subject) if found is not None else ()
    copy = _received(postfix.value("mail_spool_directory"), header) if wanted.to is None else None
    verified = None if copy is None else _verifies(copy, Questions(subject.dns))
    yield judge(found, verified, wanted.wait_seconds, story, verdicts, quiet)


def is_complete(transcript: Transcript, quiet: Collection[str] = ()) -> bool:
    """Whether nothing is to be expected any more, but for conversations that are still being written.

    ``quiet``: services whose conversations are not logged.
    """
    return bool(transcript.recipients) and all(
        one.state in _FINAL and (_has_dialogue(one) or not _needs_dialogue(one, quiet)) for one in transcript.recipients
    )


def _needs_dialogue(recipient: RecipientView, quiet: Collection[str]) -> bool:
    last = recipient.attempts[-1] if recipient.attempts else None
    if last is None or last.service in quiet:
        return False
    return not last.relay.startswith(_LOCAL_RELAYS) and last.service.endswith("smtp")


def _has_dialogue(recipient: RecipientView) -> bool:
    return bool(recipient.attempts) and bool(recipient.attempts[-1].dialogue)


def judge(
    found: Transcript | None,
    verified: bool | None,
    waited_seconds: float,
    story: tuple[str, ...],
    verdicts: Verdicts,
    quiet: Collection[str] = (),
) -> Finding:
    """What the transcript says of the chain.

    ``verified``: the signature that arrived here; None: unseen. ``quiet``: as in `is_complete`.
    """
    waited = f"{waited_seconds:.0f} seconds"
    if found is None:
        return verdicts.error(
            f"the mail was taken, and the record knows nothing of it after {waited}.",
            "Look whether sendproof-logparser runs and reads the milter's journal: `sendproof status`.",
        )
    if not found.recipients:
        return verdicts.error(
            f"the mail was taken, and the mail log says nothing of it after {waited}.",
            "Look whether sendproof-logparser reads the file that Postfix writes: see the check log-source.",
        )
    if not found.message.is_admitted:
        return verdicts.error(
            "the mail went past our milter: its journal says nothing of it.", "Run `sendproof postfix plan`.", story
        )
    recipient = found.recipients[0]
    if recipient.state in (RecipientState.BOUNCED, RecipientState.EXPIRED, RecipientState.CANCELLED):
        return verdicts.error(f"the mail was not delivered: {_last_reply(recipient)}.", "See what it says.", story)
    if recipient.state is RecipientState.UNKNOWN:
        return verdicts.error(
            f"the mail was taken, and the mail log does not say what became of it after {waited}.",
            "Look whether sendproof-logparser reads what Postfix writes, and all of it: see the check log-source.",
            story,
        )
    if recipient.state is not RecipientState.DELIVERED:
        why = _last_reply(recipient)
        return verdicts.warning(
            f"the mail is {recipient.state.value} after {waited}: {why}.",
            "If the other server wants us to come back later, ask again with a longer --wait, or another --to.",
            story,
        )
    if _needs_dialogue(recipient, quiet) and not _has_dialogue(recipient):
        return verdicts.error(
            "the mail was delivered, and the log has no conversation of it.",
            "See the checks dialogue and log-source.",
            story,
        )
    return _judge_delivered(found, recipient, verified, story, verdicts)


def _judge_delivered(
    found: Transcript, recipient: RecipientView, verified: bool | None, story: tuple[str, ...], verdicts: Verdicts
) -> Finding:
    signed_by = ", ".join(dict.fromkeys(domain for domain, _, _ in found.message.signatures))
    if not signed_by:
        return verdicts.warning(
            "the mail was delivered without a signature: no key signs for its sender.",
            "`sendproof domain activate` lets a key sign; see the check dkim.",
            story,
        )
    if verified is False:
        return verdicts.error(
            f"the mail arrived, and its signature ({signed_by}) does not hold.",
            "See the check dkim, and the check milter-order: something may have changed the mail after our milter.",
            story,
        )
    holds = ", which holds on the copy that arrived" if verified else ""
    talked = ", with its conversation" if _has_dialogue(recipient) else ""
    said = f"a mail to {recipient.address} was delivered{talked}, signed by {signed_by}{holds}."
    return Finding(verdicts.check, Severity.OK, said, details=story)


def _last_reply(recipient: RecipientView) -> str:
    if recipient.suspended_because and not recipient.attempts:
        return recipient.suspended_because
    return recipient.attempts[-1].reply.rstrip(".") if recipient.attempts else "nothing was tried yet"


def _mail(sender: str, to: str, host: str, now: dt.datetime) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = f"Sendproof doctor <{sender}>"
    mail["To"] = to
    mail["Subject"] = "Sendproof doctor"
    mail["Date"] = now
    mail["Message-ID"] = f"<doctor.{uuid.uuid4().hex}@{host}>"
    # RFC 3834: nobody's out-of-office notice is wanted.
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(
        f"`sendproof doctor` on {host} sent this to see whether mail gets through. Nothing has to be done.\n"
    )
    return mail


def _submit(door: Door, sender: Sender, mail: EmailMessage) -> None:
    expected = _expected(door.certificates)
    # Certificates are compared, not verified: no name counts, and no other one of the same issuer. `check_certificates`
    # judges names and ends.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        if door.is_wrapped:
            client: smtplib.SMTP = smtplib.SMTP_SSL(door.host, door.port, timeout=_SECONDS, context=context)
        else:
            client = smtplib.SMTP(door.host, door.port, timeout=_SECONDS)
        with client:
            if not door.is_wrapped:
                client.starttls(context=context)
            shown = client.sock.getpeercert(binary_form=True) if isinstance(client.sock, ssl.SSLSocket) else None
            if expected and shown not in expected:
                raise _OtherCertificate
            client.login(sender.login, sender.password)
            client.send_message(mail)
    except (smtplib.SMTPException, OSError) as error:
        raise _Refused(_reason(error)) from None


def _expected(files: Sequence[Path]) -> frozenset[bytes]:
    """What the server should show one of, in DER form."""
    found: set[bytes] = set()
    for path in files:
        try:
            shown = check_certificates.shown_certificates(path)
        except (OSError, ValueError):
            raise _Refused(f"the certificate {path} cannot be read") from None
        found |= {one.public_bytes(serialization.Encoding.DER) for one in shown}
    return frozenset(found)


def _reason(error: smtplib.SMTPException | OSError) -> str:
    match error:
        case smtplib.SMTPAuthenticationError():
            # Not the reply's text: a server may quote what it was given.
            return f"it refused the login ({error.smtp_code})"
        case smtplib.SMTPRecipientsRefused():
            code, text = next(iter(error.recipients.values()))
            return f"it answered {code} {_text(text)}"
        case smtplib.SMTPResponseException():
            return f"it answered {error.smtp_code} {_text(error.smtp_error)}"
        case smtplib.SMTPException():
            return f"no SMTP conversation ({error})"
        case _:
            return f"it cannot be reached ({error.strerror or error})"


def _text(reply: bytes | str) -> str:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return " ".join(text.split())[:300].rstrip(".")


def _told(found: Transcript, subject: Subject) -> tuple[str, ...]:
    stories = tell_all(found, subject.file.table(QueueTimes), plans.zone("UTC"), subject.now())
    return tuple(line for story in stories for line in render(story, width=_WIDTH).splitlines())


def _received(spool: str, message_id: str) -> bytes | None:
    """Our message in root's mailbox (mbox, RFC 4155); None: it is not there, or elsewhere."""
    path = Path(spool) / "root"
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - _MAILBOX_OCTETS, 0))
            content = file.read(_MAILBOX_OCTETS)
    except OSError:
        return None
    return in_mailbox(content, message_id)


def in_mailbox(content: bytes, message_id: str) -> bytes | None:
    """The message with that Message-ID, as it was on the wire."""
    for piece in (b"\n" + content).split(b"\nFrom ")[::-1]:
        _, _, message = piece.partition(b"\n")
        head = message.partition(b"\n\n")[0]
        if message_id.encode("ascii", "replace") in head:
            return message.rstrip(b"\n").replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"\r\n"
    return None


def _verifies(message: bytes, questions: Questions) -> bool | None:
    """Whether each signature holds, with the keys that DNS has; None: nobody can tell here."""
    try:
        import dkim
    except ModuleNotFoundError:  # it comes with the milter
        return None

    is_silent = False

    def key_of(name: bytes, timeout: int = 5) -> bytes | None:
        nonlocal is_silent
        del timeout
        try:
            answer = questions.ask(dns.name.from_text(name.decode("ascii")).to_text(omit_final_dot=True), "TXT")
        except (UnicodeDecodeError, dns.name.LabelTooLong, dns.name.EmptyLabel):
            return None
        is_silent |= not answer.is_known
        return answer.values[0].encode("utf-8") if answer.values else None

    count = message.partition(b"\r\n\r\n")[0].lower().count(b"\r\ndkim-signature:")
    count += message.lower().startswith(b"dkim-signature:")
    if not count:
        return None
    try:
        holds = all(dkim.DKIM(message).verify(idx=index, dnsfunc=key_of) for index in range(count))
    except (dkim.DKIMException, UserError):
        holds = False
    # A key that DNS did not give is none that is missing.
    return None if is_silent and not holds else holds
