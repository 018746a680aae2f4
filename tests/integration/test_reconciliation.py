"""kill -9 of the milter's workers at every step: in the end each recipient that Postfix took is charged, no other."""

import contextlib
import os
import random
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from sendproof_core.plans import QuotaLimits
from sendproof_testing import dying_milter, ledger, mail, milter_processes, received_copy
from sendproof_testing.customers import Customer, add_customers
from sendproof_testing.installation import ACCEPT, Options
from sendproof_testing.sandbox import Sandbox, running
from sendproof_testing.sending import Reply, send, send_until_accepted

pytestmark = [pytest.mark.integration]

LIMIT, CLIENTS, MESSAGES = 24, 6, 6
# Steps at which a charge stands and no reply was given.
CHARGED = 5


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def deadly(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox whose milter's workers die where a Subject says."""
    with contextlib.ExitStack() as stack:
        url = None
        if request.param == "postgresql":
            url = stack.enter_context(request.getfixturevalue("postgres_cluster").empty_database())
        options = Options(
            database_url=url, keeper_seconds=1, minimal_backoff_seconds=1, queue_run_seconds=1, notice_address=None
        )
        sandbox = stack.enter_context(running(tmp_path_factory.mktemp("deadly") / "box", options))
        dying_milter.start_instead(sandbox, sandbox.installation.home / "marks")
        yield sandbox


def content(sender: str, subject: str) -> bytes:
    return (
        f"From: {sender}\r\nTo: you@example.net\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/html\r\n\r\n<html><body><p>Hello</p></body></html>\r\n"
    ).encode()


def test_a_worker_killed_at_any_step_loses_no_mail_doubles_none_and_leaves_the_charges_right(deadly: Sandbox) -> None:
    made = deadly.installation

    def submit(place: str) -> list[Reply]:
        copies = 3 if place.startswith("copy-") else 1
        recipients = [f"{place}.{number}@{ACCEPT}" for number in range(copies)]
        return send_until_accepted(deadly, recipients, content(made.login.address, f"die {place}"))[1]

    places = [*dying_milter.PLACES, *dying_milter.COPY_PLACES]
    with ThreadPoolExecutor(4) as pool:
        refused = dict(zip(places, pool.map(submit, places), strict=True))
    # Nothing was let through by a worker that died before its reply.
    for place in dying_milter.PLACES:
        assert refused[place] or place.startswith("reply-"), place
    expected = {f"{place}.{number}@{ACCEPT}" for place in places for number in range(3 if "copy-" in place else 1)}

    def all_arrived() -> bool:
        return {
            dict(received_copy.fields(raw))["Delivered-To"].decode() for raw in mail.received(made.mail_folder)
        } == expected

    mail.wait_until(all_arrived, 60, "every recipient's mail")
    charges = ledger.settle(deadly)

    def taken_back() -> int:
        log = deadly.programs["milter"].log.read_text()
        return sum(map(int, re.findall(r"event=reconciled taken_back=(\d+)", log)))

    mail.wait_until(lambda: taken_back() >= CHARGED, 10, "the keeper's word that it took charges back")
    assert sum(charges.values()) == len(expected)
    assert len(mail.received(made.mail_folder)) == len(expected)
    assert all(len(received_copy.pixels(raw)) == 1 for raw in mail.received(made.mail_folder))
    marks = {path.name.removeprefix("die-") for path in (made.home / "marks").iterdir()}
    assert marks == set(places)


def test_clients_get_exactly_the_limit_while_workers_are_killed(deadly: Sandbox) -> None:
    database = deadly.database()
    (customer,) = add_customers(deadly, database, 1)
    customer.limit(QuotaLimits(recipients_per_day=LIMIT))
    accepted: list[Reply] = []

    def client(number: int) -> None:
        for message in range(MESSAGES):
            reply = submit(deadly, customer, f"c{number}m{message}")
            if reply.accepted:
                accepted.append(reply)
            else:
                # A charge of a worker that died may stand in the way until the record was heard.
                assert reply.temporary or (reply.code == 550 and "Plan limit reached" in reply.text), reply

    killed = 0
    chance = random.Random(5)
    keeper = milter_processes.keeper(deadly)
    assert keeper is not None
    os.kill(keeper, signal.SIGKILL)
    with ThreadPoolExecutor(CLIENTS) as pool:
        running_clients = [pool.submit(client, number) for number in range(CLIENTS)]
        while not all(future.done() for future in running_clients):
            time.sleep(chance.uniform(0.05, 0.4))
            killed += kill_one(deadly, chance)
        for future in running_clients:
            future.result()
    assert killed >= 3
    # What was taken back is free again, to the last recipient.
    for number in range(10 * LIMIT):
        reply = submit(deadly, customer, f"last{number}")
        if reply.accepted:
            accepted.append(reply)
        elif reply.code == 550:
            if not ledger.unsettled(database, customer.account_id):
                break
            time.sleep(0.5)
    log = deadly.installation.maillog
    assert len(accepted) <= LIMIT
    mail.wait_until(lambda: not ledger.unsettled(database, customer.account_id), 20, "all charges confirmed")
    assert ledger.charges(database, customer.account_id) == ledger.accepted(log, customer.name)
    assert customer.charged == LIMIT
    assert submit(deadly, customer, "one-more").code == 550
    database.close()


def submit(sandbox: Sandbox, customer: Customer, local_part: str) -> Reply:
    recipient = f"{customer.name}.{local_part}@{ACCEPT}"
    return send(sandbox, [recipient], content(customer.login.address, local_part), login=customer.login)


def kill_one(sandbox: Sandbox, chance: random.Random) -> int:
    """SIGKILL to a worker; how many."""
    with contextlib.suppress(ProcessLookupError, IndexError):
        os.kill(chance.choice(milter_processes.workers(sandbox)), signal.SIGKILL)
        return 1
    return 0
