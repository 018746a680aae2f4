"""The program's processes: replaced, recycled, drained."""

import contextlib
import http.client
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import pytest

from sendproof_milter.message import Submission
from sendproof_testing.milter_peer import MtaSession, mta_session
from sendproof_testing.ports import PortBlock
from sendproof_testing.processes import Program
from sendproof_testing.submissions import submission, with_fields

pytestmark = pytest.mark.integration  # starts servers

_PATIENCE_SECONDS = 20.0


class _Milter(Protocol):
    program: Program
    folder: Path

    @property
    def socket(self) -> Path: ...
    def log(self) -> str: ...
    def events(self) -> list[dict[str, Any]]: ...
    def workers(self) -> list[int]: ...
    def keepers(self) -> list[int]: ...


_Start = Callable[..., AbstractContextManager[_Milter]]


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _delivers(milter: _Milter, message: Submission | None = None) -> bool:
    with mta_session(milter.socket) as session:
        return session.deliver(message or submission()).verdict == "continue"


def _answers(path: Path) -> bool:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
        return probe.connect_ex(str(path)) == 0


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
        workers, keepers = milter.workers(), milter.keepers()
        with _message_under_way(milter) as session:
            milter.program.process.send_signal(signal.SIGTERM)
            # only now does it hear of the end: the socket takes nobody any more
            _until(lambda: len([pid for pid in workers if _is_gone(pid)]) == 1)
            session.content(submission())
            answer = session.end(submission())
            assert (answer.verdict, len(answer.edits)) == ("continue", 4)
        assert milter.program.process.wait(_PATIENCE_SECONDS) == 0
        assert all(_is_gone(pid) for pid in (*workers, *keepers))
        assert not milter.socket.exists()
        assert "event=stopped" in milter.log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sessions_without_a_message_do_not_hold_the_end_up(start_milter: _Start, number: signal.Signals) -> None:
    with start_milter(workers=1) as milter, mta_session(milter.socket) as session:
        assert session.deliver(submission()).verdict == "continue"
        milter.program.process.send_signal(number)
        assert milter.program.process.wait(_PATIENCE_SECONDS) == 0
        assert session.is_over()


# Whoever looked whether the socket answers was counted as a session less: a message under way was cut off at the end.
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


def test_a_worker_that_is_killed_is_replaced_and_the_socket_goes_on_serving(start_milter: _Start) -> None:
    with start_milter(workers=1) as milter:
        (victim,) = milter.workers()
        with _message_under_way(milter) as session:
            os.kill(victim, signal.SIGKILL)
            assert session.is_over()  # Postfix answers 451
        _until(lambda: milter.workers() not in ([victim], []))
        assert _delivers(milter)
        assert f"event=worker-died pid={victim} status=-9" in milter.log()


def test_while_one_worker_is_dead_the_others_serve(start_milter: _Start) -> None:
    with start_milter(workers=2) as milter:
        os.kill(milter.workers()[0], signal.SIGKILL)
        assert all(_delivers(milter) for _ in range(5))
        _until(lambda: len(milter.workers()) == 2)


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


def test_workers_end_when_their_parent_was_killed_and_the_next_start_takes_the_socket(start_milter: _Start) -> None:
    with start_milter(workers=2) as milter:
        processes = (*milter.workers(), *milter.keepers())
        milter.program.process.kill()
        milter.program.process.wait()
        _until(lambda: all(_is_gone(pid) for pid in processes))
        _until(lambda: not _answers(milter.socket))  # nobody has inherited it
    with start_milter(workers=1) as milter:
        assert _delivers(milter)


def test_a_worker_that_cannot_start_says_why_and_is_tried_again(start_milter: _Start, tmp_path: Path) -> None:
    away = tmp_path.with_name("away")
    with start_milter(workers=1) as milter:
        (victim,) = milter.workers()
        tmp_path.rename(away)
        os.kill(victim, signal.SIGKILL)
        _until(lambda: "event=worker-failed" in (away / "milter.log").read_text())
        away.rename(tmp_path)
        assert _delivers(milter)
        assert "the folder of the database" in milter.log()


# All mail was answered 451 until somebody noticed.
def test_a_milter_whose_socket_was_removed_ends_and_says_so(start_milter: _Start) -> None:
    with start_milter(workers=1) as milter:
        milter.socket.unlink()
        assert milter.program.process.wait(_PATIENCE_SECONDS) == 2
        assert "was removed; start the milter again" in milter.log()


# --- the keeper -------------------------------------------------------------------------------------------------------


@pytest.fixture
def port() -> Iterator[int]:
    """A free one."""
    block = PortBlock()
    yield block.take()
    block.release()


def _numbers(port: int) -> dict[str, float]:
    """What a monitor finds, without what does not begin with our name."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_SECONDS)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return {name: float(value) for name, value in re.findall(r"^sendproof_milter_(\S+) (\S+)$", text, re.MULTILINE)}


def test_a_keeper_that_is_killed_is_replaced_and_mail_does_not_notice(start_milter: _Start) -> None:
    with start_milter(workers=1) as milter:
        (victim,), workers = milter.keepers(), milter.workers()
        os.kill(victim, signal.SIGKILL)
        _until(lambda: f"event=keeper-died pid={victim} status=-9" in milter.log())
        snapshot = milter.folder / "milter.snapshot"
        snapshot.unlink(missing_ok=True)
        assert _delivers(milter)
        _until(lambda: len(milter.keepers()) == 2)  # after a pause
        _until(snapshot.exists)
        assert milter.workers() == workers
        assert "worker-died" not in milter.log()


def test_it_writes_the_snapshot_as_often_as_it_was_told_and_mail_flows_when_the_database_is_gone(
    start_milter: _Start,
) -> None:
    with start_milter(workers=1, keeper_seconds=1, quota_when_unavailable='"accept"') as milter:
        snapshot = milter.folder / "milter.snapshot"
        _until(snapshot.exists)
        first = snapshot.stat().st_ino
        _until(lambda: snapshot.exists() and snapshot.stat().st_ino != first)
        for path in milter.folder.glob("sendproof.db*"):
            path.rename(path.with_name(f"away-{path.name}"))
        assert _delivers(milter)
        assert "event=directory-from-snapshot" in milter.log()
        assert [event["charged_recipients"] for event in milter.events()] == [0]


def test_a_monitor_finds_the_numbers_of_all_processes_those_of_dead_ones_too(start_milter: _Start, port: int) -> None:
    with start_milter(workers=1, metrics=f'"127.0.0.1:{port}"') as milter:
        assert _delivers(milter)
        assert _numbers(port)['messages_total{verdict="passed"}'] == 1
        (victim,) = milter.workers()
        os.kill(victim, signal.SIGKILL)
        _until(lambda: milter.workers() not in ([victim], []))
        assert _delivers(milter)
        numbers = _numbers(port)
        assert numbers['messages_total{verdict="passed"}'] == 2
        assert numbers["charged_recipients_total"] == 2
        assert numbers['worker_ends_total{cause="died"}'] == 1
        assert {f'step_seconds_count{{step="{name}"}}' for name in ("who", "charge", "sign")} <= set(numbers)


def test_the_numbers_say_when_a_worker_was_worn(start_milter: _Start, port: int) -> None:
    with start_milter(workers=1, messages_per_worker=100, metrics=f'"127.0.0.1:{port}"') as milter:
        with mta_session(milter.socket) as session:
            for _ in range(120):
                session.deliver(submission(login=""))
        _until(lambda: 'worker_ends_total{cause="worn"}' in _numbers(port))
        numbers = _numbers(port)
        assert numbers['messages_total{verdict="refused"}'] == numbers['refusals_total{reason="no-login"}'] == 120


def _memory_octets(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)[0]) * 1024


def _large_message() -> Submission:
    """HTML with a picture that is 50 MB large on the wire, in lines as mail programs write them."""
    line = b"A" * 76 + b"\r\n"
    html = b"--b\r\nContent-Type: text/html\r\n\r\n<html><body><p>Look!</p></body></html>\r\n"
    image = b"--b\r\nContent-Type: image/jpeg\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    body = html + image + line * (50_000_000 // len(line)) + b"--b--\r\n"
    return with_fields((b"Content-Type", b'multipart/mixed; boundary="b"'), body=body)


def test_a_message_of_50_megabytes_takes_less_than_three_times_its_size(start_milter: _Start) -> None:
    with start_milter(workers=1) as milter:
        (worker,) = milter.workers()
        with mta_session(milter.socket) as session:
            assert session.deliver(submission()).verdict == "continue"
            idle = _memory_octets(worker, "VmRSS")
            message = _large_message()
            answer = session.deliver(message)
        assert answer.verdict == "continue"
        assert answer.new_body is not None
        assert len(message.body) < len(answer.new_body) < len(message.body) + 500
        assert _memory_octets(worker, "VmHWM") - idle < 3 * len(message.body)
