"""Making an account: whoever wants to may ask by mail address; who follows the link in the mail makes it.

Nothing tells who asks whether an address or a login is in use: that is said in the mail, or behind its link.
"""

import logging
import zoneinfo

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_locale
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm  # type: ignore[import-untyped] # it has no types
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from wtforms import SelectField, StringField  # type: ignore[import-untyped] # it has no types
from wtforms.validators import InputRequired, Length, Regexp  # type: ignore[import-untyped] # it has no types

from sendproof_core import audit, directory, mail_requests, passwords, site_accounts, site_links
from sendproof_core.addresses import address_key
from sendproof_core.audit import Actor
from sendproof_core.errors import UserError
from sendproof_core.mail_requests import Letter
from sendproof_core.schema import Account, Plan, SiteLink
from sendproof_core.states import LinkPurpose
from sendproof_web import session_cookie, throttle
from sendproof_web.access import public
from sendproof_web.attempts import Attempt
from sendproof_web.new_password import NewPasswordForm
from sendproof_web.services import services
from sendproof_web.sign_in import too_many
from sendproof_web.throttle import Kind

_LOG = logging.getLogger(__name__)
_OPEN, _CLOSED = "open", "closed"
# Old names and offsets that nobody looks for.
_ODD_ZONES = ("Etc/", "SystemV/", "US/", "posix/", "right/")

blueprint = Blueprint("sign_up", __name__)


class AddressForm(FlaskForm):  # type: ignore[misc] # Flask-WTF has no types
    """Who wants an account."""

    address = StringField(_l("Your mail address"), [InputRequired(_l("Your mail address, please.")), Length(max=320)])


class AccountForm(NewPasswordForm):
    """The account, made by who has the address."""

    login = StringField(
        _l("Login"),
        [
            InputRequired(_l("A login, please.")),
            Length(max=100, message=_l("At most 100 characters.")),
            Regexp(
                directory.LOGIN.pattern + r"\Z",
                message=_l("Only letters, digits and . _ @ + -; a letter or digit first."),
            ),
        ],
    )
    time_zone = SelectField(_l("Time zone"))


@blueprint.route("/sign-up", methods=["GET", "POST"])
@public
def sign_up() -> ResponseReturnValue:
    """Ask for an account."""
    mode = services().web.sign_up
    if mode != _OPEN:
        return render_template("sign_up_closed.html", by_invitation=mode != _CLOSED), 403
    form = AddressForm()
    if not form.validate_on_submit():
        return _ask_page(form, None), 422 if request.method == "POST" else 200
    try:
        address = directory.checked_mailbox(form.address.data.strip())
    except UserError:
        form.address.errors = [_("This is no mail address; it should be like anna@example.org.")]
        return _ask_page(form, None), 422
    held, now = services(), services().now()
    with held.database.writing() as session:
        attempt = held.attempts.begin(session, throttle.letters(Kind.SIGN_UP, request.remote_addr or ""), now)
        if not isinstance(attempt, Attempt):
            return _ask_page(form, too_many(attempt)), 429
        # Who asks learns nothing of an address: not either that others have asked with it.
        if isinstance(held.attempts.begin(session, throttle.sign_up(address_key(address)), now), Attempt):
            _ask_for_letter(session, address)
    _LOG.info("event=sign_up_asked address=%s", request.remote_addr)
    return redirect(url_for("sign_up.sent"), 303)


def _ask_for_letter(session: Session, address: str) -> None:
    now, language = services().now(), str(get_locale())
    accounts = site_accounts.accounts_at(session, address)
    link = site_links.make(session, LinkPurpose.SIGN_UP, address=address, account_id=None, now=now)
    if accounts:  # the link is made all the same, and used up, so that both ways take as long
        site_links.use(session, link, now)
        data = {"logins": [account.login for account in accounts]}
        mail_requests.ask(session, Letter.ALREADY_SIGNED_UP, to_address=address, now=now, language=language, data=data)
    else:
        mail_requests.ask(
            session, Letter.CONFIRM_SIGN_UP, to_address=address, now=now, language=language, link_id=link.id
        )


@blueprint.get("/sign-up/sent")
@public
def sent() -> ResponseReturnValue:
    """What every asker reads."""
    return render_template("sign_up_sent.html")


@blueprint.route("/sign-up/<token>", methods=["GET", "POST"])
@public
def finish(token: str) -> ResponseReturnValue:
    """Make the account that was asked for."""
    return _finish(token, LinkPurpose.SIGN_UP, is_allowed=services().web.sign_up == _OPEN)


@blueprint.route("/invitation/<token>", methods=["GET", "POST"])
@public
def invitation(token: str) -> ResponseReturnValue:
    """Make the account that the provider offered; or choose the password of one that the provider made."""
    held = services()
    with held.database.reading() as session:
        link = site_links.find(session, token, LinkPurpose.INVITATION, held.links_key, held.now())
        account = site_accounts.account_of_invitation(session, link) if link else None
        if link is None or (account is None and link.account_id is not None):
            return link_gone()
        login, address = account.login if account else None, link.address
    if login is None:
        return _finish(token, LinkPurpose.INVITATION, is_allowed=held.web.sign_up != _CLOSED)
    form = NewPasswordForm()
    if not form.validate_on_submit() or not form.accepts((login, address)):
        page = render_template("sign_up_password.html", form=form, login=login, address=address)
        return page, 422 if request.method == "POST" else 200
    if not _take_over(token, passwords.hash_site_password(form.password.data)):
        return link_gone()
    session_cookie.forget()
    _LOG.info("event=invitation_followed login=%s address=%s", login, request.remote_addr)
    flash(_("Your password is set. Sign in with it."), "good")
    return redirect(url_for("sign_in.sign_in"), 303)


def _take_over(token: str, password_hash: str) -> bool:
    """The invited owner chose a password; False if the link was used up meanwhile."""
    held, now = services(), services().now()
    with held.database.writing() as session:
        link = site_links.find(session, token, LinkPurpose.INVITATION, held.links_key, now)
        account = site_accounts.account_of_invitation(session, link) if link else None
        if link is None or account is None or not site_links.use(session, link, now):
            return False
        actor = Actor(account.id, account.login, request.remote_addr)
        site_accounts.confirm_address(session, account, link.address, actor, now)
        site_accounts.change_password(session, account, password_hash, actor, now)
    return True


def link_gone() -> ResponseReturnValue:
    """What a mailed link answers that is used, too old, or never was."""
    return render_template("sign_link_gone.html"), 404


def _finish(token: str, purpose: LinkPurpose, *, is_allowed: bool) -> ResponseReturnValue:
    held, now = services(), services().now()
    with held.database.reading() as session:
        link = site_links.find(session, token, purpose, held.links_key, now) if is_allowed else None
        if link is None:
            return link_gone()
        address = link.address
        if purpose is LinkPurpose.SIGN_UP and (found := site_accounts.accounts_at(session, address)):
            return render_template("sign_up_already.html", logins=[account.login for account in found])
    form = AccountForm()
    form.time_zone.choices = _zones()
    if request.method != "POST":
        form.time_zone.data = held.web.sign_up_time_zone
        return _account_page(form, address)
    if not form.validate_on_submit() or not form.accepts((form.login.data, address)):
        return _account_page(form, address), 422
    password_hash = passwords.hash_site_password(form.password.data)
    try:
        made = _make(token, purpose, form, password_hash)
    except (IntegrityError, _LoginTaken):
        form.login.errors = [_("This login is taken; choose another one.")]
        return _account_page(form, address), 422
    except UserError as error:  # a plan that is not there: nothing that the visitor could mend
        _LOG.error("event=sign_up_impossible reason=%s", error)
        return _account_page(form, address, _("No account can be made at the moment. Please tell your provider.")), 503
    if not made:
        return link_gone()
    flash(_("Welcome. Your account is ready: first add the domain, or the device, that you send mail from."), "good")
    return redirect(url_for("home"), 303)


class _LoginTaken(Exception):
    pass


def _make(token: str, purpose: LinkPurpose, form: AccountForm, password_hash: str) -> bool:
    """Make the account and sign its owner in; False if the link was used up meanwhile."""
    held, now = services(), services().now()
    with held.database.writing() as session:
        link = site_links.find(session, token, purpose, held.links_key, now)
        if link is None or not site_links.use(session, link, now):
            return False
        same_login = select(Account.id).where(func.lower(Account.login) == form.login.data.lower())
        if session.scalar(same_login) is not None:
            raise _LoginTaken
        account = directory.add_account(
            session,
            login=form.login.data,
            password_hash=password_hash,
            plan_name=_plan(session, link),
            time_zone=form.time_zone.data,
            tracking=False,
            notice_address=link.address,
            address=link.address,
            language=str(get_locale()),
            now=now,
        )
        actor = Actor(account.id, account.login, request.remote_addr)
        details = {"address": link.address, "invited": purpose is LinkPurpose.INVITATION}
        audit.record(session, "signed up", actor, now, account_id=account.id, details=details)
        session_cookie.begin(session, account.id, now)
    _LOG.info("event=signed_up login=%s address=%s", form.login.data, request.remote_addr)
    return True


def _plan(session: Session, link: SiteLink) -> str:
    """What was promised in the invitation, or what the settings say."""
    invited = session.get(Plan, link.data["plan_id"]) if "plan_id" in link.data else None
    plan = invited.name if invited else services().web.sign_up_plan
    if plan is None:
        raise UserError("the plan of this invitation is gone, and [web] sign_up_plan names no other")
    return plan


def _zones() -> list[str]:
    names = (name for name in zoneinfo.available_timezones() if "/" in name and not name.startswith(_ODD_ZONES))
    return ["UTC", *sorted(names)]


def _ask_page(form: AddressForm, problem: str | None) -> str:
    return render_template("sign_up.html", form=form, problem=problem)


def _account_page(form: AccountForm, address: str, problem: str | None = None) -> str:
    return render_template("sign_up_account.html", form=form, address=address, problem=problem)
