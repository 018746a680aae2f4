"""What the tests of the commands share: a settings file, and a way to run one command."""

from collections.abc import Callable
from pathlib import Path

import click.testing
import pytest

from sendproof_core.cli import root
from sendproof_core.database import Database

Command = Callable[..., str]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A settings file for an installation in this folder that has nothing yet."""
    (tmp_path / "dovecot").mkdir()
    path = tmp_path / "sendproof.toml"
    path.write_text(
        f"""
[database]
url = "sqlite:///{tmp_path}/sendproof.db"
[secrets]
directory = "{tmp_path}/secrets"
[sasl]
passwd_file = "{tmp_path}/dovecot/passwd"
"""
    )
    return path


@pytest.fixture
def sendproof(config: Path) -> Command:
    """Runs one command in this process; what it printed."""

    def run(*arguments: str, given: bytes | None = None) -> str:
        done = click.testing.CliRunner().invoke(root, ["--config", str(config), *arguments], input=given)
        if done.exception is not None:
            raise done.exception
        return done.output

    return run


@pytest.fixture
def ready(sendproof: Command, sqlite_database: Database) -> Command:
    """As `sendproof`, where there are secrets, tables and the account max."""
    del sqlite_database
    sendproof("secrets", "create")
    sendproof("plan", "add", "personal", "--recipients-per-day", "200")
    sendproof("account", "add", "max", "--plan", "personal", "--password-stdin", given=b"a password for the site\n")
    return sendproof
