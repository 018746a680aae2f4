import contextlib
import http.client
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sendproof_testing import sample_site

pytestmark = pytest.mark.integration  # starts servers

PROGRAM = [sys.executable, "-c", "from sendproof_web.cli import main; main()", "--config"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def started(config: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([*PROGRAM, str(config)], stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def health(port: int) -> int:
    deadline = time.monotonic() + 20
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        finally:
            connection.close()


def test_the_site_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    port = free_port()
    file = sample_site.prepare(tmp_path, port=port)
    with started(file.path) as process:
        assert health(port) == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


def refusal(config: Path) -> str:
    done = subprocess.run([*PROGRAM, str(config)], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def test_a_port_in_use_is_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        file = sample_site.prepare(tmp_path, port=other.getsockname()[1])
        assert "cannot be used (Address already in use); choose another port." in refusal(file.path)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("trusted_proxies = 9\n", "[web] trusted_proxies must be between 0 and 5, not 9."),
        ("colour = 1\n", "[web] has no setting 'colour'"),
        ("[queue]\nlifetime_seconds = -1\n", "[queue] lifetime_seconds must be at least 0"),
    ],
)
def test_a_wrong_setting_is_a_sentence(tmp_path: Path, damage: str, sentence: str) -> None:
    file = sample_site.prepare(tmp_path, port=free_port())
    file.path.write_text(file.path.read_text() + damage)
    assert sentence in refusal(file.path)


def test_a_database_without_our_tables_is_a_sentence(tmp_path: Path) -> None:
    file = sample_site.prepare(tmp_path, port=free_port())
    for path in tmp_path.glob("sendproof.db*"):
        path.unlink()
    assert "run `sendproof database upgrade`" in refusal(file.path)


def test_missing_settings_are_a_sentence(tmp_path: Path) -> None:
    assert "does not exist; name one with --config." in refusal(tmp_path / "none.toml")
