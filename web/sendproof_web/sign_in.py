"""Signing in and out. Sessions live in a signed cookie, end after `SESSION_LIFETIME` and with the password."""

import datetime as dt
import logging
import re

import flask_login  # type: ignore[import-untyped] # it has no types
from flask import Blueprint, Flask, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm  # type: ignore[import-untyped] # it has no types
from wtforms import PasswordField, StringField  # type: ignore[import-untyped] # it has no types
from wtforms.validators import InputRequired, Length  # type: ignore[import-untyped] # it has no types

from sendproof_core import directory, passwords, plans
from sendproof_web import queries
from sendproof_web.queries import SiteAccount
from sendproof_web.services import services

SESSION_LIFETIME = dt.timedelta(hours=12)
_LOG = logging.getLogger(__name__)
# A path on this site: never "//host" or "/\host", which browsers take for another one.
_OWN_PATH = re.compile(r"/(?![/\\])[!-~]*")

blueprint = Blueprint("sign_in", __name__)


class SignInForm(FlaskForm):  # type: ignore[misc] # Flask-WTF has no types
    """Login and password."""

    login = StringField("Login", [InputRequired("Your login, please."), Length(max=100)])
    password = PasswordField("Password", [InputRequired("Your password, please."), Length(max=1024)])


class SignedIn(flask_login.UserMixin):  # type: ignore[misc] # Flask-Login has no types
    """Whoever the current request is from."""

    def __init__(self, account: SiteAccount) -> None:
        self.account_id = account.id
        self.login = account.login
        self.zone = plans.zone(account.time_zone)
        self._password_mark = account.password_mark

    def get_id(self) -> str:
        """What the cookie holds."""
        return f"{self.account_id}.{self._password_mark}"


def reader() -> SignedIn:
    """Who reads the page. For views behind `login_required` only."""
    user = flask_login.current_user._get_current_object()  # noqa: SLF001 - werkzeug's way to unwrap a proxy
    if not isinstance(user, SignedIn):
        raise TypeError("nobody is signed in")
    return user


def install(app: Flask) -> None:
    """Let the application know its visitors."""
    manager = flask_login.LoginManager()
    manager.login_view = "sign_in.sign_in"
    manager.login_message = None
    manager.user_loader(_load)
    manager.init_app(app)
    app.register_blueprint(blueprint)


def _load(text: str) -> SignedIn | None:
    number, _, password_mark = text.partition(".")
    with services().database.reading() as database_session:
        account = queries.account_by_id(database_session, int(number))
    if account is None or account.password_mark != password_mark:
        return None
    return SignedIn(account)


@blueprint.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> ResponseReturnValue:
    """The form, and what it is answered with. A wrong login and a wrong password look and last the same."""
    form = SignInForm()
    if not form.validate_on_submit():
        return render_template("sign_in.html", form=form, problem=None), 200 if request.method == "GET" else 422
    throttle, now = services().sign_in_throttle, services().now()
    key = (form.login.data.lower(), request.remote_addr or "")
    if wait := throttle.must_wait(key, now):
        minutes = int(wait.total_seconds() // 60) + 1
        problem = f"Too many attempts. Try again in {minutes} minute{'' if minutes == 1 else 's'}."
        return render_template("sign_in.html", form=form, problem=problem), 429
    account = None
    if directory.LOGIN.fullmatch(form.login.data):
        with services().database.reading() as database_session:
            account = queries.account_by_login(database_session, form.login.data)
    if not passwords.verify(account.password_hash if account else None, form.password.data) or account is None:
        throttle.failed(key, now)
        # Only a login that exists: what else stands in that field may be a password, or made to look like our log.
        _LOG.warning("event=sign_in_failed login=%s address=%s", account.login if account else "?", request.remote_addr)
        return render_template("sign_in.html", form=form, problem="Login or password is wrong."), 422
    throttle.succeeded(key)
    session.clear()
    session.permanent = True
    flask_login.login_user(SignedIn(account))
    _LOG.info("event=signed_in login=%s address=%s", account.login, request.remote_addr)
    wanted = request.args.get("next", "")
    return redirect(wanted if _OWN_PATH.fullmatch(wanted) else url_for("messages.index"), 303)


@blueprint.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    """End the session."""
    flask_login.logout_user()
    session.clear()
    return redirect(url_for("sign_in.sign_in"), 303)
