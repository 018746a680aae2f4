"""What becomes of mail: accepted, greylisted, refused, unreachable; and that the record says so."""

import re
import subprocess
import urllib.request
from collections.abc import Iterator

import dkim
import pytest

from sendproof_core import transcript_queries
from sendproof_core.database import Database
from sendproof_core.states import RecipientState
from sendproof_core.transcripts import RecipientView, Transcript
from sendproof_testing import dkim_verifier, mail, oracle
from sendproof_testing.installation import ACCEPT, GREYLIST, OWN_DOMAIN, PROVIDER_DOMAIN, REFUSE, UNREACHABLE
from sendproof_testing.sandbox import Sandbox

pytestmark = [pytest.mark.integration]

SUBJECT = "Four outcomes"
RECIPIENTS = [f"anna@{ACCEPT}", f"ben@{GREYLIST}", f"cara@{REFUSE}", f"dan@{UNREACHABLE}"]


@pytest.fixture(scope="module")
def transcript(sandbox: Sandbox) -> Iterator[Transcript]:
    mail.submit(sandbox, RECIPIENTS, subject=SUBJECT)
    database = sandbox.database()

    def settled() -> Transcript | None:
        found = newest(database, SUBJECT)
        if found is None or len(found.recipients) != len(RECIPIENTS):
            return None
        states = [recipient.state for recipient in found.recipients]
        final = {RecipientState.DELIVERED, RecipientState.BOUNCED}
        return found if set(states[:3]) <= final and states[3] is RecipientState.DEFERRED else None

    yield mail.wait_until(settled, 60, "three final states and one deferred")
    database.close()


def newest(database: Database, subject: str) -> Transcript | None:
    with database.reading() as session:
        for summary in transcript_queries.list_messages(session, 1, limit=100):
            if summary.subject == subject:
                return transcript_queries.load_transcript(session, summary.id)
    return None


def recipient(transcript: Transcript, domain: str) -> RecipientView:
    return next(item for item in transcript.recipients if item.address.endswith(domain))


def test_the_transcript_knows_the_submission(transcript: Transcript, sandbox: Sandbox) -> None:
    message = transcript.message
    assert message.login == sandbox.installation.login.login
    assert message.envelope_sender == sandbox.installation.login.address
    assert message.client_address == "127.0.0.1"
    assert message.client_tls is not None
    assert message.client_tls.startswith("TLSv1.")
    assert [signature[0] for signature in message.signatures] == [OWN_DOMAIN, PROVIDER_DOMAIN]
    assert message.pixel == "inserted"
    assert [item.address for item in transcript.recipients] == RECIPIENTS


def test_an_accepted_recipient_has_the_receipt_and_the_conversation(transcript: Transcript) -> None:
    accepted = recipient(transcript, ACCEPT)
    assert accepted.state is RecipientState.DELIVERED
    assert len(accepted.attempts) == 1
    attempt = accepted.attempts[0]
    assert attempt.remote_queue_id is not None
    assert attempt.reply.endswith(f"queued as {attempt.remote_queue_id}")
    assert attempt.tls is not None
    assert "TLSv1.3" in attempt.tls
    spoken = [line.text for line in attempt.dialogue]
    assert spoken[0].startswith("220 ")
    assert any(text.startswith("MAIL FROM:<max@own.example>") for text in spoken)
    assert any(text.startswith("RCPT TO:<anna@accept.example>") for text in spoken)
    assert any(text.startswith("250 2.0.0 Ok: queued as") for text in spoken)


def test_a_greylisted_recipient_was_deferred_first_and_accepted_then(transcript: Transcript) -> None:
    greylisted = recipient(transcript, GREYLIST)
    assert greylisted.state is RecipientState.DELIVERED
    assert greylisted.attempts[0].status == "deferred"
    assert "Greylisted" in greylisted.attempts[0].reply
    assert greylisted.attempts[-1].status == "sent"
    assert greylisted.attempts[-1].dialogue


def test_a_refused_recipient_has_the_whole_reply(transcript: Transcript) -> None:
    refused = recipient(transcript, REFUSE)
    assert refused.state is RecipientState.BOUNCED
    assert refused.attempts[0].dsn == "5.1.1"
    assert len(re.findall(r"550[- ]5\.1\.1", refused.attempts[0].reply)) == 3


def test_an_unreachable_recipient_is_deferred_without_a_conversation(transcript: Transcript) -> None:
    unreachable = recipient(transcript, UNREACHABLE)
    assert unreachable.attempts[0].relay == "none"
    assert "Connection refused" in unreachable.attempts[0].reply
    assert not unreachable.attempts[0].dialogue


@pytest.mark.usefixtures("transcript")
def test_two_foreign_verifiers_accept_both_signatures(sandbox: Sandbox) -> None:
    made = sandbox.installation
    raw = next(raw for raw in mail.received_by(made.mail_folder, RECIPIENTS[0]) if SUBJECT.encode() in raw)
    verdicts = dkim_verifier.verify(raw, made.public_keys)
    assert [(verdict.domain, verdict.result) for verdict in verdicts] == [
        (OWN_DOMAIN, "pass"),
        (PROVIDER_DOMAIN, "pass"),
    ]
    records = dict(line.split(" ", 1) for line in made.public_keys.read_text().splitlines())

    def look_up(name: bytes, timeout: int = 5) -> bytes | None:
        del timeout
        record = records.get(name.decode().rstrip("."))
        return record.encode() if record else None

    assert dkim.verify(raw.replace(b"\n", b"\r\n"), dnsfunc=look_up)


@pytest.mark.usefixtures("transcript")
def test_a_forged_body_fails_the_verifier(sandbox: Sandbox) -> None:
    made = sandbox.installation
    raw = next(raw for raw in mail.received_by(made.mail_folder, RECIPIENTS[0]) if SUBJECT.encode() in raw)
    verdicts = dkim_verifier.verify(raw.replace(b"42", b"43"), made.public_keys)
    assert not any(verdict.passed for verdict in verdicts)


def test_fetching_the_pixel_is_an_open_of_that_message(
    transcript: Transcript, sandbox: Sandbox, database: Database
) -> None:
    raw = next(
        raw for raw in mail.received_by(sandbox.installation.mail_folder, RECIPIENTS[0]) if SUBJECT.encode() in raw
    )
    found = re.search(rb'src="(http[^"]+)"', raw.replace(b"=\n", b"").replace(b"=3D", b"="))
    assert found
    request = urllib.request.Request(
        found.group(1).decode(), headers={"User-Agent": "Mozilla/5.0 (X11) Thunderbird/140"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200

    def opened() -> Transcript | None:
        fresh = newest(database, SUBJECT)
        return fresh if fresh and fresh.recipients[0].opens else None

    fresh = mail.wait_until(opened, 10, "the open in the record")
    assert fresh.message.id == transcript.message.id
    assert not fresh.recipients[0].opens[0].shared
    assert not any(other.opens for other in fresh.recipients[1:])


def test_the_command_prints_the_same_transcripts(transcript: Transcript, sandbox: Sandbox) -> None:
    for name in (transcript.message.queue_id, str(transcript.message.id)):
        command = sandbox.command("transcript", "show", str(name), "--recipient", RECIPIENTS[1])
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        assert f"To {RECIPIENTS[1]}" in done.stdout
        assert "It was greylisted first" in done.stdout
        assert RECIPIENTS[0] not in done.stdout


def test_an_address_that_postfix_spells_in_another_way_is_one_recipient(sandbox: Sandbox, database: Database) -> None:
    """Postfix logs a..b@ as "a..b"@: the record had two rows, one of them unknown."""
    recipients = [f"a..b@{ACCEPT}", f'"solo"@{ACCEPT}']
    message = mail.html_message(sandbox.installation.login.address, recipients, "Odd spellings")
    message["X-Sendproof-Track"] = "no"  # one queue file for both
    mail.submit(sandbox, recipients, message=message.as_bytes())

    def delivered() -> bool:
        found = newest(database, "Odd spellings")
        states = [(item.address, item.state) for item in found.recipients] if found else []
        return states == [
            (f"a..b@{ACCEPT}", RecipientState.DELIVERED),
            (f'"solo"@{ACCEPT}', RecipientState.DELIVERED),
        ]

    mail.wait_until(delivered, 30, "two recipients, both delivered")


def test_a_nul_in_the_body_breaks_no_signature(sandbox: Sandbox) -> None:
    made = sandbox.installation
    recipient = f"nul@{ACCEPT}"
    mail.submit(sandbox, [recipient], message=b"From: max@own.example\r\nSubject: NUL\r\n\r\nfoo\0bar\r\n")
    (raw,) = mail.wait_until(lambda: mail.received_by(made.mail_folder, recipient), 30, "the mail with a NUL")
    assert [verdict.passed for verdict in dkim_verifier.verify(raw, made.public_keys)] == [True, True]


@pytest.mark.usefixtures("transcript")
def test_the_record_agrees_with_the_mail_log(sandbox: Sandbox, database: Database) -> None:
    maillog = sandbox.installation.maillog

    def agrees() -> bool:
        before = oracle.attempts_in_log(maillog)
        record = oracle.attempts_in_record(database)
        # The unreachable server is tried again all the time: compare only if the log stood still meanwhile.
        return before == record and oracle.attempts_in_log(maillog) == before

    mail.wait_until(agrees, 20, "the record equals the log")
    expected = oracle.expected_states(oracle.attempts_in_record(database))
    states = oracle.states_in_record(database)
    assert {key: states[key] for key in expected} == expected
