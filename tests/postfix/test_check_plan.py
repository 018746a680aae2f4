"""Whether our settings are in Postfix."""

from pathlib import Path

import pytest

from sendproof_postfix import check_plan
from sendproof_postfix.decisions import Conflict
from sendproof_postfix.doctor import CannotLook, Severity
from sendproof_postfix.plan import Change
from sendproof_testing import doctor_subjects

VERDICTS = doctor_subjects.verdicts()
CHANGE = Change("master.cf submission/inet", None, "submission inet ...")


def conflict(*, fatal: bool) -> Conflict:
    return Conflict("enable_long_queue_ids", "no", "yes", "Queue ids are used again.", fatal)


def test_a_plan_with_nothing_to_do_is_well() -> None:
    assert doctor_subjects.severities(check_plan.judge((), (), VERDICTS)) == [Severity.OK]


def test_what_would_change_is_a_warning_that_names_the_places() -> None:
    (finding,) = check_plan.judge((CHANGE,), (), VERDICTS)
    assert finding.severity is Severity.WARNING
    assert finding.details == (CHANGE.where,)


def test_what_stands_in_the_way_is_an_error_and_what_could_be_better_a_note() -> None:
    (fatal,) = check_plan.judge((), (conflict(fatal=True),), VERDICTS)
    assert fatal.severity is Severity.ERROR
    assert "enable_long_queue_ids is 'no', not 'yes'" in fatal.said
    bearable = list(check_plan.judge((), (conflict(fatal=False),), VERDICTS))
    assert doctor_subjects.severities(bearable) == [Severity.NOTE, Severity.OK]


def test_a_machine_without_a_milter_has_no_plan(tmp_path: Path) -> None:
    with pytest.raises(CannotLook, match="milter"):
        list(check_plan.look(doctor_subjects.subject(tmp_path), VERDICTS))
