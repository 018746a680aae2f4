"""Clocks and stamps that agree, or not."""

import dataclasses
import datetime as dt

import pytest

from sendproof_core.log_health import SourceHealth
from sendproof_postfix import check_clock
from sendproof_postfix.doctor import Severity
from sendproof_testing import doctor_subjects

VERDICTS = doctor_subjects.verdicts()
NOW = doctor_subjects.NOW
SOURCE = SourceHealth(
    name=f"{doctor_subjects.HOST}:/var/log/mail.log",
    lines_read=1,
    read_at=NOW,
    read_up_to=NOW,
    behind_seconds=0.0,
    last_line_at=NOW,
    offset=1,
    cursor=None,
)


@pytest.mark.parametrize(
    ("answer", "severity"), [(True, Severity.OK), (False, Severity.WARNING), (None, Severity.NOTE)]
)
def test_a_machine_says_whether_its_clock_is_synchronised(answer: bool | None, severity: Severity) -> None:
    assert check_clock.judge_synchronised(answer, VERDICTS).severity is severity


@pytest.mark.parametrize(
    ("ahead", "severity"),
    [(0.5, Severity.OK), (-5.0, Severity.WARNING), (5.0, Severity.WARNING), (-3600.0, Severity.ERROR)],
)
def test_the_databases_clock_is_ours(ahead: float, severity: Severity) -> None:
    assert check_clock.judge_database(ahead, VERDICTS).severity is severity


def test_a_line_from_the_future_is_an_error_that_speaks_of_zones() -> None:
    ahead = dataclasses.replace(SOURCE, last_line_at=NOW + dt.timedelta(hours=1))
    (finding,) = check_clock.judge_stamps(ahead, None, NOW, VERDICTS)
    assert finding.severity is Severity.ERROR
    assert "time_zone" in finding.remedy


def test_a_line_that_names_an_earlier_hour_than_it_was_written_in_is_a_warning() -> None:
    behind = dataclasses.replace(SOURCE, last_line_at=NOW - dt.timedelta(hours=1))
    (finding,) = check_clock.judge_stamps(behind, NOW, NOW, VERDICTS)
    assert finding.severity is Severity.WARNING
    assert not list(check_clock.judge_stamps(behind, NOW - dt.timedelta(minutes=59), NOW, VERDICTS))


def test_stamps_as_they_should_be_are_not_spoken_of() -> None:
    assert not list(check_clock.judge_stamps(SOURCE, NOW, NOW, VERDICTS))
    assert not list(check_clock.judge_stamps(dataclasses.replace(SOURCE, last_line_at=None), NOW, NOW, VERDICTS))
