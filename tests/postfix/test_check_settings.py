"""The settings file as a whole."""

from pathlib import Path

import pytest

from sendproof_postfix import check_settings
from sendproof_postfix.doctor import Severity
from sendproof_testing import doctor_subjects


def test_a_good_file_names_the_machine_and_its_programs(tmp_path: Path) -> None:
    subject = doctor_subjects.subject(tmp_path, "[milter]\n[logparser]\n")
    (finding,) = check_settings.look(subject, doctor_subjects.verdicts())
    assert finding.severity is Severity.OK
    assert finding.said.endswith(f"is for {doctor_subjects.HOST}, with milter, logparser.")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[postfix]\nresubmit_port = 0\n", "[postfix] resubmit_port"),
        ('[site]\nurl = "mail.example"\ntracking_url = "https://t.example"\n', "[site] url"),
        ('[dns]\nservers = ["x"]\n', "[dns] servers"),
        ("[dns]\nno such line\n", "not valid TOML"),
    ],
)
def test_a_mistake_is_an_error_that_names_the_setting(tmp_path: Path, text: str, named: str) -> None:
    (finding,) = check_settings.look(doctor_subjects.subject(tmp_path, text), doctor_subjects.verdicts())
    assert finding.severity is Severity.ERROR
    assert named in finding.said


def test_a_file_without_any_program_is_a_warning(tmp_path: Path) -> None:
    (finding,) = check_settings.look(doctor_subjects.subject(tmp_path), doctor_subjects.verdicts())
    assert finding.severity is Severity.WARNING
