from pathlib import Path

import pytest

from sendproof_core.errors import UserError
from sendproof_core.settings import SettingsFile
from sendproof_logparser.settings import LogparserSettings


def test_every_setting_has_a_default() -> None:
    settings = SettingsFile(Path("sendproof.toml"), {}).table(LogparserSettings)
    assert (settings.maillogs, settings.journals, settings.poll_seconds) == ((), (), 1.0)


def test_paths_are_lists() -> None:
    file = SettingsFile(Path("sendproof.toml"), {"logparser": {"maillogs": ["/var/log/mail.log"]}})
    assert file.table(LogparserSettings).maillogs == (Path("/var/log/mail.log"),)
    with pytest.raises(UserError, match="maillogs must be a list"):
        SettingsFile(Path("sendproof.toml"), {"logparser": {"maillogs": "/var/log/mail.log"}}).table(LogparserSettings)
