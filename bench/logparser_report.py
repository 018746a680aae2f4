"""What the rounds of the logparser's measurement say: figures, and tables for README.md. Measures nothing."""

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench import figures, markdown
from bench.figures import Effort, Figure
from bench.machine import Machine
from bench.process_times import Run
from bench.record import Log

NAME = "logparser"
PEER = "pflogsumm"
SQLITE, POSTGRESQL, PARSE = "end to end into SQLite", "end to end into PostgreSQL", "parse only"
_TITLES = {
    SQLITE: "**Sendproof: the whole record**, SQLite",
    POSTGRESQL: "Sendproof: the whole record, PostgreSQL",
    PARSE: "Sendproof: `sendproof logs parse`",
    PEER: "pflogsumm {version}: a summary",
}


@dataclass(frozen=True)
class Round:
    """One reading of one log. ``server_cpu_seconds``: of a database server, beside the reader's."""

    run: Run
    server_cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Memory:
    """The most that a reading into SQLite held. ``count`` of ``what``: lines, or open messages."""

    count: int
    what: str
    megabytes: float


@dataclass(frozen=True)
class Waits:
    """How long lines waited for their rows, in seconds, while Postfix took so many messages a second."""

    reader: str
    messages_per_second: float
    seconds: tuple[float, ...]

    def milliseconds(self, percent: int) -> float:
        """A percentile."""
        ordered = sorted(self.seconds)
        return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] * 1000


@dataclass(frozen=True)
class Report:
    """Everything of one run."""

    rounds: Mapping[Log, Mapping[str, Sequence[Round]]]
    memory: Sequence[Memory]
    waits: Sequence[Waits]
    effort: Effort
    machine: Machine
    now: dt.datetime

    def figures(self) -> list[Figure]:
        """Every figure, the peer's too."""
        found = [figure for log, rounds in self.rounds.items() for figure in _figures(log, rounds)]
        found += [
            Figure(NAME, f"peak memory, {one.count:,} {one.what}, {SQLITE}", one.megabytes, "MB") for one in self.memory
        ]
        for waits in self.waits:
            found.append(Figure(NAME, f"pace, {waits.reader}", waits.messages_per_second, "messages/s"))
            found += [
                Figure(NAME, f"line to row p{percent}, {waits.reader}", waits.milliseconds(percent), "ms")
                for percent in (50, 99)
            ]
        return found

    def markdown(self) -> str:
        """The tables, and below them how they came about."""
        parts = [_readers_table(self.rounds, self.machine.versions)]
        if self.waits:
            parts += ["From a line in the log to its row in the database:\n", _waits_table(self.waits)]
        return "\n".join([*parts, self._legend()])

    def _legend(self) -> str:
        lines = " and ".join(f"{log.lines:,} lines {log.name}" for log in self.rounds)
        memory = ", ".join(f"{one.megabytes:.0f} MB for {one.count:,} {one.what}" for one in self.memory)
        sentences = (
            f"`make bench-logparser`, {self.now:%-d %b %Y}: medians of {self.effort.rounds} rounds in turns, {lines}"
            f" that Postfix {self.machine.versions['postfix']} wrote, multiplied, on {self.machine.cores} cores of "
            f"{self.machine.processor}.",
            "Lines/s: with the start of the program, to the complete record, positions committed.",
            "CPU: user and system time.",
            f"x {PEER}: of CPU time, the server's included; more is better.",
            f"Peak memory beyond the table: {memory}." if memory else "",
            "Line to row: mail at a steady pace through Postfix and our milter on the same cores, and discarded."
            if self.waits
            else "",
        )
        return " ".join(filter(None, sentences)) + "\n"


def _figures(log: Log, rounds: Mapping[str, Sequence[Round]]) -> list[Figure]:
    values: tuple[tuple[str, str, Callable[[Round], float]], ...] = (
        ("speed", "lines/s", lambda one: log.lines / one.run.wall_seconds),
        ("speed by CPU time", "lines/CPU s", lambda one: log.lines / one.run.cpu_seconds),
        ("peak memory", "MB", lambda one: one.run.peak_megabytes),
    )
    found = [Figure(NAME, f"lines {log.name}", log.lines, "lines")]
    for name, unit, value in values:
        peers = [value(one) for one in rounds[PEER]]
        for reader, measured in rounds.items():
            ours, words = [value(one) for one in measured], f"{name} {log.name}, {reader}"
            if reader == PEER:
                found.append(figures.alone(NAME, words, unit, ours))
            else:
                found.append(figures.beside(NAME, words, unit, ours, PEER, peers))
    if POSTGRESQL in rounds:
        server = [one.server_cpu_seconds / log.lines * 1e6 for one in rounds[POSTGRESQL]]
        found.append(figures.alone(NAME, f"CPU of the database server {log.name}, {POSTGRESQL}", "us/line", server))
    return found


def _readers_table(rounds: Mapping[Log, Mapping[str, Sequence[Round]]], versions: Mapping[str, str]) -> str:
    header = ["reader"]
    for log in rounds:
        header += [f"lines/s {log.name}", "CPU us/line", f"x {PEER}", "peak MB"]
    readers = next(iter(rounds.values()))
    rows = []
    for reader in (PEER, *(name for name in readers if name != PEER)):
        row = [_TITLES[reader].format(version=versions.get(PEER, ""))]
        for log, measured in rounds.items():
            row += _cells(log, measured[reader], measured[PEER])
        rows.append(row)
    return markdown.table(header, rows)


def _cells(log: Log, ours: Sequence[Round], peers: Sequence[Round]) -> list[str]:
    server = median(one.server_cpu_seconds for one in ours) / log.lines * 1e6
    return [
        f"{log.lines / median(one.run.wall_seconds for one in ours):,.0f}",
        f"{_cpu(log, ours):.2f}{f' + {server:.2f} server' if server else ''}",
        f"{_cpu(log, peers) / (_cpu(log, ours) + server):.2f}",
        f"{median(one.run.peak_megabytes for one in ours):.0f}",
    ]


def _cpu(log: Log, rounds: Sequence[Round]) -> float:
    """Microseconds a line."""
    return median(one.run.cpu_seconds for one in rounds) / log.lines * 1e6


def _waits_table(waits: Sequence[Waits]) -> str:
    rows = [
        (
            one.reader.rpartition(" ")[2],
            f"{one.messages_per_second:.0f}",
            f"{one.milliseconds(50):.0f}",
            f"{one.milliseconds(99):.0f}",
        )
        for one in waits
    ]
    return markdown.table(("database", "messages/s", "p50 ms", "p99 ms"), rows)
