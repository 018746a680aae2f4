"""The order of the checks, and what happens without settings."""

import re
from pathlib import Path

from sendproof_core.commands_context import Context
from sendproof_postfix import doctor_checks
from sendproof_postfix.doctor import Severity
from sendproof_testing import doctor_subjects

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/doctor.md"


def test_without_settings_that_is_the_one_error_and_nothing_else_is_looked_at(tmp_path: Path) -> None:
    broken = doctor_subjects.subject(tmp_path, context=Context(tmp_path / "missing.toml"))
    first, *rest = doctor_checks.examine(broken)
    assert (first.check, first.severity) == ("settings", Severity.ERROR)
    assert "missing.toml does not exist" in first.said
    assert [finding.check for finding in rest] == [check.name for check in doctor_checks.CHECKS]
    assert {finding.severity for finding in rest} == {Severity.SKIPPED}


def test_settings_of_a_wrong_form_are_named(tmp_path: Path) -> None:
    wrong = doctor_subjects.subject(tmp_path, "[dns]\ntimeout_seconds = 99\n")
    first = next(iter(doctor_checks.examine(wrong)))
    assert first.severity is Severity.ERROR
    assert "[dns] timeout_seconds must be between" in first.said


def test_a_machine_with_nothing_has_no_check_that_fails_by_itself(tmp_path: Path) -> None:
    bare = doctor_subjects.subject(
        tmp_path, '[logparser]\njournald = false\n[milter]\nsocket = "/nowhere/milter.sock"\n'
    )
    found = list(doctor_checks.examine(bare))
    assert not [finding for finding in found if "the check itself failed" in finding.said]
    assert {finding.check for finding in found} == {"settings", *(check.name for check in doctor_checks.CHECKS)}


def test_each_check_is_described_in_the_documentation_in_this_order() -> None:
    headings = re.findall(r"^### `([a-z-]+)`", DOCUMENT.read_text(), re.MULTILINE)
    assert headings == ["settings", *(check.name for check in doctor_checks.CHECKS)]
