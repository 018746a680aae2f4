"""From the record to one mail in somebody's mailbox, whatever happens between any two steps."""

import contextlib
import datetime as dt
import email
import email.policy
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import select

from sendproof_core import mail_requests, site_links
from sendproof_core.clock import monotonic_seconds
from sendproof_core.database import Database
from sendproof_core.mail_requests import Letter
from sendproof_core.schema import Message, Notice, QueueFile, ReadingPosition, Recipient
from sendproof_core.service_notify import ServiceNotifier
from sendproof_core.states import LinkPurpose
from sendproof_notices.daemon import PATIENCE, Daemon, Round, StopSignals, _Looked
from sendproof_notices.sender import Submission, trust
from sendproof_testing.notice_record import LEASE, LETTERHEAD, OWN, SOURCE, add_account
from sendproof_testing.submission_server import HANG_UP, SubmissionServer

Write = Callable[..., int]
MINUTE = dt.timedelta(minutes=1)


@dataclass
class Clock:
    now: dt.datetime

    def __call__(self) -> dt.datetime:
        return self.now


@pytest.fixture
def clock(now: dt.datetime) -> Clock:
    return Clock(now)


@pytest.fixture
def daemon(database: Database, submission_server: SubmissionServer, clock: Clock) -> Daemon:
    submission = Submission(
        "127.0.0.1",
        submission_server.port,
        submission_server.login,
        submission_server.password,
        "edge.relay.example",
        trust(submission_server.ca_file),
    )
    return Daemon(database, submission, LETTERHEAD, SOURCE, LEASE, clock, ServiceNotifier({}, 0, monotonic_seconds))


@pytest.fixture
def stop() -> Iterator[StopSignals]:
    with StopSignals() as stop:
        yield stop


def errors(database: Database) -> list[str | None]:
    with database.reading() as session:
        return list(session.scalars(select(Notice.last_error).order_by(Notice.id)))


def states(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(Notice.state).order_by(Notice.id)))


def read_everything(database: Database, moment: dt.datetime) -> None:
    with database.writing() as session:
        session.merge(
            ReadingPosition(
                source="edge:/var/log/mail.log",
                fingerprint="",
                fingerprint_octets=0,
                inode=1,
                offset=0,
                lines_read=1,
                read_at=moment,
                read_up_to=moment,
            )
        )


# --- the ordinary way -----------------------------------------------------------------------------------------------


def test_a_failed_recipient_is_told_about_exactly_once(
    daemon: Daemon, stop: StopSignals, record_recipient: Write, submission_server: SubmissionServer
) -> None:
    record_recipient()
    assert daemon.go_round(stop) == Round(sent=1)
    assert daemon.go_round(stop) == Round()
    (mail,) = submission_server.mails
    assert mail.recipients == ("max@home.example",)
    assert b"550 5.1.1 No such user" in mail.content
    assert b"https://mail.relay.example/messages/00000000-0000-0000-0000-000000000001" in mail.content


def test_a_letter_of_the_site_carries_its_link(
    daemon: Daemon, stop: StopSignals, database: Database, submission_server: SubmissionServer, now: dt.datetime
) -> None:
    account_id = add_account(database, "max")
    with database.writing() as session:
        link = site_links.make(session, LinkPurpose.RESET, address="max@home.example", account_id=account_id, now=now)
        mail_requests.ask(
            session, Letter.RESET, to_address="max@home.example", now=now, account_id=account_id, link_id=link.id,
            data={"login": "max"},
        )  # fmt: skip
        token = site_links.token(link.id, LinkPurpose.RESET, b"k" * 32)
    assert daemon.go_round(stop) == Round(sent=1)
    received = email.message_from_bytes(submission_server.mails[0].content, policy=email.policy.default)
    text = received.get_body(("plain",))
    assert text is not None
    assert f"https://mail.relay.example/reset/{token}" in text.get_content()
    assert daemon.go_round(stop) == Round()


def test_a_link_that_is_no_longer_good_is_not_mailed(
    daemon: Daemon, stop: StopSignals, database: Database, submission_server: SubmissionServer, clock: Clock
) -> None:
    with database.writing() as session:
        link = site_links.make(session, LinkPurpose.RESET, address="max@home.example", account_id=None, now=clock.now)
        mail_requests.ask(session, Letter.RESET, to_address="max@home.example", now=clock.now, link_id=link.id)
    clock.now += dt.timedelta(hours=2)
    assert daemon.go_round(stop) == Round(withdrawn=1)
    assert submission_server.mails == []
    assert errors(database) == ["the link in it is used or no longer good"]


def test_without_the_key_of_the_links_a_letter_waits_and_says_so(
    daemon: Daemon, stop: StopSignals, database: Database, now: dt.datetime
) -> None:
    with database.writing() as session:
        link = site_links.make(session, LinkPurpose.RESET, address="max@home.example", account_id=None, now=now)
        mail_requests.ask(session, Letter.RESET, to_address="max@home.example", now=now, link_id=link.id)
    without = replace(daemon, source=replace(SOURCE, links_key=None))
    assert without.go_round(stop) == Round(failed=1)
    assert "links.key" in (errors(database)[0] or "")
    assert states(database) == ["waiting"]


def test_a_delay_that_is_over_when_its_turn_comes_is_not_told(
    daemon: Daemon,
    stop: StopSignals,
    record_recipient: Write,
    submission_server: SubmissionServer,
    database: Database,
    clock: Clock,
) -> None:
    recipient_id = record_recipient(state="deferred", submitted_at=clock.now - 10 * MINUTE)
    submission_server.replies["MAIL"] = "451 4.3.0 Later"
    assert daemon.go_round(stop) == Round(failed=1)
    with database.writing() as session:
        session.get_one(Recipient, recipient_id).state = "delivered"
    submission_server.replies.clear()
    clock.now += MINUTE
    assert daemon.go_round(stop) == Round(withdrawn=1)
    assert submission_server.mails == []


def test_a_notice_that_is_refused_is_kept_and_tried_again(
    daemon: Daemon,
    stop: StopSignals,
    record_recipient: Write,
    submission_server: SubmissionServer,
    database: Database,
    clock: Clock,
) -> None:
    record_recipient()
    submission_server.replies["MAIL"] = "451 4.3.0 Try\x1b[31m later"
    assert daemon.go_round(stop) == Round(failed=1)
    assert errors(database) == ["the submission server answered 451 4.3.0 Try\\x1b[31m later"]
    assert daemon.go_round(stop) == Round()

    del submission_server.replies["MAIL"]
    clock.now += MINUTE
    assert daemon.go_round(stop) == Round(sent=1)
    assert errors(database) == [None]


def test_a_notice_that_cannot_be_made_does_not_hold_up_the_next(
    daemon: Daemon, stop: StopSignals, record_recipient: Write, database: Database
) -> None:
    record_recipient(notice_address="max@home.example\r\nRCPT TO:<all@example.org>")
    record_recipient()
    assert daemon.go_round(stop) == Round(sent=1, failed=1)
    assert errors(database) == ["that is no mail address", None]


def test_more_than_a_batch_is_all_told(
    daemon: Daemon, stop: StopSignals, record_recipient: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sendproof_notices.daemon._BATCH", 2)
    for _ in range(5):
        record_recipient()
    assert daemon.go_round(stop) == Round(sent=5)


def test_what_happened_long_ago_is_found_now_and_then(
    daemon: Daemon, stop: StopSignals, record_recipient: Write, clock: Clock
) -> None:
    assert daemon.go_round(stop) == Round()
    record_recipient(state_at=clock.now - 30 * MINUTE)  # a reader was down, and catches up
    assert daemon.go_round(stop) == Round()
    clock.now += 10 * MINUTE
    assert daemon.go_round(stop) == Round(sent=1)


# --- killed, cut off, or slow ---------------------------------------------------------------------------------------


def left_in_doubt(
    daemon: Daemon, stop: StopSignals, record_recipient: Write, submission_server: SubmissionServer
) -> None:
    record_recipient()
    submission_server.replies["."] = HANG_UP
    assert daemon.go_round(stop) == Round(doubtful=1)
    submission_server.replies.clear()
    submission_server.mails.clear()


def test_a_submission_in_doubt_is_not_repeated_before_the_record_tells(
    daemon: Daemon,
    stop: StopSignals,
    record_recipient: Write,
    submission_server: SubmissionServer,
    database: Database,
    clock: Clock,
) -> None:
    left_in_doubt(daemon, stop, record_recipient, submission_server)
    read_everything(database, clock.now)
    for _ in range(5):
        clock.now += MINUTE
        assert daemon.go_round(stop) == Round(doubtful=1)
    assert submission_server.mails == []


def test_a_submission_in_doubt_that_the_record_has_is_sent(
    daemon: Daemon,
    stop: StopSignals,
    record_recipient: Write,
    submission_server: SubmissionServer,
    database: Database,
    clock: Clock,
) -> None:
    left_in_doubt(daemon, stop, record_recipient, submission_server)
    taken_at = clock.now + MINUTE / 60
    record_recipient(state="delivered", envelope_sender=LETTERHEAD.from_address, message_number=77)
    with database.writing() as session:
        notice = session.scalars(select(Notice)).one()
        message = session.scalars(select(Message).join(QueueFile).order_by(Message.id.desc())).first()
        assert message is not None
        message.message_id_header, message.submitted_at = notice.message_id_header, taken_at
    clock.now += MINUTE
    assert daemon.go_round(stop) == Round(sent=1)
    assert states(database) == ["sent"]
    assert submission_server.mails == []


def test_a_submission_in_doubt_that_the_record_has_not_is_repeated_with_the_same_message_id(
    daemon: Daemon,
    stop: StopSignals,
    record_recipient: Write,
    submission_server: SubmissionServer,
    database: Database,
    clock: Clock,
) -> None:
    left_in_doubt(daemon, stop, record_recipient, submission_server)
    clock.now += 2 * MINUTE
    read_everything(database, clock.now)
    assert daemon.go_round(stop) == Round(sent=1)
    with database.reading() as session:
        header = session.scalars(select(Notice.message_id_header)).one()
    assert header is not None
    assert header.encode() in submission_server.mails[0].content


def test_where_nobody_reads_the_logs_it_is_repeated_after_a_while(
    daemon: Daemon, stop: StopSignals, record_recipient: Write, submission_server: SubmissionServer, clock: Clock
) -> None:
    left_in_doubt(daemon, stop, record_recipient, submission_server)
    clock.now += PATIENCE - MINUTE
    assert daemon.go_round(stop) == Round(doubtful=1)
    clock.now += 2 * MINUTE
    assert daemon.go_round(stop) == Round(sent=1)


def test_a_daemon_that_was_stopped_for_longer_than_its_lease_sends_nothing(
    daemon: Daemon, stop: StopSignals, record_recipient: Write, submission_server: SubmissionServer, clock: Clock
) -> None:
    record_recipient()
    asked = iter(range(1_000))

    def slow() -> dt.datetime:
        # It stands still somewhere between the claim and the final dot.
        return clock.now if next(asked) < 3 else clock.now + LEASE

    assert replace(daemon, clock=slow).go_round(stop).sent == 0
    assert submission_server.mails == []


class Killed(BaseException):
    """As kill -9: nothing that follows is done, a transaction that is open is rolled back."""


@pytest.mark.parametrize("step", range(1, 13))
def test_killed_at_any_step_a_notice_is_sent_exactly_once(
    daemon: Daemon,
    stop: StopSignals,
    record_recipient: Write,
    submission_server: SubmissionServer,
    database: Database,
    clock: Clock,
    step: int,
) -> None:
    """The daemon looks at the clock between all of its steps: there it is killed, and another one goes on."""
    for _ in range(2):
        record_recipient()
    asked = iter(range(1, 1_000))

    def deadly() -> dt.datetime:
        if next(asked) == step:
            raise Killed
        return clock.now

    with contextlib.suppress(Killed):
        replace(daemon, clock=deadly, _looked=_Looked()).go_round(stop)
    # The logparser reads on, and finds what the submission server took over.
    for number, mail in enumerate(submission_server.mails, start=1):
        header = email.message_from_bytes(mail.content)["Message-ID"]
        record_recipient(
            state="delivered", envelope_sender=OWN, message_number=100 + number, message_id_header=header,
            submitted_at=clock.now,
        )  # fmt: skip
    clock.now += LEASE * 2
    read_everything(database, clock.now)
    for _ in range(3):
        replace(daemon, _looked=_Looked()).go_round(stop)
        clock.now += MINUTE
    headers = [email.message_from_bytes(mail.content)["Message-ID"] for mail in submission_server.mails]
    assert len(headers) == len(set(headers)) == 2
    assert states(database) == ["sent", "sent"]


def test_a_signal_is_taken_between_two_mails(
    daemon: Daemon, stop: StopSignals, record_recipient: Write, submission_server: SubmissionServer
) -> None:
    record_recipient()
    signal.raise_signal(signal.SIGTERM)
    assert daemon.go_round(stop) == Round()
    assert submission_server.mails == []
    daemon.run(stop, poll_seconds=3600)  # returns at once: the signal is remembered


def test_the_log_names_no_address_no_password_and_no_link(
    daemon: Daemon,
    stop: StopSignals,
    record_recipient: Write,
    database: Database,
    caplog: pytest.LogCaptureFixture,
    now: dt.datetime,
) -> None:
    caplog.set_level("INFO")
    record_recipient()
    with database.writing() as session:
        link = site_links.make(session, LinkPurpose.RESET, address="max@home.example", account_id=None, now=now)
        mail_requests.ask(session, Letter.RESET, to_address="max@home.example", now=now, link_id=link.id)
        token = site_links.token(link.id, LinkPurpose.RESET, b"k" * 32)
    daemon.go_round(stop)
    assert "notice=1 event=sent" in caplog.text
    assert daemon.submission.password not in caplog.text
    assert token not in caplog.text
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


def test_systemd_hears_of_a_daemon_that_waits_long_for_its_next_round(
    daemon: Daemon, stop: StopSignals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sendproof_notices.daemon._STEP_SECONDS", 0.05)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        notified = replace(daemon, notifier=ServiceNotifier(environment, os.getpid(), monotonic_seconds))
        heard: list[str] = []

        def listen() -> None:
            while heard.count("WATCHDOG=1") < 3:
                heard.append(systemd.recv(1024).decode())
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

        listener = threading.Thread(target=listen)
        listener.start()
        notified.run(stop, poll_seconds=60.0)
        listener.join()
        assert heard[0] == "READY=1"
        assert systemd.recv(1024).decode() == "STOPPING=1"
