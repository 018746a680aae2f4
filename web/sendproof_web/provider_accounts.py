"""The provider's accounts: find, create, suspend, change, act as. `account_changes` does what is decided here."""

import functools
import secrets
import zoneinfo

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm  # type: ignore[import-untyped] # it has no types
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from wtforms import (  # type: ignore[import-untyped] # it has no types
    BooleanField,
    Field,
    RadioField,
    SelectField,
    StringField,
    ValidationError,
)
from wtforms.fields.choices import SelectChoice  # type: ignore[import-untyped] # it has no types
from wtforms.validators import InputRequired, Length, Regexp  # type: ignore[import-untyped] # it has no types

from sendproof_core import (
    account_changes,
    account_search,
    account_view,
    directory,
    passwords,
    site_accounts,
)
from sendproof_core.account_search import Which
from sendproof_core.errors import UserError
from sendproof_core.schema import Account, Credential, Plan
from sendproof_web import acting, plan_limits
from sendproof_web.access import FRESH, actor, own_path, provider, reader, signed_in
from sendproof_web.locale import LANGUAGES
from sendproof_web.services import services

_LONGEST_SEARCH = 200
_PASSWORD_OCTETS = 12  # 96 random bits
_BY_LETTER, _SHOWN = "letter", "shown"
_WHICH = {
    Which.ALL: _l("All"),
    Which.LIVE: _l("Live"),
    Which.TEST: _l("Test mode"),
    Which.SUSPENDED: _l("Suspended"),
    Which.PROVIDER: _l("Provider"),
}

blueprint = Blueprint("provider_accounts", __name__)


def _is_time_zone(_form: FlaskForm, field: Field) -> None:
    if field.data not in _zones():
        raise ValidationError(_("No such time zone; choose one such as Europe/Vienna."))


def _is_mailbox(_form: FlaskForm, field: Field) -> None:
    """None is good, too."""
    if not (field.data or "").strip():
        return
    try:
        directory.checked_mailbox(field.data.strip())
    except UserError:
        raise ValidationError(_("This is no mail address; write one such as eva@mail.example.")) from None


class NewAccountForm(FlaskForm):  # type: ignore[misc] # Flask-WTF has no types
    """Who gets an account."""

    login = StringField(
        _l("Login"),
        [
            InputRequired(_l("A login, please.")),
            Regexp(rf"{directory.LOGIN.pattern}\Z", message=_l("Letters, digits and . _ @ + -, at most 100.")),
        ],
    )
    address = StringField(_l("Mail address"), [_is_mailbox])
    plan = SelectField(_l("Plan"))
    time_zone = StringField(_l("Time zone"), [InputRequired(_l("A time zone, please.")), _is_time_zone])
    language = SelectField(
        _l("Language"),
        choices=[SelectChoice("", _l("As the browser asks")), *(SelectChoice(*one) for one in LANGUAGES.items())],
    )
    how = RadioField(
        _l("Password"),
        choices=[
            SelectChoice(_BY_LETTER, _l("Mail a link: the person chooses the password")),
            SelectChoice(_SHOWN, _l("Make one and show it to me once")),
        ],
        default=_BY_LETTER,
    )

    def validate_address(self, field: Field) -> None:
        """A link needs somewhere to go."""
        if self.how.data == _BY_LETTER and not (field.data or "").strip():
            raise ValidationError(_("The link needs an address to go to."))


class ChangeForm(FlaskForm):  # type: ignore[misc] # Flask-WTF has no types
    """What the provider changes of an account."""

    plan = SelectField(_l("Plan"))
    address = StringField(_l("Mail address"), [_is_mailbox])
    time_zone = StringField(_l("Time zone"), [InputRequired(_l("A time zone, please.")), _is_time_zone])
    test_mode = BooleanField(_l("Test mode: accept mail and throw it away"))


class SuspendForm(FlaskForm):  # type: ignore[misc] # Flask-WTF has no types
    """Why an account may not send."""

    reason = StringField(_l("Reason"), [InputRequired(_l("A reason, please: the sender reads it.")), Length(max=100)])


@blueprint.get("/provider/accounts")
@provider
def index() -> ResponseReturnValue:
    """Find accounts."""
    text, chosen = _argument("q") or "", request.args.get("which", "")
    which = Which(chosen) if chosen in set(Which) else Which.ALL
    plan, after = _argument("plan"), _argument("after")
    with services().database.reading() as session:
        page = account_search.find(session, text, which=which, plan=plan, after=after)
        counts = account_search.count(session)
    kept = {name: value for name, value in (("q", text), ("plan", plan)) if value}
    chips = [(words, which is one, counts[one], {**kept, "which": one.value}) for one, words in _WHICH.items()]
    if which is not Which.ALL:
        kept["which"] = which.value
    return render_template(
        "provider_accounts.html", page=page, text=text, plan=plan, chips=chips, kept=kept, after=after
    )


@blueprint.route("/provider/accounts/new", methods=["GET", "POST"])
@provider
def new() -> ResponseReturnValue:
    """A new account: an invitation by letter, or a password that is shown once."""
    form = NewAccountForm(time_zone=_zone_name())
    form.plan.choices = _plan_names()
    if not form.validate_on_submit():
        page = render_template("provider_account_new.html", form=form, zones=_zones())
        return page, 422 if request.method == "POST" else 200
    by_letter, address = form.how.data == _BY_LETTER, (form.address.data or "").strip()
    password = secrets.token_hex(_PASSWORD_OCTETS)
    password_hash, now = passwords.hash_site_password(password), services().now()
    try:
        with services().database.writing() as session:
            account = directory.add_account(
                session,
                login=form.login.data,
                password_hash=password_hash,
                plan_name=form.plan.data,
                time_zone=form.time_zone.data,
                tracking=False,
                notice_address=address or None,
                # By letter: following the link confirms it.
                address=None if by_letter else address or None,
                language=form.language.data or None,
                now=now,
            )
            account_changes.created(session, account, actor(), now)
            if by_letter:
                site_accounts.invite_account(session, account, address, actor(), now)
            account_id, login = account.id, account.login
    # Everything else was looked at by the form; the latter: the same form, sent twice at once.
    except (UserError, IntegrityError):
        form.login.errors = [_("There is an account with this login already.")]
        return render_template("provider_account_new.html", form=form, zones=_zones()), 422
    if by_letter:
        flash(
            _("The account %(login)s is made; a link is mailed to %(address)s.", login=login, address=address), "good"
        )
        return redirect(url_for("provider_accounts.show", account_id=account_id), 303)
    # Shown once: the answer is kept by nobody (no-store), and loading it again asks to send the form again.
    return render_template("provider_account_made.html", account_id=account_id, login=login, password=password)


@blueprint.get("/provider/accounts/<int(max=2147483647):account_id>")
@provider
def show(account_id: int) -> ResponseReturnValue:
    """Everything about one account but its messages."""
    return _page(account_id)


@blueprint.post("/provider/accounts/<int(max=2147483647):account_id>/change")
@provider
def change(account_id: int) -> ResponseReturnValue:
    """Plan, address, time zone and test mode."""
    form = ChangeForm()
    form.plan.choices = _plan_names()
    if not form.validate():
        return _page(account_id, change_form=form), 422
    address = directory.checked_mailbox(typed) if (typed := (form.address.data or "").strip()) else ""
    with services().database.writing() as session:
        account = _find(session, account_id)
        # Links to choose a new password go there.
        if address != (account.address or "") and (stop := _stale(account_id)) is not None:
            return stop
        changed = account_changes.change(
            session,
            account,
            actor(),
            services().now(),
            plan_name=form.plan.data,
            address=address,
            time_zone=form.time_zone.data,
            test_mode=form.test_mode.data,
        )
    flash(_("The account is changed.") if changed else _("Nothing was different."), "good")
    return _back(account_id)


@blueprint.post("/provider/accounts/<int(max=2147483647):account_id>/suspend")
@provider
def suspend(account_id: int) -> ResponseReturnValue:
    """No more mail from it, for a reason that its owner reads."""
    form = SuspendForm()
    if not form.validate():
        return _page(account_id, suspend_form=form), 422
    try:
        with services().database.writing() as session:
            account_changes.suspend(
                session, _find(session, account_id), form.reason.data.strip(), actor(), services().now()
            )
    except UserError:
        form.reason.errors = [_("Letters, digits and signs on one line, at most 100.")]
        return _page(account_id, suspend_form=form), 422
    flash(_("The account is suspended. Its owner is told why."), "good")
    return _back(account_id)


@blueprint.post("/provider/accounts/<int(max=2147483647):account_id>/reinstate")
@provider
def reinstate(account_id: int) -> ResponseReturnValue:
    """It may send again."""
    with services().database.writing() as session:
        account_changes.reinstate(session, _find(session, account_id), actor(), services().now())
    flash(_("The account may send again. Its owner is told."), "good")
    return _back(account_id)


@blueprint.post("/provider/accounts/<int(max=2147483647):account_id>/role")
@provider
def role(account_id: int) -> ResponseReturnValue:
    """Make it a provider, or a customer again."""
    if (stop := _stale(account_id)) is not None:
        return stop
    if account_id == reader().account_id:
        flash(_("Nobody takes this from themselves: let another provider do it."), "bad")
        return _back(account_id)
    is_provider = request.form.get("role") == "provider"
    with services().database.writing() as session:
        account = _find(session, account_id)
        if not account_changes.give_role(session, account, actor(), services().now(), is_provider=is_provider):
            abort(404)
    flash(_("It may see and change every account now.") if is_provider else _("It is a customer now."), "good")
    return _back(account_id)


@blueprint.post("/provider/accounts/<int(max=2147483647):account_id>/second-factor-off")
@provider
def second_factor_off(account_id: int) -> ResponseReturnValue:
    """For somebody who lost the second factor: the password alone signs in again."""
    if (stop := _stale(account_id)) is not None:
        return stop
    with services().database.writing() as session:
        account = _find(session, account_id)
        was_on = site_accounts.turn_second_factor_off(session, account, actor(), services().now())
        site_accounts.end_sessions(session, account_id, services().now(), but=reader().session_id)
    flash(_("The password alone signs in now. The owner is told.") if was_on else _("It was off already."), "good")
    return _back(account_id)


@blueprint.post("/provider/accounts/<int(max=2147483647):account_id>/reset")
@provider
def reset(account_id: int) -> ResponseReturnValue:
    """Mail a link to choose a new password."""
    try:
        with services().database.writing() as session:
            site_accounts.ask_reset(session, _find(session, account_id), actor(), services().now())
    except UserError:
        flash(_("The account has no confirmed mail address; give it one first."), "bad")
        return _back(account_id)
    flash(_("A link to choose a new password is mailed to the account's address."), "good")
    return _back(account_id)


@blueprint.post("/provider/accounts/<int(max=2147483647):account_id>/revoke")
@provider
def revoke(account_id: int) -> ResponseReturnValue:
    """A credential that is good for nothing from now on."""
    login = request.form.get("login", "")
    with services().database.writing() as session:
        owned = Credential.login == login, Credential.account_id == account_id
        if not directory.LOGIN.fullmatch(login) or session.scalar(select(Credential.id).where(*owned)) is None:
            abort(404)
        account_changes.revoke_credential(session, login, actor(), services().now())
    passwd_file = services().passwd_file
    if passwd_file is not None:
        try:
            directory.sync_passwd_file(services().database, passwd_file)
        except UserError:
            flash(_("It is revoked, but Dovecot does not know of it yet: run `sendproof credential sync`."), "bad")
            return _back(account_id)
    flash(_("The credential is revoked."), "good")
    return _back(account_id)


@blueprint.post("/provider/accounts/<int(max=2147483647):account_id>/act")
@provider
def act(account_id: int) -> ResponseReturnValue:
    """See the account's pages as its owner does."""
    if (stop := _stale(account_id)) is not None:
        return stop
    who = reader()
    if account_id == who.account_id:
        flash(_("This is your own account."), "bad")
        return _back(account_id)
    with services().database.writing() as session:
        acting.begin(session, who, _find(session, account_id), actor(), services().now())
    return redirect(own_path(request.form.get("next")) or url_for("messages.index"), 303)


@blueprint.post("/provider/stop-acting")
@signed_in
def stop_acting() -> ResponseReturnValue:
    """Back to the provider's own eyes; for who does not act as anybody, nothing changes."""
    who = reader()
    if not who.is_acting:
        return redirect(url_for("home"), 303)
    with services().database.writing() as session:
        acting.end(session, who, actor(), services().now())
    flash(_("You see your own account again."), "good")
    return _back(who.account_id)


def _page(account_id: int, *, change_form: ChangeForm | None = None, suspend_form: SuspendForm | None = None) -> str:
    """The account's page; with a form that was not accepted, as it was filled in."""
    with services().database.reading() as session:
        account = account_view.read(session, account_id, services().now())
    if account is None:
        abort(404)
    if change_form is None:
        change_form = ChangeForm(
            formdata=None,
            plan=account.plan_name,
            address=account.address or "",
            time_zone=account.time_zone,
            test_mode=account.test_mode,
        )
        change_form.plan.choices = _plan_names()
    return render_template(
        "provider_account.html",
        account=account,
        change_form=change_form,
        suspend_form=suspend_form or SuspendForm(formdata=None),
        zones=_zones(),
        is_own=account_id == reader().account_id,
        limit_names=plan_limits.NAMES,
    )


def _argument(name: str) -> str | None:
    """Of the address; what no database keeps is left out."""
    return request.args.get(name, "")[:_LONGEST_SEARCH].replace("\0", "") or None


def _find(session: Session, account_id: int) -> Account:
    account = session.get(Account, account_id)
    if account is None:
        abort(404)
    return account


def _back(account_id: int) -> ResponseReturnValue:
    return redirect(url_for("provider_accounts.show", account_id=account_id), 303)


def _stale(account_id: int) -> ResponseReturnValue | None:
    """To where the password is asked for, if it was given too long ago for a decision of this weight."""
    if services().now() - reader().authenticated_at <= FRESH:
        return None
    flash(_("Give your password again, then repeat what you were about to do."), "waiting")
    here = url_for("provider_accounts.show", account_id=account_id)
    return redirect(url_for("sign_in.again", next=here), 303)


def _plan_names() -> list[SelectChoice]:
    with services().database.reading() as session:
        return [SelectChoice(name) for name in session.scalars(select(Plan.name).order_by(Plan.name))]


@functools.cache
def _zones() -> tuple[str, ...]:
    """The machine's; they are read from its disk."""
    return tuple(sorted(zoneinfo.available_timezones()))


def _zone_name() -> str:
    """The provider's own zone: most customers live in it."""
    with services().database.reading() as session:
        return session.get_one(Account, reader().account_id).time_zone
