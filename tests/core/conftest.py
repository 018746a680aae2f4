"""What the tests of the commands share: a settings file, and a way to run one command."""

import shutil
from collections.abc import Callable
from pathlib import Path

import click.testing
import pytest

from sendproof_core.cli import root
from sendproof_core.database import Database

Command = Callable[..., str]


def _configure(folder: Path) -> Path:
    (folder / "dovecot").mkdir()
    path = folder / "sendproof.toml"
    path.write_text(
        f"""
[database]
url = "sqlite:///{folder}/sendproof.db"
[secrets]
directory = "{folder}/secrets"
[sasl]
passwd_file = "{folder}/dovecot/passwd"
"""
    )
    return path


def _command(config: Path) -> Command:
    def run(*arguments: str, given: bytes | None = None) -> str:
        done = click.testing.CliRunner().invoke(root, ["--config", str(config), *arguments], input=given)
        if done.exception is not None:
            raise done.exception
        return done.output

    return run


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A settings file for an installation in this folder that has nothing yet."""
    return _configure(tmp_path)


@pytest.fixture
def sendproof(config: Path) -> Command:
    """Runs one command in this process; what it printed."""
    return _command(config)


@pytest.fixture(scope="session")
def ready_folder(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation with secrets, tables and the account max, to copy: hashing takes a sixth of a second."""
    folder = tmp_path_factory.mktemp("ready")
    shutil.copy(sqlite_template, folder)
    run = _command(_configure(folder))
    run("secrets", "create")
    run("plan", "add", "personal", "--recipients-per-day", "200")
    run("account", "add", "max", "--plan", "personal", "--password-stdin", given=b"a password for the site\n")
    return folder


@pytest.fixture
def ready(ready_folder: Path, sendproof: Command, tmp_path: Path, sqlite_database: Database) -> Command:
    """As `sendproof`, where there are secrets, tables and the account max."""
    del sqlite_database  # opened, but nobody has connected to it yet
    for name in ("secrets", "dovecot"):
        shutil.copytree(ready_folder / name, tmp_path / name, dirs_exist_ok=True)
    shutil.copy(ready_folder / "sendproof.db", tmp_path)
    return sendproof
