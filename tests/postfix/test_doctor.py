"""How checks are run, whatever becomes of one of them."""

import datetime as dt
import json
import threading
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.errors import UserError
from sendproof_postfix import doctor
from sendproof_postfix.doctor import CannotLook, Check, Finding, Severity, Verdicts

AT = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)
FINDINGS = st.lists(
    st.builds(
        Finding,
        check=st.text(),
        severity=st.sampled_from(Severity),
        said=st.text(),
        remedy=st.text(),
        details=st.lists(st.text()).map(tuple),
    )
)


def well(_subject: None, verdicts: Verdicts) -> Iterable[Finding]:
    return [verdicts.ok("well.")]


def test_checks_are_run_in_their_order_and_each_finding_names_its_check() -> None:
    begun: list[str] = []
    found = list(doctor.run([Check("first", well), Check("second", well)], None, begun.append))
    assert [finding.check for finding in found] == begun == ["first", "second"]


def test_a_check_that_fails_is_an_error_of_its_own_and_the_others_go_on() -> None:
    def failing(_subject: None, verdicts: Verdicts) -> Iterable[Finding]:
        yield verdicts.ok("so far.")
        raise KeyError("password=hidden")

    found = list(doctor.run([Check("failing", failing), Check("next", well)], None))
    assert [(one.check, one.severity) for one in found] == [
        ("failing", Severity.OK),
        ("failing", Severity.ERROR),
        ("next", Severity.OK),
    ]
    assert "KeyError at test_doctor.py:" in found[1].said
    assert "hidden" not in str(found), "an error's text may hold a secret"


def test_a_check_that_hangs_is_left_behind() -> None:
    forever = threading.Event()

    def hanging(_subject: None, verdicts: Verdicts) -> Iterable[Finding]:
        forever.wait(60)
        yield verdicts.ok("too late.")

    found = list(doctor.run([Check("hanging", hanging, limit_seconds=0.05), Check("next", well)], None))
    forever.set()
    assert [finding.severity for finding in found] == [Severity.ERROR, Severity.OK]
    assert "did not come to an end" in found[0].said


def test_what_cannot_be_looked_at_is_skipped_with_its_reason() -> None:
    def blind(_subject: None, _verdicts: Verdicts) -> Iterable[Finding]:
        raise CannotLook("there is nothing.", "Make it.")

    def forbidden(_subject: None, _verdicts: Verdicts) -> Iterable[Finding]:
        raise PermissionError(13, "no", "/etc/secret")

    def wrong(_subject: None, _verdicts: Verdicts) -> Iterable[Finding]:
        raise UserError("[host] name is missing.")

    found = list(doctor.run([Check("a", blind), Check("b", forbidden), Check("c", wrong)], None))
    assert [(one.severity, one.said) for one in found] == [
        (Severity.SKIPPED, "there is nothing."),
        (Severity.SKIPPED, "/etc/secret may not be read."),
        (Severity.ERROR, "[host] name is missing."),
    ]
    assert found[1].remedy == "Run as root."


@given(FINDINGS)
def test_the_exit_status_is_that_of_the_worst(findings: list[Finding]) -> None:
    severities = {finding.severity for finding in findings}
    expected = 2 if Severity.ERROR in severities else 1 if Severity.WARNING in severities else 0
    assert doctor.exit_status(findings) == expected


@given(FINDINGS)
def test_the_document_has_every_finding_and_counts_them(findings: list[Finding]) -> None:
    document = json.loads(json.dumps(doctor.to_json(findings, "edge1", AT)))
    assert [item["said"] for item in document["findings"]] == [finding.said for finding in findings]
    assert sum(document["counts"].values()) == len(findings)
    assert document["exit_status"] == doctor.exit_status(findings)
    assert document["severity"] == doctor.worst(findings)


def test_the_shape_of_the_document_is_stable() -> None:
    document = doctor.to_json([Verdicts("disk").warning("little.", "Make room.", ["a"])], None, AT)
    assert document == {
        "format": 1,
        "host": None,
        "at": "2026-11-22T13:03:05+00:00",
        "severity": "warning",
        "exit_status": 1,
        "counts": {"ok": 0, "note": 0, "warning": 1, "error": 0, "skipped": 0},
        "findings": [
            {"check": "disk", "severity": "warning", "said": "little.", "remedy": "Make room.", "details": ["a"]}
        ],
    }
