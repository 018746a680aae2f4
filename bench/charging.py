"""The ledger charged by the milters of several edges at once, and PostgreSQL's own pgbench beside it.

An edge is as many processes as its milter has workers, each with the threads that one has; what they charge is what a
message of one recipient is charged. Whether the use is exactly what was admitted is looked at each time.
"""

import contextlib
import multiprocessing
import multiprocessing.synchronize
import os
import random
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy import select, text

from sendproof_core import clock, directory, identity, schema_version
from sendproof_core.database import open_database
from sendproof_core.database_url import Program
from sendproof_core.plans import QuotaLimits, Windows, windows
from sendproof_core.schema import Account
from sendproof_milter.quota_store import ChargeRequest, QuotaStore
from sendproof_testing import postgres

# As the settings have them.
WORKERS, THREADS = 2, 8
MANY = 200
_ZONE = "UTC"
_PATIENCE_SECONDS = 300
_TABLE = "CREATE TABLE floor (account_id bigint PRIMARY KEY, recipients bigint NOT NULL)"
_FILL = "INSERT INTO floor SELECT account, 0 FROM generate_series(1, :accounts) AS account"
_UPDATE = """\\set account random(1, {accounts})
UPDATE floor SET recipients = recipients + 1 WHERE account_id = :account AND recipients < 1000000000000;
"""
_TPS = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)
_barrier: multiprocessing.synchronize.Barrier


@dataclass(frozen=True)
class Charged:
    """``per_second``: charges that were made. ``error``: how many the use is away from what was admitted."""

    per_second: float
    error: int


@dataclass(frozen=True)
class _Job:
    """What one worker process does."""

    url: str
    host: str
    accounts: tuple[int, ...]
    charges: int
    limits: QuotaLimits


@dataclass(frozen=True)
class _Done:
    """When the first charge began and the last was made, by one clock for all processes; how many were admitted."""

    began: float
    ended: float
    admitted: int


def prepare(url: str) -> tuple[int, ...]:
    """Make the tables in an empty database, and accounts; their ids."""
    database = open_database(url)
    schema_version.upgrade(database)
    now = clock.now()
    with database.writing() as session:
        directory.add_plan(session, "bench", QuotaLimits())
        for number in range(MANY):
            directory.add_account(
                session,
                login=f"bench{number}",
                password_hash="",
                plan_name="bench",
                time_zone=_ZONE,
                tracking=False,
                notice_address=None,
                now=now,
            )
        session.execute(text(_TABLE))
        session.execute(text(_FILL), {"accounts": MANY})
        ids = tuple(session.scalars(select(Account.id)))
    database.close()
    return ids


class Chargers:
    """The worker processes of so many edges; close them."""

    def __init__(self, edges: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._count = edges * WORKERS
        barrier = context.Barrier(self._count, timeout=_PATIENCE_SECONDS)
        self._pool = context.Pool(self._count, _initialize, (barrier,))

    def charge(self, url: str, accounts: Sequence[int], charges: int, limit: int | None = None) -> Charged:
        """Let all charge these accounts, about so many times together; ``limit``: recipients a day of each."""
        before = used(url, accounts)
        each = -(-charges // self._count)
        limits = QuotaLimits(recipients_per_day=limit)
        jobs = [
            _Job(url, f"edge{1 + number // WORKERS}.relay.example", tuple(accounts), each, limits)
            for number in range(self._count)
        ]
        done = self._pool.map(_charge_together, jobs, chunksize=1)
        admitted = sum(one.admitted for one in done)
        seconds = max(one.ended for one in done) - min(one.began for one in done)
        after = used(url, accounts)
        expected = admitted if limit is None else len(accounts) * limit - before
        error = max(abs(after - before - admitted), abs(expected - admitted))
        return Charged(admitted / seconds, error)

    def __enter__(self) -> "Chargers":
        return self

    def __exit__(self, *_error: object) -> None:
        self._pool.terminate()
        self._pool.join()


def floor(url: str, edges: int, accounts: int, transactions: int) -> float:
    """Transactions a second of pgbench, each one conditional UPDATE, from as many clients as the edges have threads."""
    parsed = open_database(url).engine.url
    clients = edges * WORKERS * THREADS
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(_UPDATE.format(accounts=accounts))
        script.flush()
        command = [
            str(postgres.server_programs() / "pgbench"),
            "--no-vacuum",
            f"--file={script.name}",
            f"--client={clients}",
        ]
        command += ["--jobs=2", f"--transactions={-(-transactions // clients)}", f"--host={parsed.host}"]
        command += [f"--port={parsed.port}", f"--username={parsed.username}", str(parsed.database)]
        given = {**os.environ, "PGPASSWORD": parsed.password or ""}
        done = subprocess.run(command, env=given, capture_output=True, text=True, check=True, timeout=_PATIENCE_SECONDS)
    found = _TPS.search(done.stdout)
    assert found, done.stdout
    return float(found[1])


def _initialize(barrier: multiprocessing.synchronize.Barrier) -> None:
    global _barrier  # noqa: PLW0603 - one for each process's life, and it cannot be pickled with a job
    _barrier = barrier


def _charge_together(job: _Job) -> _Done:
    try:
        with _store(job.url) as store, ThreadPoolExecutor(THREADS) as threads:
            today = windows(clock.now(), _ZONE)
            store.read_up_to(job.host)  # a connection is there
            shares = [-(-job.charges // THREADS)] * THREADS
            _barrier.wait()
            began = time.perf_counter()
            admitted = sum(threads.map(lambda share: _charge(store, job, today, share), shares))
            return _Done(began, time.perf_counter(), admitted)
    except BaseException:
        _barrier.abort()
        raise


@contextlib.contextmanager
def _store(url: str) -> Iterator[QuotaStore]:
    database = open_database(url, Program.MILTER, connections=THREADS)
    try:
        yield QuotaStore(database)
    finally:
        database.close()


def _charge(store: QuotaStore, job: _Job, today: Windows, count: int) -> int:
    admitted = 0
    for number in range(count):
        now = clock.now()
        recipient = (f"anna{number % 100}@bench.example",)
        account = random.choice(job.accounts)  # noqa: S311 - no secret
        message_id = identity.new_message_id(now)
        request = ChargeRequest(account, message_id, job.host, "4Zbench", recipient, job.limits, today, now)
        admitted += store.charge(request) is None
    return admitted


def used(url: str, accounts: Sequence[int]) -> int:
    """Recipients by this day's use, which the charges must agree with."""
    database = open_database(url)
    wanted = {"accounts": list(accounts)}
    with database.reading() as session:
        use = text(
            "SELECT coalesce(sum(recipients), 0) FROM quota_use WHERE span = 'day' AND account_id = ANY(:accounts)"
        )
        charges = text("SELECT coalesce(sum(recipients), 0) FROM charges WHERE account_id = ANY(:accounts)")
        counted, charged = (int(session.scalar(query, wanted) or 0) for query in (use, charges))
    database.close()
    return counted if counted == charged else -1
