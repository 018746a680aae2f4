from pathlib import Path

import pytest

from sendproof_core.errors import UserError
from sendproof_core.settings import SettingsFile
from sendproof_logparser.settings import LogparserSettings


def _settings(**table: object) -> LogparserSettings:
    return SettingsFile(Path("sendproof.toml"), {"logparser": table}).table(LogparserSettings)


def test_every_setting_has_a_default() -> None:
    settings = SettingsFile(Path("sendproof.toml"), {}).table(LogparserSettings)
    assert (settings.maillogs, settings.journals, settings.poll_seconds) == ((), (), 1.0)
    assert (settings.journald, settings.journald_directory, settings.metrics) == (False, "", "")
    assert settings == LogparserSettings()


def test_paths_are_lists() -> None:
    assert _settings(maillogs=["/var/log/mail.log"]).maillogs == (Path("/var/log/mail.log"),)
    with pytest.raises(UserError, match="maillogs must be a list"):
        _settings(maillogs="/var/log/mail.log")


def test_addresses_and_labels_are_lists() -> None:
    settings = _settings(own_addresses=["203.0.113.5"], host_labels=["mail"], edges=["198.51.100.2"])
    assert (settings.own_addresses, settings.host_labels) == (("203.0.113.5",), ("mail",))
    assert settings.edges == ("198.51.100.2",)
    for name in ("own_addresses", "host_labels", "edges"):
        with pytest.raises(UserError, match=f"{name} must be a list"):
            _settings(**{name: "203.0.113.5"})


@pytest.mark.parametrize(("name", "value"), [("poll_seconds", 0), ("poll_seconds", 61), ("rotation_grace_seconds", 51)])
def test_times_have_bounds(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{name} must be between"):
        _settings(**{name: value})


def test_journald_is_read_or_not() -> None:
    assert _settings(journald=True).journald
    with pytest.raises(UserError, match="journald"):
        _settings(journald="yes")
