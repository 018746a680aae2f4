"""The program itself: ended in every way, and what it says of bad settings."""

import gzip
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sendproof_core.journal_records import Opened, to_line
from sendproof_core.schema import Attempt, Message, Open, QueueFile, ReadingPosition, Recipient
from sendproof_testing.ports import PortBlock
from sendproof_testing.record_reading import HOST, NOW, Machine, admitted

_PROGRAM = [sys.executable, "-c", "from sendproof_logparser.cli import main; main()"]
_KILLS = 7
_MX = "mx.example.net[192.0.2.1]:25"


@pytest.fixture
def config(machine: Machine, tmp_path: Path) -> Path:
    path = tmp_path / "sendproof.toml"
    path.write_text(
        f"""
        [host]
        name = "relay.example"
        [database]
        url = "{machine.database.engine.url}"
        [logparser]
        maillogs = ["{machine.maillog}"]
        journals = ["{machine.journal}"]
        time_zone = "UTC"
        poll_seconds = 0.05
        rotation_grace_seconds = 0.2
        """,
        encoding="utf-8",
    )
    return path


@pytest.fixture
def start(config: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [*_PROGRAM, "--config", str(config), *arguments]
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _wait_for(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def _lines_of(number: int) -> list[str]:
    """The log of one message to two recipients: the first is taken, the second put off and then refused or taken."""
    queue_id, pid = f"4F5C6{number:05X}", 100 + number % 5
    status = f"{queue_id}: to=<{{}}{number}@example.net>, relay={_MX}, delay=1, delays=0/0/0/1, dsn={{}}, status={{}}"
    outcome = ("5.1.1", "bounced (550 no)") if number % 3 else ("2.0.0", "sent (250 ok)")
    texts = [
        ("smtpd", f"{queue_id}: client=localhost[127.0.0.1]"),
        ("qmgr", f"{queue_id}: from=<max@own.example>, size=1, nrcpt=2 (queue active)"),
        ("smtp", f"< {_MX}: 220 mx {number}"),
        ("smtp", f"> {_MX}: MAIL FROM:<max@own.example>"),
        ("smtp", status.format("a", "2.0.0", "sent (250 ok)")),
        ("smtp", status.format("b", "4.2.0", "deferred (450 later)")),
        ("smtp", f"> {_MX}: QUIT"),
        ("smtp", f"< {_MX}: 220 mx again {number}"),
        ("smtp", status.format("b", *outcome)),
        ("qmgr", f"{queue_id}: removed"),
    ]
    # The program knows the real time only: stamps that name their year are the same at any time.
    return [f"{NOW.isoformat()} relay postfix/{daemon}[{pid}]: {text}\n" for daemon, text in texts]


class _Load(threading.Thread):
    """Postfix and the milter at work: lines in pieces, rotation by renaming, old files compressed."""

    def __init__(self, machine: Machine, dice: random.Random) -> None:
        super().__init__()
        self._machine, self._dice = machine, dice
        self._rotated: list[Path] = []
        self._ends = threading.Event()
        self.messages = 0

    def run(self) -> None:
        while not self._ends.wait(self._dice.uniform(0, 0.008)):
            self.write_message()
            if self.messages % 250 == 0:
                self._rotate()

    def end(self) -> None:
        self._ends.set()
        self.join()

    def write_message(self) -> None:
        number = self.messages
        addresses = (f"a{number}@example.net", f"b{number}@example.net")
        record = admitted(f"4F5C6{number:05X}", *addresses, number=number + 1, at=NOW)
        opened = Opened(at=NOW, message_id=record.message_id, recipient_number=1, grade="proxy", user_agent="")
        self._machine.note(record, opened)
        text = "".join(_lines_of(number))
        cut = self._dice.randrange(len(text))
        for piece in (text[:cut], text[cut:]):
            with self._machine.maillog.open("a", encoding="utf-8") as file:
                file.write(piece)
        self.messages += 1

    def _rotate(self) -> None:
        time.sleep(0.1)  # file times have a grain
        log = self._machine.maillog
        self._rotated.append(log.rename(log.with_name(f"mail.log.{self.messages:05}")))
        if len(self._rotated) > 2:
            _compress(self._rotated.pop(0))


def _compress(path: Path) -> None:
    status = path.stat()
    half_made = path.with_name(f"{path.name}.gz")
    half_made.write_bytes(gzip.compress(path.read_bytes()))
    os.utime(half_made, ns=(status.st_atime_ns, status.st_mtime_ns))
    path.unlink()


def _oracle(machine: Machine) -> Counter[tuple[str, ...]]:
    """Every status line in the raw files, without our parser."""
    raw = b""
    for path in machine.maillog.parent.glob("mail.log*"):
        raw += gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    found = re.findall(r"\]: (\w+): to=<([^>]*)>.* dsn=([\d.]+), status=(\w+) \((.*)\)\n", raw.decode())
    return Counter(found)


def _record(machine: Machine) -> Counter[tuple[str, ...]]:
    queue_ids = {row.id: row.queue_id for row in machine.rows(QueueFile)}
    recipients = {row.id: row for row in machine.rows(Recipient)}
    return Counter(
        (
            queue_ids[recipients[row.recipient_id].queue_file_id],
            recipients[row.recipient_id].address,
            row.dsn,
            row.status,
            row.text,
        )
        for row in machine.rows(Attempt)
    )


@pytest.mark.integration
def test_kill_at_any_moment_loses_and_doubles_nothing(
    machine: Machine, start: Callable[..., subprocess.Popen[str]]
) -> None:
    dice = random.Random(os.environ.get("SENDPROOF_SEED", "4"))
    load = _Load(machine, dice)
    load.write_message()
    assert start("--once").wait() == 0
    load.start()
    for _ in range(_KILLS):
        process = start()
        assert process.stderr is not None
        assert "event=started" in process.stderr.readline()
        time.sleep(dice.uniform(0, 0.6))
        process.send_signal(signal.SIGKILL)
        process.wait()
    load.end()
    assert start("--once").wait() == 0

    assert _record(machine) == _oracle(machine)
    states = Counter((row.address[0], row.state) for row in machine.rows(Recipient))
    taken = len(range(0, load.messages, 3))
    wanted = {("a", "delivered"): load.messages, ("b", "delivered"): taken, ("b", "bounced"): load.messages - taken}
    assert states == wanted
    assert {row.number for row in machine.rows(Recipient)} == {1, 2}
    assert len(machine.rows(Message)) == len(machine.rows(QueueFile)) == len(machine.rows(Open)) == load.messages
    with machine.database.engine.connect() as connection:
        dialogues = connection.exec_driver_sql("SELECT dialogue FROM deliveries ORDER BY id").scalars().all()
    spoken = Counter(tuple(text for _, _, text in json.loads(dialogue)) for dialogue in dialogues)
    assert spoken == Counter(
        dialogue
        for number in range(load.messages)
        for dialogue in ((f"220 mx {number}", "MAIL FROM:<max@own.example>", "QUIT"), (f"220 mx again {number}",))
    )


def test_a_line_is_in_the_record_soon_and_a_signal_ends_the_program(
    machine: Machine, start: Callable[..., subprocess.Popen[str]]
) -> None:
    process = start()
    machine.log(*(line.rstrip() for line in _lines_of(0)))
    _wait_for(lambda: len(machine.rows(Attempt)) == 3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0


def test_systemd_is_told_when_it_is_ready_and_when_it_ends(
    machine: Machine, start: Callable[..., subprocess.Popen[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.log(*(line.rstrip() for line in _lines_of(0)))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path / "notify"))
        line.settimeout(15)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        process = start()
        assert line.recv(4096) == b"READY=1"
        process.send_signal(signal.SIGTERM)
        while line.recv(4096) != b"STOPPING=1":
            pass
        assert process.wait(timeout=10) == 0


def test_a_signal_ends_the_program_while_the_database_is_away(
    machine: Machine, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """With nothing stored, and nothing lost."""
    with machine.database.writing_connection() as connection:
        connection.exec_driver_sql("ALTER TABLE attempts RENAME TO attempts_away")
    machine.log(*(line.rstrip() for line in _lines_of(0)))
    process = start()
    assert process.stderr is not None
    while "event=database-away" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    assert machine.rows(QueueFile) == []
    with machine.database.writing_connection() as connection:
        connection.exec_driver_sql("ALTER TABLE attempts_away RENAME TO attempts")
    assert start("--once").wait(timeout=20) == 0
    assert len(machine.rows(Attempt)) == 3


def test_its_numbers_are_at_metrics(
    machine: Machine, start: Callable[..., subprocess.Popen[str]], config: Path
) -> None:
    ports = PortBlock()
    port = ports.take()
    metrics = f'poll_seconds = 0.05\nmetrics = "127.0.0.1:{port}"'
    config.write_text(config.read_text(encoding="utf-8").replace("poll_seconds = 0.05", metrics), encoding="utf-8")
    machine.log(*(line.rstrip() for line in _lines_of(0)))
    start()
    _wait_for(lambda: len(machine.rows(Attempt)) == 3)

    def is_counted() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return b'sendproof_logparser_lines_total{result="understood"} 10.0\n' in answer.read()

    _wait_for(is_counted)
    ports.release()


def test_once_reads_what_is_there_and_ends(machine: Machine, start: Callable[..., subprocess.Popen[str]]) -> None:
    machine.journal.write_bytes(to_line(admitted("4F5C64474F", "a@example.net")) + b"\n")
    assert start("--once").wait(timeout=20) == 0
    assert [row.lines_read for row in machine.rows(ReadingPosition)] == [1]


def test_once_says_what_cannot_be_read(machine: Machine, start: Callable[..., subprocess.Popen[str]]) -> None:
    """A pipe without a writer is not waited for."""
    os.mkfifo(machine.maillog)
    process = start("--once")
    _, said = process.communicate(timeout=20)
    assert process.returncode == 2
    assert f"not all could be read: {HOST}:{machine.maillog}" in said
    assert "it is no regular file" in said


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("poll_seconds = 0.05", "poll_seconds = 0", "poll_seconds must be between"),
        ("poll_seconds", "pol_seconds", "has no setting 'pol_seconds'"),
        ('"UTC"', '"Mars/Olympus"', "names no time zone"),
        ("machine0/mail.log", "absent/mail.log", "cannot be watched"),
        ("poll_seconds = 0.05", 'metrics = "nonsense"', "metrics cannot be served at 'nonsense'"),
        ("poll_seconds = 0.05", 'own_addresses = "203.0.113.5"', "own_addresses must be a list"),
        ("sendproof.db", "empty.db", "run `sendproof database upgrade`"),
    ],
)
def test_a_wrong_setting_is_one_sentence(
    config: Path, start: Callable[..., subprocess.Popen[str]], before: str, after: str, sentence: str
) -> None:
    config.write_text(config.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")
    process = start()
    _, said = process.communicate(timeout=20)
    assert process.returncode == 2
    assert sentence in said
    assert "Traceback" not in said


def test_nothing_to_read_is_said(config: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    config.write_text(re.sub(r"(maillogs|journals) = .*", "", config.read_text(encoding="utf-8")), encoding="utf-8")
    _, said = start().communicate(timeout=20)
    assert "there is nothing to read" in said
