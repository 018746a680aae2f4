import tomllib
from pathlib import Path

import pytest

from sendproof_core.errors import UserError
from sendproof_core.settings import SettingsFile
from sendproof_milter.settings import MilterSettings

_NEEDED = 'socket = "/run/milter.sock"\njournal = "/var/milter.journal"\n'


def _settings(text: str) -> MilterSettings:
    return SettingsFile(Path("sendproof.toml"), tomllib.loads("[milter]\n" + text)).table(MilterSettings)


def test_only_the_socket_and_the_journal_must_be_named() -> None:
    settings = _settings(_NEEDED)
    assert (settings.socket, settings.journal) == (Path("/run/milter.sock"), Path("/var/milter.journal"))
    assert settings.journal_synchronous  # a reply never speaks of a line that a power cut can take back
    assert settings.quota_when_unavailable == "tempfail"  # who wants to be lenient says so
    assert not settings.split  # Postfix has no such transport unless somebody set it up
    assert settings.metrics == ""  # nothing listens


@pytest.mark.parametrize("line", ["workers = 0", "threads = 65", "message_seconds = 291", "message_seconds = nan"])
def test_what_cannot_work_is_refused_with_its_bounds(line: str) -> None:
    with pytest.raises(UserError, match="must be between"):
        _settings(_NEEDED + line)


def test_a_word_that_is_no_choice_is_refused_with_those_that_are() -> None:
    with pytest.raises(UserError, match="quota_when_unavailable must be one of tempfail, accept"):
        _settings(_NEEDED + 'quota_when_unavailable = "perhaps"')
    assert _settings(_NEEDED + 'quota_when_unavailable = "accept"').quota_when_unavailable == "accept"
