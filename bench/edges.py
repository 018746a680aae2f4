"""One, two and three edges on one PostgreSQL: charges, recorded rows, messages; what an edge costs in memory.

What was measured is reported by `edges_report`.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import charging, clients, edges_report, postfix_queue, process_memory, recording, ways
from bench.charging import Chargers
from bench.clients import Clients
from bench.edges_report import FLOOR_MANY, FLOOR_ONE, MANY, ONE, RECORDED, SENT, Memory, Report
from bench.figures import Effort, Result
from bench.machine import this_machine
from rich.progress import Progress
from sqlalchemy import text

from sendproof_core import clock
from sendproof_testing import edge_ledger, ledger, postgres
from sendproof_testing.edges import Edges, running_edges
from sendproof_testing.installation import Keys, Options
from sendproof_testing.postgres import Cluster

NAME = edges_report.NAME
_COUNTS = (1, 2, 3)
# For each message that is sent through Postfix in a round.
_CHARGES, _TRANSACTIONS = 5, 10
# Charges of one account that are admitted; the others are refused.
_ADMITTED = 0.8
# Of the lines of the logparser's own measurement, for each edge.
_LINES = 0.2
_RECIPIENTS = (f"anna@{ways.DISCARDED}",)
_ACCOUNT = 1


@dataclass
class _Bench:
    """Where it happens, who is told, and what was found."""

    folder: Path
    effort: Effort
    progress: Progress
    cluster: Cluster
    rates: dict[str, dict[int, list[float]]] = field(default_factory=dict)
    errors: dict[int, int] = field(default_factory=lambda: dict.fromkeys(_COUNTS, 0))
    memory: list[Memory] = field(default_factory=list)

    @contextlib.contextmanager
    def doing(self, what: str) -> Iterator[None]:
        task = self.progress.add_task(f"edges: {what}", total=None)
        yield
        self.progress.remove_task(task)

    def note(self, what: str, edges: int, per_second: float, error: int = 0) -> None:
        rounds = self.rates.setdefault(what, {count: [] for count in _COUNTS})[edges]
        rounds.append(per_second)
        self.errors[edges] = max(self.errors[edges], error)
        words = f"edges round {len(rounds)}, {edges} of them, {what}: {per_second:,.0f}/s, error {error}"
        self.progress.console.print(words, soft_wrap=True)


def measure(effort: Effort, progress: Progress) -> Result:
    """Each as many rounds as are asked for, with one edge, two and three in turns."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sendproof-bench-")))
        folder.chmod(0o755)
        cluster = stack.enter_context(postgres.running_cluster(postgres.DURABLE))
        bench = _Bench(folder, effort, progress, cluster)
        _charges(bench)
        _rows(bench)
        version = _messages(bench)
    machine = this_machine(())
    report = Report(bench.rates, bench.errors, bench.memory, charging.MANY, version, effort, machine, clock.now())
    return Result(NAME, report.figures(), report.markdown())


def _charges(bench: _Bench) -> None:
    """The ledger, and the floor below it."""
    count = _CHARGES * bench.effort.messages
    transactions = _TRANSACTIONS * bench.effort.messages
    for _ in range(bench.effort.rounds):
        for edges in _COUNTS:
            with bench.doing(f"charges, {edges} of them"), bench.cluster.empty_database() as url:
                accounts = charging.prepare(url)
                with Chargers(edges) as chargers:
                    chargers.charge(url, accounts, count // 10)  # warm
                    many = chargers.charge(url, accounts[1:], count)
                    before = charging.used(url, accounts[:1])
                    limit = before + round(_ADMITTED * count)
                    one = chargers.charge(url, accounts[:1], count, limit)
                bench.note(MANY, edges, many.per_second, many.error)
                bench.note(ONE, edges, one.per_second, one.error)
                bench.note(FLOOR_MANY, edges, charging.floor(url, edges, charging.MANY, transactions))
                bench.note(FLOOR_ONE, edges, charging.floor(url, edges, 1, transactions))


def _rows(bench: _Bench) -> None:
    """The record."""
    with bench.doing("a sandbox writes a mail log"):
        logs = recording.write_logs(bench.folder, max(_COUNTS), round(_LINES * bench.effort.log_lines))
    for _ in range(bench.effort.rounds):
        for edges in _COUNTS:
            with bench.doing(f"the record, {edges} of them"):
                recorded = recording.read(bench.folder, bench.cluster, logs[:edges])
            bench.note(RECORDED, edges, recorded.per_second)
    for log in logs:
        log.path.unlink()


def _messages(bench: _Bench) -> str:
    """Everything, from clients to the record; the server's version."""
    options = Options(keys=Keys.OWN, notice_address=None)
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(bench.cluster.empty_database())
        with bench.doing("edges start"):
            folder = bench.folder / "edges"
            edges = stack.enter_context(running_edges(folder, url, max(_COUNTS), options, relayed=False))
        for name in ("notices", "web"):
            edges[0].programs[name].end()
        for edge in edges:
            ways.discard(edge)
        senders = stack.enter_context(Clients())
        _send(edges, senders, max(_COUNTS), 10 * clients.COUNT)  # warm
        for _ in range(bench.effort.rounds):
            for count in _COUNTS:
                with bench.doing(f"messages, {count} of them"):
                    before = _charged(edges)
                    sent = _send(edges, senders, count, bench.effort.messages)
                    error = abs(_charged(edges) - before - sent.messages)
                bench.note(SENT, count, sent.per_second, error)
        _settle(edges)
        for edge in edges:
            milter, logparser = (edge.programs[name].process.pid for name in ("milter", "logparser"))
            both = process_memory.held(milter, logparser)
            held = [process_memory.held(pid).proportional for pid in (milter, logparser)]
            bench.memory.append(Memory(held[0], held[1], both.private))
        with contextlib.closing(edges.database()) as database, database.reading() as session:
            return str(session.scalar(text("SHOW server_version"))).partition(" ")[0]


@dataclass(frozen=True)
class _Sent:
    messages: int
    per_second: float


def _send(edges: Edges, senders: Clients, count: int, messages: int) -> _Sent:
    used = [edges[number] for number in range(count)]
    jobs = [clients.job(edge, edge.installation.submission_port, _RECIPIENTS, messages) for edge in used]
    sent = senders.submit(*jobs)
    for edge in used:
        postfix_queue.wait_until_empty(edge)  # its work must not fall into the next one's time
    return _Sent(len(sent.waits_seconds), sent.messages_per_second)


def _charged(edges: Edges) -> int:
    """By the charges and by every window."""
    with contextlib.closing(edges.database()) as database:
        return ledger.charged_recipients(database, _ACCOUNT)


def _settle(edges: Edges) -> None:
    """Each charge has its message in a mail log, and the record says so: else the rates say nothing."""
    with contextlib.closing(edges.database()) as database:
        sender = edges[0].installation.login.address
        edge_ledger.settle(database, edges.maillogs, sender, _ACCOUNT)
