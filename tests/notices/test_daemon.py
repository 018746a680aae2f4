"""From a failed recipient in the record to one mail in the sender's mailbox."""

import datetime as dt
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import select

from sendproof_core.database import Database
from sendproof_core.schema import Notice
from sendproof_notices.daemon import Daemon, Round, StopSignals
from sendproof_notices.sender import Submission, trust
from sendproof_notices.wording import Letterhead
from sendproof_testing.submission_server import SubmissionServer

Write = Callable[..., int]


@pytest.fixture
def daemon(database: Database, submission_server: SubmissionServer, now: dt.datetime) -> Daemon:
    submission = Submission(
        "127.0.0.1",
        submission_server.port,
        submission_server.login,
        submission_server.password,
        "edge.relay.example",
        trust(submission_server.ca_file),
    )
    letterhead = Letterhead("notices@relay.example", "https://mail.relay.example")
    return Daemon(database, submission, letterhead, lambda: now)


@pytest.fixture
def stop() -> Iterator[StopSignals]:
    with StopSignals() as stop:
        yield stop


def errors(database: Database) -> list[str | None]:
    with database.reading() as session:
        return list(session.scalars(select(Notice.last_error).order_by(Notice.id)))


def test_a_failed_recipient_is_told_about_exactly_once(
    daemon: Daemon, stop: StopSignals, record_recipient: Write, submission_server: SubmissionServer
) -> None:
    record_recipient()
    assert daemon.go_round(stop) == Round(sent=1, failed=0)
    assert daemon.go_round(stop) == Round(sent=0, failed=0)
    (mail,) = submission_server.mails
    assert mail.recipients == ("max@home.example",)
    assert b"550 5.1.1 No such user" in mail.content
    assert b"https://mail.relay.example/messages/00000000-0000-0000-0000-000000000001" in mail.content


def test_a_notice_that_is_refused_is_kept_and_tried_again(
    daemon: Daemon,
    stop: StopSignals,
    record_recipient: Write,
    submission_server: SubmissionServer,
    database: Database,
    now: dt.datetime,
) -> None:
    record_recipient()
    submission_server.replies["MAIL"] = "451 4.3.0 Try\x1b[31m later"
    assert daemon.go_round(stop) == Round(sent=0, failed=1)
    assert errors(database) == ["the submission server answered 451 4.3.0 Try\\x1b[31m later"]
    assert daemon.go_round(stop) == Round(sent=0, failed=0)

    del submission_server.replies["MAIL"]
    later = Daemon(database, daemon.submission, daemon.letterhead, lambda: now + dt.timedelta(minutes=1))
    assert later.go_round(stop) == Round(sent=1, failed=0)
    assert errors(database) == [None]


def test_a_notice_that_cannot_be_made_does_not_hold_up_the_next(
    daemon: Daemon, stop: StopSignals, record_recipient: Write, database: Database
) -> None:
    record_recipient(notice_address="max@home.example\r\nRCPT TO:<all@example.org>")
    record_recipient()
    assert daemon.go_round(stop) == Round(sent=1, failed=1)
    assert errors(database) == ["the account's notice address is no mail address", None]


def test_more_failures_than_a_batch_are_all_told(
    daemon: Daemon, stop: StopSignals, record_recipient: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sendproof_notices.daemon._BATCH", 2)
    for _ in range(5):
        record_recipient()
    assert daemon.go_round(stop) == Round(sent=5, failed=0)


def test_a_signal_is_taken_between_two_mails(
    daemon: Daemon, stop: StopSignals, record_recipient: Write, submission_server: SubmissionServer
) -> None:
    record_recipient()
    signal.raise_signal(signal.SIGTERM)
    assert daemon.go_round(stop) == Round(sent=0, failed=0)
    assert submission_server.mails == []
    daemon.run(stop, poll_seconds=3600)  # returns at once: the signal is remembered


def test_the_log_names_no_address_and_no_password(
    daemon: Daemon, stop: StopSignals, record_recipient: Write, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    record_recipient()
    daemon.go_round(stop)
    assert "notice=1 event=sent" in caplog.text
    assert daemon.submission.password not in caplog.text
    assert "@" not in caplog.text


# sigtimedwait took the end of its time-out for a signal there, and the daemon ended.
def test_a_process_that_was_stopped_and_continued_goes_on_waiting() -> None:
    script = (
        "from sendproof_notices.daemon import StopSignals\n"
        "with StopSignals() as stop:\n"
        "    print('waiting', flush=True)\n"
        "    print(stop.wait(0.5), stop.wait(30), flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "waiting\n"
        time.sleep(0.2)  # it is waiting now, and is stopped beyond the end of that
        process.send_signal(signal.SIGSTOP)
        time.sleep(1)
        process.send_signal(signal.SIGCONT)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "False True\n"
