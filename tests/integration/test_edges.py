"""Several edges on one PostgreSQL: quotas are exact; an edge that dies and a database that is away lose nothing.

``OUTAGE_SECONDS`` in the environment: how long the database is away; ``EDGES_SEED``: other chances.
"""

import contextlib
import os
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from sendproof_core import clock, directory, notice_choices, transcript_queries
from sendproof_core.database import Database
from sendproof_core.links import LinkKind
from sendproof_core.notice_choices import NoticeChoices
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Notice, Refusal
from sendproof_core.states import Digest, NoticeState, RecipientState
from sendproof_core.transcripts import Transcript
from sendproof_testing import edge_ledger, letters, mail
from sendproof_testing.customers import Customer
from sendproof_testing.edges import Edge, Edges, running_edges
from sendproof_testing.installation import ACCEPT, REFUSE, Login, Options
from sendproof_testing.postgres import Cluster
from sendproof_testing.sending import Reply, send

pytestmark = [pytest.mark.integration, pytest.mark.postgres]

EDGES = 3
LIMIT, CLIENTS, MESSAGES = 31, 4, 8
OUTAGE_SECONDS = float(os.environ.get("OUTAGE_SECONDS", "8"))
SEED = int(os.environ.get("EDGES_SEED", "6"))
SNAPSHOT_SECONDS = 20


@pytest.fixture(scope="module")
def edges(postgres_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edges]:
    options = Options(keeper_seconds=1, minimal_backoff_seconds=1, queue_run_seconds=1, notice_address=None)
    folder = tmp_path_factory.mktemp("edges")
    with postgres_cluster.empty_database() as url, running_edges(folder, url, EDGES, options) as started:
        yield started


@pytest.fixture
def database(edges: Edges) -> Iterator[Database]:
    with contextlib.closing(edges.database()) as opened:
        yield opened


@pytest.fixture
def customer(edges: Edges, database: Database) -> Customer:
    return edges.add_customers(database, 1)[0]


def content(sender: str) -> bytes:
    return f"From: {sender}\r\nTo: you@example.net\r\nSubject: Edges\r\n\r\nHello\r\n".encode()


def submit(edge: Edge, login: Login, *recipients: str) -> Reply:
    return send(edge, recipients, content(login.address), login=login)


class Load:
    """Patient clients on each of these edges, until they are told to stop: what was accepted and what put off."""

    def __init__(self, edges: Sequence[Edge], customer: Customer) -> None:
        self._customer = customer
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(2 * len(edges))
        self.accepted: dict[str, list[str]] = {edge.host: [] for edge in edges}
        self.put_off: dict[str, list[Reply]] = {edge.host: [] for edge in edges}
        self._clients = [self._pool.submit(self._run, edge, number) for edge in edges for number in range(2)]

    def wait_for(self, count: int, *hosts: str) -> None:
        """Until so many more were accepted on each of these edges."""
        wanted = {host: len(self.accepted[host]) + count for host in hosts or self.accepted}
        mail.wait_until(
            lambda: all(len(self.accepted[host]) >= least for host, least in wanted.items()), 60, f"{count} more mails"
        )

    def stop(self) -> None:
        """No new message; each that was begun is tried until it is accepted."""
        self._stopping.set()
        for client in self._clients:
            client.result()
        self._pool.shutdown()

    def _run(self, edge: Edge, number: int) -> None:
        name = f"{self._customer.name}.{edge.host.partition('.')[0]}.{number}"
        count = 0
        while not self._stopping.is_set():
            count += 1
            recipient = f"{name}.{count}@{REFUSE if count % 10 == 9 else ACCEPT}"
            while not (reply := submit(edge, self._customer.login, recipient)).accepted:
                assert reply.temporary, reply
                self.put_off[edge.host].append(reply)
                time.sleep(0.1)
            self.accepted[edge.host].append(recipient)
            time.sleep(0.1)  # the machine's processors are for the edges


@contextlib.contextmanager
def load(edges: Sequence[Edge], customer: Customer) -> Iterator[Load]:
    running = Load(edges, customer)
    try:
        yield running
    finally:
        running.stop()


def all_arrived(edges: Edges, recipients: Sequence[str]) -> None:
    """Every mail that was accepted is in the receiving server's mailbox, or was refused by it."""
    folder = edges[0].installation.mail_folder
    wanted = {recipient for recipient in recipients if recipient.endswith(ACCEPT)}

    def missing() -> set[str]:
        found = re.findall(rb"^Delivered-To: (\S+)", b"\n".join(mail.received(folder)), re.MULTILINE)
        return wanted - {address.decode() for address in found}

    mail.wait_until(lambda: not missing(), 60, "every mail that was accepted")


@pytest.mark.parametrize("count", [2, 3])
def test_clients_on_all_edges_together_get_exactly_the_limit(
    edges: Edges, database: Database, customer: Customer, count: int
) -> None:
    customer.limit(QuotaLimits(recipients_per_day=LIMIT))
    used = list(edges)[:count]

    def client(edge: Edge, number: int) -> list[Reply]:
        replies = []
        for message in range(MESSAGES):
            name = f"{customer.name}.{edge.host.partition('.')[0]}.{number}.{message}"
            recipients = [f"{name}.{index}@{ACCEPT}" for index in range(1 + message % 2)]
            replies.append(submit(edge, customer.login, *recipients))
        return replies

    with ThreadPoolExecutor(count * CLIENTS) as pool:
        running = [pool.submit(client, edge, number) for edge in used for number in range(CLIENTS)]
        replies = [reply for future in running for reply in future.result()]
    # What a message for two left over; then nothing fits on any edge.
    replies += [submit(edge, customer.login, f"{customer.name}.last@{ACCEPT}") for edge in (*used, *used)]
    refused = [reply for reply in replies if not reply.accepted]
    assert {reply.code for reply in refused} == {550}, refused
    assert all("Plan limit reached" in reply.text for reply in refused)
    charges = edge_ledger.settle(database, edges.maillogs, customer.login.address, customer.account_id)
    assert sum(charges.values()) == LIMIT
    assert set(charges) == {reply.queue_id for reply in replies if reply.accepted}
    assert customer.charged == LIMIT

    def refusals() -> int:
        with database.reading() as session:
            return len(session.scalars(select(Refusal).where(Refusal.login == customer.name)).all())

    mail.wait_until(lambda: refusals() == len(refused), 20, "every refusal in the record")


def test_what_people_decide_reaches_all_edges(edges: Edges, customer: Customer, database: Database) -> None:
    assert all(submit(edge, customer.login, f"{customer.name}.1@{ACCEPT}").accepted for edge in edges)
    new = Login(f"{customer.name}-phone", "e1c5b2a9f0d34788", customer.login.address)
    customer.change(
        lambda session, account: directory.add_credential(
            session, account, login=new.login, label="Phone", secret=new.password, now=clock.now()
        )
    )
    edges.sync_credentials()

    def all_accept() -> bool:
        return all(submit(edge, new, f"{customer.name}.2@{ACCEPT}").accepted for edge in edges)

    mail.wait_until(all_accept, SNAPSHOT_SECONDS, "the new login on all edges")
    customer.change(lambda _session, account: directory.suspend(account, "Unpaid since June", clock.now()))

    def all_refuse() -> bool:
        replies = [submit(edge, new, f"{customer.name}.3@{ACCEPT}") for edge in edges]
        return all((reply.code, "suspended" in reply.text) == (550, True) for reply in replies)

    mail.wait_until(all_refuse, SNAPSHOT_SECONDS, "the suspension on all edges")
    edge_ledger.settle(database, edges.maillogs, customer.login.address, customer.account_id)


def test_an_edge_that_is_killed_completes_its_record_when_it_is_back_and_the_others_go_on(
    edges: Edges, customer: Customer, database: Database
) -> None:
    *others, victim = edges
    with load(list(edges), customer) as running:
        running.wait_for(8)
        time.sleep(random.Random(SEED).uniform(0, 0.5))
        victim.kill()
        running.wait_for(15, *(edge.host for edge in others))
        assert not submit(victim, customer.login, f"{customer.name}.dead@{ACCEPT}").accepted
        victim.revive()
        running.wait_for(5)
    assert not [reply for edge in others for reply in running.put_off[edge.host]]
    assert running.put_off[victim.host]
    accepted = [recipient for recipients in running.accepted.values() for recipient in recipients]
    all_arrived(edges, accepted)
    states = edge_ledger.record_equals_logs(database, edges.maillogs)
    finals = {address: state for (_, address), state in states.items() if address in set(accepted)}
    assert finals.keys() == set(accepted)
    assert {state for address, state in finals.items() if address.endswith(ACCEPT)} == {"delivered"}
    # Of a message whose reply was on its way, the client sent another; each is charged, and nothing else is.
    charges = edge_ledger.settle(database, edges.maillogs, customer.login.address, customer.account_id)
    assert len(accepted) <= sum(charges.values()) <= len(accepted) + 2


def test_the_database_away_under_load_loses_nothing_and_charges_are_exact_afterwards(
    edges: Edges, customer: Customer, database: Database
) -> None:
    """The first edge puts mail off, the second lets it out and charges it later, as each is told to."""
    patient, generous, _ = edges
    with (
        generous.setting('quota_when_unavailable = "tempfail"', 'quota_when_unavailable = "accept"', "milter"),
        load([patient, generous], customer) as running,
    ):
        running.wait_for(5)
        snapshot_of(generous)
        with edges.database_away():
            time.sleep(0.5)  # what was on its way
            before = {host: len(accepted) for host, accepted in running.accepted.items()}
            time.sleep(OUTAGE_SECONDS)
            after = {host: len(accepted) for host, accepted in running.accepted.items()}
        running.wait_for(5)
        accepted = [recipient for recipients in running.accepted.values() for recipient in recipients]
    assert after[patient.host] == before[patient.host]
    assert after[generous.host] >= before[generous.host] + 3
    assert {reply.code for reply in running.put_off[patient.host]} == {451}
    assert not running.put_off[generous.host]
    accepted = [recipient for recipients in running.accepted.values() for recipient in recipients]
    all_arrived(edges, accepted)
    edge_ledger.record_equals_logs(database, edges.maillogs)
    charges = edge_ledger.settle(database, edges.maillogs, customer.login.address, customer.account_id)
    assert sum(charges.values()) == len(accepted)


def snapshot_of(edge: Edge) -> None:
    """Until the edge's keeper has written everything down that is known now."""
    path, now = edge.installation.home / "directory.snapshot", clock.now().timestamp()
    mail.wait_until(lambda: path.exists() and path.stat().st_mtime > now, SNAPSHOT_SECONDS, "a snapshot")


def test_an_edge_without_a_way_to_the_database_puts_its_mail_off_and_the_others_do_not_notice(
    edges: Edges, database: Database
) -> None:
    """No word from the network: not a refused connection, as when the server is down.

    Each edge with an account of its own: a transaction that is cut off keeps an account's ledger locked until the
    server ends it.
    """
    *others, lonely = edges
    customers = edges.add_customers(database, 2)
    with load(others, customers[0]) as going_on, load([lonely], customers[1]) as waiting:
        waiting.wait_for(3)
        with lonely.partitioned():
            going_on.wait_for(15)
            mail.wait_until(lambda: waiting.put_off[lonely.host], 60, "a 451")
        waiting.wait_for(3)
    assert {reply.code for reply in waiting.put_off[lonely.host]} == {451}
    assert not any(going_on.put_off.values())
    edge_ledger.record_equals_logs(database, edges.maillogs)
    for customer, running in zip(customers, (going_on, waiting), strict=True):
        charges = edge_ledger.settle(database, edges.maillogs, customer.login.address, customer.account_id)
        assert sum(charges.values()) == sum(map(len, running.accepted.values()))


def transcript(database: Database, queue_id: str) -> Transcript | None:
    with database.reading() as session:
        message_id = transcript_queries.find_message(session, queue_id)
        return transcript_queries.load_transcript(session, message_id) if message_id else None


def test_what_one_edge_hands_to_another_is_delivered_when_that_one_has_delivered_it(
    edges: Edges, customer: Customer, database: Database
) -> None:
    first, second, _ = edges
    edges.relay_domain(first, second, "far.example")
    far, near = f"{customer.name}@far.example", f"near.{customer.name}@{ACCEPT}"
    second.programs["logparser"].end()
    try:
        reply = submit(first, customer.login, far, near)
        assert reply.accepted, reply

        def states() -> dict[str, RecipientState]:
            found = transcript(database, reply.queue_id)
            return {item.address: item.state for item in found.recipients} if found else {}

        mail.wait_until(lambda: mail.received_by(edges[0].installation.mail_folder, far), 20, "mail by two edges")
        mail.wait_until(lambda: states().get(near) is RecipientState.DELIVERED, 20, "the near one in the record")
        # What became of it after the hop, nobody has read yet.
        assert states()[far] in {RecipientState.QUEUED, RecipientState.UNKNOWN}
    finally:
        second.restart("logparser")
    mail.wait_until(lambda: states()[far] is RecipientState.DELIVERED, 30, "the far one in the record")
    found = transcript(database, reply.queue_id)
    assert found is not None
    (way,) = (item for item in found.recipients if item.address == far)
    assert [(hop.kind, hop.host) for hop in way.hops] == [(LinkKind.RELAY, second.host)]
    last = way.attempts[-1]
    assert (last.host, second.address in last.relay) == (second.host, False)
    assert last.dialogue
    # It was submitted once, and the other edge charges nobody.
    own_log = [first.installation.maillog]
    assert edge_ledger.settle(database, own_log, customer.login.address, customer.account_id) == {reply.queue_id: 2}


def prefer_failures(database: Database, account_id: int) -> None:
    chosen = dict.fromkeys(("delivered", "deferred", "opened", "plan_use"), False)
    with database.writing() as session:
        choices = NoticeChoices(deferred_after_minutes=1, digest=Digest.NONE, failed=True, **chosen)
        notice_choices.save(session, account_id, choices, clock.now())


def test_notices_on_two_hosts_send_each_mail_once(edges: Edges, customer: Customer, database: Database) -> None:
    reader = f"reader.{customer.name}@{ACCEPT}"

    def told(_session: object, account: object) -> None:
        account.notice_address = reader  # type: ignore[attr-defined] # an Account

    customer.change(told)
    prefer_failures(database, customer.account_id)
    names = [f"nobody{number}.{customer.name}@{REFUSE}" for number in range(4)]
    edges[1].start_more("notices")
    try:
        for number, name in enumerate(names):
            assert submit(edges[number % EDGES], customer.login, name).accepted

        def told_of() -> Counter[str]:
            found = [letters.text(letter) for letter in letters.letters(edges[0], reader)]
            return Counter(name for name in names for text in found if name in text)

        mail.wait_until(lambda: set(told_of()) == set(names), 40, "a notice of each refusal")

        def is_all_sent() -> bool:
            with database.reading() as session:
                return {row.state for row in session.scalars(select(Notice))} == {NoticeState.SENT}

        mail.wait_until(is_all_sent, 20, "an outbox without work")
        time.sleep(1)  # a second copy would come as quickly
        assert told_of() == Counter(names)
    finally:
        edges[1].programs.pop("notices").end()
