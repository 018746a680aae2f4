"""What a measurement gives: figures, as JSON lines and as a table. Measures nothing."""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from statistics import median

from rich.table import Table


@dataclasses.dataclass(frozen=True)
class Figure:
    """One result. ``ratio``: the value divided by the peer's, where there is a peer."""

    bench: str
    name: str
    value: float
    unit: str
    peer: str | None = None
    ratio: float | None = None

    def to_line(self) -> str:
        """One JSON object."""
        return json.dumps({key: _short(value) for key, value in dataclasses.asdict(self).items()})


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much is measured. ``messages``: of each way, in each round. ``without``: what is left out.

    ``recipients``: in the site's record.
    """

    rounds: int
    messages: int
    log_lines: int
    without: frozenset[str] = frozenset()
    recipients: int = 2_000_000


@dataclasses.dataclass(frozen=True)
class Result:
    """What one measurement found. ``markdown``: a table for README.md, where it has one."""

    bench: str
    figures: list[Figure]
    markdown: str | None = None


def alone(bench: str, name: str, unit: str, rounds: Sequence[float]) -> Figure:
    """The median of the rounds, with nothing beside it."""
    return Figure(bench, name, median(rounds), unit)


def beside(bench: str, name: str, unit: str, rounds: Sequence[float], peer: str, peers: Sequence[float]) -> Figure:
    """The median of our rounds, and its ratio to the median of the peer's."""
    ours, theirs = median(rounds), median(peers)
    return Figure(bench, name, ours, unit, peer, ours / theirs if theirs > 0 else None)


def table(figures: Iterable[Figure]) -> Table:
    """The same figures for people."""
    drawn = Table(title="Medians; ratio = ours / peer", title_justify="left", title_style="bold")
    for column in ("bench", "figure", "value", "unit", "peer", "ratio"):
        drawn.add_column(column, justify="right" if column in {"value", "ratio"} else "left", no_wrap=True)
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        drawn.add_row(figure.bench, figure.name, f"{_short(figure.value):,}", figure.unit, figure.peer or "", ratio)
    return drawn


def _short(value: float | str | None) -> float | str | None:
    """Three significant digits, more before the point: the rest would be noise."""
    if not isinstance(value, float):
        return value
    return round(value) if abs(value) >= 100 else float(f"{value:.3g}")
