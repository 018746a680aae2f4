"""What the rounds of the milter's measurement say: figures, and a table for README.md. Measures nothing."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from bench import clients, figures, markdown, peers, ways
from bench.figures import Effort, Figure
from bench.machine import Machine

NAME = "milter"
_PEER = peers.OPENDKIM
_OURS = (ways.ONE, ways.BOTH, ways.POSTGRESQL)
_TITLES = {
    ways.BARE: "none (bare Postfix)",
    peers.OPENDKIM: "OpenDKIM {version}: signs",
    peers.RSPAMD: "rspamd {version}: signs",
    peers.DKIMPY: "dkimpy-milter {version}: signs",
    ways.ONE: "**Sendproof: everything**, SQLite",
    ways.BOTH: "Sendproof: everything, and both domains sign",
    ways.POSTGRESQL: "Sendproof: everything, PostgreSQL",
}


@dataclass(frozen=True)
class Round:
    """One round's figures of one way. ``database_cpu_ms``: of a database server, beside the milter's."""

    cpu_ms: float
    database_cpu_ms: float
    messages_per_second: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Growth:
    """The rounds with one larger size of message. ``tracked``: whether ours put its pixel in that."""

    octets: int
    messages: int
    rounds: dict[str, list[Round]]
    tracked: bool


@dataclass(frozen=True)
class Report:
    """All rounds of one run."""

    rounds: dict[str, list[Round]]
    effort: Effort
    growth: tuple[Growth, ...]
    machine: Machine
    now: dt.datetime

    def figures(self) -> list[Figure]:
        """Every figure, the peers' too; ours beside OpenDKIM's."""
        found = _figures(self.rounds, "")
        server = self.rounds.get(ways.POSTGRESQL, ())
        if server:
            name = f"CPU of the database server, {ways.POSTGRESQL}"
            found.append(figures.alone(NAME, name, "ms/message", [one.database_cpu_ms for one in server]))
        for grown in self.growth:
            found += _figures(grown.rounds, f", {size(grown.octets)}")
        return found

    def markdown(self) -> str:
        """Both tables, and below them how they came about."""
        parts = [_peers_table(self.rounds, self.machine.versions)]
        if self.growth:
            parts.append("Larger messages, the HTML with an attachment:\n")
            parts.append(_growth_table(self._sizes()))
        parts.append(self._legend())
        return "\n".join(parts)

    def _sizes(self) -> tuple[Growth, ...]:
        return (Growth(clients.HTML_OCTETS, self.effort.messages, self.rounds, tracked=True), *self.growth)

    def _legend(self) -> str:
        fewer = ", ".join(f"{one.messages} of {size(one.octets)}" for one in self.growth)
        untracked = [size(one.octets) for one in self.growth if not one.tracked]
        sentences = (
            f"`make bench-milter`, {self.now:%-d %b %Y}: medians of {self.effort.rounds} rounds in turns, each of "
            f"{self.effort.messages:,} HTML mails of {size(clients.HTML_OCTETS)}{f' ({fewer})' if fewer else ''} from "
            f"{clients.COUNT} clients at once, through Postfix {self.machine.versions['postfix']}, on "
            f"{self.machine.cores} cores of {self.machine.processor}.",
            "CPU: user and system time of all the milter's processes.",
            "Added: from the final dot to the reply, less the median of bare Postfix; the machine is saturated.",
            "One RSA-2048 signature each, and two where both domains sign. Everything: plan charge, pixel, signature, "
            "journal.",
            f"Without the pixel: {', '.join(untracked)}." if untracked else "",
        )
        return " ".join(filter(None, sentences)) + "\n"


def size(octets: int) -> str:
    """As people say it: 4 KB, 10 MB."""
    kilobytes = octets // 1024
    return f"{kilobytes // 1024} MB" if kilobytes >= 1024 else f"{kilobytes} KB"


def _figures(rounds: dict[str, list[Round]], suffix: str) -> list[Figure]:
    bare_p50 = median(one.p50_ms for one in rounds[ways.BARE])
    bare: tuple[tuple[str, str, Callable[[Round], float]], ...] = (
        ("accepted", "messages/s", lambda one: one.messages_per_second),
        ("dot to reply p50", "ms", lambda one: one.p50_ms),
        ("dot to reply p99", "ms", lambda one: one.p99_ms),
    )
    values: tuple[tuple[str, str, Callable[[Round], float]], ...] = (
        ("CPU", "ms/message", lambda one: one.cpu_ms),
        ("accepted", "messages/s", lambda one: one.messages_per_second),
        ("added p50", "ms", lambda one: one.p50_ms - bare_p50),
        ("added p99", "ms", lambda one: one.p99_ms - bare_p50),
    )
    found = [
        figures.alone(NAME, f"{name}, {ways.BARE}{suffix}", unit, [value(one) for one in rounds[ways.BARE]])
        for name, unit, value in bare
    ]
    for name, unit, value in values:
        for way, measured in rounds.items():
            ours = [value(one) for one in measured]
            if way in _OURS:
                theirs = [value(one) for one in rounds[_PEER]]
                found.append(figures.beside(NAME, f"{name}, {way}{suffix}", unit, ours, _PEER, theirs))
            elif way != ways.BARE:
                found.append(figures.alone(NAME, f"{name}, {way}{suffix}", unit, ours))
    return found


def _peers_table(rounds: dict[str, list[Round]], versions: dict[str, str]) -> str:
    header = (
        "milter",
        "CPU ms/message",
        "x OpenDKIM",
        "messages/s",
        "x OpenDKIM",
        "added p50 ms",
        "added p99 ms",
    )
    bare_p50, peer = median(one.p50_ms for one in rounds[ways.BARE]), rounds[_PEER]
    rows = []
    for way, measured in rounds.items():
        speed = f"{_speed(measured):,.0f}"
        title = _TITLES[way].format(version=versions.get(way, ""))
        if way == ways.BARE:
            rows.append((title, "", "", speed, _ratio(_speed(measured), _speed(peer)), "", ""))
            continue
        server = median(one.database_cpu_ms for one in measured)
        rows.append(
            (
                title,
                f"{_cpu(measured):.2f}" + (f" + {server:.2f} server" if server else ""),
                _ratio(_cpu(measured), _cpu(peer)),
                speed,
                _ratio(_speed(measured), _speed(peer)),
                f"{median(one.p50_ms for one in measured) - bare_p50:.1f}",
                f"{median(one.p99_ms for one in measured) - bare_p50:.1f}",
            )
        )
    return markdown.table(header, rows)


def _growth_table(sizes: Sequence[Growth]) -> str:
    header = ("message", "CPU ms: OpenDKIM", "Sendproof", "ratio", "messages/s: bare", "OpenDKIM", "Sendproof", "ratio")
    rows = []
    for one in sizes:
        bare, peer, ours = (one.rounds[way] for way in (ways.BARE, _PEER, ways.ONE))
        rows.append(
            (
                size(one.octets),
                f"{_cpu(peer):.2f}",
                f"{_cpu(ours):.2f}",
                _ratio(_cpu(ours), _cpu(peer)),
                *(f"{_speed(rounds):,.{0 if _speed(rounds) >= 100 else 1}f}" for rounds in (bare, peer, ours)),
                _ratio(_speed(ours), _speed(peer)),
            )
        )
    return markdown.table(header, rows)


def _cpu(rounds: Sequence[Round]) -> float:
    return median(one.cpu_ms for one in rounds)


def _speed(rounds: Sequence[Round]) -> float:
    return median(one.messages_per_second for one in rounds)


def _ratio(ours: float, theirs: float) -> str:
    return f"{ours / theirs:.2f}" if theirs else ""
