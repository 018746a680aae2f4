"""`sendproof web`: what an operator does about how people sign in. Starts no site, and sends no mail: notices do."""

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from sendproof_core import audit, clock, directory, site_accounts, site_links
from sendproof_core.audit import COMMAND
from sendproof_core.commands_context import Context, show_table
from sendproof_core.errors import UserError
from sendproof_core.hostile_text import visible
from sendproof_core.schema import Account
from sendproof_core.settings import SiteSettings
from sendproof_core.states import LinkPurpose
from sendproof_web.settings import WebSettings

_CLOSED = "closed"


@click.group()
def web() -> None:
    """How people sign in to the site."""


@web.command("invite")
@click.argument("address")
@click.option("--plan", "plan_name", required=True, help="The plan of the account that they will make.")
@click.pass_obj
def invite(context: Context, address: str, plan_name: str) -> None:
    """Invite somebody by mail to make an account."""
    if context.file.table(WebSettings).sign_up == _CLOSED:
        raise UserError('[web] sign_up is "closed", so nobody could follow the invitation; set it to "invitation".')
    with context.database().writing() as session:
        link = site_accounts.invite(session, address, plan_name, COMMAND, clock.now())
        click.echo(f"invited {link.address}; the link is good until {link.expires_at:%Y-%m-%d %H:%M} UTC")


@web.command("reset-link")
@click.argument("login")
@click.option("--print", "is_printed", is_flag=True, help="Print the link, to hand it over; nothing is mailed.")
@click.pass_obj
def reset_link(context: Context, login: str, *, is_printed: bool) -> None:
    """Let somebody choose a new password.

    The link is good once and for an hour. It does not stand in for the second factor.
    """
    site, key = context.file.table(SiteSettings), context.secrets.links_key()
    with context.database().writing() as session:
        account = directory.find_account(session, login)
        link = site_accounts.ask_reset(session, account, COMMAND, clock.now(), mailed=not is_printed)
        if is_printed:
            click.echo(site_links.url(site.url, link.id, LinkPurpose.RESET, key))
        else:
            click.echo(f"mailed a link to {link.address}; it is good until {link.expires_at:%H:%M} UTC")


@web.command("sessions")
@click.argument("login")
@click.pass_obj
def show_sessions(context: Context, login: str) -> None:
    """List the browsers in which somebody is signed in."""
    # It knows Flask, which takes half a second to load; every `sendproof` command loads this module.
    from sendproof_web import sessions

    with context.database().reading() as session:
        account = directory.find_account(session, login)
        found = sessions.open_sessions(session, account.id, clock.now())
    if not found:
        click.echo(f"{login} is signed in nowhere")
        return
    rows = [
        (
            f"{one.created_at:%Y-%m-%d %H:%M}",
            f"{one.last_seen_at:%Y-%m-%d %H:%M}",
            one.client_address,
            visible(one.user_agent),
        )
        for one in found
    ]
    show_table(("SINCE (UTC)", "LAST SEEN", "ADDRESS", "BROWSER"), rows)


@web.command("end-sessions")
@click.argument("login")
@click.pass_obj
def end_sessions(context: Context, login: str) -> None:
    """Sign every browser of somebody out."""
    now = clock.now()
    with context.database().writing() as session:
        account = directory.find_account(session, login)
        count = site_accounts.end_sessions(session, account.id, now)
        audit.record(session, "sessions ended", COMMAND, now, account_id=account.id, details={"count": count})
    click.echo(f"ended {count} session{'' if count == 1 else 's'} of {login}")


@web.command("second-factor-off")
@click.argument("login")
@click.pass_obj
def second_factor_off(context: Context, login: str) -> None:
    """Let the password alone sign in, for somebody who lost the phone and the recovery codes.

    Signs every browser of theirs out. First make sure that it is the account's owner who asks.
    """
    now = clock.now()
    with context.database().writing() as session:
        account = _account(session, login)
        was_on = site_accounts.turn_second_factor_off(session, account, COMMAND, now)
        site_accounts.end_sessions(session, account.id, now)
    click.echo(f"the second factor of {login} is off" + ("" if was_on else ", as before"))


@web.command("confirm-address")
@click.argument("login")
@click.argument("address")
@click.pass_obj
def confirm_address(context: Context, login: str, address: str) -> None:
    """Let the site write to an address that you know to be the account's."""
    with context.database().writing() as session:
        account = _account(session, login)
        site_accounts.confirm_address(session, account, address, COMMAND, clock.now())
        click.echo(f"the site writes to {account.address} about {login}")


def _account(session: Session, login: str) -> Account:
    """The account, so that no other command changes it meanwhile."""
    directory.find_account(session, login)
    return session.scalars(select(Account).where(Account.login == login).with_for_update()).one()
