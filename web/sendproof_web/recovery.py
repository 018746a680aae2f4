"""A forgotten login or password: a letter to the account's confirmed address, with a link that is good once.

What is answered does not tell whether there is such an account. A new password does not stand in for the second
factor: signing in asks for it as ever.
"""

import contextlib
import logging

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm  # type: ignore[import-untyped] # it has no types
from sqlalchemy import select
from sqlalchemy.orm import Session
from wtforms import RadioField, StringField  # type: ignore[import-untyped] # it has no types
from wtforms.fields.choices import SelectChoice  # type: ignore[import-untyped] # it has no types
from wtforms.validators import InputRequired, Length  # type: ignore[import-untyped] # it has no types

from sendproof_core import directory, mail_requests, passwords, site_accounts, site_links
from sendproof_core.addresses import address_key
from sendproof_core.audit import Actor
from sendproof_core.errors import UserError
from sendproof_core.mail_requests import Letter
from sendproof_core.schema import Account
from sendproof_core.states import LinkPurpose
from sendproof_web import session_cookie, throttle
from sendproof_web.access import public
from sendproof_web.attempts import Attempt
from sendproof_web.new_password import NewPasswordForm
from sendproof_web.services import services
from sendproof_web.sign_in import too_many
from sendproof_web.sign_up import link_gone
from sendproof_web.throttle import Kind

_LOG = logging.getLogger(__name__)
_PASSWORD, _LOGIN = "password", "login"
# Of one address; more accounts than that have a provider to ask.
_LETTERS = 5

blueprint = Blueprint("recovery", __name__)


class ForgottenForm(FlaskForm):  # type: ignore[misc] # Flask-WTF has no types
    """What is forgotten, and what is not."""

    what = RadioField(
        _l("What did you forget?"),
        choices=[SelectChoice(_PASSWORD, _l("My password")), SelectChoice(_LOGIN, _l("My login"))],
        default=_PASSWORD,
    )
    name = StringField(
        _l("Your login, or your mail address"),
        [InputRequired(_l("Your login or your mail address, please.")), Length(max=320)],
    )


@blueprint.route("/forgotten", methods=["GET", "POST"])
@public
def forgotten() -> ResponseReturnValue:
    """Ask for a letter."""
    form = ForgottenForm()
    if not form.validate_on_submit():
        return _forgotten_page(form, None), 422 if request.method == "POST" else 200
    held, now, name = services(), services().now(), form.name.data.strip()
    with held.database.writing() as session:
        attempt = held.attempts.begin(session, throttle.letters(Kind.RESET, request.remote_addr or ""), now)
        if not isinstance(attempt, Attempt):
            return _forgotten_page(form, too_many(attempt)), 429
        # However an address is spelled, it is one person who gets the letters.
        if isinstance(held.attempts.begin(session, throttle.reset(address_key(name)), now), Attempt):
            _ask_for_letters(session, form.what.data, name)
    _LOG.info("event=reset_asked address=%s", request.remote_addr)
    return redirect(url_for("recovery.sent"), 303)


def _ask_for_letters(session: Session, what: str, name: str) -> None:
    """Letters to the accounts of that login or address, if there are any."""
    accounts, now = _accounts(session, name), services().now()
    if what == _PASSWORD:
        stranger = Actor(None, "not signed in", request.remote_addr)
        for account in accounts[:_LETTERS]:
            site_accounts.ask_reset(session, account, stranger, now)
        return
    for first in {account.address_key: account for account in reversed(accounts)}.values():
        if first.address is None:
            continue
        mail_requests.ask(
            session,
            Letter.LOGINS,
            to_address=first.address,
            now=now,
            account_id=first.id,
            language=first.language,
            data={"logins": [account.login for account in site_accounts.accounts_at(session, first.address)]},
        )


def _accounts(session: Session, name: str) -> list[Account]:
    """Both: a login may look like an address, and somebody else may have that one."""
    found: list[Account] = []
    if directory.LOGIN.fullmatch(name):
        by_login = select(Account).where(Account.login == name, Account.address_confirmed_at.is_not(None))
        found += session.scalars(by_login)
    with contextlib.suppress(UserError):  # no address that anybody could have
        found += site_accounts.accounts_at(session, directory.checked_mailbox(name))
    return list(dict.fromkeys(found))


@blueprint.get("/forgotten/sent")
@public
def sent() -> ResponseReturnValue:
    """What every asker reads."""
    return render_template("recovery_sent.html")


@blueprint.route("/reset/<token>", methods=["GET", "POST"])
@public
def reset(token: str) -> ResponseReturnValue:
    """Choose a new password. Looking at the page does not use the link up: mail scanners look at every link."""
    held, now = services(), services().now()
    with held.database.reading() as session:
        link = site_links.find(session, token, LinkPurpose.RESET, held.links_key, now)
        account = site_accounts.account_of_reset(session, link) if link else None
        if account is None:
            return link_gone()
        login, about = account.login, (account.login, account.address or "")
    form = NewPasswordForm()
    if not form.validate_on_submit() or not form.accepts(about):
        return render_template("recovery_reset.html", form=form, login=login), 422 if request.method == "POST" else 200
    if not _reset(token, passwords.hash_site_password(form.password.data)):
        return link_gone()
    session_cookie.forget()
    _LOG.info("event=password_reset login=%s address=%s", login, request.remote_addr)
    flash(_("Your new password is set, and every browser is signed out. Sign in with the new password."), "good")
    return redirect(url_for("sign_in.sign_in"), 303)


def _reset(token: str, password_hash: str) -> bool:
    """False if the link was used up meanwhile."""
    held, now = services(), services().now()
    with held.database.writing() as session:
        link = site_links.find(session, token, LinkPurpose.RESET, held.links_key, now)
        account = site_accounts.account_of_reset(session, link) if link else None
        if link is None or account is None or not site_links.use(session, link, now):
            return False
        actor = Actor(account.id, account.login, request.remote_addr)
        site_accounts.change_password(session, account, password_hash, actor, now, event="password reset")
        # Who guessed has to begin anew; who was kept out by guessers may come in.
        held.attempts.forget(session, throttle.of_account(account.id, account.login, request.remote_addr or ""))
    return True


def _forgotten_page(form: ForgottenForm, problem: str | None) -> str:
    return render_template("recovery.html", form=form, problem=problem)
