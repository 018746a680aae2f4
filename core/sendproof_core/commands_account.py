"""`sendproof account` and `sendproof credential`: customers and their logins. Sends no mail."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from sendproof_core import (
    account_changes,
    account_search,
    account_view,
    audit,
    clock,
    directory,
    password_rules,
    passwords,
    site_accounts,
    statistics,
)
from sendproof_core.account_search import Which
from sendproof_core.account_view import AccountView
from sendproof_core.commands_context import Context, read_password, show_table
from sendproof_core.errors import UserError
from sendproof_core.hostile_text import visible
from sendproof_core.schema import Account, Credential, Domain, OwnAddress, Plan

_NONE = "none"
LANGUAGES = ("en", "de")


@click.group()
def account() -> None:
    """Customers."""


@account.command("add")
@click.argument("login")
@click.option("--plan", "plan_name", required=True)
@click.option("--time-zone", default="UTC", show_default=True)
@click.option("--tracking/--no-tracking", default=False, show_default=True, help="Opened alerts.")
@click.option("--address", help="Where the site writes to: links for a new password, warnings. Counts as confirmed.")
@click.option("--notice-address", help="Where notices about mail go.")
@click.option("--language", type=click.Choice(LANGUAGES), help="Of the site and of notices.")
@click.option("--provider/--customer", "is_provider", default=False, help="May see and change every account.")
@click.option("--invite", is_flag=True, help="Mail a link to choose the password with, instead of showing one.")
@click.option("--password-stdin", is_flag=True, help="Read the site password from standard input.")
@click.pass_obj
def account_add(
    context: Context, /, login: str, *, address: str | None, invite: bool, password_stdin: bool, **values: Any
) -> None:
    """Add an account that can sign in to the site."""
    if invite and address is None:
        raise UserError("--invite needs the --address to mail the link to.")
    if invite and password_stdin:
        raise UserError("--invite and --password-stdin exclude each other: an invited person chooses the password.")
    password, made = read_password(password_stdin)
    if not made:
        _refuse_weak(password, login, address)
    password_hash, now = passwords.hash_site_password(password), clock.now()
    with context.database().writing() as session:
        added = directory.add_account(
            session, login=login, password_hash=password_hash, address=None if invite else address, now=now, **values
        )
        account_changes.created(session, added, audit.COMMAND, now)
        if invite and address is not None:
            site_accounts.invite_account(session, added, address, audit.COMMAND, now)
    if invite:
        click.echo(f"added account {login}; the link to choose its password is mailed to {address}")
    else:
        click.echo(f"added account {login}" + (f", site password {password} (shown only now)" if made else ""))


@account.command("change")
@click.argument("login")
@click.option("--plan", "plan_name")
@click.option("--time-zone")
@click.option("--address", help='Where the site writes to, or "none". Counts as confirmed.')
@click.option("--notice-address", help='Where notices about mail go, or "none".')
@click.option("--tracking/--no-tracking", default=None, help="Opened alerts.")
@click.option(
    "--shared-pixel/--pixel-each",
    default=None,
    help="One pixel for all recipients of a message, or a copy with its own for each.",
)
@click.option("--tracking-image", metavar="FILE", help='A visible picture instead of the pixel, or "none".')
@click.option("--test-mode/--live", default=None, help="Accept mail and throw it away, or deliver it.")
@click.option("--provider/--customer", "is_provider", default=None, help="May see and change every account, or not.")
@click.pass_obj
def account_change(context: Context, /, login: str, **changes: Any) -> None:
    """Change what is given of an account."""
    if all(value is None for value in changes.values()):
        raise UserError("nothing to change was given; `sendproof account change --help` lists what can be.")
    for name in ("address", "notice_address", "tracking_image"):
        if changes[name] == _NONE:
            changes[name] = ""
    with context.database().writing() as session:
        found = directory.find_account(session, login)
        account_changes.change(session, found, audit.COMMAND, clock.now(), **changes)
    click.echo(f"changed account {login}")


@account.command("suspend")
@click.argument("login")
@click.option("--reason", required=True, help="The sender reads it.")
@click.pass_obj
def account_suspend(context: Context, login: str, reason: str) -> None:
    """Refuse an account's mail, with a reason."""
    with context.database().writing() as session:
        found = directory.find_account(session, login)
        account_changes.suspend(session, found, reason, audit.COMMAND, clock.now())
    click.echo(f"suspended {login}")


@account.command("reinstate")
@click.argument("login")
@click.pass_obj
def account_reinstate(context: Context, login: str) -> None:
    """Take an account's mail again."""
    with context.database().writing() as session:
        found = directory.find_account(session, login)
        account_changes.reinstate(session, found, audit.COMMAND, clock.now())
    click.echo(f"reinstated {login}")


@account.command("address-add")
@click.argument("login")
@click.argument("address")
@click.pass_obj
def account_address_add(context: Context, login: str, address: str) -> None:
    """Let an account send as one more address.

    An address at a domain that is not its own.
    """
    now = clock.now()
    with context.database().writing() as session:
        owner = directory.find_account(session, login)
        added = directory.add_own_address(session, owner, address, now).address
        details = {"address": added}
        audit.record(session, "own address added", audit.COMMAND, now, account_id=owner.id, details=details)
    click.echo(f"{login} may send as {added}")


@account.command("address-remove")
@click.argument("login")
@click.argument("address")
@click.pass_obj
def account_address_remove(context: Context, login: str, address: str) -> None:
    """Take such an address away again."""
    with context.database().writing() as session:
        owner = directory.find_account(session, login)
        directory.remove_own_address(session, owner, address)
        details = {"address": address}
        audit.record(session, "own address removed", audit.COMMAND, clock.now(), account_id=owner.id, details=details)
    click.echo(f"{login} may not send as {address} any more")


@account.command("show")
@click.argument("login")
@click.pass_obj
def account_show(context: Context, login: str) -> None:
    """Show one account: who it is, what it may send, with what."""
    now = clock.now()
    with context.database().reading() as session:
        owner = directory.find_account(session, login)
        view = account_view.read(session, owner.id, now)
        senders = _senders(session).get(owner.id, ["nothing yet"])
    if view is None:
        raise UserError(f"there is no account {login!r}.")
    for name, value in _facts(view, senders):
        click.echo(f"{name + ':':<17}{visible(value)}")
    for use in view.uses:
        limit = "no limit" if use.limit is None else f"of {use.limit:,}"
        words = use.name.replace("_", " ")
        click.echo(f"{'used:':<17}{use.used:,} {limit}, {words}; the count resets at {use.resets:%Y-%m-%d %H:%M} UTC")


@account.command("find")
@click.argument("text")
@click.option(
    "--which", type=click.Choice([which.value for which in Which]), default=Which.ALL.value, show_default=True
)
@click.pass_obj
def account_find(context: Context, text: str, which: str) -> None:
    """Find accounts by a part of their login, address, domain or credential."""
    rows: list[tuple[str, str, str, str]] = []
    after = None
    with context.database().reading() as session:
        while True:
            page = account_search.find(session, text, which=Which(which), after=after)
            rows += [(row.login, row.plan, row.address or "", ", ".join(row.domains)) for row in page.rows]
            if (after := page.next) is None:
                break
    if not rows:
        click.echo("no account has that in its login, address, domains or credentials")
        return
    show_table(("ACCOUNT", "PLAN", "ADDRESS", "DOMAINS"), rows)


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


def _facts(view: AccountView, senders: list[str]) -> Iterator[tuple[str, str]]:
    yield "account", view.login
    yield "plan", view.plan_name
    yield "state", view.state
    yield "role", "provider" if view.is_provider else "customer"
    yield "address", view.address or "none"
    yield "notices to", view.notice_address or "nobody"
    yield "time zone", view.time_zone
    yield "second factor", "on" if view.has_second_factor else "off"
    yield "created", f"{view.created_at:%Y-%m-%d %H:%M} UTC"
    yield "sends as", ", ".join(senders)
    for credential_view in view.credentials:
        used = "never" if credential_view.last_used_at is None else f"{credential_view.last_used_at:%Y-%m-%d %H:%M} UTC"
        state = "revoked" if credential_view.revoked_at else f"last used {used}"
        yield "credential", f"{credential_view.login} ({credential_view.label}), {state}"


def _refuse_weak(password: str, login: str, address: str | None) -> None:
    found = password_rules.weakness(password, [login, *([address] if address else [])])
    if found is not None:
        raise UserError(found.value)


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
@click.option("--replace", is_flag=True, help="If the account has it already: give it this password and label.")
@click.pass_obj
def credential_add(
    context: Context, account_login: str, login: str, label: str, *, password_stdin: bool, replace: bool
) -> None:
    """Add a credential to an account.

    With --replace one that was revoked is good again; nothing is printed where it is as given.
    """
    passwd_file = context.passwd_file()
    password, made = read_password(password_stdin)
    database = context.database()
    now = clock.now()
    with database.writing() as session:
        owner = directory.find_account(session, account_login)
        given = {"login": login, "label": label}
        is_new = directory.replace_credential(session, owner, **given, secret=password) if replace else None
        if is_new is None:
            directory.add_credential(session, owner, **given, secret=password, now=now)
        did = "added" if is_new is None else "replaced"
        if is_new is not False:
            audit.record(session, f"credential {did}", audit.COMMAND, now, account_id=owner.id, details=dict(given))
    if is_new is not False:
        # Before anything can fail: what was made is shown only now.
        click.echo(f"{did} credential {login}" + (f", password {password} (shown only now)" if made else ""))
    directory.sync_passwd_file(database, passwd_file)


@credential.command("list")
@click.argument("account_login", required=False)
@click.option("--revoked", is_flag=True, help="Also those that were revoked.")
@click.pass_obj
def credential_list(context: Context, account_login: str | None, *, revoked: bool) -> None:
    """Show the credentials of an account, or of all."""
    wanted = select(Credential, Account.login).join(Account, Account.id == Credential.account_id)
    with context.database().reading() as session:
        if account_login is not None:
            wanted = wanted.where(Account.id == directory.find_account(session, account_login).id)
        if not revoked:
            wanted = wanted.where(Credential.revoked_at.is_(None))
        found = session.execute(wanted.order_by(Account.login, Credential.login)).all()
        used = statistics.last_used(session, [one.login for one, _ in found])
        rows = [
            (one.login, owner, _revoked_or_used(one, used.get(one.login)), visible(one.label)) for one, owner in found
        ]
    if not rows:
        click.echo("there is no credential yet; `sendproof credential add` makes one")
        return
    show_table(("CREDENTIAL", "ACCOUNT", "LAST USED (UTC)", "LABEL"), rows)


def _revoked_or_used(one: Credential, used_at: dt.datetime | None) -> str:
    if one.revoked_at is not None:
        return "revoked"
    return "never" if used_at is None else f"{used_at:%Y-%m-%d %H:%M}"


@credential.command("revoke")
@click.argument("login")
@click.pass_obj
def credential_revoke(context: Context, login: str) -> None:
    """Let a login be good for nothing from now on."""
    passwd_file = context.passwd_file()
    database = context.database()
    with database.writing() as session:
        account_changes.revoke_credential(session, login, audit.COMMAND, clock.now())
    click.echo(f"revoked credential {login}")
    directory.sync_passwd_file(database, passwd_file)


@credential.command("sync")
@click.pass_obj
def credential_sync(context: Context) -> None:
    """Write Dovecot's passwd-file anew."""
    passwd_file = context.passwd_file()
    directory.sync_passwd_file(context.database(), passwd_file)
    click.echo(f"wrote {passwd_file}")
