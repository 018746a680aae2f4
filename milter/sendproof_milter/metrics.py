"""What the milter counts, for Prometheus: one set of numbers over all its processes. Decides and logs nothing.

Each process keeps its numbers in files of a common folder (prometheus_client's multiprocess mode), which `exposition`
adds up. `prepare` names the folder and must come before anything else here, in the parent of all processes.
"""

import itertools
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import prometheus_client.multiprocess
import prometheus_client.values
from prometheus_client import CollectorRegistry, Counter, Histogram

from sendproof_milter.pipeline import Step
from sendproof_milter.work import Refusal, Services, Site, Work

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
# A step takes microseconds, or as long as the disk and the database let it wait.
_SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0)

_TIMED_EVERY = 16


def prepare(folder: Path) -> None:
    """Let all numbers live in an empty folder; what an earlier run left there is removed.

    Raises:
        OSError: the folder cannot be made.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    os.environ[_FOLDER] = str(folder)
    write_as("parent")


def write_as(name: str) -> None:
    """In a process that begins: which files its numbers go to. No two living processes may have one name.

    Who takes over the name of one that has ended goes on counting in its files: there are not ever more of them.
    """
    # The library would take the process id, and chose where numbers live when it was imported.
    prometheus_client.values.ValueClass = prometheus_client.values.MultiProcessValue(lambda: name)  # type: ignore[no-untyped-call]


def exposition() -> bytes:
    """The numbers of all processes, in Prometheus's text format."""
    registry = CollectorRegistry()
    prometheus_client.multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return prometheus_client.generate_latest(registry)


class Metrics:
    """One process's numbers."""

    def __init__(self) -> None:
        self._turn = itertools.count()
        registry = CollectorRegistry()
        self._messages = Counter("sendproof_milter_messages", "Messages by verdict.", ("verdict",), registry=registry)
        self._refusals = Counter(
            "sendproof_milter_refusals", "Refused messages by reason or limit.", ("reason",), registry=registry
        )
        self._charged = Counter("sendproof_milter_charged_recipients", "Recipients charged.", registry=registry)
        self._pixels = Counter(
            "sendproof_milter_pixels", "Messages by what became of their pixel.", ("outcome",), registry=registry
        )
        self._steps = Histogram(
            "sendproof_milter_step_seconds", "How long each step took.", ("step",), registry=registry, buckets=_SECONDS
        )
        self._workers = Counter(
            "sendproof_milter_worker_ends",
            "Worker processes that ended and were replaced.",
            ("cause",),
            registry=registry,
        )
        self._ledger = Counter(
            "sendproof_milter_reconciled_charges",
            "Charges by the record's word on them.",
            ("outcome",),
            registry=registry,
        )

    def timed(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """The same steps, measured for one message in a few: writing the numbers down takes longer than some steps."""
        if next(self._turn) % _TIMED_EVERY:
            return steps
        return tuple(_timed(step, self._steps.labels(step.__name__).observe) for step in steps)

    def count_verdict(self, verdict: str) -> None:
        """A message that ended with this verdict."""
        self._messages.labels(verdict).inc()

    def count_refusal(self, refusal: Refusal) -> None:
        """A refused message."""
        self._messages.labels("refused").inc()
        self._refusals.labels(refusal.limit_name or refusal.reason.value).inc()

    def count_passed(self, work: Work) -> None:
        """A message that goes out, or a copy of one."""
        if work.stamp is not None:
            verdict = "copied"
        elif work.known_sender.test_mode:
            verdict = "test-mode"
        else:
            verdict = "split" if work.split else "passed"
        self._messages.labels(verdict).inc()
        self._charged.inc(work.charged_recipients)
        if not work.split:
            self._pixels.labels(work.pixel).inc()

    def count_worker_end(self, cause: str) -> None:
        """A worker was replaced: worn or died."""
        self._workers.labels(cause).inc()

    def count_reconciled(self, outcome: str, count: int) -> None:
        """Charges that the record confirmed, refuted or lacked."""
        self._ledger.labels(outcome).inc(count)


def _timed(step: Step, observe: Callable[[float], None]) -> Step:
    def measured(work: Work, services: Services, site: Site) -> Work | Refusal:
        began = time.perf_counter()
        try:
            return step(work, services, site)
        finally:
            observe(time.perf_counter() - began)

    return measured
