"""The `sendproof` command: what an operator does without a browser. Each command is one transaction, or none.

Passwords are read from standard input or made here and shown once; they never stand in an argument.
"""

import json
import os
import secrets as random_source
import shutil
import sys
from pathlib import Path

import click
from sqlalchemy import func, select

from sendproof_core import clock, directory, plans, schema_version, transcript_queries
from sendproof_core.database import Database, open_database
from sendproof_core.errors import UserError, guarded
from sendproof_core.hostile_text import visible
from sendproof_core.queue_times import QueueTimes
from sendproof_core.schema import Account, DkimKey, ReadingPosition, UnknownLine
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.settings import (
    DEFAULT_PATH,
    DatabaseSettings,
    SaslSettings,
    SecretsSettings,
    SettingsFile,
    load,
)
from sendproof_core.states import KeyState
from sendproof_core.transcript_story import tell_all
from sendproof_core.transcript_text import render

_UNKNOWN_SHOWN = 10
_PASSWORD_OCTETS = 18  # 144 random bits


class _Context:
    """The settings file and the database, opened at first use."""

    def __init__(self, config: Path) -> None:
        self._config = config

    @property
    def file(self) -> SettingsFile:
        return load(self._config)

    @property
    def secrets(self) -> SecretsStore:
        return SecretsStore(self.file.table(SecretsSettings).directory)

    def unchecked_database(self) -> Database:
        return open_database(self.file.table(DatabaseSettings).url)

    def database(self) -> Database:
        database = self.unchecked_database()
        schema_version.check(database)
        return database

    def passwd_file(self) -> Path:
        """Where Dovecot reads; asked before a credential is made, so that none is made in vain."""
        path = self.file.table(SaslSettings).passwd_file
        if not path.parent.is_dir():
            raise UserError(f"the folder of the passwd-file {path} does not exist; make it first.")
        return path


@click.group()
@click.option("--config", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True)
@click.pass_context
def root(context: click.Context, config: Path) -> None:
    """Sendproof: delivery transcripts on an existing Postfix."""
    context.obj = _Context(config)


@root.group()
def secrets() -> None:
    """The keys that protect everything else."""


@secrets.command("create")
@click.pass_obj
def secrets_create(context: _Context) -> None:
    """Make the secret files that are missing; what exists stays."""
    made = context.secrets.create()
    for path in made:
        click.echo(f"made {path}: keep a copy in a safe place")
    if not made:
        click.echo("every secret file is there already")


@root.group()
def database() -> None:
    """The database's schema."""


@database.command("upgrade")
@click.pass_obj
def database_upgrade(context: _Context) -> None:
    """Bring the schema up to date."""
    changed = schema_version.upgrade(context.unchecked_database())
    click.echo(f"the schema is {schema_version.newest()}" + ("" if changed else ", as before"))


@root.group()
def plan() -> None:
    """What accounts may send."""


@plan.command("add")
@click.argument("name")
@click.option("--recipients-per-day", type=int, help="Leave out for no limit.")
@click.pass_obj
def plan_add(context: _Context, name: str, recipients_per_day: int | None) -> None:
    """Add a plan."""
    with context.database().writing() as session:
        directory.add_plan(session, name, recipients_per_day)
    click.echo(f"added plan {name}")


@root.group()
def account() -> None:
    """Customers."""


@account.command("add")
@click.argument("login")
@click.option("--plan", "plan_name", required=True)
@click.option("--time-zone", default="UTC", show_default=True)
@click.option("--tracking/--no-tracking", default=False, show_default=True, help="Opened alerts.")
@click.option("--notice-address", help="Where notices about failed mail go.")
@click.option("--password-stdin", is_flag=True, help="Read the site password from standard input.")
@click.pass_obj
def account_add(
    context: _Context,
    login: str,
    *,
    plan_name: str,
    time_zone: str,
    tracking: bool,
    notice_address: str | None,
    password_stdin: bool,
) -> None:
    """Add an account that can sign in to the site."""
    password, made = _password(password_stdin)
    with context.database().writing() as session:
        directory.add_account(
            session,
            login=login,
            password=password,
            plan_name=plan_name,
            time_zone=time_zone,
            tracking=tracking,
            notice_address=notice_address,
            now=clock.now(),
        )
    click.echo(f"added account {login}" + (f", site password {password} (shown only now)" if made else ""))


@account.command("suspend")
@click.argument("login")
@click.option("--reason", required=True, help="The sender reads it.")
@click.pass_obj
def account_suspend(context: _Context, login: str, reason: str) -> None:
    """Refuse an account's mail, with a reason."""
    with context.database().writing() as session:
        directory.suspend(directory.find_account(session, login), reason, clock.now())
    click.echo(f"suspended {login}")


@account.command("reinstate")
@click.argument("login")
@click.pass_obj
def account_reinstate(context: _Context, login: str) -> None:
    """Take an account's mail again."""
    with context.database().writing() as session:
        directory.reinstate(directory.find_account(session, login))
    click.echo(f"reinstated {login}")


@root.group()
def credential() -> None:
    """Logins of devices and applications for SMTP submission."""


@credential.command("add")
@click.argument("account_login")
@click.argument("login")
@click.option("--label", required=True, help='Such as "Thunderbird at home".')
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.pass_obj
def credential_add(context: _Context, account_login: str, login: str, label: str, *, password_stdin: bool) -> None:
    """Add a credential to an account."""
    passwd_file = context.passwd_file()
    password, made = _password(password_stdin)
    database = context.database()
    with database.writing() as session:
        owner = directory.find_account(session, account_login)
        directory.add_credential(session, owner, login=login, label=label, secret=password, now=clock.now())
    # Before anything can fail: what was made is shown only now.
    click.echo(f"added credential {login}" + (f", password {password} (shown only now)" if made else ""))
    directory.sync_passwd_file(database, passwd_file)


@credential.command("revoke")
@click.argument("login")
@click.pass_obj
def credential_revoke(context: _Context, login: str) -> None:
    """Let a login be good for nothing from now on."""
    passwd_file = context.passwd_file()
    database = context.database()
    with database.writing() as session:
        directory.revoke_credential(session, login, clock.now())
    click.echo(f"revoked credential {login}")
    directory.sync_passwd_file(database, passwd_file)


@credential.command("sync")
@click.pass_obj
def credential_sync(context: _Context) -> None:
    """Write Dovecot's passwd-file anew."""
    passwd_file = context.passwd_file()
    directory.sync_passwd_file(context.database(), passwd_file)
    click.echo(f"wrote {passwd_file}")


@root.group()
def domain() -> None:
    """Domains and their DKIM keys."""


@domain.command("add")
@click.argument("name")
@click.option("--account", "account_login", help="Leave out for the provider's own domain.")
@click.option("--selector", default="sp1", show_default=True)
@click.option("--active/--pending", default=False, show_default=True, help="Whether the key signs at once.")
@click.pass_obj
def domain_add(context: _Context, name: str, *, account_login: str | None, selector: str, active: bool) -> None:
    """Add a domain with an RSA-2048 key, and show the record to publish."""
    state = KeyState.ACTIVE if active else KeyState.PENDING
    with context.database().writing() as session:
        owner = directory.find_account(session, account_login) if account_login else None
        added = directory.add_domain(session, name, owner, clock.now())
        key = directory.add_dkim_key(
            session, added, selector=selector, secrets=context.secrets, state=state, now=clock.now()
        )
        record = directory.dkim_record(added, key)
    _show_record(record)


@domain.command("activate")
@click.argument("name")
@click.argument("selector")
@click.pass_obj
def domain_activate(context: _Context, name: str, selector: str) -> None:
    """Let a pending key sign: after its record was published."""
    with context.database().writing() as session:
        directory.activate_key(session, directory.find_domain(session, name), selector)
    click.echo(f"{selector}._domainkey.{name} signs now")


@domain.command("records")
@click.argument("name")
@click.pass_obj
def domain_records(context: _Context, name: str) -> None:
    """The DNS records of a domain's keys, in a form that zone files take."""
    with context.database().reading() as session:
        found = directory.find_domain(session, name)
        keys = session.scalars(select(DkimKey).where(DkimKey.domain_id == found.id).order_by(DkimKey.id))
        records = [directory.dkim_record(found, key) for key in keys]
    for record in records:
        _show_record(record)


@root.group()
def transcript() -> None:
    """What became of a message."""


@transcript.command("show")
@click.argument("name", metavar="QUEUE-ID|MESSAGE-ID")
@click.option("--recipient", help="Only this recipient.")
@click.pass_obj
def transcript_show(context: _Context, name: str, recipient: str | None) -> None:
    """Print a message's transcript, recipient by recipient."""
    with context.database().reading() as session:
        message_id = transcript_queries.find_message(session, name)
        found = transcript_queries.load_transcript(session, message_id) if message_id else None
        if found is None:
            raise UserError(f"no message has the queue id or message id {name!r}.")
        owner = session.get(Account, found.message.account_id)
        zone = plans.zone(owner.time_zone if owner else "UTC")
    stories = tell_all(found, context.file.table(QueueTimes), zone, clock.now())
    chosen = [story for story in stories if recipient in (None, story.address)]
    if not chosen:
        raise UserError(f"that message has no recipient {recipient!r}.")
    width = min(shutil.get_terminal_size((110, 24)).columns, 120)
    click.echo("\n".join(render(story, width=width) for story in chosen), nl=False)


@root.command()
@click.pass_obj
def status(context: _Context) -> None:
    """How far the logs were read, and the lines that no rule knows."""
    with context.database().reading() as session:
        positions = session.scalars(select(ReadingPosition).order_by(ReadingPosition.source)).all()
        for position in positions:
            read_at = f"{position.read_at:%Y-%m-%d %H:%M:%S} UTC"
            click.echo(f"{position.source}: {position.lines_read} lines read, the last at {read_at}")
        if not positions:
            click.echo("nothing was read yet: is sendproof-logparser running?")
        click.echo(f"lines that no rule knows: {session.scalar(select(func.count()).select_from(UnknownLine))}")
        newest = session.scalars(select(UnknownLine).order_by(UnknownLine.id.desc()).limit(_UNKNOWN_SHOWN)).all()
        for line in reversed(newest):
            click.echo(f"  {line.source} at octet {line.offset}: {visible(line.line)}")


def _password(from_standard_input: bool) -> tuple[str, bool]:
    """The password, and whether it was made here."""
    if not from_standard_input:
        return random_source.token_urlsafe(_PASSWORD_OCTETS), True
    try:
        password = sys.stdin.buffer.readline().decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise UserError("the password on standard input is not UTF-8.") from None
    if not password:
        raise UserError("no password came from standard input.")
    return password, False


def _show_record(record: directory.DnsRecord) -> None:
    strings = " ".join(json.dumps(string) for string in record.strings)
    click.echo(f"{record.name}. IN {record.type} ( {strings} )")


def main() -> None:
    """Entry point."""
    os.umask(0o027)
    guarded(root)
