"""What a transcript says of the chain, and a signature of the copy that arrived."""

import dataclasses
import uuid
from pathlib import Path

import pytest

from sendproof_core import clock
from sendproof_core.domain_check import Questions
from sendproof_core.settings import DnsSettings
from sendproof_core.states import RecipientState
from sendproof_core.transcripts import AttemptView, DialogueLine, MessageView, RecipientView, Transcript
from sendproof_milter import signing
from sendproof_postfix import check_mail
from sendproof_postfix.check_mail_route import Door, Sender
from sendproof_postfix.doctor import Severity
from sendproof_testing import certificates, dns_zone, doctor_subjects, submission_server, submissions

VERDICTS = doctor_subjects.verdicts()
NOW = doctor_subjects.NOW
ATTEMPT = AttemptView(
    at=NOW,
    status="sent",
    dsn="2.0.0",
    relay="mx.far.example[192.0.2.1]:25",
    delay_seconds=1.0,
    delays_seconds=(0.1, 0.2, 0.3, 0.4),
    reply="250 ok",
    remote_queue_id=None,
    tls=None,
    troubles=(),
    dialogue=(DialogueLine(NOW, from_server=True, text="220 mx"),),
    service="postfix/smtp",
)
RECIPIENT = RecipientView(1, "anna@far.example", None, RecipientState.DELIVERED, NOW, (ATTEMPT,), ())
MESSAGE = MessageView(
    id=uuid.UUID(int=1),
    account_id=1,
    login="max",
    credential_label="x",
    submitted_at=NOW,
    envelope_sender="max@own.example",
    message_id_header="<1@own.example>",
    subject="Sendproof doctor",
    size_bytes=1,
    client_address=None,
    client_tls=None,
    signatures=(("own.example", "sp1", "rsa-sha256"),),
    pixel=None,
    host=doctor_subjects.HOST,
    queue_id="4Z",
    queued_at=NOW,
)


def transcript(recipient: RecipientView | None = RECIPIENT, message: MessageView = MESSAGE) -> Transcript:
    return Transcript(message, (recipient,) if recipient else ())


def state(value: RecipientState) -> Transcript:
    return transcript(dataclasses.replace(RECIPIENT, state=value))


SILENT = dataclasses.replace(RECIPIENT, attempts=(dataclasses.replace(ATTEMPT, dialogue=()),))
LOCAL = dataclasses.replace(
    RECIPIENT, attempts=(dataclasses.replace(ATTEMPT, relay="local", service="postfix/local", dialogue=()),)
)


@pytest.mark.parametrize(
    ("found", "verified", "severity"),
    [
        (transcript(), None, Severity.OK),
        (transcript(LOCAL), True, Severity.OK),
        (transcript(LOCAL), False, Severity.ERROR),
        (None, None, Severity.ERROR),
        (transcript(None), None, Severity.ERROR),
        (transcript(SILENT), None, Severity.ERROR),
        (transcript(message=dataclasses.replace(MESSAGE, id=7)), None, Severity.ERROR),
        (transcript(message=dataclasses.replace(MESSAGE, signatures=())), None, Severity.WARNING),
        (state(RecipientState.BOUNCED), None, Severity.ERROR),
        (state(RecipientState.CANCELLED), None, Severity.ERROR),
        (state(RecipientState.UNKNOWN), None, Severity.ERROR),
        (state(RecipientState.DEFERRED), None, Severity.WARNING),
        (state(RecipientState.QUEUED), None, Severity.WARNING),
    ],
)
def test_the_weakest_link_is_what_is_said(found: Transcript | None, verified: bool | None, severity: Severity) -> None:
    finding = check_mail.judge(found, verified, 60.0, ("story",), VERDICTS)
    assert finding.severity is severity
    assert (finding.details == ("story",)) is (found is not None and bool(found.recipients))


def test_a_transcript_is_complete_with_its_end_and_its_conversation() -> None:
    assert check_mail.is_complete(transcript())
    assert check_mail.is_complete(transcript(LOCAL))
    assert not check_mail.is_complete(transcript(SILENT)), "the conversation may still be on its way"
    quiet = {ATTEMPT.service}
    assert check_mail.is_complete(transcript(SILENT), quiet), "it is not logged where a password would be"
    assert check_mail.judge(transcript(SILENT), None, 60.0, (), VERDICTS, quiet).severity is Severity.OK
    assert not check_mail.is_complete(state(RecipientState.DEFERRED))
    assert not check_mail.is_complete(transcript(None))


KEY = submissions.signing_key()


def arrived(body: bytes = b"Hello\r\n") -> bytes:
    """A signed message as local(8) puts it into a mailbox."""
    headers = submissions.submission().headers
    value = signing.sign(headers, signing.body_hash(b"Hello\r\n"), KEY, clock.now())
    wire = submissions.to_wire(((b"DKIM-Signature", value), *headers), body)
    return b"From max@own.example Sun Nov 22 13:03:05 2026\nReturn-Path: <max@own.example>\n" + wire.replace(
        b"\r\n", b"\n"
    )


def test_the_signature_of_what_arrived_is_verified_with_the_key_in_dns() -> None:
    with dns_zone.running() as zone:
        asking = DnsSettings(servers=(zone.server,), timeout_seconds=2.0)
        copy = check_mail.in_mailbox(arrived(), "<1@own.example>")
        assert copy is not None
        assert check_mail._verifies(copy, Questions(asking)) is False, "DNS has no key"
        zone.set(f"{KEY.selector}._domainkey.{KEY.domain}", "TXT", submissions.public_record(KEY).decode())
        assert check_mail._verifies(copy, Questions(asking)) is True
        changed = check_mail.in_mailbox(arrived(b"Hello, and buy this\r\n"), "<1@own.example>")
        assert changed is not None
        assert check_mail._verifies(changed, Questions(asking)) is False
        assert check_mail._verifies(b"Subject: none\r\n\r\nHello\r\n", Questions(asking)) is None


def test_a_key_that_dns_does_not_answer_for_is_not_a_signature_that_is_broken() -> None:
    with dns_zone.running() as zone:
        asking = DnsSettings(servers=(zone.server,), timeout_seconds=2.0)
        copy = check_mail.in_mailbox(arrived(), "<1@own.example>")
        assert copy is not None
        zone.break_name(f"{KEY.selector}._domainkey.{KEY.domain}")
        assert check_mail._verifies(copy, Questions(asking)) is None


def test_no_password_goes_to_a_server_that_shows_another_certificate(tmp_path: Path) -> None:
    message = check_mail._mail("max@own.example", "anna@far.example", doctor_subjects.HOST, NOW)
    other = tmp_path / "other.pem"
    certificates.make(other, tmp_path / "other.key", ("localhost",), NOW)
    with submission_server.running_submission_server(tmp_path, login="max", password="right") as server:
        # As after a renewal: the new one, and what vouches for the old one as well.
        renewed = tmp_path / "renewed.pem"
        renewed.write_bytes(other.read_bytes() + server.ca_file.read_bytes())

        def submit(password: str, *files: Path) -> None:
            door = Door("submission/inet", "127.0.0.1", server.port, False, files)
            check_mail._submit(door, Sender("max", password, "max@own.example"), message)

        with pytest.raises(check_mail._OtherCertificate):
            submit("wrong", renewed)
        with pytest.raises(check_mail._Refused, match="cannot be read"):
            submit("right", tmp_path / "missing.pem")
        with pytest.raises(check_mail._Refused, match="refused the login"):
            submit("wrong", server.ca_file)
        assert server.mails == []
        submit("right", other, server.ca_file)
        assert [one.recipients for one in server.mails] == [("anna@far.example",)]


def test_our_message_is_found_in_a_mailbox_among_others() -> None:
    one = b"From a@b Sun Nov 22 13:03:05 2026\nMessage-ID: <1@x>\nSubject: one\n\nHello\n\n"
    two = b"From a@b Sun Nov 22 13:03:06 2026\nMessage-ID: <2@x>\nSubject: two\n\nHello\n>From me\n\n"
    assert check_mail.in_mailbox(one + two, "<1@x>") == b"Message-ID: <1@x>\r\nSubject: one\r\n\r\nHello\r\n"
    found = check_mail.in_mailbox(one + two, "<2@x>")
    assert found is not None
    assert b"Subject: two" in found
    assert check_mail.in_mailbox(one, "<3@x>") is None
    assert check_mail.in_mailbox(b"", "<3@x>") is None
