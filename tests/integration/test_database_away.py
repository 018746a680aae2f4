"""The database away: mail is put off or goes out from the snapshot, as the provider chose; nothing is lost or free."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from psycopg import sql
from pysqlite3 import dbapi2 as sqlite_driver
from sqlalchemy import make_url

from sendproof_core import clock, directory, transcript_queries
from sendproof_core.states import RecipientState
from sendproof_testing import dkim_verifier, ledger, mail, received_copy
from sendproof_testing.customers import Customer, add_customers
from sendproof_testing.installation import ACCEPT, PROVIDER_DOMAIN, Options
from sendproof_testing.postgres import Cluster
from sendproof_testing.sandbox import Sandbox, running
from sendproof_testing.sending import Reply, send

pytestmark = [pytest.mark.integration]

Away = Callable[[], contextlib.AbstractContextManager[None]]


@dataclass(frozen=True)
class Provider:
    """A sandbox whose database can be taken away; two customers that have not sent anything, one of them suspended."""

    sandbox: Sandbox
    away: Away
    customer: Customer
    suspended: Customer
    # Whether not even the directory can be read
    wholly: bool


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Somebody holds SQLite's one write lock."""
    with contextlib.closing(sqlite_driver.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@contextlib.contextmanager
def closed(cluster: Cluster, name: str) -> Iterator[None]:
    """PostgreSQL ends every connection to a database and takes no new one."""
    database = sql.Identifier(name)
    cluster._execute(sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false").format(database))
    ended = sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}")
    cluster._execute(ended.format(sql.Literal(name)))
    try:
        yield
    finally:
        cluster._execute(sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS true").format(database))


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def provider(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with contextlib.ExitStack() as stack:
        cluster: Cluster | None = None
        url = None
        if request.param == "postgresql":
            cluster = request.getfixturevalue("postgres_cluster")
            url = stack.enter_context(cluster.empty_database())
        folder = tmp_path_factory.mktemp("away") / "box"
        sandbox = stack.enter_context(running(folder, Options(database_url=url, keeper_seconds=1)))
        database = sandbox.database()
        stack.callback(database.close)
        customer, suspended = add_customers(sandbox, database, 2)
        suspended.change(lambda _session, account: directory.suspend(account, "Unpaid since June", clock.now()))
        snapshot, now = sandbox.installation.home / "directory.snapshot", clock.now().timestamp()
        mail.wait_until(lambda: snapshot.exists() and snapshot.stat().st_mtime > now, 10, "a snapshot with all that")

        def away() -> contextlib.AbstractContextManager[None]:
            if cluster is not None:
                return closed(cluster, str(make_url(sandbox.installation.database_url).database))
            return locked(sandbox.installation.home / "sendproof.db")

        yield Provider(sandbox, away, customer, suspended, wholly=cluster is not None)


def content(sender: str, fields: str = "") -> bytes:
    return (
        f"From: {sender}\r\nTo: you@example.net\r\nSubject: Away\r\n{fields}MIME-Version: 1.0\r\n"
        "Content-Type: text/html\r\n\r\n<html><body><p>Hello</p></body></html>\r\n"
    ).encode()


def submit(provider: Provider, customer: Customer, local_part: str) -> Reply:
    recipient = f"{customer.name}.{local_part}@{ACCEPT}"
    return send(provider.sandbox, [recipient], content(customer.login.address), login=customer.login)


def at_once(*acts: Callable[[], Reply]) -> list[Reply]:
    """All of them wait for the same lock."""
    with ThreadPoolExecutor(len(acts)) as pool:
        return [future.result() for future in [pool.submit(act) for act in acts]]


def refused_as_suspended(reply: Reply) -> bool:
    return (reply.code, reply.text) == (550, "5.7.1 This account is suspended: Unpaid since June")


def delivered(provider: Provider, queue_id: str) -> bool:
    database = provider.sandbox.database()
    try:
        with database.reading() as session:
            message_id = transcript_queries.find_message(session, queue_id)
            found = transcript_queries.load_transcript(session, message_id) if message_id else None
        return found is not None and {item.state for item in found.recipients} == {RecipientState.DELIVERED}
    finally:
        database.close()


def test_with_tempfail_mail_stays_with_its_client_until_the_database_is_back(provider: Provider) -> None:
    customer, folder = provider.customer, provider.sandbox.installation.mail_folder
    with provider.away():
        put_off, refused = at_once(
            lambda: submit(provider, customer, "early"), lambda: submit(provider, provider.suspended, "early")
        )
    assert (put_off.code, put_off.text[:5]) == (451, "4.7.1")
    assert "nothing was sent or counted" in put_off.text
    assert refused_as_suspended(refused)
    reply = submit(provider, customer, "later")
    assert reply.accepted, reply
    mail.wait_until(lambda: delivered(provider, reply.queue_id), 20, "the mail in the record")
    assert ledger.settle(provider.sandbox, customer.name, customer.account_id) == {reply.queue_id: 1}
    assert not mail.received_by(folder, f"{customer.name}.early@{ACCEPT}")
    assert provider.suspended.charged == 0


def test_with_accept_mail_goes_out_signed_and_is_charged_when_the_database_is_back(provider: Provider) -> None:
    customer, sandbox = provider.customer, provider.sandbox
    made = sandbox.installation
    settings = made.config.read_text()
    made.config.write_text(settings.replace('quota_when_unavailable = "tempfail"', 'quota_when_unavailable = "accept"'))
    sandbox.restart("milter")
    charged_before = customer.charged
    copies = [f"{customer.name}.copy{number}@{ACCEPT}" for number in range(2)]
    message = content(customer.login.address, "X-Sendproof-Track: yes\r\n")
    with provider.away():
        accepted, refused = at_once(
            lambda: send(sandbox, copies, message, login=customer.login),
            lambda: submit(provider, provider.suspended, "one"),
        )
        assert accepted.accepted, accepted
        assert refused_as_suspended(refused)

        def arrived() -> dict[str, bytes] | None:
            found = {address: mail.received_by(made.mail_folder, address) for address in copies}
            return {address: raw[0] for address, raw in found.items()} if all(found.values()) else None

        received = mail.wait_until(arrived, 20, "all mail while the database is away")
    assert all(len(received_copy.pixels(raw)) == 1 for raw in received.values())
    assert not dkim_verifier.failed_signatures(received, made.public_keys, [PROVIDER_DOMAIN])
    mail.wait_until(lambda: delivered(provider, accepted.queue_id), 30, "the mail in the record")
    charges = ledger.settle(sandbox, customer.name, customer.account_id)
    assert charges[accepted.queue_id] == 2
    assert customer.charged == charged_before + 2
    assert provider.suspended.charged == 0
    log = sandbox.programs["milter"].log.read_text()
    assert ("event=directory-from-snapshot" in log) == provider.wholly
    mail.wait_until(lambda: "charged_late=1" in sandbox.programs["milter"].log.read_text(), 10, "the keeper's word")
