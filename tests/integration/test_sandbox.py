"""The sandbox as a command: one line of JSON, a clean end, and clear words when it cannot start."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration]

COMMAND = [sys.executable, "-m", "sendproof_testing.sandbox"]
KEYS = {
    "submission_port", "submissions_port", "login", "password", "address", "web_url", "maillog", "milter_socket",
    "database_url", "postfix_config", "mx_port",
}  # fmt: skip


def start(*arguments: str) -> tuple[subprocess.Popen[str], dict[str, object]]:
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    line = process.stdout.readline()
    assert line, process.stderr.read() if process.stderr else ""
    return process, json.loads(line)


def children_that_remain(folder: str) -> list[str]:
    """Processes that name the sandbox's folder in their arguments or environment, or work in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile
            words = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            if folder.encode() in words or str((process / "cwd").readlink()).startswith(folder):
                found.append(f"{process.name} {words[:80]!r}")
    return found


def answers(description: dict[str, object]) -> bool:
    """Whether something still listens on one of the sandbox's ports."""
    for name in ("submission_port", "submissions_port", "mx_port", "web_port"):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(str(description[name])))) == 0:
                return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_one_line_serves_and_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "box"
    process, description = start("--dir", str(folder), "--keep")
    assert set(description) >= KEYS
    for name in ("submission_port", "submissions_port", "mx_port"):
        with socket.create_connection(("127.0.0.1", int(str(description[name]))), timeout=10):
            pass
    assert Path(str(description["maillog"])).is_file()
    home = str(description["folder"])
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (0, "", "")
    assert children_that_remain(home) == []
    assert not answers(description)
    assert (folder / "log" / "mail.log").is_file()
    assert list(folder.rglob("*.sock")) == []


def test_a_program_that_dies_is_started_again(tmp_path: Path) -> None:
    process, description = start("--dir", str(tmp_path / "box"))
    for name in ("logparser", "web"):
        os.kill(int(str(description[f"{name}_pid"])), signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(4)
    for attempt in range(100):
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", int(str(description["web_port"]))), 5),
        ):
            break
        assert attempt < 99
        time.sleep(0.1)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "started logparser again" in errors
    assert "started web again" in errors


def test_without_keep_the_folder_goes_too(tmp_path: Path) -> None:
    folder = tmp_path / "box"
    process, _ = start("--dir", str(folder))
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert not folder.exists()


def test_it_ends_with_what_started_it_when_it_is_killed(tmp_path: Path) -> None:
    process, description = start("--dir", str(tmp_path / "box"), "--keep")
    process.kill()
    process.communicate(timeout=60)
    home = str(description["folder"])
    for _ in range(300):
        if not children_that_remain(home):
            break
        time.sleep(0.1)
    assert children_that_remain(home) == []
    assert not answers(description)
    shutil.rmtree(home, ignore_errors=True)


def refused(*arguments: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    return done.stderr


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    assert "not an empty folder" in refused("--dir", str(tmp_path))
    assert (tmp_path / "something").exists()


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        base = taken.getsockname()[1]
        if base > 65519:
            pytest.skip("no block of ports fits above this one")
        words = refused("--dir", str(tmp_path / "box"), "--base-port", str(base))
    assert f"a port from {base}" in words
    assert "--base-port" in words


def test_a_database_that_cannot_be_reached_is_said(tmp_path: Path) -> None:
    url = "postgresql+psycopg://nobody@127.0.0.1:1/none"
    assert "database" in refused("--dir", str(tmp_path / "box"), "--database-url", url)


def test_without_root_it_says_so(tmp_path: Path) -> None:
    script = "import os; from sendproof_testing import sandbox; os.seteuid(65534); sandbox._command()"
    done = subprocess.run(
        [sys.executable, "-c", script, "--dir", str(tmp_path / "box")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "run it as root" in done.stderr
    assert "Traceback" not in done.stderr
