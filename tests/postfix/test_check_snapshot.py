"""The milter's copy of the directory."""

import datetime as dt
import os
from pathlib import Path

import pytest

from sendproof_milter.directory_snapshot import DirectorySnapshot
from sendproof_milter.settings import MilterSettings
from sendproof_postfix import check_snapshot
from sendproof_postfix.doctor import CannotLook, Finding, Severity
from sendproof_testing import doctor_subjects

VERDICTS = doctor_subjects.verdicts()


def look(folder: Path) -> list[Finding]:
    subject = doctor_subjects.subject(folder, f'[milter]\nsnapshot = "{folder}/snapshot"\nkeeper_seconds = 60\n')
    return list(check_snapshot.look(subject, VERDICTS))


def written(folder: Path, age_seconds: float) -> Path:
    path = folder / "snapshot"
    DirectorySnapshot(path).write([("a", {})])
    os.utime(path, (doctor_subjects.NOW.timestamp() - age_seconds,) * 2)
    return path


def test_a_fresh_snapshot_is_well_and_an_old_one_a_warning(tmp_path: Path) -> None:
    written(tmp_path, 30)
    assert doctor_subjects.severities(look(tmp_path)) == [Severity.OK]
    written(tmp_path, 301)
    assert doctor_subjects.severities(look(tmp_path)) == [Severity.WARNING]


def test_a_snapshot_that_is_not_there_or_none_is_an_error(tmp_path: Path) -> None:
    assert doctor_subjects.severities(look(tmp_path)) == [Severity.ERROR]
    (tmp_path / "snapshot").write_text("something else")
    assert doctor_subjects.severities(look(tmp_path)) == [Severity.ERROR]


def test_a_snapshot_that_others_may_read_is_a_warning(tmp_path: Path) -> None:
    written(tmp_path, 0).chmod(0o644)
    assert look(tmp_path)[0].severity is Severity.WARNING


def test_a_machine_without_a_milter_is_passed_over(tmp_path: Path) -> None:
    with pytest.raises(CannotLook, match="milter"):
        list(check_snapshot.look(doctor_subjects.subject(tmp_path), VERDICTS))


def test_the_defaults_are_the_milters(tmp_path: Path) -> None:
    del tmp_path
    assert MilterSettings.snapshot == check_snapshot._DEFAULT
    assert MilterSettings.keeper_seconds == check_snapshot._EVERY_SECONDS
    assert check_snapshot.judge_age(dt.timedelta(seconds=-5), 60, VERDICTS).severity is Severity.OK
