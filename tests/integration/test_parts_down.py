"""When a part is down: what becomes of mail and of the record, each row of ARCHITECTURE.md's table by a test.

Those that are not here are where the part is: `ELSEWHERE`, and a test that they exist.
"""

import ast
import contextlib
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from sendproof_core import transcript_queries
from sendproof_core.database import Database
from sendproof_core.schema import Account, Notice, Refusal
from sendproof_core.states import NoticeState, RecipientState
from sendproof_core.transcripts import Transcript
from sendproof_testing import ledger, letters, mail, received_copy
from sendproof_testing.installation import ACCEPT, REFUSE, Options
from sendproof_testing.sandbox import Sandbox, running
from sendproof_testing.sending import Reply, send, send_until_accepted

pytestmark = [pytest.mark.integration]

FOLDER = Path(__file__).parent
ARCHITECTURE = FOLDER.parents[1] / "ARCHITECTURE.md"
# What is down, as the page says it -> the tests of the columns mail and record; without a file: here.
TESTED = {
    "milter": (
        "test_without_the_milter_the_client_keeps_the_mail_and_the_record_has_the_refusal",
        "test_without_the_milter_the_client_keeps_the_mail_and_the_record_has_the_refusal",
    ),
    "a milter worker in mid-message": (
        "test_reconciliation.py::test_a_worker_killed_at_any_step_loses_no_mail_doubles_none_and_leaves_the_charges_right",
        "test_faults.py::test_a_killed_milter_worker_loses_no_message_and_charges_none_twice",
    ),
    "milter, between a message's two passes": (
        "test_copies.py::test_the_milter_away_between_the_passes_delays_the_copies_and_doubles_none",
        "test_without_the_milter_between_the_passes_the_transcript_says_that_the_copies_wait",
    ),
    "database": (
        "test_database_away.py::test_with_tempfail_mail_stays_with_its_client_until_the_database_is_back",
        "test_database_away.py::test_with_accept_mail_goes_out_signed_and_is_charged_when_the_database_is_back",
    ),
    "logparser": (
        "test_without_the_logparser_mail_flows_and_the_record_catches_up",
        "test_faults.py::test_a_killed_logparser_loses_no_row_and_doubles_none",
    ),
    "site": (
        "test_without_the_site_mail_flows_and_pixels_are_opened_when_it_is_back",
        "test_without_the_site_mail_flows_and_pixels_are_opened_when_it_is_back",
    ),
    "notices": (
        "test_without_the_notices_mail_flows_and_each_is_sent_once_when_they_are_back",
        "test_notices.py::test_killed_between_any_two_steps_two_daemons_send_each_notice_exactly_once",
    ),
}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    options = Options(keeper_seconds=1, minimal_backoff_seconds=2, queue_run_seconds=1, notice_address=None)
    with running(tmp_path_factory.mktemp("parts") / "box", options) as started:
        yield started


@pytest.fixture
def database(sandbox: Sandbox) -> Iterator[Database]:
    with contextlib.closing(sandbox.database()) as opened:
        yield opened


@contextlib.contextmanager
def without(sandbox: Sandbox, name: str) -> Iterator[None]:
    sandbox.programs[name].end()
    try:
        yield
    finally:
        sandbox.restart(name)


def content(sandbox: Sandbox, subject: str) -> bytes:
    return mail.html_message(sandbox.installation.login.address, ["you@example.net"], subject).as_bytes()


def transcript(database: Database, queue_id: str) -> Transcript | None:
    with database.reading() as session:
        message_id = transcript_queries.find_message(session, queue_id)
        return transcript_queries.load_transcript(session, message_id) if message_id else None


def recorded(database: Database, queue_id: str, *states: RecipientState) -> Transcript:
    """Its transcript, as soon as its recipients have these states."""

    def look() -> Transcript | None:
        found = transcript(database, queue_id)
        return found if found and [item.state for item in found.recipients] == list(states) else None

    return mail.wait_until(look, 30, f"{states} in the record")


def arrived(sandbox: Sandbox, address: str) -> bytes:
    folder = sandbox.installation.mail_folder
    mail.wait_until(lambda: mail.received_by(folder, address), 20, f"mail at {address}")
    (raw,) = mail.received_by(folder, address)
    return raw


def test_each_row_of_the_table_has_its_tests() -> None:
    table = ARCHITECTURE.read_text(encoding="utf-8").partition("## When a part is down")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)[1:]
    assert [row for row in rows if set(row) != {"-"}] == list(TESTED)
    for name in {name for both in TESTED.values() for name in both}:
        file, _, test = name.rpartition("::")
        tree = ast.parse((FOLDER / (file or Path(__file__).name)).read_text(encoding="utf-8"))
        assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, name


def test_without_the_milter_the_client_keeps_the_mail_and_the_record_has_the_refusal(
    sandbox: Sandbox, database: Database
) -> None:
    recipient = f"milter.down@{ACCEPT}"

    def refused() -> dict[int, str]:
        with database.reading() as session:
            return dict(session.execute(select(Refusal.id, Refusal.reply).where(Refusal.source == "postfix")).all())

    before = refused()
    with without(sandbox, "milter"):
        reply = send(sandbox, [recipient], content(sandbox, "Milter down"))
        assert reply.code in {451, 454}, reply  # 454 is what smtpd(8) says to STARTTLS after a 451 to EHLO
        found = mail.wait_until(lambda: refused().items() - before.items(), 20, "the refusal in the record")
    assert {words[:3] for _, words in found} == {"451"}
    queue_id, _ = send_until_accepted(sandbox, [recipient], content(sandbox, "Milter down"))
    recorded(database, queue_id, RecipientState.DELIVERED)
    arrived(sandbox, recipient)
    assert ledger.charges(database)[queue_id] == 1


def test_without_the_milter_between_the_passes_the_transcript_says_that_the_copies_wait(
    sandbox: Sandbox, database: Database
) -> None:
    made = sandbox.installation
    recipients = [f"pass{number}.down@{ACCEPT}" for number in range(2)]
    config = ["-c", str(made.postfix_config)]
    subprocess.run(["postconf", *config, "-e", "defer_transports=sendproof-split"], check=True, timeout=10)
    subprocess.run(["postfix", *config, "reload"], check=True, capture_output=True, timeout=10)
    try:
        reply = send(sandbox, recipients, content(sandbox, "Between the passes"))
        assert reply.accepted, reply
        with without(sandbox, "milter"):
            subprocess.run(["postconf", *config, "-X", "defer_transports"], check=True, timeout=10)
            subprocess.run(["postfix", *config, "reload"], check=True, capture_output=True, timeout=10)
            subprocess.run(["postqueue", *config, "-f"], check=True, timeout=10)

            def waiting() -> Transcript | None:
                found = transcript(database, reply.queue_id)
                tried = [item for item in found.recipients if item.attempts] if found else []
                return found if len(tried) == len(recipients) else None

            found = mail.wait_until(waiting, 30, "an attempt for each copy")
            assert {item.state for item in found.recipients} == {RecipientState.DEFERRED}
            assert all("451" in item.attempts[-1].reply for item in found.recipients)
    finally:
        subprocess.run(["postconf", *config, "-X", "defer_transports"], check=True, timeout=10)
        subprocess.run(["postfix", *config, "reload"], check=True, capture_output=True, timeout=10)
    subprocess.run(["postqueue", *config, "-f"], check=True, timeout=10)
    recorded(database, reply.queue_id, *[RecipientState.DELIVERED] * 2)
    assert all(len(received_copy.pixels(arrived(sandbox, address))) == 1 for address in recipients)


def test_without_the_logparser_mail_flows_and_the_record_catches_up(sandbox: Sandbox, database: Database) -> None:
    recipients = [f"reader{number}.down@{ACCEPT}" for number in range(5)]
    with without(sandbox, "logparser"):
        replies = [send(sandbox, [recipient], content(sandbox, "Reader down")) for recipient in recipients]
        assert all(reply.accepted for reply in replies)
        for recipient in recipients:
            arrived(sandbox, recipient)
        assert not any(transcript(database, reply.queue_id) for reply in replies)
    for reply in replies:
        recorded(database, reply.queue_id, RecipientState.DELIVERED)


def test_without_the_site_mail_flows_and_pixels_are_opened_when_it_is_back(
    sandbox: Sandbox, database: Database
) -> None:
    recipient = f"site.down@{ACCEPT}"
    agent = {"User-Agent": "Mozilla/5.0 (X11) Thunderbird/140"}
    with without(sandbox, "web"):
        reply = send(sandbox, [recipient], content(sandbox, "Site down"))
        assert reply.accepted, reply
        pixel = urllib.request.Request(received_copy.pixel_url(arrived(sandbox, recipient)), headers=agent)
        found = recorded(database, reply.queue_id, RecipientState.DELIVERED)
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(pixel, timeout=10)
    assert not found.recipients[0].opens
    with urllib.request.urlopen(pixel, timeout=10) as answer:
        assert answer.status == 200

    def opened() -> bool:
        fresh = transcript(database, reply.queue_id)
        return fresh is not None and len(fresh.recipients[0].opens) == 1

    mail.wait_until(opened, 20, "the open in the record")


def test_without_the_notices_mail_flows_and_each_is_sent_once_when_they_are_back(
    sandbox: Sandbox, database: Database
) -> None:
    reader, recipients = f"reader.notices@{ACCEPT}", [f"nobody{number}.down@{REFUSE}" for number in range(2)]
    with database.writing() as session:
        owner = session.scalars(select(Account).where(Account.login == sandbox.installation.login.login)).one()
        owner.notice_address = reader
    with without(sandbox, "notices"):
        replies: list[Reply] = [send(sandbox, [address], content(sandbox, "Notices down")) for address in recipients]
        for reply in replies:
            recorded(database, reply.queue_id, RecipientState.BOUNCED)
        assert not list(letters.letters(sandbox, reader))

    def told() -> list[str]:
        texts = [letters.text(letter) for letter in letters.letters(sandbox, reader)]
        return sorted(address for address in recipients for text in texts if address in text)

    mail.wait_until(lambda: len(told()) >= len(recipients), 40, "a notice of each")

    def all_sent() -> bool:
        with database.reading() as session:
            return set(session.scalars(select(Notice.state))) == {NoticeState.SENT}

    mail.wait_until(all_sent, 20, "an outbox without work")
    time.sleep(1)  # a second copy would come as quickly
    assert told() == recipients
