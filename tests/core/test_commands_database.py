"""`sendproof database`: what it says and refuses. Backups under load: tests/integration/test_backup.py."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click.testing
import psycopg
import pytest
from sqlalchemy import make_url

from sendproof_core import schema_version
from sendproof_core.cli import root
from sendproof_core.database import open_database
from sendproof_core.errors import UserError

Command = Callable[..., str]


def command(folder: Path, url: str) -> Command:
    config = folder / "sendproof.toml"
    config.write_text(f'[database]\nurl = "{url}"\n[secrets]\ndirectory = "{folder}/secrets"\n')

    def run(*arguments: str) -> str:
        done = click.testing.CliRunner().invoke(root, ["--config", str(config), "database", *arguments])
        if done.exception is not None:
            raise done.exception
        return done.output

    return run


def test_an_upgrade_says_whether_there_was_anything_to_do(tmp_path: Path, empty_database_url: str) -> None:
    run = command(tmp_path, empty_database_url)
    assert run("upgrade") == f"the schema is {schema_version.newest()}\n"
    assert run("upgrade") == f"the schema is {schema_version.newest()}, as before\n"
    assert "the database is whole" in run("verify")


def test_a_backup_says_what_is_not_in_it_and_comes_back(tmp_path: Path) -> None:
    run = command(tmp_path, f"sqlite:///{tmp_path}/sendproof.db")
    run("upgrade")
    said = run("backup", str(tmp_path / "one"))
    assert "read back and found good" in said
    assert (
        f"NOT in it, and without a copy of their own the backup is of little use:\n  the secrets in {tmp_path}" in said
    )
    assert run("verify", str(tmp_path / "one")).endswith(f"can be restored; its schema is {schema_version.newest()}\n")
    with pytest.raises(UserError, match="is not empty"):
        run("restore", str(tmp_path / "one"))
    other = command(tmp_path, f"sqlite:///{tmp_path}/other.db")
    assert "the database is whole" in other("restore", "--verify", str(tmp_path / "one"))


def test_an_older_backup_is_restored_and_the_next_step_is_said(tmp_path: Path) -> None:
    with closing(open_database(f"sqlite:///{tmp_path}/sendproof.db")) as database:
        schema_version.upgrade(database)
        run = command(tmp_path, f"sqlite:///{tmp_path}/sendproof.db")
        with pytest.raises(UserError, match="exist"):
            run("backup", str(tmp_path / "sendproof.db"))
        run("backup", str(tmp_path / "one"))
    with closing(open_database(f"sqlite:///{tmp_path}/one")) as backup:
        schema_version.downgrade(backup, "0006")
    other = command(tmp_path, f"sqlite:///{tmp_path}/other.db")
    said = other("restore", "--verify", str(tmp_path / "one"))
    assert "the schema is 0006" in said
    assert "run `sendproof database upgrade` before anything is started" in said
    assert "the database is whole" not in said


@pytest.mark.postgres
def test_a_backup_of_one_kind_does_not_go_into_the_other(tmp_path: Path, postgres_url: str) -> None:
    command(tmp_path, f"sqlite:///{tmp_path}/sendproof.db")("upgrade")
    command(tmp_path, f"sqlite:///{tmp_path}/sendproof.db")("backup", str(tmp_path / "one"))
    run = command(tmp_path, postgres_url)
    with pytest.raises(UserError, match=r"is of sqlite, and .* names postgresql"):
        run("restore", str(tmp_path / "one"))
    (tmp_path / "text").write_text("hello")
    for arguments in (("restore", str(tmp_path / "text")), ("verify", str(tmp_path / "text"))):
        with pytest.raises(UserError, match="is no backup"):
            run(*arguments)
    with pytest.raises(UserError, match="cannot be read"):
        run("verify", str(tmp_path / "nowhere"))


def test_roles_want_a_url_that_names_the_program(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="SQLite, which has no roles"):
        command(tmp_path, f"sqlite:///{tmp_path}/sendproof.db")("roles")
    with pytest.raises(UserError, match=r"write \{program\} in it"):
        command(tmp_path, "postgresql://sendproof@127.0.0.1/sendproof")("roles", "--print")


@pytest.mark.postgres
def test_the_printed_words_make_the_roles_and_take_over_what_another_role_made(
    tmp_path: Path, postgres_url: str
) -> None:
    """An installation with one role for all goes over to one for each: as a superuser, with psql."""
    url = make_url(postgres_url)
    superuser = url.set(username="sendproof")
    with closing(open_database(superuser.render_as_string(hide_password=False))) as one_role:
        schema_version.upgrade(one_role)
    named = postgres_url.replace("sendproof_{program}", "mailer_{program}")
    run = command(tmp_path, named)
    words = run("roles", "--print")
    environment = {**os.environ, "PGPASSWORD": str(url.password)}
    psql = [
        "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", str(url.host), "-p", str(url.port), "-U", "sendproof",
        "-d", str(url.database),
    ]  # fmt: skip
    try:
        for _ in range(2):
            subprocess.run(psql, input=words, text=True, check=True, env=environment, capture_output=True)
        passwords = "".join(
            f"ALTER ROLE mailer_{name} PASSWORD '{url.password}';" for name in ("milter", "operator", "web")
        )
        subprocess.run(psql, input=passwords, text=True, check=True, env=environment, capture_output=True)
        assert "mailer_logparser" in run("roles")
        assert "as before" in run("upgrade")
        milter = url.set(username="mailer_milter", drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(milter) as connection:
            assert connection.execute("SELECT count(*) FROM plans").fetchone() == (0,)
            assert connection.execute("SHOW lock_timeout").fetchone() == ("10s",)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("DELETE FROM plans")
    finally:
        names = ", ".join(f"mailer_{name}" for name in ("milter", "logparser", "web", "notices", "operator"))
        subprocess.run(
            psql, input=f"DROP OWNED BY {names}; DROP ROLE {names};", text=True, check=True, env=environment,
            capture_output=True,
        )  # fmt: skip


@pytest.mark.postgres
def test_who_may_make_no_roles_is_told_who_can(tmp_path: Path, postgres_url: str) -> None:
    run = command(tmp_path, postgres_url)
    run("upgrade")
    assert "sendproof_notices" in run("roles")  # they are there
    with pytest.raises(UserError, match="cannot be reached"):
        command(tmp_path, postgres_url.replace("sendproof_{program}", "nobody_{program}"))("roles")


def test_a_wrong_url_is_a_sentence_of_the_program(tmp_path: Path) -> None:
    command(tmp_path, "postgresql://a:secret@127.0.0.1:9/d?colour=red")
    program = [sys.executable, "-c", "from sendproof_core.cli import main; main()"]
    done = subprocess.run(
        [*program, "--config", str(tmp_path / "sendproof.toml"), "database", "upgrade"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("sendproof: [database] url: PostgreSQL knows no option 'colour'")
    assert "secret" not in done.stderr
