"""The logs are read, and have conversations."""

import datetime as dt
import os
from pathlib import Path

import pytest

from sendproof_core.database import Database
from sendproof_core.schema import Attempt, Delivery, QueueFile, ReadingPosition, Recipient
from sendproof_core.source_names import source_name
from sendproof_core.states import RecipientState
from sendproof_logparser import sources
from sendproof_logparser.settings import LogparserSettings
from sendproof_postfix import check_record
from sendproof_postfix.doctor import CannotLook, Severity
from sendproof_postfix.doctor_subject import Subject
from sendproof_testing import doctor_subjects

VERDICTS = doctor_subjects.verdicts()
NOW = doctor_subjects.NOW
LOGPARSER = '[logparser]\nmaillogs = ["/var/log/mail.log"]\n'


def read_up_to(database: Database, host: str, at: dt.datetime, place: str = "/var/log/mail.log") -> None:
    with database.writing() as session:
        session.add(
            ReadingPosition(
                source=source_name(host, place),
                fingerprint="",
                fingerprint_octets=0,
                inode=1,
                offset=1,
                lines_read=1,
                read_at=at,
                read_up_to=at,
                last_line_at=at,
            )
        )


def test_how_far_this_machines_logs_were_read_is_said(sqlite_database: Database, tmp_path: Path) -> None:
    subject = doctor_subjects.subject(tmp_path, LOGPARSER)
    (never,) = check_record.look_at_reading(subject, VERDICTS)
    assert never.severity is Severity.ERROR
    read_up_to(sqlite_database, "elsewhere.example", NOW)
    assert [one.said for one in check_record.look_at_reading(subject, VERDICTS)] == [
        f"no log of {doctor_subjects.HOST} was read yet."
    ]
    read_up_to(sqlite_database, doctor_subjects.HOST, NOW - dt.timedelta(hours=2))
    (late,) = check_record.look_at_reading(subject, VERDICTS)
    assert late.severity is Severity.ERROR
    assert "2 h behind" in late.said


def test_a_log_of_the_settings_that_has_lines_and_was_never_read_is_an_error(
    sqlite_database: Database, tmp_path: Path
) -> None:
    log, empty = tmp_path / "new.log", tmp_path / "empty.log"
    log.write_text("line\n")
    empty.touch()
    named = ", ".join(f'"{path}"' for path in ("/var/log/mail.log", log, empty, tmp_path / "missing.log"))
    subject = doctor_subjects.subject(tmp_path, f"[logparser]\nmaillogs = [{named}]\n")
    read_up_to(sqlite_database, doctor_subjects.HOST, NOW)
    errors = [one for one in check_record.look_at_reading(subject, VERDICTS) if one.severity is Severity.ERROR]
    assert [one.said for one in errors] == [f"nothing of {log} was read yet."]
    assert "Restart sendproof-logparser" in errors[0].remedy
    read_up_to(sqlite_database, doctor_subjects.HOST, NOW, str(log))
    assert Severity.ERROR not in doctor_subjects.severities(check_record.look_at_reading(subject, VERDICTS))


@pytest.mark.parametrize("directory", ["", "/srv/journal"])
def test_sources_are_called_as_the_logparser_calls_them(directory: str) -> None:
    settings = LogparserSettings(
        maillogs=(Path("mail.log"),), journals=(Path("/j/milter"),), journald=True, journald_directory=directory
    )
    followed = [source.name for source in sources.followed(settings, "edge1", grace_seconds=0)]
    assert followed == [
        check_record.file_source("edge1", Path("/j/milter")),
        check_record.file_source("edge1", Path("mail.log")),
        check_record.journald_source("edge1", directory),
    ]


def test_a_machine_that_reads_no_logs_is_passed_over(tmp_path: Path) -> None:
    with pytest.raises(CannotLook, match="logparser"):
        list(check_record.look_at_reading(doctor_subjects.subject(tmp_path), VERDICTS))


def deliver(
    database: Database, number: int, service: str, *, talked: bool, handed_on_at: dt.datetime | None = None
) -> None:
    with database.writing() as session:
        session.add(
            QueueFile(id=number, host=doctor_subjects.HOST, instance="postfix", queue_id=f"4Z{number}", born_at=NOW)
        )
        session.flush()
        dialogue = [[NOW.isoformat(), "S", "220 mx"]] if talked else []
        session.add(
            Delivery(
                id=number, queue_file_id=number, service=service, pid=1, began_at=NOW, dialogue=dialogue, troubles=[]
            )
        )
        session.add(
            Recipient(
                id=number,
                queue_file_id=number,
                address="a@far.example",
                state=RecipientState.DELIVERED,
                state_at=NOW,
                handed_on_at=handed_on_at,
            )
        )
        session.flush()
        session.add(
            Attempt(
                recipient_id=number,
                delivery_id=number,
                attempted_at=NOW,
                service=service,
                status="sent",
                dsn="2.0.0",
                relay="mx.far.example[192.0.2.1]:25",
                delay_seconds=1.0,
                delays_seconds=[],
                text="250 ok",
                line_key=number,
            )
        )


def test_deliveries_from_before_master_cf_was_changed_say_nothing(sqlite_database: Database, tmp_path: Path) -> None:
    directory = doctor_subjects.postfix(tmp_path)
    subject = doctor_subjects.subject(tmp_path)
    deliver(sqlite_database, 1, "postfix/smtp", talked=False)
    for changed, severity in ((NOW + dt.timedelta(hours=1), Severity.NOTE), (NOW, Severity.ERROR)):
        os.utime(directory / "master.cf", (changed.timestamp(), changed.timestamp()))
        (finding,) = check_record.look_at_dialogue(subject, VERDICTS)
        assert finding.severity is severity


def test_deliveries_without_a_conversation_are_found_in_the_record(sqlite_database: Database, tmp_path: Path) -> None:
    subject = doctor_subjects.subject(tmp_path)

    def severity() -> Severity:
        (finding,) = check_record.look_at_dialogue(subject, VERDICTS)
        return finding.severity

    assert severity() is Severity.NOTE
    deliver(sqlite_database, 1, "postfix/smtp", talked=True)
    # Our own way from queue file to queue file needs none.
    deliver(sqlite_database, 2, "postfix/sendproof-split/smtp", talked=False)
    # Nor does the way to a content filter of this machine.
    deliver(sqlite_database, 5, "postfix/amavis/smtp", talked=False, handed_on_at=NOW)
    assert severity() is Severity.OK
    deliver(sqlite_database, 3, "postfix/smtp", talked=False)
    assert severity() is Severity.WARNING
    deliver(sqlite_database, 4, "postfix/relay/smtp", talked=False)
    (finding,) = check_record.look_at_dialogue(subject, VERDICTS)
    assert finding.severity is Severity.ERROR
    assert "postfix/relay/smtp" in finding.said


_SMARTHOST = "smarthost unix - - n - - smtp\n -o smtp_sasl_auth_enable=yes\n -o syslog_name=postfix/smarthost\n"


def _with_smarthost(folder: Path, options: str = "") -> Subject:
    directory = doctor_subjects.postfix(folder, master=_SMARTHOST + options)
    os.utime(directory / "master.cf", (NOW.timestamp(), NOW.timestamp()))
    return doctor_subjects.subject(folder)


def test_of_a_transport_that_signs_in_no_conversation_is_missed(sqlite_database: Database, tmp_path: Path) -> None:
    subject = _with_smarthost(tmp_path)
    deliver(sqlite_database, 1, "postfix/smarthost/smtp", talked=False)
    (note,) = check_record.look_at_dialogue(subject, VERDICTS)
    assert note.severity is Severity.NOTE
    assert "postfix/smarthost/smtp signs in at other servers" in note.said
    deliver(sqlite_database, 2, "postfix/smtp", talked=True)
    note, finding = check_record.look_at_dialogue(subject, VERDICTS)
    assert (note.severity, finding.severity) == (Severity.NOTE, Severity.OK)


def test_a_transport_that_signs_in_and_is_logged_is_an_error(sqlite_database: Database, tmp_path: Path) -> None:
    subject = _with_smarthost(tmp_path, " -o debug_peer_list=0.0.0.0/0\n")
    deliver(sqlite_database, 1, "postfix/smarthost/smtp", talked=True)
    error, finding = check_record.look_at_dialogue(subject, VERDICTS)
    assert error.severity is Severity.ERROR
    assert "smarthost/unix signs in" in error.said
    assert "change the password" in str(error.remedy)
    assert finding.severity is Severity.OK
