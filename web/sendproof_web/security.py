"""The account's password, mail address, second factor and signed-in browsers.

Everybody who may see the account sees the page; changes want a fresh password, and are not a provider's who acts as it.
"""

import datetime as dt
import logging

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext
from flask_wtf import FlaskForm  # type: ignore[import-untyped] # it has no types
from sqlalchemy.orm import Session
from wtforms import PasswordField, StringField  # type: ignore[import-untyped] # it has no types
from wtforms.validators import InputRequired, Length  # type: ignore[import-untyped] # it has no types

from sendproof_core import audit, directory, passwords, site_accounts, site_links
from sendproof_core.addresses import address_key
from sendproof_core.audit import Actor
from sendproof_core.errors import UserError
from sendproof_core.schema import Account
from sendproof_core.states import LinkPurpose
from sendproof_web import browsers, one_time_codes, session_cookie, sessions, throttle, two_factor
from sendproof_web.access import actor, freshly_signed_in, public, reader, signed_in, visitor
from sendproof_web.attempts import Attempt
from sendproof_web.new_password import NewPasswordForm
from sendproof_web.services import services
from sendproof_web.sign_in import check_password, too_many
from sendproof_web.sign_up import link_gone

_LOG = logging.getLogger(__name__)

blueprint = Blueprint("security", __name__)


class PasswordForm(NewPasswordForm):
    """The password before, and the new one twice."""

    old = PasswordField(
        _l("Your current password"), [InputRequired(_l("Your current password, please.")), Length(max=1024)]
    )


class AddressForm(FlaskForm):  # type: ignore[misc] # Flask-WTF has no types
    """Where the site shall write to."""

    address = StringField(_l("New mail address"), [InputRequired(_l("A mail address, please.")), Length(max=320)])


class CodeForm(FlaskForm):  # type: ignore[misc] # Flask-WTF has no types
    """The first code that the app shows."""

    code = StringField(_l("Code"), [InputRequired(_l("The code that your app shows, please.")), Length(max=40)])


@blueprint.get("/account/security")
@signed_in
def index() -> ResponseReturnValue:
    """Everything one signs in with, and who is signed in."""
    who, now = reader(), services().now()
    with services().database.reading() as session:
        account = session.get_one(Account, who.account_id)
        return render_template(
            "security.html",
            account=account,
            codes_left=two_factor.recovery_codes_left(session, account.id),
            open_sessions=sessions.open_sessions(session, account.id, now),
            in_words=browsers.words,
        )


@blueprint.route("/account/security/password", methods=["GET", "POST"])
@freshly_signed_in
def password() -> ResponseReturnValue:
    """Another password."""
    who, form = reader(), PasswordForm()
    with services().database.reading() as session:
        about = (who.login, session.get_one(Account, who.account_id).address or "")
    if not form.validate_on_submit() or not form.accepts(about):
        return _password_page(form, None), 422 if request.method == "POST" else 200
    tried = check_password(who.login, form.old.data)
    if tried is None:
        form.old.errors = [_("This is not your current password.")]
        return _password_page(form, None), 422
    if isinstance(tried, dt.timedelta):
        return _password_page(form, too_many(tried)), 429
    password_hash, now = passwords.hash_site_password(form.password.data), services().now()
    with services().database.writing() as session:
        account = session.get_one(Account, who.account_id)
        site_accounts.change_password(session, account, password_hash, actor(), now, keep_session_id=who.session_id)
        session_cookie.keep(sessions.renew(session, who.session_id, now))
        services().attempts.forget(session, throttle.of_account(account.id, account.login, request.remote_addr or ""))
    _LOG.info("event=password_changed login=%s address=%s", who.login, request.remote_addr)
    flash(_("Your password is changed, and every other browser is signed out."), "good")
    return redirect(url_for("security.index"), 303)


@blueprint.route("/account/security/address", methods=["GET", "POST"])
@freshly_signed_in
def address() -> ResponseReturnValue:
    """Another mail address: in force once the link in the mail to it was followed."""
    who, form, now = reader(), AddressForm(), services().now()
    if not form.validate_on_submit():
        return _address_page(form, None), 422 if request.method == "POST" else 200
    try:
        wanted = directory.checked_mailbox(form.address.data.strip())
    except UserError:
        form.address.errors = [_("This is no mail address; it should be like anna@example.org.")]
        return _address_page(form, None), 422
    with services().database.writing() as session:
        guards = throttle.confirm(who.account_id, address_key(wanted))
        attempt = services().attempts.begin(session, guards, now)
        if not isinstance(attempt, Attempt):
            return _address_page(form, too_many(attempt)), 429
        account = session.get_one(Account, who.account_id)
        site_accounts.ask_address(session, account, wanted, actor(), now)
    _LOG.info("event=address_change_asked login=%s address=%s", who.login, request.remote_addr)
    text = _(
        "We have written to %(address)s. Follow the link in that mail: until then nothing changes.", address=wanted
    )
    flash(text, "good")
    return redirect(url_for("security.index"), 303)


@blueprint.route("/address/<token>", methods=["GET", "POST"])
@public
def confirm_address(token: str) -> ResponseReturnValue:
    """The link in that mail. Looking at the page does not use it up: mail scanners look at every link."""
    form = FlaskForm()
    if not form.validate_on_submit():
        with services().database.reading() as session:
            found = _address_link(session, token)
            if found is None:
                return link_gone()
            return render_template("security_confirm_address.html", form=form, login=found[0], address=found[1])
    held, now = services(), services().now()
    with held.database.writing() as session:
        link = site_links.find(session, token, LinkPurpose.ADDRESS, held.links_key, now)
        account = session.get(Account, link.account_id) if link else None
        if link is None or account is None or not site_links.use(session, link, now):
            return link_gone()
        login, confirmed = account.login, link.address
        stranger = Actor(None, "not signed in", request.remote_addr)
        site_accounts.confirm_address(session, account, confirmed, actor() if visitor() else stranger, now)
    _LOG.info("event=address_changed login=%s address=%s", login, request.remote_addr)
    flash(_("Confirmed: from now on we write to %(address)s.", address=confirmed), "good")
    return redirect(url_for("security.index"), 303)


def _address_link(session: Session, token: str) -> tuple[str, str] | None:
    """Whose address the link confirms, and which."""
    held = services()
    link = site_links.find(session, token, LinkPurpose.ADDRESS, held.links_key, held.now())
    account = session.get(Account, link.account_id) if link else None
    return (account.login, link.address) if link and account else None


@blueprint.get("/account/security/second-factor")
@freshly_signed_in
def second_factor() -> ResponseReturnValue:
    """Where it is set up, and taken away."""
    return _second_factor_page(CodeForm(formdata=None))


@blueprint.post("/account/security/second-factor")
@freshly_signed_in
def second_factor_begin() -> ResponseReturnValue:
    """A new secret for the app."""
    with services().database.writing() as session:
        two_factor.begin(session, session.get_one(Account, reader().account_id), services().secrets)
    return redirect(url_for("security.second_factor"), 303)


@blueprint.get("/account/security/second-factor/code.svg")
@freshly_signed_in
def second_factor_code() -> ResponseReturnValue:
    """The secret as a code to photograph, while it is being set up."""
    with services().database.reading() as session:
        account = session.get_one(Account, reader().account_id)
        secret = two_factor.pending_secret(account, services().secrets)
        if secret is None:
            abort(404)
        text = one_time_codes.uri(secret, login=account.login, issuer=_issuer())
    return Response(one_time_codes.qr_svg(text), mimetype="image/svg+xml", headers={"Cache-Control": "no-store"})


@blueprint.post("/account/security/second-factor/confirm")
@freshly_signed_in
def second_factor_confirm() -> ResponseReturnValue:
    """The first code: from now on codes are asked for. Answers with the recovery codes, once."""
    who, form, now = reader(), CodeForm(), services().now()
    if not form.validate_on_submit():
        return _second_factor_page(form), 422
    with services().database.writing() as session:
        account = session.get_one(Account, who.account_id)
        if account.totp_since is not None:
            return redirect(url_for("security.second_factor"), 303)
        codes = two_factor.confirm(session, account, services().secrets, form.code.data, actor(), now)
        if codes is not None:
            site_accounts.end_sessions(session, account.id, now, but=who.session_id)
    if codes is None:
        form.code.errors = [_("This code is wrong. Check that your phone's time is right, and type the next one.")]
        return _second_factor_page(form), 422
    _LOG.info("event=second_factor_on login=%s address=%s", who.login, request.remote_addr)
    return render_template("security_recovery_codes.html", codes=codes, is_new=True)


@blueprint.post("/account/security/second-factor/off")
@freshly_signed_in
def second_factor_off() -> ResponseReturnValue:
    """The password alone signs in again."""
    who, now = reader(), services().now()
    with services().database.writing() as session:
        account = session.get_one(Account, who.account_id)
        was_on = site_accounts.turn_second_factor_off(session, account, actor(), now)
        if was_on:
            site_accounts.end_sessions(session, account.id, now, but=who.session_id)
    if was_on:
        _LOG.info("event=second_factor_off login=%s address=%s", who.login, request.remote_addr)
        flash(_("The second factor is off, and every other browser is signed out."), "good")
    return redirect(url_for("security.index"), 303)


@blueprint.post("/account/security/recovery-codes")
@freshly_signed_in
def recovery_codes() -> ResponseReturnValue:
    """Other recovery codes, shown once."""
    who = reader()
    if not who.has_second_factor:
        return redirect(url_for("security.second_factor"), 303)
    with services().database.writing() as session:
        account = session.get_one(Account, who.account_id)
        codes = two_factor.renew_recovery_codes(session, account, actor(), services().now())
    _LOG.info("event=recovery_codes_made login=%s address=%s", who.login, request.remote_addr)
    return render_template("security_recovery_codes.html", codes=codes, is_new=False)


@blueprint.post("/account/security/sessions/<int(max=9223372036854775807):session_id>/end")
@freshly_signed_in
def end_session(session_id: int) -> ResponseReturnValue:
    """Sign one browser out."""
    who, now = reader(), services().now()
    with services().database.writing() as session:
        if not sessions.end_one_of(session, who.account_id, session_id, now):
            abort(404)
        audit.record(session, "session ended", actor(), now, account_id=who.account_id)
    flash(_("That browser is signed out."), "good")
    return redirect(url_for("security.index"), 303)


@blueprint.post("/account/security/sessions/end-others")
@freshly_signed_in
def end_other_sessions() -> ResponseReturnValue:
    """Sign every other browser out."""
    who, now = reader(), services().now()
    with services().database.writing() as session:
        count = site_accounts.end_sessions(session, who.account_id, now, but=who.session_id)
        audit.record(session, "sessions ended", actor(), now, account_id=who.account_id, details={"count": count})
    text = ngettext("%(num)s other browser is signed out.", "%(num)s other browsers are signed out.", count)
    flash(text if count else _("No other browser was signed in."), "good")
    return redirect(url_for("security.index"), 303)


def _second_factor_page(form: CodeForm) -> str:
    with services().database.reading() as session:
        account = session.get_one(Account, reader().account_id)
        return render_template(
            "security_second_factor.html",
            form=form,
            account=account,
            secret=two_factor.pending_secret(account, services().secrets),
            codes_left=two_factor.recovery_codes_left(session, account.id),
            is_needed=account.is_provider and services().web.provider_needs_second_factor,
        )


def _password_page(form: PasswordForm, problem: str | None) -> str:
    return render_template("security_password.html", form=form, problem=problem)


def _address_page(form: AddressForm, problem: str | None) -> str:
    with services().database.reading() as session:
        account = session.get_one(Account, reader().account_id)
        return render_template("security_address.html", form=form, problem=problem, account=account)


def _issuer() -> str:
    """What the app calls the entry: ours, and whose."""
    return f"Sendproof {services().site.url.partition('://')[2].partition('/')[0]}"
