"""The loop: read what is there, store it, say so, wait. Decides nothing about mail.

One round is one transaction over all sources. A batch is worked out once and stored until it is stored: a database that
is locked, full or away makes the reader wait with growing pauses, while the logs wait on disk.
"""

import datetime as dt
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from sendproof_core.clock import Clock, monotonic_seconds
from sendproof_core.service_notify import ServiceNotifier
from sendproof_logparser import derive, sweep
from sendproof_logparser.batch import Batch
from sendproof_logparser.metrics import BatchCounts, Metrics
from sendproof_logparser.reader import Reader
from sendproof_logparser.store import DatabaseAway, Store, Written
from sendproof_logparser.tail import Wakeup

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
# A pause is taken in steps, so that systemd hears of us while the database is away.
_STEP_SECONDS = 5.0
_SWEEP_EVERY = dt.timedelta(minutes=1)
# How often the record says that everything was read: charges without a message are taken back on its word.
_MARK_EVERY = dt.timedelta(seconds=10)
# How often, while there is always more to read, something is derived from what was read.
_DERIVE_EVERY = dt.timedelta(seconds=1)
_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")


class Stopped(Exception):
    """The program was told to stop while the database was away: nothing of the batch is stored."""


@dataclass
class _Due:
    """When something was done last that is to be done every now and then."""

    every: dt.timedelta
    at: dt.datetime | None = None

    def __call__(self, now: dt.datetime) -> bool:
        if self.at is not None and now - self.at < self.every:
            return False
        self.at = now
        return True


@dataclass
class Daemon:
    """Reads until it is told to stop."""

    reader: Reader
    store: Store
    host: str
    clock: Clock
    poll_seconds: float
    queue_lifetime_seconds: int
    wakeup: Wakeup
    notifier: ServiceNotifier
    metrics: Metrics | None = None
    _mark_due: _Due = field(default_factory=lambda: _Due(_MARK_EVERY))
    _sweep_due: _Due = field(default_factory=lambda: _Due(_SWEEP_EVERY))
    _derive_due: _Due = field(default_factory=lambda: _Due(_DERIVE_EVERY))

    def run(self) -> None:
        """Follow the sources until the wake-up says stop."""
        _log.info("event=started unread_octets=%d", self.reader.unread_octets())
        try:
            self._until_database_is_there(self._forget_sources)
            self.notifier.ready()
            while not self.wakeup.stopping:
                self.notifier.alive()
                self.notifier.status(f"{self.reader.unread_octets()} octets unread")
                if not self.read_once():
                    self._between_batches(self.clock())
                    if not self._derive():
                        self.wakeup.wait(self.poll_seconds)
        except Stopped:
            pass
        self.notifier.stopping()
        _log.info("event=stopped")

    def read_all(self) -> None:
        """Read until nothing is left, or the wake-up says stop."""
        try:
            while not self.wakeup.stopping and self.read_once():
                pass
            while not self.wakeup.stopping and self._derive():
                pass
        except Stopped:
            pass

    def read_once(self) -> bool:
        """Read and store one batch; whether there was anything.

        Raises:
            Stopped: the database is away, and we are to end.
        """
        batch = self.reader.read(self.clock())
        if batch is None:
            return False
        began = monotonic_seconds()
        written = self._until_database_is_there(lambda: self.store.write(batch))
        if self.metrics is not None:
            self.metrics.took(_counts(batch, written, self.reader.open_conversations, monotonic_seconds() - began))
            self._say_lag(self.metrics, batch.now)
        if self._derive_due(batch.now):
            self._derive()
        return True

    def _derive(self) -> bool:
        """Derive something from what was read; whether there was anything."""
        return self._until_database_is_there(lambda: derive.run(self.store.session)) > 0

    def _between_batches(self, now: dt.datetime) -> None:
        """What is to be said or mended when everything that is there was read."""
        if self._mark_due(now):
            names = self.reader.readable_names
            self._until_database_is_there(lambda: self.store.mark_read_up_to(names, now))
        if self._sweep_due(now):
            self._until_database_is_there(lambda: self._sweep(now))
            if self.metrics is not None:
                counts = self._until_database_is_there(self.store.open_recipients)
                self.metrics.open_entries({state.value: count for state, count in counts.items()})
        if self.metrics is not None:
            self._say_lag(self.metrics, now)

    def _say_lag(self, metrics: Metrics, now: dt.datetime) -> None:
        for source, (last_line_at, octets) in self.reader.lag().items():
            seconds = (now - last_line_at).total_seconds() if last_line_at is not None else 0.0
            metrics.lag(source, seconds, octets)

    def _sweep(self, now: dt.datetime) -> None:
        unheard = 0
        with self.store.connection() as connection:
            silent = sweep.mark_silent_as_unknown(connection, self.host, now, self.queue_lifetime_seconds)
            # Where journals alone are read, or a log cannot be, no line of a mail log is to be expected.
            if self.reader.log_names and set(self.reader.log_names) <= set(self.reader.readable_names):
                unheard = sweep.mark_unheard_as_unknown(connection, self.host, now, now)
        if silent or unheard:
            _log.warning("event=marked-unknown silent=%d unheard=%d", silent, unheard)
        if self.metrics is not None:
            self.metrics.marked_unknown(silent, unheard)

    def _forget_sources(self) -> None:
        with self.store.connection() as connection:
            forgotten = sweep.forget_sources(connection, self.host, self.reader.source_names)
        if forgotten:
            _log.info("event=sources-forgotten count=%d", forgotten)

    def _until_database_is_there(self, act: Callable[[], _Result]) -> _Result:
        """Carry ``act`` out, as often as it takes.

        Raises:
            Stopped: we were told to stop before it succeeded.
        """
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return act()
            except DatabaseAway as error:
                unread = self.reader.unread_octets()
                _log.warning("event=database-away pause=%.1f unread_octets=%d error=%s", pause_seconds, unread, error)
                self.notifier.status(f"the database is away; {unread} octets unread")
            if self.metrics is not None:
                self.metrics.database_away(pause_seconds)
            left = pause_seconds
            while left > 0 and not self.wakeup.stopping:
                self.notifier.alive()
                self.wakeup.pause(min(left, _STEP_SECONDS))
                left -= _STEP_SECONDS
            if self.wakeup.stopping:
                raise Stopped
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)


def _counts(batch: Batch, written: Written, open_conversations: int, seconds: float) -> BatchCounts:
    irrelevant = sum(portion.irrelevant for portion in batch.portions)
    others = sum(portion.others + portion.formless for portion in batch.portions)
    unknown = Counter(daemon for portion in batch.portions for _, daemon, _ in portion.unknown)
    lines = sum(len(portion.lines) for portion in batch.portions)
    gaps = [gap for portion in batch.portions for gap in portion.gaps]
    return BatchCounts(
        understood=lines - irrelevant - others - unknown.total(),
        irrelevant=irrelevant,
        other_program=others,
        unknown_by_daemon=unknown,
        rows=written.rows,
        gaps=len(gaps),
        lost_lines=sum(gap.lines or 0 for gap in gaps),
        open_conversations=open_conversations,
        seconds=seconds,
    )
