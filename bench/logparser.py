"""The logparser beside pflogsumm, on the same mail logs; its memory; how soon a line is a row.

What was measured is reported by `logparser_report`.
"""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import latency, logparser_report, mail_log, record
from bench.figures import Effort, Result
from bench.logparser_report import PARSE, PEER, POSTGRESQL, SQLITE, Memory, Report, Round
from bench.machine import this_machine
from bench.process_times import Run, timed, tree_cpu_seconds
from bench.record import Log
from rich.progress import Progress

from sendproof_core import clock
from sendproof_core.errors import UserError
from sendproof_testing import postgres
from sendproof_testing.postgres import Cluster

NAME = logparser_report.NAME
POSTGRESQL_SERVER, LATENCY, MEMORY = "postgresql", "latency", "memory"
# What a run can do without.
OPTIONAL = (POSTGRESQL_SERVER, LATENCY, MEMORY)
_PROGRAMS = Path(sys.executable).parent
# How much longer the log is that shows whether memory grows with it.
_LONGER = 3
# One for each five lines of the log, so 200,000 in an ordinary run.
_LINES_OF_AN_OPEN_MESSAGE = 5


@dataclass(frozen=True)
class _Bench:
    """Where it happens, and who is told."""

    folder: Path
    effort: Effort
    progress: Progress
    cluster: Cluster | None

    @contextlib.contextmanager
    def doing(self, what: str) -> Iterator[None]:
        task = self.progress.add_task(f"logparser: {what}", total=None)
        yield
        self.progress.remove_task(task)

    def say(self, words: str) -> None:
        self.progress.console.print(f"logparser {words}", soft_wrap=True)


def measure(effort: Effort, progress: Progress) -> Result:
    """Make the logs; let each reader read each of them in turn, as many rounds as are asked for; then the rest."""
    if shutil.which(PEER) is None:
        raise UserError(f"the Debian package {PEER} is missing; `make bench` installs it.")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sendproof-bench-")))
        folder.chmod(0o755)
        with_server = POSTGRESQL_SERVER not in effort.without
        cluster = stack.enter_context(postgres.running_cluster()) if with_server else None
        bench = _Bench(folder, effort, progress, cluster)
        rounds: dict[Log, dict[str, list[Round]]] = {}
        memory: list[Memory] = []
        for name, dialogue in (("with dialogue", True), ("without dialogue", False)):
            path = folder / f"{name.replace(' ', '-')}.log"
            with bench.doing(f"a sandbox writes a mail log {name}"):
                original = mail_log.original(path.with_suffix(".sandbox"), dialogue=dialogue)
                mail_log.write(path, original, effort.log_lines)
            log = record.log(name, path)
            rounds[log] = _rounds(bench, log)
            path.unlink()
            if not dialogue and MEMORY not in effort.without:
                memory = [_longer_log(bench, original), _open_messages(bench, original)]
        waits = [] if LATENCY in effort.without else latency.measure(folder, effort, cluster, progress)
        report = Report(rounds, memory, waits, effort, this_machine(("postfix", PEER)), clock.now())
        return Result(NAME, report.figures(), report.markdown())


def _rounds(bench: _Bench, log: Log) -> dict[str, list[Round]]:
    readers: dict[str, Callable[[], Round]] = {
        SQLITE: lambda: Round(_into_sqlite(bench, log)),
        POSTGRESQL: lambda: _into_postgresql(bench, log),
        PARSE: lambda: Round(timed([str(_PROGRAMS / "sendproof"), "logs", "parse", str(log.path)])),
        PEER: lambda: Round(timed([PEER, str(log.path)])),
    }
    if bench.cluster is None:
        del readers[POSTGRESQL]
    rounds: dict[str, list[Round]] = {name: [] for name in readers}
    for number in range(bench.effort.rounds):
        for name, read in readers.items():
            with bench.doing(f"{log.lines:,} lines {log.name}: {name}"):
                one = read()
            rounds[name].append(one)
            server = f", {one.server_cpu_seconds:4.1f} CPU s of the server" if one.server_cpu_seconds else ""
            bench.say(f"round {number + 1} {log.name:<16} {name:<27} {_in_words(one.run)}{server}")
    return rounds


def _into_sqlite(bench: _Bench, log: Log) -> Run:
    """The program itself, from an empty database to a complete record."""
    with record.in_sqlite(bench.folder, log.path) as made:
        run = _read(made)
        made.check(log)
        return run


def _into_postgresql(bench: _Bench, log: Log) -> Round:
    assert bench.cluster
    with record.in_postgresql(bench.folder, log.path, bench.cluster) as made:
        before = tree_cpu_seconds(made.server_pid)
        run = _read(made)
        server_cpu_seconds = tree_cpu_seconds(made.server_pid) - before
        made.check(log)
        return Round(run, server_cpu_seconds)


def _read(made: record.Record) -> Run:
    return timed([str(_PROGRAMS / "sendproof-logparser"), "--config", str(made.config), "--once"])


def _longer_log(bench: _Bench, original: Sequence[bytes]) -> Memory:
    path = bench.folder / "longer.log"
    with bench.doing("a longer log, for its memory"):
        mail_log.write(path, original, _LONGER * bench.effort.log_lines)
        return _memory(bench, record.log("without dialogue", path), "lines")


def _open_messages(bench: _Bench, original: Sequence[bytes]) -> Memory:
    """Messages that are all deferred twice, and not finished."""
    path = bench.folder / "open.log"
    messages = bench.effort.log_lines // _LINES_OF_AN_OPEN_MESSAGE
    with bench.doing(f"{messages:,} open messages, for its memory"):
        messages = mail_log.write_deferred(path, original, messages)
        memory = _memory(bench, record.log("deferred", path), "open messages")
        return Memory(messages, memory.what, memory.megabytes)


def _memory(bench: _Bench, log: Log, what: str) -> Memory:
    run = _into_sqlite(bench, log)
    bench.say(f"{log.lines:,} lines {log.name}: {_in_words(run)}")
    log.path.unlink()
    return Memory(log.lines, what, run.peak_megabytes)


def _in_words(run: Run) -> str:
    return f"{run.wall_seconds:5.1f} s, {run.cpu_seconds:5.1f} CPU s, {run.peak_megabytes:4.0f} MB"
