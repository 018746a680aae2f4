"""Where the log goes, and who reads it."""

import datetime as dt
import os
import socket
from pathlib import Path

import pytest

from sendproof_postfix import check_log
from sendproof_postfix.check_log import LogFacts, Readers, Way
from sendproof_postfix.doctor import CannotLook, Finding, Severity
from sendproof_postfix.doctor_postfix import PostfixConfiguration
from sendproof_testing import doctor_subjects

VERDICTS = doctor_subjects.verdicts()
LOG = Path("/var/log/mail.log")
OTHER = Path("/var/log/other.log")
NO_LIMIT = "[Journal]\nRateLimitIntervalSec=0\n"


def judged(facts: LogFacts, maillogs: tuple[Path, ...] = (), *, journald: bool = False) -> Severity:
    (finding,) = check_log.judge_source(facts, Readers(maillogs, journald), VERDICTS)
    return finding.severity


@pytest.mark.parametrize(
    ("facts", "maillogs", "journald", "severity"),
    [
        (LogFacts(Way.POSTFIX, (LOG,)), (LOG,), False, Severity.OK),
        (LogFacts(Way.POSTFIX, (LOG,)), (OTHER,), False, Severity.ERROR),
        (LogFacts(Way.POSTFIX, (LOG,)), (), True, Severity.ERROR),
        (LogFacts(Way.POSTFIX, (LOG,)), (), False, Severity.ERROR),
        (LogFacts(Way.RSYSLOG, (OTHER, LOG)), (LOG,), False, Severity.OK),
        (LogFacts(Way.RSYSLOG, (OTHER,)), (LOG,), False, Severity.WARNING),
        (LogFacts(Way.RSYSLOG, (LOG,), by_journal=True), (), True, Severity.OK),
        (LogFacts(Way.JOURNALD, by_journal=True), (), True, Severity.OK),
        (LogFacts(Way.JOURNALD, by_journal=True), (LOG,), False, Severity.ERROR),
        (LogFacts(Way.UNKNOWN), (LOG,), False, Severity.NOTE),
        (LogFacts(Way.UNKNOWN), (), False, Severity.ERROR),
    ],
)
def test_the_logparser_reads_what_is_written_or_that_is_said(
    facts: LogFacts, maillogs: tuple[Path, ...], journald: bool, severity: Severity
) -> None:
    assert judged(facts, maillogs, journald=journald) is severity


@pytest.mark.parametrize(
    ("facts", "journald", "units", "severity"),
    [
        (LogFacts(Way.POSTFIX, (LOG,)), "", "", Severity.OK),
        (LogFacts(Way.JOURNALD, by_journal=True), "", "", Severity.NOTE),
        (LogFacts(Way.JOURNALD, by_journal=True), NO_LIMIT, "", Severity.OK),
        (LogFacts(Way.JOURNALD, by_journal=True), "[Journal]\nRateLimitBurst=100\n", "", Severity.WARNING),
        (LogFacts(Way.JOURNALD, by_journal=True), "", "[Service]\nLogRateLimitIntervalSec=0\n", Severity.OK),
        (
            LogFacts(Way.RSYSLOG, (LOG,), True, 'module(load="imjournal" Ratelimit.Burst="10")'),
            NO_LIMIT,
            "",
            Severity.WARNING,
        ),
        (LogFacts(Way.RSYSLOG, (LOG,), True, 'module(load="imjournal")'), NO_LIMIT, "", Severity.NOTE),
        (LogFacts(Way.UNKNOWN), "", "", Severity.NOTE),
    ],
)
def test_what_is_thrown_away_is_said_with_the_messages_that_fit(
    facts: LogFacts, journald: str, units: str, severity: Severity
) -> None:
    finding = check_log.judge_limits(facts, journald, units, VERDICTS)
    assert finding.severity is severity
    assert (severity is Severity.OK) or "messages a second" in finding.said or facts.way is Way.UNKNOWN


def test_the_unit_of_the_instance_speaks_before_the_one_that_starts_all() -> None:
    units = {"postfix@-.service": "[Service]\nLogRateLimitIntervalSec=0\n", "postfix.service": "[Service]\n"}

    def severity(instance: str, known: dict[str, str]) -> Severity:
        text = check_log.unit_settings(instance, lambda name: known.get(name, ""))
        return check_log.judge_limits(LogFacts(Way.JOURNALD, by_journal=True), "", text, VERDICTS).severity

    assert severity("", units) is Severity.OK
    assert severity("", {**units, "postfix@-.service": units["postfix.service"]}) is Severity.NOTE
    assert severity("second", {**units, "postfix@second.service": "[Service]\n"}) is Severity.NOTE
    # Where Postfix has one unit, as on other systems.
    assert severity("", {"postfix.service": units["postfix@-.service"]}) is Severity.OK
    assert check_log.unit_settings("", lambda _name: "") == ""


def test_the_way_of_the_log_is_seen_from_postfix_and_the_system(tmp_path: Path) -> None:
    postfix = PostfixConfiguration(doctor_subjects.postfix(tmp_path))
    root = tmp_path / "root"
    for name in ("dev", "etc/rsyslog.d", "run/systemd/journal"):
        (root / name).mkdir(parents=True)
    assert check_log.gather(postfix, root) == LogFacts(Way.UNKNOWN)
    (root / "run/systemd/journal/dev-log").touch()
    (root / "dev/log").symlink_to("../run/systemd/journal/dev-log")
    assert check_log.gather(postfix, root) == LogFacts(Way.JOURNALD, by_journal=True)
    (root / "etc/rsyslog.conf").write_text("$IncludeConfig /etc/rsyslog.d/*.conf\n")
    (root / "etc/rsyslog.d/mail.conf").write_text("mail.* -/var/log/mail.log\n")
    assert check_log.gather(postfix, root).way is Way.JOURNALD, "rsyslog is installed, and does not run"
    (root / "run/rsyslogd.pid").touch()
    facts = check_log.gather(postfix, root)
    assert (facts.way, facts.files, facts.by_journal) == (Way.RSYSLOG, (LOG,), True)
    own = PostfixConfiguration(doctor_subjects.postfix(tmp_path, f"maillog_file = {LOG}\n"))
    assert check_log.gather(own, root) == LogFacts(Way.POSTFIX, (LOG,))


def look(folder: Path, user: str = "root") -> list[Finding]:
    log = folder / "mail.log"
    doctor_subjects.postfix(folder, f"maillog_file = {log}\n", "postlog unix-dgram n - n - 1 postlogd\n")
    subject = doctor_subjects.subject(folder, f'[logparser]\nmaillogs = ["{log}"]\n', service_user=user)
    return list(check_log.look_at_source(subject, VERDICTS))


def test_a_log_that_can_be_read_says_when_it_was_written() -> None:
    with doctor_subjects.public_folder() as folder:
        (folder / "mail.log").write_text("line\n")
        os.utime(folder / "mail.log", (doctor_subjects.NOW.timestamp() - 90,) * 2)
        source, file = look(folder)
    assert (source.severity, file.severity) == (Severity.OK, Severity.OK)
    assert "1 min 30 s ago" in file.said


@pytest.mark.skipif(os.geteuid() != 0, reason="asks in the name of another user")
def test_a_log_that_the_services_user_may_not_read_is_an_error() -> None:
    with doctor_subjects.public_folder() as folder:
        (folder / "mail.log").write_text("line\n")
        (folder / "mail.log").chmod(0o640)
        findings = look(folder, "nobody")
    assert findings[-1].severity is Severity.ERROR
    assert "nobody may not read" in findings[-1].said
    assert "root:root 0640" in findings[-1].said


def test_a_log_that_is_not_there_is_an_error() -> None:
    with doctor_subjects.public_folder() as folder:
        assert look(folder)[-1].severity is Severity.ERROR


def test_a_postfix_that_logs_to_a_file_without_postlogd_is_an_error() -> None:
    with doctor_subjects.public_folder() as folder:
        doctor_subjects.postfix(folder, "maillog_file = /var/log/mail.log\n")
        subject = doctor_subjects.subject(folder, '[logparser]\nmaillogs = ["/var/log/mail.log"]\n')
        errors = [one for one in check_log.look_at_source(subject, VERDICTS) if "postlog" in one.remedy]
    assert doctor_subjects.severities(errors) == [Severity.ERROR]


@pytest.mark.parametrize(
    ("age", "severity"),
    [
        (dt.timedelta(seconds=3), Severity.OK),
        (dt.timedelta(seconds=-3), Severity.OK),
        (dt.timedelta(days=2), Severity.NOTE),
        (dt.timedelta(hours=-1), Severity.WARNING),
    ],
)
def test_a_log_may_be_quiet_and_is_not_from_the_future(age: dt.timedelta, severity: Severity) -> None:
    assert check_log.judge_age(LOG, age, VERDICTS).severity is severity


@pytest.mark.parametrize(
    ("said", "severity"),
    [
        ((0, "1 host postfix[1]: line\n", ""), Severity.OK),
        ((0, "", ""), Severity.NOTE),
        ((1, "", "No journal files were opened due to insufficient permissions."), Severity.ERROR),
        ((0, "", "Hint: You are currently not seeing messages from other users and the system."), Severity.ERROR),
    ],
)
def test_the_system_journal_must_show_itself_to_the_service(said: tuple[int, str, str], severity: Severity) -> None:
    assert check_log.judge_journal("sendproof", said, VERDICTS).severity is severity


def test_a_machine_that_reads_no_logs_is_passed_over(tmp_path: Path) -> None:
    doctor_subjects.postfix(tmp_path)
    for look_at in (check_log.look_at_source, check_log.look_at_limits):
        with pytest.raises(CannotLook, match="logparser"):
            list(look_at(doctor_subjects.subject(tmp_path), VERDICTS))


def test_a_socket_of_rsyslogs_own_is_no_journal(tmp_path: Path) -> None:
    root = tmp_path / "r"
    (root / "dev").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "etc/rsyslog.conf").write_text("mail.* -/var/log/mail.log\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(root / "dev/log"))
        facts = check_log.gather(PostfixConfiguration(doctor_subjects.postfix(tmp_path)), root)
    assert (facts.way, facts.by_journal) == (Way.RSYSLOG, False)
