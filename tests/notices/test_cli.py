"""The program as an operator starts it."""

import datetime as dt
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sendproof_core import clock, schema_version
from sendproof_testing.submission_server import SubmissionServer

pytestmark = pytest.mark.integration  # starts servers

PROGRAM = [sys.executable, "-c", "from sendproof_notices.cli import main; main()"]


@pytest.fixture
def config(tmp_path: Path, submission_server: SubmissionServer) -> Path:
    password = tmp_path / "notices.password"
    password.write_text(submission_server.password + "\n", encoding="ascii")
    path = tmp_path / "sendproof.toml"
    path.write_text(
        f"""
[host]
name = "edge.relay.example"
[database]
url = "sqlite:///{tmp_path}/sendproof.db"
[site]
url = "https://mail.relay.example"
tracking_url = "https://mail.relay.example"
[notices]
smtp_host = "127.0.0.1"
smtp_port = {submission_server.port}
login = "notices"
password_file = "{password}"
from_address = "notices@relay.example"
poll_seconds = 0.1
ca_file = "{submission_server.ca_file}"
""",
        encoding="utf-8",
    )
    return path


def once(config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, "--config", config, "--once"], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.usefixtures("database")
def test_once_ends_with_0_if_nothing_failed(config: Path) -> None:
    done = once(config)
    assert (done.returncode, done.stderr) == (0, "")


def test_once_ends_with_1_if_a_notice_could_not_be_sent(
    config: Path, record_recipient: Callable[..., int], submission_server: SubmissionServer
) -> None:
    record_recipient(state_at=_today())
    submission_server.replies["RCPT"] = "550 5.1.1 No"
    done = once(config)
    assert done.returncode == 1
    assert "notice=1 event=not-sent tries=1 error=the submission server answered 550 5.1.1 No" in done.stderr


def test_without_tables_one_sentence_says_what_to_run(config: Path) -> None:
    done = once(config)
    assert done.returncode == 2
    assert done.stderr == (
        f"sendproof: the database has schema none, not {schema_version.newest()}; run `sendproof database upgrade`.\n"
    )


def test_a_missing_settings_file_is_named(tmp_path: Path) -> None:
    done = once(tmp_path / "missing.toml")
    assert done.returncode == 2
    assert done.stderr.startswith("sendproof: the settings file ")
    assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_daemon_with_status_0(config: Path, stop: signal.Signals) -> None:
    with subprocess.Popen([*PROGRAM, "--config", config], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "event=started" in process.stderr.readline()
        process.send_signal(stop)
        _, rest = process.communicate(timeout=60)
    assert process.returncode == 0
    assert rest.endswith(" INFO event=stopped\n")


def test_two_daemons_send_each_notice_once(
    config: Path, record_recipient: Callable[..., int], submission_server: SubmissionServer
) -> None:
    for _ in range(12):
        record_recipient(state_at=_today())
    daemons = [subprocess.Popen([*PROGRAM, "--config", config, "--once"], stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [daemon.wait(timeout=60) for daemon in daemons] == [0, 0]
    told = [mail.content.split(b"\r\nMessage-ID: ")[1].split(b"\r\n")[0] for mail in submission_server.mails]
    assert len(told) == len(set(told)) == 12


def _today() -> dt.datetime:
    """The program reads the real clock, and old failures are no news."""
    return clock.now()
