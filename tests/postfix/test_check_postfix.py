"""Version, name, and what Postfix says of itself."""

import os
import shutil
from pathlib import Path

import pytest

from sendproof_postfix import check_postfix
from sendproof_postfix.doctor import CannotLook, Severity
from sendproof_testing import doctor_subjects

VERDICTS = doctor_subjects.verdicts()
MILTER = '[milter]\nsocket = "/run/milter.sock"\n'


@pytest.mark.parametrize(
    ("version", "severity"),
    [
        ("3.7.11", Severity.OK),
        ("3.10.0", Severity.OK),
        ("3.11-20260101", Severity.NOTE),
        ("3.4.23", Severity.ERROR),
        ("who knows", Severity.ERROR),
    ],
)
def test_a_version_is_known_newer_or_no_good(version: str, severity: Severity) -> None:
    finding = check_postfix.judge_version(version, VERDICTS)
    assert finding.severity is severity
    assert version in finding.said


def test_the_machine_has_one_name() -> None:
    assert not list(check_postfix.judge_name("edge1.example", "Edge1.example", VERDICTS))
    (finding,) = check_postfix.judge_name("edge1", "edge1.example", VERDICTS)
    assert finding.severity is Severity.WARNING


def test_old_copies_in_the_chroot_are_a_note_and_other_warnings_are_not() -> None:
    differ = "/var/spool/postfix/etc/resolv.conf and /etc/resolv.conf differ"
    other = "postfix/postfix-script: warning: not owned by root: /etc/postfix/main.cf"
    assert check_postfix.judge_words([], VERDICTS).severity is Severity.OK
    assert check_postfix.judge_words([differ], VERDICTS).severity is Severity.NOTE
    warning = check_postfix.judge_words([differ, other], VERDICTS)
    assert warning.severity is Severity.WARNING
    assert other in warning.details


@pytest.mark.skipif(os.geteuid() != 0, reason="`postfix check` wants root")
def test_a_configuration_that_postfix_refuses_is_an_error_in_its_words() -> None:
    with doctor_subjects.public_folder() as folder:
        subject = doctor_subjects.subject(folder)
        doctor_subjects.postfix(folder, main="mail_owner = no-such-user\n")
        errors = [one for one in check_postfix.look(subject, VERDICTS) if one.severity is Severity.ERROR]
    assert errors
    assert "no-such-user" in errors[0].said


@pytest.mark.skipif(os.geteuid() != 0, reason="`postfix status` wants root")
def test_a_postfix_that_does_not_run_is_an_error_with_its_command() -> None:
    with doctor_subjects.public_folder() as folder:
        subject = doctor_subjects.subject(folder)
        doctor_subjects.postfix(folder)
        errors = [one for one in check_postfix.look(subject, VERDICTS) if one.severity is Severity.ERROR]
    assert [one.said for one in errors] == ["Postfix does not run."]
    assert "systemctl start postfix" in errors[0].remedy


def test_no_postfix_is_one_error() -> None:
    with doctor_subjects.public_folder() as folder:
        subject = doctor_subjects.subject(folder, MILTER)
        doctor_subjects.postfix(folder)
        shutil.rmtree(folder / "postfix")
        (finding,) = check_postfix.look(subject, VERDICTS)
    assert finding.severity is Severity.ERROR
    assert "there is no" in finding.said


def test_a_machine_without_a_milter_needs_no_postfix(tmp_path: Path) -> None:
    with pytest.raises(CannotLook, match="milter"):
        list(check_postfix.look(doctor_subjects.subject(tmp_path), VERDICTS))
