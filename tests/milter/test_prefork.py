"""The program's processes: replaced, recycled, drained."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import pytest

from sendproof_milter.message import Submission
from sendproof_testing.milter_peer import MtaSession, mta_session
from sendproof_testing.processes import Program
from sendproof_testing.submissions import submission

pytestmark = pytest.mark.integration  # starts servers

_PATIENCE_SECONDS = 20.0


class _Milter(Protocol):
    program: Program
    folder: Path

    @property
    def socket(self) -> Path: ...
    def log(self) -> str: ...
    def workers(self) -> list[int]: ...


_Start = Callable[..., AbstractContextManager[_Milter]]


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _delivers(milter: _Milter, message: Submission | None = None) -> bool:
    with mta_session(milter.socket) as session:
        return session.deliver(message or submission()).verdict == "continue"


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@contextlib.contextmanager
def _message_under_way(milter: _Milter) -> Iterator[MtaSession]:
    with mta_session(milter.socket) as session:
        session.begin(submission())
        session.macros("L", {})
        _until(session.all_was_read)
        yield session


def test_as_many_workers_run_as_were_asked_for_and_the_socket_is_the_groups(start_milter: _Start) -> None:
    with start_milter(workers=3) as milter:
        assert len(milter.workers()) == 3
        assert milter.socket.stat().st_mode & 0o777 == 0o660
        assert _delivers(milter)


def test_told_to_end_it_completes_the_message_and_leaves_nothing(start_milter: _Start) -> None:
    with start_milter(workers=2) as milter:
        workers = milter.workers()
        with _message_under_way(milter) as session:
            milter.program.process.send_signal(signal.SIGTERM)
            # only now does it hear of the end: the socket takes nobody any more
            _until(lambda: len([pid for pid in workers if _is_gone(pid)]) == 1)
            session.content(submission())
            answer = session.end(submission())
            assert (answer.verdict, len(answer.edits)) == ("continue", 4)
        assert milter.program.process.wait(_PATIENCE_SECONDS) == 0
        assert all(_is_gone(pid) for pid in workers)
        assert not milter.socket.exists()
        assert "event=stopped" in milter.log()


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sessions_without_a_message_do_not_hold_the_end_up(start_milter: _Start, number: signal.Signals) -> None:
    with start_milter(workers=1) as milter, mta_session(milter.socket) as session:
        assert session.deliver(submission()).verdict == "continue"
        milter.program.process.send_signal(number)
        assert milter.program.process.wait(_PATIENCE_SECONDS) == 0
        assert session.is_over()


# Whoever looked whether the socket answers was counted as a session less: a message under way was cut off at the end.
@pytest.mark.integration
def test_probes_of_the_socket_do_not_let_it_forget_a_message_under_way(start_milter: _Start) -> None:
    with start_milter(workers=1) as milter, _message_under_way(milter) as session:
        for _ in range(3):
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(milter.socket))
            MtaSession(milter.socket).close()
        milter.program.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)  # long enough for a worker that thinks that it has no session
        session.content(submission())
        assert session.end(submission()).verdict == "continue"
        assert milter.program.process.wait(_PATIENCE_SECONDS) == 0


@pytest.mark.integration
def test_a_worker_that_is_killed_is_replaced_and_the_socket_goes_on_serving(start_milter: _Start) -> None:
    with start_milter(workers=1) as milter:
        (victim,) = milter.workers()
        with _message_under_way(milter) as session:
            os.kill(victim, signal.SIGKILL)
            assert session.is_over()  # Postfix answers 451
        _until(lambda: milter.workers() not in ([victim], []))
        assert _delivers(milter)
        assert f"event=worker-died pid={victim} status=-9" in milter.log()


@pytest.mark.integration
def test_while_one_worker_is_dead_the_others_serve(start_milter: _Start) -> None:
    with start_milter(workers=2) as milter:
        os.kill(milter.workers()[0], signal.SIGKILL)
        assert all(_delivers(milter) for _ in range(5))
        _until(lambda: len(milter.workers()) == 2)


@pytest.mark.integration
def test_a_worker_that_had_its_share_is_replaced_without_a_message_lost(start_milter: _Start) -> None:
    with start_milter(workers=1, messages_per_worker=100) as milter:
        (first,) = milter.workers()
        message = submission(login="")  # refused at once: the share is of messages, not of deliveries
        with mta_session(milter.socket) as session:
            for _ in range(120):
                assert session.deliver(message).reply.startswith("530")
        _until(lambda: first not in milter.workers())
        assert _delivers(milter)
        assert f"event=worker-worn pid={first}" in milter.log()
        assert "worker-died" not in milter.log()
        _until(lambda: _is_gone(first))


@pytest.mark.integration
def test_workers_end_when_their_parent_was_killed_and_the_next_start_takes_the_socket(start_milter: _Start) -> None:
    with start_milter(workers=2) as milter:
        workers = milter.workers()
        milter.program.process.kill()
        milter.program.process.wait()
        _until(lambda: all(_is_gone(pid) for pid in workers))
    with start_milter(workers=1) as milter:
        assert _delivers(milter)


@pytest.mark.integration
def test_a_worker_that_cannot_start_says_why_and_is_tried_again(start_milter: _Start, tmp_path: Path) -> None:
    away = tmp_path.with_name("away")
    with start_milter(workers=1) as milter:
        tmp_path.rename(away)
        os.kill(milter.workers()[0], signal.SIGKILL)
        _until(lambda: "event=worker-failed" in (away / "milter.log").read_text())
        away.rename(tmp_path)
        assert _delivers(milter)
        assert "the folder of the database" in milter.log()
