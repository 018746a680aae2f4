"""The `sendproof` command as an operator uses it."""

import base64
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click.testing
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import select

from sendproof_core import clock, passwords
from sendproof_core.cli import root
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.schema import Account, Credential, DkimKey, Plan, UnknownLine

_PROGRAM = [sys.executable, "-c", "from sendproof_core.cli import main; main()"]
_MADE = re.compile(r"[A-Za-z0-9_-]{24}")  # 18 random octets


@pytest.fixture
def config(tmp_path: Path) -> Path:
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


Command = Callable[..., str]


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


def test_a_new_installation_is_made_step_by_step(sendproof: Command, tmp_path: Path) -> None:
    assert sendproof("secrets", "create").count("keep a copy in a safe place") == 3
    assert sendproof("secrets", "create") == "every secret file is there already\n"
    assert "the schema is " in sendproof("database", "upgrade")
    assert sendproof("plan", "add", "personal") == "added plan personal\n"
    output = sendproof("account", "add", "max", "--plan", "personal", "--tracking", "--time-zone", "Europe/Vienna")
    assert output.startswith("added account max, site password ")
    output = sendproof("credential", "add", "max", "max@own.example", "--label", "laptop")
    assert output.startswith("added credential max@own.example, password ")
    assert (tmp_path / "dovecot" / "passwd").read_text().startswith("max@own.example:{ARGON2ID}")


def test_a_password_that_was_made_is_shown_once_and_fits(
    ready: Command, sqlite_database: Database, tmp_path: Path
) -> None:
    output = ready("credential", "add", "max", "telephone", "--label", "telephone")
    (password,) = _MADE.findall(output)
    with sqlite_database.reading() as session:
        stored = session.scalars(select(Credential.secret_hash)).one()
    assert passwords.verify(stored, password)
    assert all(password.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_password_that_was_given_is_never_shown(ready: Command, sqlite_database: Database) -> None:
    given = "Grüße, ein Passwort ".encode()
    output = ready("credential", "add", "max", "laptop", "--label", "laptop", "--password-stdin", given=given + b"\r\n")
    assert output == "added credential laptop\n"
    with sqlite_database.reading() as session:
        assert passwords.verify(session.scalars(select(Credential.secret_hash)).one(), given.decode())
        assert passwords.verify(session.scalars(select(Account.password_hash)).one(), "a password for the site")


@pytest.mark.parametrize(
    ("given", "said"), [(b"", "no password came"), (b"\n", "no password came"), (b"\xff\n", "UTF-8")]
)
def test_a_password_that_cannot_be_one_is_refused(ready: Command, given: bytes, said: str) -> None:
    with pytest.raises(UserError, match=said):
        ready("account", "add", "eva", "--plan", "personal", "--password-stdin", given=given)


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


def test_the_record_to_publish_round_trips_to_the_public_key(ready: Command, sqlite_database: Database) -> None:
    shown = ready("domain", "add", "own.example", "--account", "max")
    assert ready("domain", "records", "own.example") == shown
    name, strings = shown.split(" IN TXT ")
    assert name == "sp1._domainkey.own.example."
    parts = re.findall(r'"([^"\\]*)"', strings)
    assert strings == "( " + " ".join(f'"{part}"' for part in parts) + " )\n"
    assert all(len(part) <= 255 for part in parts)
    published = "".join(parts).partition("p=")[2]
    assert isinstance(serialization.load_der_public_key(base64.b64decode(published)), rsa.RSAPublicKey)
    with sqlite_database.reading() as session:
        assert session.scalars(select(DkimKey.public_key)).one() == published


def test_a_key_signs_when_it_was_activated(ready: Command, sqlite_database: Database) -> None:
    ready("domain", "add", "relay.example", "--selector", "a1")
    with sqlite_database.reading() as session:
        assert session.scalars(select(DkimKey.state)).one() == "pending"
    assert ready("domain", "activate", "relay.example", "a1") == "a1._domainkey.relay.example signs now\n"
    with sqlite_database.reading() as session:
        assert session.scalars(select(DkimKey.state)).one() == "active"


def test_a_plan_without_a_number_has_no_limit(ready: Command, sqlite_database: Database) -> None:
    ready("plan", "add", "notices")
    with sqlite_database.reading() as session:
        rows = session.execute(select(Plan.name, Plan.recipients_per_day).order_by(Plan.name)).all()
        assert [tuple(row) for row in rows] == [("notices", None), ("personal", 200)]


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


def test_a_revoked_credential_leaves_dovecots_file(ready: Command, tmp_path: Path) -> None:
    ready("credential", "add", "max", "lost", "--label", "lost telephone")
    assert ready("credential", "revoke", "lost") == "revoked credential lost\n"
    assert (tmp_path / "dovecot" / "passwd").read_text() == ""
    with pytest.raises(UserError, match="no credential 'other'"):
        ready("credential", "revoke", "other")


def test_a_suspended_account_is_marked_with_its_reason_and_can_be_reinstated(
    ready: Command, sqlite_database: Database
) -> None:
    ready("account", "suspend", "max", "--reason", "unpaid")
    with sqlite_database.reading() as session:
        account = session.scalars(select(Account)).one()
        assert (account.suspended_at is not None, account.suspended_reason) == (True, "unpaid")
    ready("account", "reinstate", "max")
    with sqlite_database.reading() as session:
        assert session.scalars(select(Account)).one().suspended_at is None


def test_dovecots_file_that_could_not_be_written_is_said_and_written_later(ready: Command, tmp_path: Path) -> None:
    passwd = tmp_path / "dovecot" / "passwd"
    passwd.mkdir()  # in the way
    with pytest.raises(UserError, match="sendproof credential sync"):
        ready("credential", "add", "max", "laptop", "--label", "laptop")
    passwd.rmdir()
    assert ready("credential", "sync") == f"wrote {passwd}\n"
    assert passwd.read_text().startswith("laptop:{ARGON2ID}")


@pytest.mark.parametrize("label", ["", " ", "x" * 101, "two\nlines"])
def test_a_label_that_no_database_takes_is_refused(ready: Command, label: str) -> None:
    with pytest.raises(UserError, match="printable characters"):
        ready("credential", "add", "max", "laptop", "--label", label)


def test_a_notice_address_that_is_none_is_refused(ready: Command) -> None:
    with pytest.raises(UserError, match="no mail address"):
        ready("account", "add", "eva", "--plan", "personal", "--notice-address", "nowhere")


def test_the_status_names_what_was_read_and_what_was_not_understood(ready: Command, sqlite_database: Database) -> None:
    assert "nothing was read yet" in ready("status")
    with sqlite_database.writing() as session:
        at = clock.now()
        session.add(UnknownLine(source="edge1:/log", offset=7, read_at=at, line="odd \x1b[31m line"))
    output = ready("status")
    assert "lines that no rule knows: 1" in output
    assert "\x1b" not in output


def test_an_argument_that_is_no_utf_8_is_a_sentence(ready: Command, config: Path) -> None:
    del ready
    arguments: list[str | bytes] = [*_PROGRAM, "--config", str(config), "transcript", "show", b"\xff"]
    done = subprocess.run(arguments, capture_output=True, check=False, timeout=60)
    assert done.returncode == 2
    assert b"no UTF-8 text" in done.stderr
    assert b"Traceback" not in done.stderr
