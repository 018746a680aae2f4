"""What the rounds of the edges' measurement say: figures, and a table for README.md. Measures nothing."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench import figures, markdown
from bench.figures import Effort, Figure
from bench.machine import Machine

NAME = "edges"
PEER = "pgbench"
MANY, ONE = "charges, many accounts", "charges, one account"
FLOOR_MANY, FLOOR_ONE = "UPDATE, many rows", "UPDATE, one row"
RECORDED, SENT = "recorded rows", "messages through Postfix"
# Which peer stands beside which of ours.
_BESIDE = {MANY: FLOOR_MANY, ONE: FLOOR_ONE}


@dataclass(frozen=True)
class Memory:
    """Megabytes of one edge's milter and logparser after the last round.

    ``alone``: pages that nobody else on the machine has; else a page that several have counts in parts.
    """

    milter: float
    logparser: float
    alone: float

    @property
    def whole(self) -> float:
        """Of both."""
        return self.milter + self.logparser


@dataclass(frozen=True)
class Report:
    """``rates``: a second, of each round, by what was measured and how many edges. ``errors``: the largest."""

    rates: Mapping[str, Mapping[int, Sequence[float]]]
    errors: Mapping[int, int]
    memory: Sequence[Memory]
    accounts: int
    server_version: str
    effort: Effort
    machine: Machine
    now: dt.datetime

    def figures(self) -> list[Figure]:
        """Every figure, the peer's too."""
        found = []
        for what, by_edges in self.rates.items():
            for edges, rounds in by_edges.items():
                name, unit = f"{what}, {_edges(edges)}", f"{_thing(what)}/s"
                peer = self.rates[_BESIDE[what]][edges] if what in _BESIDE else None
                if peer is None:
                    found.append(figures.alone(NAME, name, unit, rounds))
                else:
                    found.append(figures.beside(NAME, name, unit, rounds, PEER, peer))
        for edges, error in self.errors.items():
            found.append(Figure(NAME, f"quota error, {_edges(edges)}", error, "recipients"))
        found.append(figures.alone(NAME, "memory of an edge", "MB", [one.whole for one in self.memory]))
        return found

    def markdown(self) -> str:
        """The table, and below it how it came about."""
        counts = sorted(self.errors)
        rows = [
            self._row("**charges/s, many accounts**", MANY, counts),
            self._row(f"UPDATEs/s of {PEER}, as many rows", FLOOR_MANY, counts),
            self._row("**charges/s, one account**", ONE, counts),
            self._row(f"UPDATEs/s of {PEER}, one row", FLOOR_ONE, counts),
            self._row("**recorded rows/s**", RECORDED, counts),
            self._row("messages/s through Postfix, one account", SENT, counts),
            ["quota error, recipients", *(str(self.errors[edges]) for edges in counts)],
        ]
        return markdown.table(["one PostgreSQL", *map(_edges, counts)], rows) + "\n" + self._legend()

    def _row(self, title: str, what: str, counts: Sequence[int]) -> list[str]:
        cells = []
        for edges in counts:
            ours = median(self.rates[what][edges])
            ratio = f" ({ours / median(self.rates[_BESIDE[what]][edges]):.2f} x)" if what in _BESIDE else ""
            cells.append(f"{ours:,.0f}{ratio}")
        return [title, *cells]

    def _legend(self) -> str:
        milter, logparser, alone = (
            median(getattr(one, name) for one in self.memory) for name in ("milter", "logparser", "alone")
        )
        sentences = (
            f"`make bench-edges`, {self.now:%-d %b %Y}: medians of {self.effort.rounds} rounds; edges, clients and"
            f" PostgreSQL {self.server_version} (fsync on) share {self.machine.cores} cores of"
            f" {self.machine.processor}: more edges do not bring more processors.",
            f"A charge raises three windows, remembers the recipient and writes a row; many: {self.accounts} accounts.",
            f"{PEER}: one conditional UPDATE, from as many clients as the milters have threads; x: ours / {PEER}'s.",
            "Rows: a logparser for each edge, each with a log of its own, dialogue included.",
            "Through Postfix: milter, signature, charge, journal, logparser; all edges charge the same account.",
            f"Memory of an edge: {milter:.0f} MB milter (two workers, keeper) + {logparser:.0f} MB logparser (PSS); "
            f"{alone:.0f} MB of it are nobody else's.",
        )
        return " ".join(sentences) + "\n"


def _edges(count: int) -> str:
    return "1 edge" if count == 1 else f"{count} edges"


def _thing(what: str) -> str:
    return what.partition(",")[0].partition(" through")[0].replace("recorded ", "").replace("UPDATE", "UPDATEs")
