"""What the measurement of the site says: figures, and tables for README.md. Measures nothing."""

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench import markdown
from bench.figures import Figure
from bench.machine import Machine

NAME = "web"


@dataclass(frozen=True)
class Record:
    """A record that pages were made of."""

    database: str
    recipients: int
    megabytes: float


@dataclass(frozen=True)
class Loaded:
    """One page, several times. ``cpu_seconds``: of the site's processes, for one; the database server's are beside."""

    seconds: tuple[float, ...]
    cpu_seconds: float

    @property
    def p50(self) -> float:
        """Milliseconds."""
        return milliseconds(self.seconds, 50)

    @property
    def p95(self) -> float:
        """Milliseconds."""
        return milliseconds(self.seconds, 95)


@dataclass(frozen=True)
class Pixels:
    """How fast pixels are served: by so many connections that ask as fast as they are answered."""

    per_second: float
    connections: int
    seconds: tuple[float, ...]
    # To answer one, in the server, without a connection.
    in_server_seconds: tuple[float, ...]


def milliseconds(seconds: Sequence[float], percent: int) -> float:
    """A percentile."""
    ordered = sorted(seconds)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] * 1000


@dataclass(frozen=True)
class Report:
    """Everything of one run. ``pages``: of each record, by page. ``pixels``: None: they were left out."""

    pages: Mapping[Record, Mapping[str, Loaded]]
    pixels: Pixels | None
    machine: Machine
    now: dt.datetime

    def figures(self) -> list[Figure]:
        """Every figure."""
        found = []
        for record, pages in self.pages.items():
            where = f"{record.database}, {record.recipients:,} recipients"
            found.append(Figure(NAME, f"size of the database, {where}", record.megabytes, "MB"))
            for page, loaded in pages.items():
                found += [
                    Figure(NAME, f"{page} p50, {where}", loaded.p50, "ms"),
                    Figure(NAME, f"{page} p95, {where}", loaded.p95, "ms"),
                    Figure(NAME, f"{page} CPU, {where}", loaded.cpu_seconds * 1000, "ms"),
                ]
        if self.pixels is not None:
            found.append(Figure(NAME, "pixels", self.pixels.per_second, "requests/s"))
            found.append(Figure(NAME, "pixel p99", milliseconds(self.pixels.seconds, 99), "ms"))
            in_server = milliseconds(self.pixels.in_server_seconds, 99)
            found.append(Figure(NAME, "pixel in the server p99", in_server, "ms"))
        return found

    def markdown(self) -> str:
        """The tables, and below them how they came about."""
        header = ["page, ms: p50 / p95 (CPU)"]
        header += [f"{record.database}, {record.recipients / 1e6:.3g} M" for record in self.pages]
        rows = [
            [name, *(f"{pages[name].p50:.0f} / {pages[name].p95:.0f} ({pages[name].cpu_seconds * 1000:.0f})"
                     for pages in self.pages.values())]
            for name in next(iter(self.pages.values()))
        ]  # fmt: skip
        rows.append(["size of the database, MB", *(f"{record.megabytes:,.0f}" for record in self.pages)])
        return markdown.table(header, rows) + "\n" + self._legend()

    def _legend(self) -> str:
        requests = min(len(loaded.seconds) for pages in self.pages.values() for loaded in pages.values())
        sentences = [
            f"`make bench-web`, {self.now:%-d %b %Y}, on {self.machine.cores} cores of {self.machine.processor}:"
            " whole pages over HTTP from the program `sendproof-web` (gunicorn, 2 workers) to one reader,"
            f" {requests} of each, each for something else; CPU: of the site's processes, for one page.",
            "M: million recipients, with their attempts and dialogue, of one year and 1,000 accounts; the reader's"
            " account has the most mail.",
        ]
        if self.pixels is not None:
            pixels = self.pixels
            sentences.append(
                f"Pixels: {pixels.per_second:,.0f} requests/s over {pixels.connections} connections at once,"
                f" p99 {milliseconds(pixels.seconds, 99):.0f} ms with the wait for a processor; in the server"
                f" {milliseconds(pixels.in_server_seconds, 50):.1f} ms,"
                f" p99 {milliseconds(pixels.in_server_seconds, 99):.1f} ms."
            )
        return " ".join(sentences) + "\n"
