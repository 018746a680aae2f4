"""What systemd says of the units."""

from pathlib import Path

import pytest

from sendproof_postfix import check_services
from sendproof_postfix.doctor import CannotLook, Severity
from sendproof_testing import doctor_subjects

REPOSITORY = Path(__file__).resolve().parents[2]
VERDICTS = doctor_subjects.verdicts()
SHOWN = """\
Id=sendproof-milter.service
LoadState=loaded
UnitFileState=enabled
ActiveState=active
SubState=running
NRestarts=0
Result=success

Id=sendproof-web.service
LoadState=not-found
ActiveState=inactive
"""
RUNNING = {"Id": "x.service", "LoadState": "loaded", "UnitFileState": "enabled", "ActiveState": "active"}


def test_units_are_read_block_by_block() -> None:
    units = check_services.read(SHOWN)
    assert list(units) == ["sendproof-milter.service", "sendproof-web.service"]
    assert units["sendproof-milter.service"]["NRestarts"] == "0"


@pytest.mark.parametrize(
    ("changes", "is_wanted", "severities"),
    [
        ({}, True, []),
        ({"ActiveState": "failed", "Result": "exit-code"}, True, [Severity.ERROR]),
        ({"ActiveState": "inactive"}, True, [Severity.ERROR]),
        ({"ActiveState": "inactive"}, False, [Severity.ERROR]),
        ({"ActiveState": "inactive", "UnitFileState": "disabled"}, False, []),
        ({"UnitFileState": "disabled"}, True, [Severity.WARNING]),
        ({"NRestarts": "9"}, True, [Severity.WARNING]),
        ({"LoadState": "not-found"}, True, [Severity.WARNING]),
        ({"LoadState": "not-found"}, False, []),
    ],
)
def test_a_unit_runs_or_that_is_said(changes: dict[str, str], is_wanted: bool, severities: list[Severity]) -> None:
    found = list(check_services.judge({**RUNNING, **changes}, is_wanted=is_wanted, verdicts=VERDICTS))
    assert doctor_subjects.severities(found) == severities
    assert all("x.service" in finding.said for finding in found)


def test_our_dovecot_is_wanted_only_where_its_settings_are(tmp_path: Path) -> None:
    assert check_services.others(tmp_path / "dovecot.conf") == ("postfix.service", "postfix@-.service")
    (tmp_path / "dovecot.conf").touch()
    assert "dovecot-sendproof.service" in check_services.others(tmp_path / "dovecot.conf")
    unit = REPOSITORY / "packaging/systemd/dovecot-sendproof.service"
    assert f"ConditionPathExists={check_services._DOVECOT_WANTS}\n" in unit.read_text()


@pytest.mark.skipif(check_services._SYSTEMD.exists(), reason="systemd runs here")
def test_without_systemd_nothing_is_known(tmp_path_factory: pytest.TempPathFactory) -> None:
    subject = doctor_subjects.subject(tmp_path_factory.mktemp("none"))
    with pytest.raises(CannotLook, match="systemd does not run"):
        list(check_services.look(subject, VERDICTS))
