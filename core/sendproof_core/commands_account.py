"""`sendproof account` and `sendproof credential`: customers and their logins. Sends no mail."""

from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from sendproof_core import clock, directory
from sendproof_core.commands_context import Context, read_password, show_table
from sendproof_core.errors import UserError
from sendproof_core.schema import Account, Domain, OwnAddress, Plan

_NONE = "none"


@click.group()
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
    context: Context,
    login: str,
    *,
    plan_name: str,
    time_zone: str,
    tracking: bool,
    notice_address: str | None,
    password_stdin: bool,
) -> None:
    """Add an account that can sign in to the site."""
    password, made = read_password(password_stdin)
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


@account.command("change")
@click.argument("login")
@click.option("--plan", "plan_name")
@click.option("--time-zone")
@click.option("--notice-address", help='Where notices about failed mail go, or "none".')
@click.option("--tracking/--no-tracking", default=None, help="Opened alerts.")
@click.option(
    "--shared-pixel/--pixel-each",
    default=None,
    help="One pixel for all recipients of a message, or a copy with its own for each.",
)
@click.option("--tracking-image", metavar="FILE", help='A visible picture instead of the pixel, or "none".')
@click.option("--test-mode/--live", default=None, help="Accept mail and throw it away, or deliver it.")
@click.pass_obj
def account_change(context: Context, /, login: str, **changes: Any) -> None:
    """Change what is given of an account."""
    if all(value is None for value in changes.values()):
        raise UserError("nothing to change was given; `sendproof account change --help` lists what can be.")
    for name in ("notice_address", "tracking_image"):
        if changes[name] == _NONE:
            changes[name] = ""
    with context.database().writing() as session:
        directory.change_account(session, directory.find_account(session, login), **changes)
    click.echo(f"changed account {login}")


@account.command("suspend")
@click.argument("login")
@click.option("--reason", required=True, help="The sender reads it.")
@click.pass_obj
def account_suspend(context: Context, login: str, reason: str) -> None:
    """Refuse an account's mail, with a reason."""
    with context.database().writing() as session:
        directory.suspend(directory.find_account(session, login), reason, clock.now())
    click.echo(f"suspended {login}")


@account.command("reinstate")
@click.argument("login")
@click.pass_obj
def account_reinstate(context: Context, login: str) -> None:
    """Take an account's mail again."""
    with context.database().writing() as session:
        directory.reinstate(directory.find_account(session, login))
    click.echo(f"reinstated {login}")


@account.command("address-add")
@click.argument("login")
@click.argument("address")
@click.pass_obj
def account_address_add(context: Context, login: str, address: str) -> None:
    """Let an account send as one more address.

    An address at a domain that is not its own.
    """
    with context.database().writing() as session:
        owner = directory.find_account(session, login)
        added = directory.add_own_address(session, owner, address, clock.now()).address
    click.echo(f"{login} may send as {added}")


@account.command("address-remove")
@click.argument("login")
@click.argument("address")
@click.pass_obj
def account_address_remove(context: Context, login: str, address: str) -> None:
    """Take such an address away again."""
    with context.database().writing() as session:
        directory.remove_own_address(session, directory.find_account(session, login), address)
    click.echo(f"{login} may not send as {address} any more")


@account.command("list")
@click.pass_obj
def account_list(context: Context) -> None:
    """Show what every account may do."""
    with context.database().reading() as session:
        found = session.execute(
            select(Account, Plan.name).join(Plan, Plan.id == Account.plan_id).order_by(Account.login)
        ).all()
        senders = _senders(session)
        rows = [
            (owner.login, plan, _state(owner), _tracking(owner), ", ".join(senders.get(owner.id, ["nothing yet"])))
            for owner, plan in found
        ]
    if not rows:
        click.echo("there is no account yet; `sendproof account add` makes one")
        return
    show_table(("ACCOUNT", "PLAN", "STATE", "TRACKING", "SENDS AS"), rows)


def _senders(session: Session) -> dict[int, list[str]]:
    """Domains and addresses, by the id of their account."""
    senders: dict[int, list[str]] = {}
    for domain in session.scalars(select(Domain).where(Domain.account_id.is_not(None)).order_by(Domain.name)):
        if domain.account_id is not None:
            name = domain.name if domain.proved_at else f"{domain.name} (once it is proved)"
            senders.setdefault(domain.account_id, []).append(name)
    for own in session.scalars(select(OwnAddress).order_by(OwnAddress.address)):
        senders.setdefault(own.account_id, []).append(own.address)
    return senders


def _state(owner: Account) -> str:
    if owner.suspended_at is not None:
        return f"suspended: {owner.suspended_reason}"
    return "test mode" if owner.test_mode else "live"


def _tracking(owner: Account) -> str:
    if not owner.tracking:
        return "no"
    how = "shared pixel" if owner.shared_pixel else "pixel each"
    return f"{how}, {owner.tracking_image}" if owner.tracking_image else how


@click.group()
def credential() -> None:
    """Logins of devices and applications for SMTP submission."""


@credential.command("add")
@click.argument("account_login")
@click.argument("login")
@click.option("--label", required=True, help='Such as "Thunderbird at home".')
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.pass_obj
def credential_add(context: Context, account_login: str, login: str, label: str, *, password_stdin: bool) -> None:
    """Add a credential to an account."""
    passwd_file = context.passwd_file()
    password, made = read_password(password_stdin)
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
def credential_revoke(context: Context, login: str) -> None:
    """Let a login be good for nothing from now on."""
    passwd_file = context.passwd_file()
    database = context.database()
    with database.writing() as session:
        directory.revoke_credential(session, login, clock.now())
    click.echo(f"revoked credential {login}")
    directory.sync_passwd_file(database, passwd_file)


@credential.command("sync")
@click.pass_obj
def credential_sync(context: Context) -> None:
    """Write Dovecot's passwd-file anew."""
    passwd_file = context.passwd_file()
    directory.sync_passwd_file(context.database(), passwd_file)
    click.echo(f"wrote {passwd_file}")
