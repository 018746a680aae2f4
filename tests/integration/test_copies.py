"""A message with a pixel to several recipients: each gets a copy with a pixel of their own, and nobody sees why."""

import contextlib
import email.message
import os
import re
import signal
import smtplib
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from sendproof_core import clock, tokens, transcript_queries
from sendproof_core.database import Database
from sendproof_core.states import RecipientState
from sendproof_core.transcripts import Transcript
from sendproof_testing import dkim_verifier, ledger, mail, received_copy
from sendproof_testing.installation import ACCEPT, GREYLIST, OWN_DOMAIN, PROVIDER_DOMAIN, SEVEN_BIT
from sendproof_testing.sandbox import Sandbox
from sendproof_testing.sending import send

pytestmark = [pytest.mark.integration]

TO = [f"anna.copies@{ACCEPT}", f"sven.copies@{SEVEN_BIT}"]
CC = [f"cara.copies@{ACCEPT}"]
BCC = [f"hidden.copies@{ACCEPT}", f"greta.copies@{GREYLIST}"]
# The order of RCPT TO is the client's affair; it is not that of the header here.
RECIPIENTS = [BCC[0], TO[0], CC[0], BCC[1], TO[1]]
HEADER = (
    "From: =?utf-8?q?Max_M=C3=BCller?= <max@own.example>\r\n"
    "To: Anna  <anna.copies@accept.example>,\r\n\t sven.copies@seven-bit.example\r\n"
    "cc: cara.copies@accept.example\r\n"
    "Subject: An offer for   each of you\r\n"
    "Date: Sun, 22 Nov 2026 08:00:00 +0100\r\n"
    "Message-ID: <copies@own.example>\r\n"
    "X-Odd:value without a blank\r\n"
    "MIME-Version: 1.0\r\n"
    "Content-Type: text/html; charset=us-ascii\r\n"
)
STEERING = (
    f"Bcc: {', '.join(BCC)}\r\n"
    "X-Sendproof-Track: yes\r\n"
    "X-Sendproof-Split: 1.e30=.00\r\n"
    "x-sendproof-split: 2\r\n"
    "X-Sendproof-Trace: forged\r\n"
)
BODY = "<html><body><p>Hello</p></body></html>\r\n"


@dataclass(frozen=True)
class Sent:
    queue_id: str
    # by the address that it was delivered to
    copies: dict[str, bytes]


def arrived(sandbox: Sandbox, recipients: list[str], seconds: float = 40) -> dict[str, bytes]:
    """One copy for each; asserts that nobody got two."""
    folder = sandbox.installation.mail_folder
    mail.wait_until(lambda: all(mail.received_by(folder, address) for address in recipients), seconds, "all copies")
    found = {}
    for address in recipients:
        (found[address],) = mail.received_by(folder, address)
    return found


@pytest.fixture(scope="module")
def sent(sandbox: Sandbox) -> Sent:
    reply = send(sandbox, RECIPIENTS, f"{HEADER}{STEERING}\r\n{BODY}".encode())
    assert reply.accepted, reply
    return Sent(reply.queue_id, arrived(sandbox, RECIPIENTS))


def transcript_of(database: Database, queue_id: str) -> Transcript | None:
    with database.reading() as session:
        message_id = transcript_queries.find_message(session, queue_id)
        return transcript_queries.load_transcript(session, message_id) if message_id else None


def delivered(database: Database, queue_id: str, count: int) -> Transcript:
    """Its transcript, as soon as so many recipients have it."""

    def all_delivered() -> Transcript | None:
        found = transcript_of(database, queue_id)
        states = [recipient.state for recipient in found.recipients] if found else []
        return found if states == [RecipientState.DELIVERED] * count else None

    return mail.wait_until(all_delivered, 20, f"{count} recipients delivered, by the record")


def read_token(sandbox: Sandbox, token: str) -> tokens.Token:
    found = tokens.read(token, sandbox.installation.secrets.token_keys(), clock.now())
    assert found
    return found


def test_each_copy_has_a_pixel_that_names_its_recipient(sandbox: Sandbox, sent: Sent, database: Database) -> None:
    message_ids = set()
    for number, address in enumerate(RECIPIENTS, start=1):
        (token,) = received_copy.pixels(sent.copies[address])
        found = read_token(sandbox, token)
        assert found.purpose is tokens.Purpose.PIXEL
        assert found.recipient_number == number
        message_ids.add(found.message_id)
    assert message_ids == {delivered(database, sent.queue_id, 5).message.id}


def test_header_fields_arrive_as_they_were_written_the_same_in_every_copy(sent: Sent) -> None:
    as_written = received_copy.fields(HEADER.encode())
    assert len(as_written) == 9
    for address, raw in sent.copies.items():
        assert received_copy.written_fields(raw) == as_written, address


def test_a_blind_recipient_is_seen_by_nobody_else(sent: Sent) -> None:
    for address, raw in sent.copies.items():
        names = {name.lower() for name, _ in received_copy.fields(raw)}
        assert "bcc" not in names
        for other in set(RECIPIENTS) - {address, *TO, *CC}:
            assert other.encode() not in raw


def test_what_steers_the_milter_reaches_nobody(sent: Sent) -> None:
    for raw in sent.copies.values():
        ours = [name for name, _ in received_copy.fields(raw) if name.lower().startswith("x-sendproof")]
        assert ours == ["X-Sendproof-Trace"]
        assert b"forged" not in raw


def test_both_signatures_of_every_copy_pass_in_both_verifiers(sandbox: Sandbox, sent: Sent) -> None:
    keys = sandbox.installation.public_keys
    assert not dkim_verifier.failed_signatures(sent.copies, keys, [OWN_DOMAIN, PROVIDER_DOMAIN])
    altered = {address: raw.replace(b"Hello", b"Hallo") for address, raw in sent.copies.items()}
    assert set(dkim_verifier.failed_signatures(altered, keys, [OWN_DOMAIN, PROVIDER_DOMAIN])) == set(RECIPIENTS)


def test_five_recipients_are_charged_once(sandbox: Sandbox, sent: Sent, database: Database) -> None:
    assert ledger.charges(database)[sent.queue_id] == 5
    copies = re.findall(
        rf"sendproof-resubmit/smtpd\[\d+\]: (\w+): client=.* orig_queue_id={sent.queue_id}",
        sandbox.installation.maillog.read_text(errors="replace"),
    )
    assert len(copies) == 5
    assert not set(copies) & set(ledger.charges(database))


def test_every_recipient_s_transcript_is_of_their_own_delivery(sent: Sent, database: Database) -> None:
    found = delivered(database, sent.queue_id, 5)
    assert [recipient.address for recipient in found.recipients] == RECIPIENTS
    assert len({recipient.copy_queue_id for recipient in found.recipients} - {None, sent.queue_id}) == 5
    for recipient in found.recipients:
        last = recipient.attempts[-1]
        assert last.remote_queue_id
        assert last.remote_queue_id.encode() in sent.copies[recipient.address]
        spoken = [line.text for line in last.dialogue if not line.from_server]
        assert [line for line in spoken if line.startswith("RCPT TO:")] == [
            f"RCPT TO:<{recipient.address}> ORCPT=rfc822;{recipient.address}"
        ]
    greylisted = found.recipients[3]
    assert [attempt.status for attempt in (greylisted.attempts[0], greylisted.attempts[-1])] == ["deferred", "sent"]
    others = [recipient for recipient in found.recipients if recipient is not greylisted]
    assert [[attempt.status for attempt in recipient.attempts] for recipient in others] == [["sent"]] * 4


def test_the_command_tells_of_every_recipient(sandbox: Sandbox, sent: Sent, database: Database) -> None:
    delivered(database, sent.queue_id, 5)
    done = subprocess.run(
        sandbox.command("transcript", "show", sent.queue_id), capture_output=True, text=True, check=True, timeout=30
    )
    headings = [line for line in done.stdout.splitlines() if line.startswith(" To ")]
    assert [line.split()[1] for line in headings] == RECIPIENTS
    assert {line.split()[2] for line in headings} == {"ACCEPTED"}


def test_an_open_is_that_of_one_recipient(sent: Sent, database: Database) -> None:
    request = urllib.request.Request(
        received_copy.pixel_url(sent.copies[CC[0]]), headers={"User-Agent": "Mozilla/5.0 (X11) Thunderbird/140"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200

    def opened() -> Transcript | None:
        found = transcript_of(database, sent.queue_id)
        return found if found and any(recipient.opens for recipient in found.recipients) else None

    found = mail.wait_until(opened, 10, "the open in the record")
    assert {recipient.address: len(recipient.opens) for recipient in found.recipients} == {
        address: int(address == CC[0]) for address in RECIPIENTS
    }
    assert not found.recipients[2].opens[0].shared


def test_a_client_s_stamp_makes_no_copies(sandbox: Sandbox) -> None:
    recipient = f"alone.copies@{ACCEPT}"
    reply = send(sandbox, [recipient], f"{HEADER}{STEERING}\r\n{BODY}".encode())
    assert reply.accepted
    raw = arrived(sandbox, [recipient])[recipient]
    assert f"{reply.queue_id}: to=<{recipient}>" in sandbox.installation.maillog.read_text()
    assert f"orig_queue_id={reply.queue_id}" not in sandbox.installation.maillog.read_text()
    assert [name for name, _ in received_copy.fields(raw) if "sendproof" in name.lower()] == ["X-Sendproof-Trace"]
    (token,) = received_copy.pixels(raw)
    assert read_token(sandbox, token).recipient_number == 1


def test_a_wish_for_no_pixel_makes_no_copies(sandbox: Sandbox) -> None:
    recipients = [f"quiet1.copies@{ACCEPT}", f"quiet2.copies@{ACCEPT}"]
    reply = send(sandbox, recipients, f"{HEADER}X-Sendproof-Track: no\r\n\r\n{BODY}".encode())
    for raw in arrived(sandbox, recipients).values():
        assert received_copy.body(raw) == BODY.replace("\r\n", "\n").encode()
        assert [name for name, _ in received_copy.fields(raw) if "sendproof" in name.lower()] == ["X-Sendproof-Trace"]
    assert f"orig_queue_id={reply.queue_id}" not in sandbox.installation.maillog.read_text()


@contextlib.contextmanager
def nothing_leaves_the_queue(sandbox: Sandbox) -> Iterator[None]:
    """The queue manager is stopped."""
    log = sandbox.installation.maillog.read_text(errors="replace")
    pid = int(re.findall(r"postfix/qmgr\[(\d+)\]", log)[-1])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def resubmit(sandbox: Sandbox, recipient: str, *stamps: str) -> tuple[int, bytes]:
    """Talk to the service for copies as somebody on this machine may; the reply to the message."""
    message = HEADER.encode() + b"".join(f"X-Sendproof-Split: {stamp}\r\n".encode() for stamp in stamps)
    with smtplib.SMTP("127.0.0.1", sandbox.installation.resubmit_port, timeout=30) as client:
        client.ehlo()
        assert client.mail("max@own.example")[0] == 250
        assert client.rcpt(recipient)[0] == 250
        return client.data(message + b"\r\n" + BODY.encode())


@pytest.mark.usefixtures("sent")
@pytest.mark.parametrize("stamps", [(), ("1.e30=.00",), ("",), ("garbage", "garbage")])
def test_the_service_for_copies_takes_nothing_without_our_stamp(sandbox: Sandbox, stamps: tuple[str, ...]) -> None:
    recipient = f"stranger.copies@{ACCEPT}"
    code, words = resubmit(sandbox, recipient, *stamps)
    assert (code, words[:5]) == (550, b"5.7.1")
    assert not mail.received_by(sandbox.installation.mail_folder, recipient)


def test_the_milter_away_between_the_passes_delays_the_copies_and_doubles_none(
    sandbox: Sandbox, database: Database
) -> None:
    made = sandbox.installation
    recipients = [f"late{number}.copies@{ACCEPT}" for number in range(3)]
    with nothing_leaves_the_queue(sandbox):
        reply = send(sandbox, recipients, f"{HEADER}\r\n{BODY}".encode())
        assert reply.accepted
        shown = subprocess.run(
            ["postcat", "-c", str(made.postfix_config), "-qh", reply.queue_id],
            capture_output=True, text=True, check=True, timeout=10,
        ).stdout  # fmt: skip
        stamp = dict(email.message_from_string(shown).items())["X-Sendproof-Split"]
        sandbox.programs["milter"].end()

    def put_off() -> bool:
        log = made.maillog.read_text(errors="replace")
        return len(re.findall(rf"{reply.queue_id}: to=<.*status=deferred \(host 127.*451", log)) == 3

    try:
        mail.wait_until(put_off, 20, "three copies that the service for copies puts off")
        assert not mail.received_by(made.mail_folder, recipients[0])
    finally:
        sandbox.restart("milter")
    subprocess.run(["postqueue", "-c", str(made.postfix_config), "-f"], check=True, timeout=10)
    copies = arrived(sandbox, recipients)
    numbers = [
        read_token(sandbox, token).recipient_number for raw in copies.values() for token in received_copy.pixels(raw)
    ]
    assert numbers == [1, 2, 3]
    delivered(database, reply.queue_id, 3)
    assert ledger.charges(database)[reply.queue_id] == 3
    assert len(arrived(sandbox, recipients)) == 3
    # A stamp in which anything was changed is none.
    middle = len(stamp) // 2
    changed = stamp[:middle] + ("A" if stamp[middle] != "A" else "B") + stamp[middle + 1 :]
    assert resubmit(sandbox, recipients[0], changed)[0] == 550
    assert resubmit(sandbox, recipients[0], stamp, stamp)[0] == 550


def test_an_alias_s_members_get_copies_with_the_alias_s_pixel(sandbox: Sandbox, database: Database) -> None:
    made = sandbox.installation
    other, team = f"other.copies@{ACCEPT}", f"team.copies@{ACCEPT}"
    members = [f"member{number}.copies@{ACCEPT}" for number in range(2)]
    config = ["-c", str(made.postfix_config)]
    alias = f"virtual_alias_maps=inline:{{ {{ {team} = {', '.join(members)} }} }}"
    subprocess.run(["postconf", *config, "-e", alias], check=True, timeout=10)
    subprocess.run(["postfix", *config, "reload"], check=True, capture_output=True, timeout=10)
    reply = send(sandbox, [other, team], f"{HEADER}\r\n{BODY}".encode())
    assert reply.accepted
    copies = arrived(sandbox, [other, *members])
    found = {
        address: read_token(sandbox, *received_copy.pixels(raw)).recipient_number for address, raw in copies.items()
    }
    assert found == {other: 1, members[0]: 2, members[1]: 2}
    assert ledger.charges(database)[reply.queue_id] == 2
    keys = made.public_keys
    assert not dkim_verifier.failed_signatures(copies, keys, [OWN_DOMAIN, PROVIDER_DOMAIN])

    def recorded() -> dict[str, str] | None:
        transcript = transcript_of(database, reply.queue_id)
        states = (
            {item.final_address or item.address: item.state.value for item in transcript.recipients}
            if transcript
            else {}
        )
        return states if set(states.values()) == {"delivered"} and len(states) == 3 else None

    assert set(mail.wait_until(recorded, 20, "three delivered")) == {other, *members}
