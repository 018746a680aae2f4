"""kill -9 under load: nothing accepted is lost, nothing is recorded twice, the record equals what the mail log says."""

import contextlib
import os
import random
import signal
import smtplib
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from sendproof_testing import dkim_verifier, mail, oracle
from sendproof_testing.installation import ACCEPT, REFUSE
from sendproof_testing.sandbox import Sandbox, running

pytestmark = [pytest.mark.integration]

CLIENTS = 4
MESSAGES = 40


class Load:
    """Clients that submit until all was accepted, trying again after a 4xx, as a mail client would."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.accepted: list[str] = []
        self.tried_again = 0
        self._lock = threading.Lock()

    def run(self) -> None:
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(self._client, range(CLIENTS)))

    def _client(self, client: int) -> None:
        for number in range(MESSAGES):
            domain = REFUSE if number % 10 == 9 else ACCEPT
            self._until_accepted(f"c{client}m{number}@{domain}")

    def _until_accepted(self, recipient: str) -> None:
        for _ in range(200):
            with contextlib.suppress(smtplib.SMTPException, OSError):
                mail.submit(self._sandbox, [recipient], subject=recipient)
                with self._lock:
                    self.accepted.append(recipient)
                return
            with self._lock:
                self.tried_again += 1
            time.sleep(0.05)
        raise AssertionError(f"{recipient} was never accepted")


def workers_of(pid: int) -> list[int]:
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in done.stdout.split()]


def record_equals_log(sandbox: Sandbox) -> None:
    """Waits until the reader has caught up, then compares everything."""
    maillog = sandbox.installation.maillog
    database = sandbox.database()
    try:
        expected = len(oracle.attempts_in_log(maillog))
        attempts: oracle.Attempts = {}
        states: dict[tuple[str, str], str] = {}

        def caught_up() -> bool:
            nonlocal attempts, states
            attempts = oracle.attempts_in_log(maillog)
            if oracle.attempts_in_record(database) != attempts:
                return False
            states = oracle.states_in_record(database)
            # Notices to the sender are being written all the time: only what stood still can be compared.
            return oracle.attempts_in_log(maillog) == attempts

        mail.wait_until(caught_up, 60, f"{expected} recipients in the record as in the log")
        for key, state in oracle.expected_states(attempts).items():
            assert states[key] == state, key
        # Whoever is in the record without a status line belongs to a message that Postfix never queued.
        queued = oracle.queue_ids_in_log(maillog)
        for (queue_id, recipient), state in states.items():
            if (queue_id, recipient) not in attempts:
                assert queue_id not in queued
                assert state == "cancelled", (queue_id, recipient)
    finally:
        database.close()


def all_final(sandbox: Sandbox, count: int) -> None:
    """Waits until the log has a final status line for so many recipients that clients handed in."""
    maillog = sandbox.installation.maillog

    def enough() -> bool:
        final = [
            key for key, statuses in oracle.attempts_in_log(maillog).items()
            if statuses[-1] != "deferred" and key[1].startswith("c")
        ]  # fmt: skip
        return len(final) >= count

    mail.wait_until(enough, 120, f"{count} final status lines")


def charged_once(sandbox: Sandbox) -> None:
    """Every message that Postfix queued for the account was charged, and once.

    A worker that is killed between its charge and its reply leaves a charge without a message: those are not looked
    at here.
    """
    database = sandbox.database()
    with database.reading() as session:
        rows = session.execute(text("SELECT queue_id, count(*) AS charged FROM charges GROUP BY queue_id")).all()
        charges = {row.queue_id: row.charged for row in rows}
    database.close()
    maillog = sandbox.installation.maillog
    ours = {queue_id for queue_id, recipient in oracle.attempts_in_log(maillog) if recipient.startswith("c")}
    assert {queue_id: charges.get(queue_id, 0) for queue_id in ours} == dict.fromkeys(ours, 1)


def test_a_killed_milter_worker_loses_no_message_and_charges_none_twice(own_folder: Path) -> None:
    with running(own_folder) as sandbox:
        load = Load(sandbox)
        thread = threading.Thread(target=load.run)
        thread.start()
        killed = 0
        chance = random.Random(7)
        while thread.is_alive():
            thread.join(chance.uniform(0.1, 0.5))
            workers = workers_of(sandbox.programs["milter"].process.pid)
            if thread.is_alive() and workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chance.choice(workers), signal.SIGKILL)
                    killed += 1
        assert killed >= 3
        assert len(load.accepted) == CLIENTS * MESSAGES
        all_final(sandbox, CLIENTS * MESSAGES)
        record_equals_log(sandbox)
        made = sandbox.installation
        charged_once(sandbox)
        for recipient in load.accepted:
            if recipient.endswith(ACCEPT):
                copies = mail.received_by(made.mail_folder, recipient)
                assert copies, recipient
                # Nothing went out unsigned, whatever happened to the workers.
                assert all(raw.count(b"\nDKIM-Signature:") == 2 for raw in copies), recipient
        last = [recipient for recipient in load.accepted if recipient.endswith(ACCEPT)][-1]
        raw = mail.received_by(made.mail_folder, last)[0]
        assert [verdict.passed for verdict in dkim_verifier.verify(raw, made.public_keys)] == [True, True]


def test_a_killed_logparser_loses_no_row_and_doubles_none(own_folder: Path) -> None:
    with running(own_folder) as sandbox:
        load = Load(sandbox)
        thread = threading.Thread(target=load.run)
        thread.start()
        killed = 0
        chance = random.Random(11)
        while thread.is_alive():
            thread.join(chance.uniform(0.3, 1.2))
            program = sandbox.programs["logparser"]
            program.process.kill()
            program.process.wait()
            killed += 1
            sandbox.restart("logparser")
        assert killed >= 3
        all_final(sandbox, CLIENTS * MESSAGES)
        record_equals_log(sandbox)
