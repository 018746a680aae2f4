"""Signing in and out, and giving the password once more. `sessions` knows who is; `throttle`, how often one may try."""

import datetime as dt
import logging
import math

import flask_login  # type: ignore[import-untyped] # it has no types
from flask import Blueprint, Flask, Request, abort, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext
from flask_wtf import FlaskForm  # type: ignore[import-untyped] # it has no types
from sqlalchemy.exc import DBAPIError
from wtforms import PasswordField, StringField  # type: ignore[import-untyped] # it has no types
from wtforms.validators import InputRequired, Length  # type: ignore[import-untyped] # it has no types

from sendproof_core import audit, directory, passwords
from sendproof_core.audit import Actor
from sendproof_web import attempts, queries, session_cookie, sessions, throttle, two_factor
from sendproof_web.access import Reader, actor, own_path, public, reader, signed_in, visitor
from sendproof_web.attempts import Attempt
from sendproof_web.queries import SiteAccount
from sendproof_web.services import services
from sendproof_web.two_factor import Code

_LOG = logging.getLogger(__name__)
_FEW_RECOVERY_CODES = 3
_FAILURE = "sendproof_reader_not_read"

blueprint = Blueprint("sign_in", __name__)


class SignInForm(FlaskForm):  # type: ignore[misc] # Flask-WTF has no types
    """Login and password."""

    login = StringField(_l("Login"), [InputRequired(_l("Your login, please.")), Length(max=100)])
    password = PasswordField(_l("Password"), [InputRequired(_l("Your password, please.")), Length(max=1024)])


class CodeForm(FlaskForm):  # type: ignore[misc] # Flask-WTF has no types
    """A code of the second factor."""

    code = StringField(_l("Code"), [InputRequired(_l("The code, please.")), Length(max=40)])


class AgainForm(FlaskForm):  # type: ignore[misc] # Flask-WTF has no types
    """The password of who is signed in."""

    password = PasswordField(_l("Password"), [InputRequired(_l("Your password, please.")), Length(max=1024)])


class AgainWithCodeForm(AgainForm, CodeForm):
    """And a code, of who has a second factor."""


class _Visitors(flask_login.LoginManager):  # type: ignore[misc] # it has no types
    """Known by their sessions alone: Flask-Login's own cookie, whoever set it, stands in nobody's way."""

    def _load_user_from_remember_cookie(self, _cookie: str) -> Reader | None:
        return _load(request)


def install(app: Flask) -> None:
    """Let the application know its visitors."""
    manager = _Visitors()
    manager.request_loader(_load)
    # Else it writes into the cookie of every session, also on pages that only read.
    manager.session_protection = None
    # Its own context processor would ask the database for the error page about a database that does not answer.
    manager.init_app(app, add_context_processor=False)
    app.register_blueprint(blueprint)


def _load(_request: Request) -> Reader | None:
    token = session_cookie.token()
    if token is None:
        return None
    if (failure := g.get(_FAILURE)) is not None:  # the page about it asks, too; each time may take until a time-out
        raise failure
    now = services().now()
    try:
        with services().database.reading() as session:
            found = sessions.find(session, token, now)
    except DBAPIError as error:
        setattr(g, _FAILURE, error)
        raise
    if found is None:
        return None
    who, is_to_be_noted = found
    # A page that stands open and asks for news by itself keeps no session alive.
    if is_to_be_noted and not request.headers.get("HX-Request"):
        _note_seen(who, now)
    return who


def _note_seen(who: Reader, now: dt.datetime) -> None:
    """A page that only reads does not fail because nobody can write."""
    try:
        with services().database.writing() as session:
            sessions.seen(session, who.session_id, now)
    except DBAPIError as error:
        _LOG.warning("event=session_not_noted reason=%s", type(error).__name__)


@blueprint.route("/sign-in", methods=["GET", "POST"])
@public
def sign_in() -> ResponseReturnValue:
    """The form, and what it is answered with. A wrong login and a wrong password look and last the same."""
    form, wanted = SignInForm(), own_path(request.args.get("next"))
    if request.method != "POST" and visitor() is not None:
        return redirect(wanted or url_for("messages.index"), 303)
    if not form.validate_on_submit():
        return _sign_in_page(form, None), 422 if request.method == "POST" else 200
    tried = check_password(form.login.data, form.password.data)
    if isinstance(tried, dt.timedelta):
        return _sign_in_page(form, too_many(tried)), 429
    if tried is None:
        return _sign_in_page(form, _("Login or password is wrong.")), 422
    if tried.has_second_factor:
        session_cookie.keep_half(tried, wanted, services().now())
        return redirect(url_for("sign_in.code"), 303)
    return _signed_in(tried, wanted, None)


@blueprint.route("/sign-in/code", methods=["GET", "POST"])
@public
def code() -> ResponseReturnValue:
    """The second step: a code from the app, or one of the recovery codes."""
    half = session_cookie.half(services().now())
    if half is None:
        return redirect(url_for("sign_in.sign_in"), 303)
    form = CodeForm()
    if not form.validate_on_submit():
        return _code_page(form, None), 422 if request.method == "POST" else 200
    found = check_code(half.account.id, half.account.login, form.code.data, Actor(None, "not signed in", _address()))
    if isinstance(found, dt.timedelta):
        return _code_page(form, too_many(found)), 429
    if found is Code.WRONG:
        return _code_page(form, _wrong_code()), 422
    return _signed_in(half.account, half.wanted, found)


@blueprint.route("/sign-in/again", methods=["GET", "POST"])
@signed_in
def again() -> ResponseReturnValue:
    """The password once more, before something is changed that it protects."""
    who, now = reader(), services().now()
    if who.is_acting:
        abort(403)
    wanted = own_path(request.args.get("next")) or url_for("security.index")
    form = AgainWithCodeForm() if who.has_second_factor else AgainForm()
    if not form.validate_on_submit():
        return _again_page(form, None), 422 if request.method == "POST" else 200
    tried = check_password(who.login, form.password.data)
    if isinstance(tried, dt.timedelta):
        return _again_page(form, too_many(tried)), 429
    if tried is None:
        return _again_page(form, _("The password is wrong.")), 422
    if who.has_second_factor:
        found = check_code(who.account_id, who.login, form.code.data, actor())
        if isinstance(found, dt.timedelta):
            return _again_page(form, too_many(found)), 429
        if found is Code.WRONG:
            return _again_page(form, _wrong_code()), 422
    with services().database.writing() as session:
        session_cookie.keep(sessions.renew(session, who.session_id, now))
        audit.record(session, "signed in again", actor(), now, account_id=who.account_id)
    return redirect(wanted, 303)


@blueprint.post("/sign-out")
@public
def sign_out() -> ResponseReturnValue:
    """End the session."""
    if (who := visitor()) is not None:
        now = services().now()
        with services().database.writing() as session:
            sessions.end(session, who.session_id, now)
            audit.record(session, "signed out", actor(), now, account_id=who.actor_id)
    session_cookie.forget()
    return redirect(url_for("sign_in.sign_in"), 303)


def check_password(login: str, password: str) -> SiteAccount | dt.timedelta | None:
    """The account of that login, if it is its password; None if not; how long to wait after too many attempts."""
    database, now, address = services().database, services().now(), _address()
    with database.reading() as session:
        account = queries.account_by_login(session, login) if directory.LOGIN.fullmatch(login) else None
        before = attempts.addresses_before(session, account.id if account else 0, now)
    guards = throttle.sign_in(login, address, is_known=throttle.is_known(address, before))
    with database.writing() as session:
        attempt = services().attempts.begin(session, guards, now)
    # Only a login that exists: what else stands in that field may be a password, or made to look like our log.
    name = account.login if account else "?"
    if not isinstance(attempt, Attempt):
        _LOG.warning("event=sign_in_throttled login=%s address=%s", name, address)
        return attempt
    is_right = passwords.verify(account.password_hash if account else None, password)
    with database.writing() as session:
        if not is_right or account is None:
            stranger = Actor(None, "not signed in", address)
            audit.record(session, "sign-in failed", stranger, now, account_id=account.id if account else None)
        else:
            services().attempts.succeeded(session, attempt)
    if not is_right:
        _LOG.warning("event=sign_in_failed login=%s address=%s", name, address)
        return None
    return account


def check_code(account_id: int, login: str, typed: str, who: Actor) -> Code | dt.timedelta:
    """Use a code of the second factor up."""
    held = services()
    found = two_factor.check(held.database, held.attempts, held.secrets, account_id, typed, who, held.now())
    if found is Code.WRONG:
        _LOG.warning("event=second_factor_failed login=%s address=%s", login, _address())
    return found


def too_many(wait: dt.timedelta) -> str:
    """What somebody reads who must wait."""
    minutes = max(1, math.ceil(wait.total_seconds() / 60))
    return ngettext(
        "Too many attempts. Try again in %(num)s minute.", "Too many attempts. Try again in %(num)s minutes.", minutes
    )


def _signed_in(account: SiteAccount, wanted: str | None, code_found: Code | None) -> ResponseReturnValue:
    held, now = services(), services().now()
    left = None
    with held.database.writing() as session:
        if not queries.is_as_before(session, account):
            return redirect(url_for("sign_in.sign_in"), 303)
        session_cookie.begin(session, account.id, now)
        details = {"second_factor": code_found.value} if code_found else {}
        who = Actor(account.id, account.login, _address())
        audit.record(session, "signed in", who, now, account_id=account.id, details=details)
        if code_found is Code.RECOVERY:
            left = two_factor.recovery_codes_left(session, account.id)
    _LOG.info("event=signed_in login=%s address=%s", account.login, _address())
    if left is not None:
        _tell_codes_left(left)
    return redirect(wanted or url_for("messages.index"), 303)


def _tell_codes_left(left: int) -> None:
    text = ngettext("You used a recovery code; %(num)s is left.", "You used a recovery code; %(num)s are left.", left)
    if left < _FEW_RECOVERY_CODES:
        text += " " + _("Make new ones under “Password and sign-in”.")
    flash(text, "good" if left >= _FEW_RECOVERY_CODES else "bad")


def _wrong_code() -> str:
    return _(
        "This code is wrong, or was used before. Wait for the next one, and check that your phone's time is right."
    )


def _address() -> str:
    return request.remote_addr or ""


def _sign_in_page(form: SignInForm, problem: str | None) -> str:
    sign_up = services().web.sign_up
    return render_template("sign_in.html", form=form, problem=problem, may_sign_up=sign_up == "open")


def _code_page(form: CodeForm, problem: str | None) -> str:
    return render_template("sign_in_code.html", form=form, problem=problem)


def _again_page(form: AgainForm, problem: str | None) -> str:
    return render_template("sign_in_again.html", form=form, problem=problem, login=reader().login)
