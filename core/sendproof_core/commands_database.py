"""`sendproof database`: schema, roles, retention, backup and restore. Decides nothing about mail."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ProgrammingError

from sendproof_core import backups, database_url, dumps, grants, integrity, schema_version
from sendproof_core.backups import Show
from sendproof_core.commands_context import Context
from sendproof_core.commands_database_maintain import maintain
from sendproof_core.database import Database
from sendproof_core.database_url import Program
from sendproof_core.errors import UserError
from sendproof_core.hostile_text import visible
from sendproof_core.settings import DatabaseSettings, SecretsSettings

_NO_PERMISSION = "42501"  # PostgreSQL's insufficient_privilege
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def database() -> None:
    """The database: its schema, who may write what, retention, backups."""


database.add_command(maintain)


@database.command("upgrade")
@click.pass_obj
def database_upgrade(context: Context) -> None:
    """Bring the schema up to date. Mail may flow meanwhile."""
    changed = schema_version.upgrade(context.unchecked_database())
    click.echo(f"the schema is {schema_version.newest()}" + ("" if changed else ", as before"))


@database.command("roles")
@click.option("--print", "only_print", is_flag=True, help="Show the SQL, for a superuser: ... | psql -d DATABASE.")
@click.pass_obj
def database_roles(context: Context, *, only_print: bool) -> None:
    """Make a role for each program (PostgreSQL), and grant each what is its to read and write.

    The roles have no passwords until you give them one. Can be repeated; `upgrade` grants again by itself.
    """
    if _url(context).get_backend_name() == backups.SQLITE:
        raise UserError("[database] url names SQLite, which has no roles.")
    names = database_url.roles(context.file.table(DatabaseSettings).url)
    if names is None:
        raise UserError(
            "[database] url names one role for all programs; write {program} in it, such as "
            "postgresql+psycopg://sendproof_{program}@db.example.net/sendproof."
        )
    if only_print:
        parts = (grants.role_statements, grants.ownership_statements, grants.table_statements)
        for statement in (statement for part in parts for statement in part(names)):
            click.echo(f"{statement.strip()};")
        return
    opened = context.unchecked_database()
    with schema_version.reaching():
        _make_roles(opened, list(grants.role_statements(names)))
        with opened.writing_connection() as connection:
            schema_version.grant(connection, opened)
    click.echo(f"roles with their grants: {', '.join(names.values())}")


def _make_roles(opened: Database, statements: list[str]) -> None:
    names = list((opened.roles or {}).values())
    settings = [f"{name}={value}" for name, value in database_url.ROLE_SETTINGS.items()]
    with opened.reading() as session:
        is_done = session.scalar(text(grants.ROLES_ARE_MADE), {"names": names, "settings": settings})
    if is_done:
        return
    try:
        with opened.writing_connection() as connection:
            for statement in statements:
                connection.execute(text(statement))
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) != _NO_PERMISSION:
            raise
        raise UserError(
            "the role that [database] url names may not make roles; let a superuser do it: "
            "`sendproof database roles --print | sudo -u postgres psql -d DATABASE`."
        ) from None


@database.command("backup")
@click.argument("file", type=_FILE)
@click.pass_obj
def database_backup(context: Context, file: Path) -> None:
    """Copy the database into FILE, one moment of it, while everything runs. FILE must not exist."""
    opened = context.unchecked_database()
    schema_version.check(opened)
    with _bar("backing up") as show:
        url = _url(context)
        if url.get_backend_name() == backups.SQLITE:
            backups.back_up_sqlite(Path(str(url.database)), file, show)
        else:
            dumps.back_up(url, opened, file, show)
    click.echo(f"{visible(str(file))}: {file.stat().st_size:,} octets, read back and found good")
    click.echo("NOT in it, and without a copy of their own the backup is of little use:")
    click.echo(f"  the secrets in {_secrets(context)} (without key-encryption.key no DKIM key in it can be opened)")
    click.echo("  the settings file; Postfix's and Dovecot's settings; mail logs and journals not yet read")


@database.command("restore")
@click.argument("file", type=_FILE)
@click.option("--verify", is_flag=True, help="Afterwards read every table of the restored database.")
@click.pass_obj
def database_restore(context: Context, file: Path, *, verify: bool) -> None:
    """Fill the empty database of the settings from a backup.

    Every program is to be stopped before. The logparser then reads again what the logs still have.
    """
    kind, url = backups.kind_of(file), _url(context)
    if kind != url.get_backend_name():
        raise UserError(f"the backup {file} is of {kind}, and [database] url names {url.get_backend_name()}.")
    with _bar("restoring") as show:
        if kind == backups.SQLITE:
            revision = backups.restore_sqlite(file, Path(str(url.database)), show)
        else:
            revision = dumps.restore(url, context.unchecked_database(), file, show)
    click.echo(f"restored; the schema is {revision}")
    if revision != schema_version.newest():
        click.echo("it is older than this program: run `sendproof database upgrade` before anything is started")
    elif verify:
        _verify(context.unchecked_database())
    click.echo(f"the secrets of the same time must be in {_secrets(context)}; then start every program")


@database.command("verify")
@click.argument("file", type=_FILE, required=False)
@click.pass_obj
def database_verify(context: Context, file: Path | None) -> None:
    """Read a backup, or the database itself, and say whether all of it is there and fits together."""
    if file is None:
        _verify(context.database())
    else:
        revision = backups.check_sqlite(file) if backups.kind_of(file) == backups.SQLITE else dumps.check(file)
        click.echo(f"{visible(str(file))} can be restored; its schema is {revision}")


def _verify(opened: Database) -> None:
    schema_version.check(opened)
    with _bar("verifying") as show:
        problems = integrity.problems(opened, show)
    if problems:
        raise UserError("the database does not fit together: " + "; ".join(problems) + ".")
    click.echo(f"the database is whole; its schema is {schema_version.newest()}")


def _url(context: Context) -> URL:
    return database_url.parse(context.file.table(DatabaseSettings).url, Program.OPERATOR)


def _secrets(context: Context) -> str:
    return str(context.file.table(SecretsSettings).directory)


@contextlib.contextmanager
def _bar(label: str) -> Iterator[Show]:
    """On standard error, where that is a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[what]}", markup=False),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(label, total=None, what="")
        yield lambda done, total, what: progress.update(task, completed=done, total=total, what=what)
