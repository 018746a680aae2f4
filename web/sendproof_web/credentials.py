"""The logins of the account's devices and applications: made, shown once, revoked.

The password is in the answer to the form that asked for it, and nowhere else.
"""

import datetime as dt
import logging
import re
import secrets
import urllib.parse
from dataclasses import dataclass

from flask import Blueprint, abort, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm  # type: ignore[import-untyped] # it has no types
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from wtforms import StringField, ValidationError  # type: ignore[import-untyped] # it has no types
from wtforms.validators import InputRequired, Length  # type: ignore[import-untyped] # it has no types

from sendproof_core import account_changes, audit, directory, mail_requests, passwords, statistics
from sendproof_core.errors import UserError
from sendproof_core.mail_requests import Letter
from sendproof_core.schema import Account, Credential
from sendproof_web.access import actor, freshly_signed_in, reader, signed_in
from sendproof_web.services import services

# Not those that people mix up when they type: 20 of 31 are 99 bits.
_PASSWORD_CHARACTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # noqa: S105 - what passwords are made of
_PASSWORD_LENGTH = 20
_MOST = 50
_LOG = logging.getLogger(__name__)

blueprint = Blueprint("credentials", __name__)


@dataclass(frozen=True)
class Row:
    """A credential as the list shows it."""

    id: int
    login: str
    label: str
    created_at: dt.datetime
    revoked_at: dt.datetime | None
    last_used_at: dt.datetime | None


@dataclass(frozen=True)
class MailServer:
    """What is entered in a mail program. A port of None is not offered."""

    host: str
    tls_port: int | None
    starttls_port: int | None


class CredentialForm(FlaskForm):  # type: ignore[misc] # Flask-WTF has no types
    """A new login for a device."""

    label = StringField(
        _l("For which device or program?"),
        [InputRequired(_l("Give it a name, such as: Thunderbird at home.")), Length(max=100)],
    )
    login = StringField(_l("Login"), [InputRequired(_l("Choose a login.")), Length(max=100)])

    def validate_label(self, field: StringField) -> None:
        """Refuse what no list could show."""
        if not field.data.strip() or not field.data.isprintable():
            raise ValidationError(_("Use letters, digits and ordinary signs."))

    def validate_login(self, field: StringField) -> None:
        """The account's own name comes first: nobody takes a login that looks like another's."""
        own = reader().login
        if not directory.LOGIN.fullmatch(field.data):
            raise ValidationError(_("Use letters, digits and the signs . _ @ + - only, without blanks."))
        if field.data != own and not re.fullmatch(re.escape(own) + r"[._+-].+", field.data):
            raise ValidationError(
                _("It begins with your own login: %(example)s, for instance.", example=f"{own}-laptop")
            )


@blueprint.get("/account/credentials")
@signed_in
def index() -> ResponseReturnValue:
    """All of the account's credentials."""
    with services().database.reading() as session:
        rows = _rows(session, reader().account_id)
    return render_template(
        "credentials.html",
        rows=[row for row in rows if row.revoked_at is None],
        revoked=[row for row in rows if row.revoked_at is not None],
        server=_mail_server(),
    )


@blueprint.route("/account/credentials/new", methods=["GET", "POST"])
@freshly_signed_in
def new() -> ResponseReturnValue:
    """The form, and the new password: shown in the answer to it, once."""
    form = CredentialForm()
    if request.method != "POST":
        with services().database.reading() as session:
            form.login.data = _proposed_login(session)
        return render_template("credentials_new.html", form=form, problem=None)
    if not form.validate_on_submit():
        return render_template("credentials_new.html", form=form, problem=None), 422
    password = "".join(secrets.choice(_PASSWORD_CHARACTERS) for _index in range(_PASSWORD_LENGTH))
    secret_hash = passwords.hash_credential(password)
    login, label, now = form.login.data, form.label.data.strip(), services().now()
    try:
        with services().database.writing() as session:
            _add(session, login, label, secret_hash, now)
    except _Full:
        problem = _("You have %(number)s logins. Revoke those that you do not need any more.", number=_MOST)
        return render_template("credentials_new.html", form=form, problem=problem), 422
    except (UserError, IntegrityError):  # the latter: the same form, sent twice at once
        form.login.errors = [*form.login.errors, _("This login exists already. Choose another one.")]
        return render_template("credentials_new.html", form=form, problem=None), 422
    _LOG.info("event=credential_added login=%s by=%s address=%s", login, reader().actor_login, request.remote_addr)
    response = make_response(
        render_template(
            "credentials_made.html",
            login=login,
            label=label,
            password=password,
            server=_mail_server(),
            is_known=_tell_dovecot(),
        )
    )
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.route("/account/credentials/<int:credential_id>/revoke", methods=["GET", "POST"])
@freshly_signed_in
def revoke(credential_id: int) -> ResponseReturnValue:
    """Ask once more, then let the login be good for nothing."""
    with services().database.reading() as session:
        row = next((row for row in _rows(session, reader().account_id) if row.id == credential_id), None)
    if row is None or row.revoked_at is not None:
        abort(404)
    form = FlaskForm()
    if not form.validate_on_submit():
        status = 422 if request.method == "POST" else 200
        return render_template("credentials_revoke.html", form=form, row=row), status
    with services().database.writing() as session:
        account_changes.revoke_credential(session, row.login, actor(), services().now())
    _LOG.info("event=credential_revoked login=%s by=%s", row.login, reader().actor_login)
    if _tell_dovecot():
        flash(_("The login %(login)s is revoked: nobody can send with it any more.", login=row.login), "good")
    else:
        flash(_("The login %(login)s is revoked. Mail sent with it is refused.", login=row.login), "good")
    return redirect(url_for("credentials.index"), 303)


class _Full(Exception):
    """The account has as many credentials as it may."""


def _add(session: Session, login: str, label: str, secret_hash: str, now: dt.datetime) -> None:
    account = session.get_one(Account, reader().account_id)
    mine = select(func.count()).select_from(Credential).where(Credential.account_id == account.id)
    if (session.scalar(mine.where(Credential.revoked_at.is_(None))) or 0) >= _MOST:
        raise _Full
    directory.add_credential(session, account, login=login, label=label, secret_hash=secret_hash, now=now)
    details = {"login": login, "label": label}
    audit.record(session, "credential added", actor(), now, account_id=account.id, details=details)
    if account.address is not None:
        mail_requests.ask(
            session,
            Letter.CREDENTIAL_ADDED,
            to_address=account.address,
            now=now,
            account_id=account.id,
            language=account.language,
            data={"login": account.login, "label": label, "client_address": request.remote_addr or ""},
        )


def _rows(session: Session, account_id: int) -> list[Row]:
    found = session.scalars(
        select(Credential).where(Credential.account_id == account_id).order_by(Credential.created_at, Credential.id)
    ).all()
    last_used = statistics.last_used(session, [row.login for row in found])
    return [
        Row(row.id, row.login, row.label, row.created_at, row.revoked_at, last_used.get(row.login)) for row in found
    ]


def _proposed_login(session: Session) -> str:
    """The account's own, while it is free; else the first free number behind it."""
    own = reader().login
    beginning = func.substr(Credential.login, 1, len(own)) == own
    taken = set(session.scalars(select(Credential.login).where(beginning)))
    numbered = (f"{own}-{number}" for number in range(2, len(taken) + 3))
    return own if own not in taken else next(login for login in numbered if login not in taken)


def _mail_server() -> MailServer:
    settings = services().submission
    host = settings.host or urllib.parse.urlsplit(services().site.url).hostname or ""
    return MailServer(host, settings.tls_port or None, settings.starttls_port or None)


def _tell_dovecot() -> bool:
    """Whether the mail server knows of the change already. What was decided stands in any case."""
    path = services().passwd_file
    if path is None:
        return False
    try:
        directory.sync_passwd_file(services().database, path)
    except UserError as error:
        _LOG.error("event=passwd_file_not_written reason=%s", error)
        return False
    return True
