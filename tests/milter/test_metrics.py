import dataclasses
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from sendproof_milter.metrics import _TIMED_EVERY, Metrics
from sendproof_milter.split_stamp import Stamp
from sendproof_milter.work import Reason, Refusal, Services, Site, Unavailable, Work
from sendproof_testing.counted import counted
from sendproof_testing.submissions import NOW, sender, submission

_SITE = Site("edge.relay.example", "https://t.relay.example", 1, {1: b"k" * 32})
_WORK = Work(submission(), uuid.UUID(int=1), sender(), charged_recipients=3, pixel="inserted")
_STAMP = Stamp(uuid.UUID(int=1), 1, "4Zparent", NOW, (), b"", 0)


@pytest.mark.parametrize(
    ("work", "numbers"),
    [
        (_WORK, {"messages_total passed": 1, "charged_recipients_total": 3, "pixels_total inserted": 1}),
        # what becomes of its pixel is the copies' matter
        (dataclasses.replace(_WORK, split=True), {"messages_total split": 1, "charged_recipients_total": 3}),
        (
            dataclasses.replace(_WORK, stamp=_STAMP, charged_recipients=0, pixel="charset"),
            {"messages_total copied": 1, "pixels_total charset": 1},
        ),
        (
            dataclasses.replace(_WORK, sender=sender(test_mode=True), charged_recipients=0),
            {"messages_total test-mode": 1, "pixels_total inserted": 1},
        ),
    ],
)
def test_a_message_that_goes_out_is_counted_by_its_way(work: Work, numbers: dict[str, float]) -> None:
    metrics = Metrics()
    metrics.count_passed(work)
    assert counted(metrics) == numbers


def test_a_refusal_is_counted_by_its_limit_or_else_its_reason() -> None:
    metrics = Metrics()
    metrics.count_refusal(Refusal(Reason.OVER_QUOTA, 550, "5.7.1", "no", "recipients_per_day"))
    metrics.count_refusal(Refusal(Reason.FOREIGN_FROM, 550, "5.7.1", "no"))
    assert counted(metrics) == {
        "messages_total refused": 2,
        "refusals_total recipients_per_day": 1,
        "refusals_total foreign-from": 1,
    }


def test_what_failed_the_ends_of_workers_and_reconciled_charges_are_counted() -> None:
    metrics = Metrics()
    metrics.count_verdict("unavailable")
    metrics.count_worker_end("died")
    metrics.count_worker_end("died")
    metrics.count_reconciled("taken-back", 5)
    assert counted(metrics) == {
        "messages_total unavailable": 1,
        "worker_ends_total died": 2,
        "reconciled_charges_total taken-back": 5,
    }


def _fails(work: Work, services: Services, site: Site) -> Work:
    del work, services, site
    raise Unavailable("the database is away")


def _goes_on(work: Work, services: Services, site: Site) -> Work:
    del services, site
    return dataclasses.replace(work, trace="seen")


class _NoServices:
    def __getattr__(self, name: str) -> object:
        raise AssertionError(name)


def test_every_step_is_measured_also_one_that_fails_and_does_what_it_did() -> None:
    metrics = Metrics()
    good, bad = metrics.timed((_goes_on, _fails))
    services: Services = _NoServices()  # type: ignore[assignment] # nothing is asked of it
    assert good(_WORK, services, _SITE) == dataclasses.replace(_WORK, trace="seen")
    with pytest.raises(Unavailable):
        bad(_WORK, services, _SITE)
    assert counted(metrics) == {"step_seconds_count _goes_on": 1, "step_seconds_count _fails": 1}


_THREE_PROCESSES = """
import os, sys
from pathlib import Path
from sendproof_milter import metrics

folder = Path(sys.argv[1])
metrics.prepare(folder)
parent = metrics.Metrics()
parent.count_worker_end("worn")
for verdicts in (["passed"], ["passed", "refused"]):
    child = os.fork()
    if child == 0:
        metrics.write_as("worker-0")  # the second goes on where the first has ended
        own = metrics.Metrics()
        for verdict in verdicts:
            own.count_verdict(verdict)
        step, = own.timed((lambda work, services, site: work,))
        step(None, None, None)
        os._exit(0)
    os.waitpid(child, 0)
parent.count_worker_end("died")
sys.stdout.buffer.write(metrics.exposition())
"""


def test_the_numbers_of_all_processes_are_added_up_those_of_dead_ones_and_of_no_earlier_run(tmp_path: Path) -> None:
    folder = tmp_path / "m.metrics"
    command = [sys.executable, "-W", "error", "-c", _THREE_PROCESSES, str(folder)]
    subprocess.run(command, capture_output=True, check=True)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    numbers = dict(re.findall(r"^sendproof_milter_(\S+) (\S+)$", done.stdout, re.MULTILINE))
    assert numbers['messages_total{verdict="passed"}'] == "2.0"
    assert numbers['messages_total{verdict="refused"}'] == "1.0"
    assert numbers['worker_ends_total{cause="worn"}'] == "1.0"
    assert numbers['worker_ends_total{cause="died"}'] == "1.0"
    assert numbers['step_seconds_count{step="<lambda>"}'] == "2.0"
    assert "# TYPE sendproof_milter_messages_total counter" in done.stdout
    assert folder.stat().st_mode & 0o777 == 0o700


def test_one_message_in_a_few_is_measured_the_first_one_among_them() -> None:
    metrics = Metrics()
    turns = [metrics.timed((_goes_on,)) != (_goes_on,) for _ in range(3 * _TIMED_EVERY)]
    assert turns == [True, *[False] * (_TIMED_EVERY - 1)] * 3


def test_without_a_folder_for_all_processes_one_counts_for_itself(tmp_path: Path) -> None:
    # as the benchmarks and these tests do
    first, second = Metrics(), Metrics()
    first.count_verdict("passed")
    assert (counted(first), counted(second)) == ({"messages_total passed": 1}, {})
    assert list(tmp_path.iterdir()) == []
