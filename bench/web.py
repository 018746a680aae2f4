"""The site over large records: whole pages from the program ``sendproof-web``, and pixels.

The records are made by `web_record`; what was measured is reported by `web_report`.
"""

import contextlib
import datetime as dt
import http.client
import random
import sys
import tempfile
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench import web_record, web_report
from bench.figures import Effort, Result
from bench.machine import this_machine
from bench.process_times import tree_cpu_seconds
from bench.web_record import Filled
from bench.web_report import Loaded, Pixels, Record, Report
from flask import Flask
from rich.progress import Progress
from sqlalchemy import func, select, text

from sendproof_core import clock, schema_version, settings, tokens
from sendproof_core.database import Database, open_database
from sendproof_core.errors import UserError
from sendproof_core.schema import Account, Attempt, Message, QueueFile, Recipient
from sendproof_core.secrets_store import SecretsStore
from sendproof_testing import postgres, processes
from sendproof_testing.ports import PortBlock
from sendproof_testing.postgres import Cluster
from sendproof_testing.visitor import Visitor
from sendproof_web import services, sessions
from sendproof_web.app import create_app

NAME = web_report.NAME
POSTGRESQL_SERVER = "postgresql"
SMALLER, PIXELS = "smaller-record", "pixels"
# What a run can do without.
OPTIONAL = (POSTGRESQL_SERVER, SMALLER, PIXELS)
_SMALLER = 10
_REQUESTS = 60
_FEW = 5
_WARM_UP = 3
_PIXELS = 4_000
_CONNECTIONS = 8
_PROGRAMS = Path(sys.executable).parent
_START_SECONDS = 60.0


def measure(effort: Effort, progress: Progress) -> Result:
    """Fill each database, a tenth of it and all, and read pages of both."""
    sizes = [effort.recipients] if SMALLER in effort.without else [effort.recipients // _SMALLER, effort.recipients]
    pages: dict[Record, dict[str, Loaded]] = {}
    pixels: Pixels | None = None
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sendproof-bench-")))
        bench = _Bench(folder, effort, progress)
        with_server = POSTGRESQL_SERVER not in effort.without
        cluster = (
            stack.enter_context(postgres.running_cluster((*postgres.FAST, "max_locks_per_transaction=256")))
            if with_server
            else None
        )
        for name, opened in _databases(folder, cluster).items():
            for size in sizes:
                with opened() as url:
                    record, found, measured = bench.one(name, url, size)
                    pages[record], pixels = found, measured or pixels
    report = Report(pages, pixels, this_machine(()), clock.now())
    return Result(NAME, report.figures(), report.markdown())


def _databases(
    folder: Path, cluster: Cluster | None
) -> dict[str, Callable[[], contextlib.AbstractContextManager[str]]]:
    @contextlib.contextmanager
    def in_sqlite() -> Iterator[str]:
        path = folder / "record.db"
        yield f"sqlite:///{path}"
        for file in folder.glob(f"{path.name}*"):
            file.unlink()

    found: dict[str, Callable[[], contextlib.AbstractContextManager[str]]] = {"SQLite": in_sqlite}
    if cluster is not None:
        found["PostgreSQL"] = cluster.empty_database
    return found


@dataclass(frozen=True)
class _Bench:
    """Where it happens, how much is asked for, and who is told."""

    folder: Path
    effort: Effort
    progress: Progress

    def say(self, words: str) -> None:
        self.progress.console.print(f"web {words}", soft_wrap=True)

    def one(self, name: str, url: str, size: int) -> tuple[Record, dict[str, Loaded], Pixels | None]:
        """Fill one database, and read pages of it."""
        database = open_database(url)
        schema_version.upgrade(database)
        task = self.progress.add_task(f"web: {name}, a record of {size:,} recipients", total=size)
        filled = web_record.fill(database, size, clock.now(), lambda done: self.progress.update(task, completed=done))
        self.progress.remove_task(task)
        record = Record(name, filled.recipients, _megabytes(database))
        pixels = None
        with running_site(Path(tempfile.mkdtemp(prefix="site-", dir=self.folder)), url) as site:
            pages = pages_of(site, database, filled, _REQUESTS if self.effort.rounds > 1 else _FEW)
            for page, loaded in pages.items():
                words = f"p50 {loaded.p50:.0f} ms, p95 {loaded.p95:.0f} ms, CPU {loaded.cpu_seconds * 1000:.0f} ms"
                self.say(f"{name} {filled.recipients:,}: {page}: {words}")
            if PIXELS not in self.effort.without:
                pixels = pixels_of(site, _PIXELS if self.effort.rounds > 1 else _FEW * 40)
                self.say(f"{name}: {pixels.per_second:.0f} pixels/s")
        database.close()
        return record, pages, pixels


def _megabytes(database: Database) -> float:
    if database.engine.dialect.name == "sqlite":
        return Path(database.engine.url.database or "").stat().st_size / 1e6
    with database.reading() as session:
        return float(session.scalar(text("SELECT pg_database_size(current_database())")) or 0) / 1e6


@dataclass(frozen=True)
class Site:
    """The program, and the same application here: for signing in and for looking at the server's own time."""

    app: Flask
    port: int
    pid: int


@contextlib.contextmanager
def running_site(folder: Path, url: str) -> Iterator[Site]:
    """Over the record in that database; its settings and secrets in the folder."""
    ports = PortBlock()
    port = ports.take()
    config = folder / "sendproof.toml"
    config.touch(mode=0o600)  # it may hold a password
    config.write_text(
        f"""
[host]
name = "edge1"
[database]
url = "{url}"
[secrets]
directory = "{folder}/secrets"
[site]
url = "http://127.0.0.1:{port}"
tracking_url = "http://127.0.0.1:{port}"
[web]
listen = "127.0.0.1:{port}"
journal = "{folder}/web.journal"
images = "{folder}/images"
workers = 2
threads = 4
provider_needs_second_factor = false
""",
        encoding="utf-8",
    )
    (folder / "images").mkdir()
    SecretsStore(folder / "secrets").create()
    app = create_app(settings.load(config))
    program = processes.start("web", [str(_PROGRAMS / "sendproof-web"), "--config", str(config)], folder / "web.log")
    try:
        processes.wait_for_tcp(program, port, _START_SECONDS)
        yield Site(app, port, program.process.pid)
    finally:
        program.process.terminate()
        program.process.wait()
        ports.release()
        with app.app_context():
            services.services().database.close()
            services.services().journal.close()


@dataclass
class _Reader:
    """A browser that is signed in: one connection, as browsers keep it."""

    port: int
    cookie: str

    def __post_init__(self) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def seconds(self, path: str) -> float:
        """How long a page takes.

        Raises:
            UserError: it is not there.
        """
        began = time.perf_counter()
        self._connection.request("GET", path, headers={"Cookie": self.cookie, "User-Agent": "bench"})
        answer = self._connection.getresponse()
        body = answer.read()
        took = time.perf_counter() - began
        if answer.status != 200:
            raise UserError(f"{path} answers {answer.status}: {body[:300]!r}")
        return took


def _signed_in(site: Site, login: str) -> _Reader:
    app = site.app
    visitor = Visitor(app.test_client())
    with app.app_context(), services.services().database.writing() as session:
        account_id = session.scalars(select(Account.id).where(Account.login == login)).one()
        token = sessions.begin(
            session, account_id, client_address="127.0.0.1", user_agent="bench", now=services.services().now()
        )
    with visitor.client.session_transaction() as cookie:
        cookie["session"] = token
    name = app.config["SESSION_COOKIE_NAME"]
    found = visitor.client.get_cookie(name)
    if found is None:
        raise UserError("the site gave no cookie.")
    return _Reader(site.port, f"{name}={found.value}")


def pages_of(site: Site, database: Database, filled: Filled, requests: int) -> dict[str, Loaded]:
    """By page: how long each request took."""
    reader = _signed_in(site, filled.login)
    found: dict[str, Loaded] = {}
    for name, paths in _paths(database, filled, requests).items():
        for path in paths[:_WARM_UP]:
            reader.seconds(path)
        before = tree_cpu_seconds(site.pid)
        seconds = tuple(reader.seconds(path) for path in paths[_WARM_UP:])
        found[name] = Loaded(seconds, (tree_cpu_seconds(site.pid) - before) / len(seconds))
    return found


def _paths(database: Database, filled: Filled, requests: int) -> dict[str, list[str]]:
    chance = random.Random(filled.recipients)  # noqa: S311 - chance, no secrets
    with database.reading() as session:
        sample = _sample(database, filled, requests + _WARM_UP, chance)
        rows = session.execute(
            select(Message.id, Message.subject, Recipient.address, Attempt.remote_queue_id, QueueFile.queue_id)
            .join(QueueFile, QueueFile.message_id == Message.id)
            .join(Recipient, Recipient.queue_file_id == QueueFile.id)
            .outerjoin(Attempt, Attempt.recipient_id == Recipient.id)
            .where(Message.id.in_(sample))
        ).all()
    by_id = {row.id: row for row in rows}
    each = [by_id[one] for one in sample]

    def search(*texts: str) -> str:
        return f"/messages?q={urllib.parse.quote(' '.join(texts))}"

    moments = [clock.now() - dt.timedelta(days=chance.uniform(0, 360)) for _ in each]
    return {
        "message list, newest": ["/messages"] * len(each),
        "message list, anywhere in the year": [search(f"before:{moment:%Y-%m-%dT%H:%M}") for moment in moments],
        "search by recipient": [search(f"to:{row.address}") for row in each],
        "search by any word of it": [search(row.address.partition(".")[0]) for row in each],
        "search by receiving domain": [search(f"to:@{row.address.partition('@')[2]}") for row in each],
        "search by subject word": [search(f"subject:{row.subject.split()[1].lower()}") for row in each],
        "search by two subject words": [search(*row.subject.lower().split()[:2]) for row in each],
        "search by their queue id": [search(row.remote_queue_id or row.queue_id) for row in each],
        "search by status": [
            search("status:" + chance.choice(("deferred", "bounced", "expired", "unknown"))) for _ in each
        ],
        "search for what is not there": [search(f"{chance.getrandbits(40):x}q") for _ in each],
        "transcript": [f"/messages/{row.id}" for row in each],
        "account": ["/account"] * len(each),
        "provider's overview": ["/provider"] * len(each),
        "provider's queue": ["/provider/queue"] * len(each),
        "provider's accounts": ["/provider/accounts"] * len(each),
    }


def _sample(database: Database, filled: Filled, count: int, chance: random.Random) -> list[uuid.UUID]:
    """Messages of the account, from the whole year."""
    with database.reading() as session:
        account_id = session.scalars(select(Account.id).where(Account.login == filled.login)).one()
        total = session.scalar(select(func.count()).select_from(Message).where(Message.account_id == account_id)) or 0
        found = []
        for _ in range(count):
            own = select(Message.id).where(Message.account_id == account_id).order_by(Message.submitted_at)
            found.append(session.scalars(own.offset(chance.randrange(total)).limit(1)).one())
    return found


def pixels_of(site: Site, count: int) -> Pixels:
    """Pixels over several connections at once; and, without any, how long the application takes for one."""
    app = site.app
    with app.app_context():
        keys = services.services().token_keys
        current = max(keys)
        expires = services.services().now() + dt.timedelta(days=30)
    made = [
        "/o/" + tokens.make(tokens.Token(tokens.Purpose.PIXEL, uuid.uuid4(), 1, expires), current, keys[current])
        + ".gif"
        for _ in range(count)
    ]  # fmt: skip

    def fetch(paths: Sequence[str]) -> list[float]:
        reader = _Reader(site.port, "")
        return [reader.seconds(path) for path in paths]

    began = time.perf_counter()
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        took = [seconds for some in pool.map(fetch, [made[n::_CONNECTIONS] for n in range(_CONNECTIONS)])
                for seconds in some]  # fmt: skip
    wall = time.perf_counter() - began
    client = app.test_client()
    alone = []
    for path in made[: max(100, count // 8)]:
        began = time.perf_counter()
        client.get(path)
        alone.append(time.perf_counter() - began)
    return Pixels(len(made) / wall, _CONNECTIONS, tuple(took), tuple(alone))
