"""The milter, whose processes kill themselves where a message's Subject says, once for each Subject.

``Subject: die PLACE ...``. Everything else is the milter's own code: it is given other numbers to count with, and those
are told of each step. Places: ``before-STEP`` and ``after-STEP`` of `pipeline.STEPS`, ``journal`` (the line is written,
the reply is not), ``reply-N`` (N milliseconds after that: the reply is on its way, or sent); on the second pass, of a
copy for one recipient, the same with ``copy-`` before it. The parent replaces the dead without its usual pauses.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import click

from sendproof_core.errors import guarded
from sendproof_milter import prefork
from sendproof_milter.cli import serve
from sendproof_milter.metrics import Metrics
from sendproof_milter.pipeline import SECOND_PASS, STEPS, Step
from sendproof_milter.work import Refusal, Services, Site, Work
from sendproof_milter.worker import RESUBMISSION_DAEMON
from sendproof_testing import processes
from sendproof_testing.sandbox import Sandbox

_LATER = tuple(f"reply-{milliseconds}" for milliseconds in (0, 1, 4))
_START_SECONDS = 30.0


def _places(steps: tuple[Step, ...]) -> tuple[str, ...]:
    return (*(f"before-{step.__name__}" for step in steps), f"after-{steps[-1].__name__}", "journal", *_LATER)


PLACES = _places(STEPS)
COPY_PLACES = tuple(f"copy-{place}" for place in _places(SECOND_PASS))


def start_instead(sandbox: Sandbox, marks: Path) -> None:
    """End the sandbox's milter and start this one in its place. ``marks``: a folder where each death leaves a file."""
    marks.mkdir()
    sandbox.programs["milter"].end()
    config = sandbox.installation.config
    program = sandbox._run(
        "milter", sys.executable, "-m", "sendproof_testing.dying_milter", "--config", str(config), "--marks", str(marks)
    )
    processes.wait_for_unix(program, sandbox.installation.milter_socket, _START_SECONDS)


class _DeadlyMetrics(Metrics):
    """Counts as usual, and kills the process when it is told of the wrong thing."""

    def __init__(self, marks: Path) -> None:
        super().__init__()
        self._marks = marks

    def timed(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """The same steps, each measured and each a danger."""
        return tuple(
            self._deadly(step.__name__, timed) for step, timed in zip(steps, super().timed(steps), strict=True)
        )

    def count_passed(self, work: Work) -> None:
        """Told after the journal's line was written."""
        super().count_passed(work)
        self._die_at("journal", work, _kill)
        for place in _LATER:
            timer = threading.Timer(int(place.rpartition("-")[2]) / 1000, _kill)
            self._die_at(place, work, timer.start)

    def _deadly(self, name: str, step: Step) -> Step:
        def dangerous(work: Work, services: Services, site: Site) -> Work | Refusal:
            self._die_at(f"before-{name}", work, _kill)
            outcome = step(work, services, site)
            self._die_at(f"after-{name}", work, _kill)
            return outcome

        return dangerous

    def _die_at(self, place: str, work: Work, die: Callable[[], None]) -> None:
        submission = work.submission
        if submission.daemon_name == RESUBMISSION_DAEMON:
            place = f"copy-{place}"
        subject = b"".join(submission.header_values("Subject")).decode("ascii", "replace").split()
        if subject[:2] != ["die", place]:
            return
        try:
            os.close(os.open(self._marks / "-".join(subject), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return  # died of it before
        die()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@click.command()
@click.option("--config", type=click.Path(path_type=Path), required=True)
@click.option("--marks", type=click.Path(path_type=Path), required=True)
def _command(config: Path, marks: Path) -> None:
    prefork._YOUNG_SECONDS = prefork._KEEPER_PAUSE_SECONDS = 0.0
    guarded(lambda: serve(config, lambda: _DeadlyMetrics(marks)))


if __name__ == "__main__":
    _command()
