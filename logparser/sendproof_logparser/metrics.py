"""What the logparser counts, for Prometheus. Decides and logs nothing, asks no database.

One process, one set of numbers: they are written once for each batch, never for each line.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, start_http_server

from sendproof_core.errors import UserError

# A batch is stored in milliseconds, or as long as the database lets it wait.
_SECONDS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
# Whoever may write to the log chooses what the programs are called; a monitor keeps a series for each.
_MOST_DAEMONS = 50
_OTHER_DAEMONS = "other"
_NO_DAEMON = "none"


@dataclass(frozen=True, kw_only=True)
class BatchCounts:
    """One batch that was stored."""

    understood: int = 0
    # a rule knows them, and they say nothing about a recipient
    irrelevant: int = 0
    other_program: int = 0
    # None: of no program that we know, or a journal's
    unknown_by_daemon: Mapping[str | None, int] = field(default_factory=dict)
    rows: int = 0
    gaps: int = 0
    # by those gaps, as far as they say how many
    lost_lines: int = 0
    open_conversations: int = 0
    # to store it, with all waiting
    seconds: float = 0.0


class Metrics:
    """The numbers of one logparser."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # memory, processor time, open files
        self._daemons: set[str] = set()
        lines = self._counter("lines", "Lines that were read and stored, by result.", "result")
        self._understood, self._irrelevant, self._other_program, self._unknown = map(
            lines.labels, ("understood", "irrelevant", "other-program", "unknown")
        )
        self._unknown_by_daemon = self._counter("unknown_lines", "Lines that no rule knows, by daemon.", "daemon")
        self._rows = self._counter("rows", "Rows of the record that were written.")
        self._gaps = self._counter("gaps", "Times that the system log said that it dropped lines.")
        self._lost_lines = self._counter("lost_lines", "Lines that it dropped, as far as it says how many.")
        self._away = self._counter("database_away_seconds", "How long the database was waited for.")
        self._pauses = self._counter("database_pauses", "How often the database was waited for.")
        self._batches = Histogram(
            "sendproof_logparser_batch_seconds", "To store a batch.", registry=self._registry, buckets=_SECONDS
        )
        marked = self._counter("marked_unknown", "Recipients of whom the log does not say what became of them.", "why")
        self._silent, self._unheard = map(marked.labels, ("silent", "unheard"))
        self._lag = self._gauge("lag_seconds", "Age of the last line read while more is unread, else 0.", "source")
        self._unread = self._gauge("unread_bytes", "How much of a source is unread.", "source")
        self._open_entries = self._gauge("open_recipients", "Recipients that Postfix still has, by state.", "state")
        self._conversations = self._gauge("open_conversations", "SMTP processes in mid-conversation.")

    def took(self, counts: BatchCounts) -> None:
        """A batch that was stored."""
        self._understood.inc(counts.understood)
        self._irrelevant.inc(counts.irrelevant)
        self._other_program.inc(counts.other_program)
        for daemon, count in counts.unknown_by_daemon.items():
            self._unknown.inc(count)
            self._unknown_by_daemon.labels(self._daemon(daemon)).inc(count)
        self._rows.inc(counts.rows)
        self._gaps.inc(counts.gaps)
        self._lost_lines.inc(counts.lost_lines)
        self._conversations.set(counts.open_conversations)
        self._batches.observe(counts.seconds)

    def lag(self, source: str, seconds: float, octets: int) -> None:
        """How far a source's reader is behind; ``seconds``: the age of the last line read."""
        self._lag.labels(source).set(max(seconds, 0.0) if octets else 0)
        self._unread.labels(source).set(octets)

    def open_entries(self, counts: Mapping[str, int]) -> None:
        """How many recipients Postfix still has, by state."""
        for state, count in counts.items():
            self._open_entries.labels(state).set(count)

    def database_away(self, seconds: float) -> None:
        """The database was away, and waited for so long."""
        self._pauses.inc()
        self._away.inc(seconds)

    def marked_unknown(self, silent: int, unheard: int) -> None:
        """Recipients who became `unknown`: nothing more was heard of them, or nothing ever but the milter's word."""
        self._silent.inc(silent)
        self._unheard.inc(unheard)

    def serve(self, address: str) -> int:
        """Answer ``GET /metrics`` at ``host:port`` until the process ends; the port.

        Raises:
            UserError: the address cannot be used.
        """
        host, _, port = address.rpartition(":")
        if not host:  # a socket would take that for every address of the machine
            raise UserError(f"[logparser] metrics cannot be served at {address!r}, which has no host; name host:port.")
        try:
            server, _ = start_http_server(int(port), host.strip("[]"), self._registry)
        except (OSError, ValueError, OverflowError) as error:
            raise UserError(
                f"[logparser] metrics cannot be served at {address!r} ({error}); name another host:port."
            ) from None
        return server.server_port

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"sendproof_logparser_{name}", meaning, labels, registry=self._registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"sendproof_logparser_{name}", meaning, labels, registry=self._registry)

    def _daemon(self, name: str | None) -> str:
        if name is None:
            return _NO_DAEMON
        if name not in self._daemons and len(self._daemons) >= _MOST_DAEMONS:
            return _OTHER_DAEMONS
        self._daemons.add(name)
        return name
