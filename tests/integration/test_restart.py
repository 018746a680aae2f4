"""The milter is stopped and started under load: clients are asked to wait at worst; no message is lost or doubled."""

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from sendproof_core.database import Database
from sendproof_testing import dkim_verifier, ledger, mail
from sendproof_testing.customers import add_customers
from sendproof_testing.installation import ACCEPT, PROVIDER_DOMAIN, Login
from sendproof_testing.sandbox import Sandbox
from sendproof_testing.sending import Reply, send_until_accepted

pytestmark = [pytest.mark.integration]

CLIENTS, MESSAGES, RESTARTS = 4, 15, 3


def content(sender: str, subject: str) -> bytes:
    return (
        f"From: {sender}\r\nTo: you@example.net\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
        "X-Sendproof-Track: yes\r\nContent-Type: text/html\r\n\r\n<html><body><p>Hello</p></body></html>\r\n"
    ).encode()


def client(sandbox: Sandbox, login: Login, number: int) -> list[Reply]:
    """Every third message goes to two recipients and takes the way of copies; the replies other than 250."""
    refusals = []
    for message in range(MESSAGES):
        recipients = [f"restart{number}.{message}.{index}@{ACCEPT}" for index in range(1 + (message % 3 == 0))]
        sent = content(login.address, f"{number}/{message}")
        refusals += send_until_accepted(sandbox, recipients, sent, login=login)[1]
    return refusals


@contextlib.contextmanager
def restarts(sandbox: Sandbox) -> Iterator[None]:
    """SIGTERM and a new start, a few times."""
    done = threading.Event()

    def again_and_again() -> None:
        for _ in range(RESTARTS):
            time.sleep(0.7)
            sandbox.restart("milter")
        done.set()

    thread = threading.Thread(target=again_and_again)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert done.is_set()


def test_restarts_under_load_lose_no_message_and_double_none(sandbox: Sandbox, database: Database) -> None:
    (customer,) = add_customers(sandbox, database, 1)
    folder = sandbox.installation.mail_folder
    expected = {
        f"restart{number}.{message}.{index}@{ACCEPT}"
        for number in range(CLIENTS)
        for message in range(MESSAGES)
        for index in range(1 + (message % 3 == 0))
    }
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(client, sandbox, customer.login, number) for number in range(CLIENTS)]
        with restarts(sandbox):
            pass
        refusals = [reply for future in clients for reply in future.result()]
    # At worst, and never a broken connection; 454 is what Postfix says to STARTTLS and AUTH then (smtpd.c).
    assert {reply.code for reply in refusals} <= {451, 454}, refusals
    received: dict[str, bytes] = {}

    def all_there() -> bool:
        for address in expected - set(received):
            copies = mail.received_by(folder, address)
            if copies:
                received[address] = copies[0]
        return set(received) == expected

    mail.wait_until(all_there, 60, f"{len(expected)} mails")
    charges = ledger.settle(sandbox, customer.name, customer.account_id)
    assert sum(charges.values()) == len(expected)
    assert all(len(mail.received_by(folder, address)) == 1 for address in expected)
    assert not dkim_verifier.failed_signatures(received, sandbox.installation.public_keys, [PROVIDER_DOMAIN])
