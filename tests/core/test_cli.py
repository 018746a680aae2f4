"""The `sendproof` command as an operator uses it."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import click.testing
import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from sendproof_core import cli
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.schema import Credential, DkimKey

_PROGRAM = [sys.executable, "-c", "from sendproof_core.cli import main; main()"]

Command = Callable[..., str]


def test_a_new_installation_is_made_step_by_step(sendproof: Command, tmp_path: Path) -> None:
    assert sendproof("secrets", "create").count("keep a copy in a safe place") == 4
    assert sendproof("secrets", "create") == "every secret file is there already\n"
    assert "the schema is " in sendproof("database", "upgrade")
    assert sendproof("plan", "add", "personal") == "added plan personal\n"
    output = sendproof("account", "add", "max", "--plan", "personal", "--tracking", "--time-zone", "Europe/Vienna")
    assert output.startswith("added account max, site password ")
    output = sendproof("credential", "add", "max", "max@own.example", "--label", "laptop")
    assert output.startswith("added credential max@own.example, password ")
    assert (tmp_path / "dovecot" / "passwd").read_text().startswith("max@own.example:{ARGON2ID}")


def test_a_command_that_fails_changes_nothing(
    ready: Command, config: Path, sqlite_database: Database, tmp_path: Path
) -> None:
    ordinary = config.read_text()
    for broken in (ordinary.partition("[sasl]")[0], ordinary.replace("/dovecot/passwd", "/missing/passwd")):
        config.write_text(broken)
        with pytest.raises(UserError, match=r"passwd_file|make it first"):
            ready("credential", "add", "max", "laptop", "--label", "laptop")
    config.write_text(ordinary)
    (tmp_path / "secrets" / "key-encryption.key").unlink()
    with pytest.raises(UserError, match="secrets create"):
        ready("domain", "add", "own.example")
    with sqlite_database.reading() as session:
        assert session.scalars(select(Credential)).all() == []
        assert session.scalars(select(DkimKey)).all() == []
    with pytest.raises(UserError, match="there is no domain own"):
        ready("domain", "records", "own.example")


@pytest.mark.parametrize("name", ["4Zabc", "01900000-0000-7000-8000-000000000000", "no such thing"])
def test_a_transcript_of_nothing_is_said_so(ready: Command, name: str) -> None:
    with pytest.raises(UserError, match="no message has the queue id or message id"):
        ready("transcript", "show", name)


def test_without_tables_the_command_that_makes_them_is_named(sendproof: Command) -> None:
    with pytest.raises(UserError, match="run `sendproof database upgrade`"):
        sendproof("plan", "add", "personal")


def test_as_a_program_it_ends_with_status_2_and_the_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [*_PROGRAM, "--config", str(tmp_path / "no.toml"), "database", "upgrade"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"sendproof: the settings file {tmp_path}/no.toml does not exist; name one with --config.\n"


def test_what_the_program_makes_is_not_for_everybody(config: Path, tmp_path: Path) -> None:
    subprocess.run([*_PROGRAM, "--config", str(config), "database", "upgrade"], check=True, capture_output=True)
    assert (tmp_path / "sendproof.db").stat().st_mode & 0o007 == 0


def test_a_component_brings_its_commands_by_its_entry_point() -> None:
    group = click.Group()
    cli.mount(group, [EntryPoint("tariff", "sendproof_core.commands_plan:plan", "sendproof.commands")])
    done = click.testing.CliRunner().invoke(group, ["tariff", "list", "--help"])
    assert "Show every plan" in done.output


@pytest.mark.parametrize("missing", ["sendproof_nowhere.commands:group", "sendproof_core.no_such_module:group"])
def test_a_component_that_is_not_installed_has_no_commands(missing: str) -> None:
    group = click.Group()
    there = EntryPoint("plan", "sendproof_core.commands_plan:plan", "sendproof.commands")
    cli.mount(group, [EntryPoint("absent", missing, "sendproof.commands"), there])
    assert list(group.commands) == ["plan"]


def test_an_argument_that_is_no_utf_8_is_a_sentence(ready: Command, config: Path) -> None:
    del ready
    arguments: list[str | bytes] = [*_PROGRAM, "--config", str(config), "transcript", "show", b"\xff"]
    done = subprocess.run(arguments, capture_output=True, check=False, timeout=60)
    assert done.returncode == 2
    assert b"no UTF-8 text" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_database_that_stops_answering_is_a_sentence(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def locked(_context: object) -> None:
        raise OperationalError("BEGIN IMMEDIATE", None, Exception("database is locked"))

    monkeypatch.setattr(cli, "Context", locked)
    monkeypatch.setattr("sys.argv", ["sendproof", "--config", str(config), "plan", "list"])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert capsys.readouterr().err == (
        "sendproof: the database does not answer (database is locked); try again in a moment.\n"
    )
