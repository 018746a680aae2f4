"""What the account is told by mail, where that goes, and what became of each notice. Sends nothing: notices do."""

import logging

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm  # type: ignore[import-untyped] # it has no types
from wtforms import BooleanField, RadioField, SelectField  # type: ignore[import-untyped] # it has no types
from wtforms.fields.choices import SelectChoice  # type: ignore[import-untyped] # it has no types

from sendproof_core import audit, notice_choices, notice_list
from sendproof_core.hostile_text import visible
from sendproof_core.mail_requests import Letter
from sendproof_core.notice_choices import NoticeChoices
from sendproof_core.schema import Account
from sendproof_core.states import Digest, NoticeKind, NoticeState
from sendproof_web.access import actor, reader, signed_in
from sendproof_web.services import services

PAGE_LENGTH = 25
# Where notices go: nowhere, to the account's own address, or where the provider had them sent.
OFF, OWN, KEPT = "off", "own", "kept"
_DELAYS_MINUTES = (5, 10, 30, 60, 240, 720, 1440)
_HIGHEST_ID = 2**63 - 1
_LOG = logging.getLogger(__name__)

blueprint = Blueprint("notices", __name__)


class NoticesForm(FlaskForm):  # type: ignore[misc] # Flask-WTF has no types
    """What to tell, when and where."""

    where = RadioField(_l("Where notices go"))
    failed = BooleanField(_l("A message could not be delivered"))
    deferred = BooleanField(_l("A message is delayed"))
    deferred_after_minutes = SelectField(_l("How long it may take until you are told"), coerce=int)
    delivered = BooleanField(_l("A message was delivered"))
    opened = BooleanField(_l("A message was probably opened"))
    plan_use = BooleanField(_l("Your plan is nearly or wholly used up"))
    digest = RadioField(
        _l("How notices come"),
        choices=[
            SelectChoice(Digest.NONE.value, _l("One by one, at once")),
            SelectChoice(Digest.HOURLY.value, _l("Together, every hour")),
            SelectChoice(Digest.DAILY.value, _l("Together, every morning at 7")),
        ],
    )


@blueprint.route("/account/notices", methods=["GET", "POST"])
@signed_in
def show() -> ResponseReturnValue:
    """The choices, and the list of what was sent."""
    account_id = reader().account_id
    with services().database.reading() as session:
        account = session.get_one(Account, account_id)
        chosen = notice_choices.choices(session, account_id)
        form, places, tracking = _form(account, chosen), _places(account), account.tracking
    if form.validate_on_submit():
        return _save(form, places)
    before = _before()
    with services().database.reading() as session:
        found = notice_list.list_notices(session, account_id, limit=PAGE_LENGTH + 1, before=before)
        waiting = notice_list.count_waiting_for_digest(session, account_id)
    page = render_template(
        "notices.html",
        form=form,
        has_address=len(places) > 1,
        tracking=tracking,
        notices=found[:PAGE_LENGTH],
        next_before=found[PAGE_LENGTH - 1].id if len(found) > PAGE_LENGTH else None,
        before=before,
        waiting=waiting,
        kind_words=kind_words,
        state_words=state_words,
    )
    return page, 422 if request.method == "POST" else 200


def kind_words(kind: NoticeKind, letter: str | None) -> str:
    """What a notice is about."""
    if kind is NoticeKind.LETTER:
        return _letter_words(letter)
    return {
        NoticeKind.DELIVERED: _("Delivered"),
        NoticeKind.DEFERRED: _("Delayed"),
        NoticeKind.FAILED: _("Not delivered"),
        NoticeKind.OPENED: _("Opened"),
        NoticeKind.PLAN_USE: _("Use of your plan"),
        NoticeKind.DIGEST: _("Several pieces of news"),
    }[kind]


def state_words(state: NoticeState) -> tuple[str, str]:
    """A tone for the state of a notice, and its word."""
    return {
        NoticeState.WAITING: ("waiting", _("Waiting")),
        NoticeState.CLAIMED: ("waiting", _("Being sent")),
        NoticeState.SENT: ("good", _("Sent")),
        NoticeState.FAILED: ("bad", _("Not sent")),
        NoticeState.WITHDRAWN: ("unsure", _("No longer needed")),
    }[state]


def _letter_words(letter: str | None) -> str:
    return {
        Letter.CONFIRM_ADDRESS.value: _("Confirm your new address"),
        Letter.CONFIRM_SENDER_ADDRESS.value: _("Confirm an address to send from"),
        Letter.ADDRESS_CHANGED.value: _("The address of your account was changed"),
        Letter.ALREADY_SIGNED_UP.value: _("You have an account already"),
        Letter.RESET.value: _("Choose a new password"),
        Letter.LOGINS.value: _("Your login"),
        Letter.PASSWORD_CHANGED.value: _("Your password was changed"),
        Letter.SECOND_FACTOR_CHANGED.value: _("The second factor was changed"),
        Letter.CREDENTIAL_ADDED.value: _("A new credential can send your mail"),
        Letter.SUSPENDED.value: _("Your account is suspended"),
        Letter.REINSTATED.value: _("Your account is reinstated"),
    }.get(letter or "", _("About your account"))


def _form(account: Account, chosen: NoticeChoices) -> NoticesForm:
    places = _places(account)
    now_at = next((name for name, address in places.items() if address == account.notice_address), OFF)
    form = NoticesForm(
        where=now_at,
        failed=chosen.failed,
        deferred=chosen.deferred,
        deferred_after_minutes=chosen.deferred_after_minutes,
        delivered=chosen.delivered,
        opened=chosen.opened,
        plan_use=chosen.plan_use,
        digest=chosen.digest.value,
    )
    form.where.choices = [
        SelectChoice(name, _("To %(address)s", address=visible(address)) if address else _("Nowhere: I want none"))
        for name, address in places.items()
    ]
    delays = sorted({*_DELAYS_MINUTES, chosen.deferred_after_minutes})
    form.deferred_after_minutes.choices = [SelectChoice(minutes, _delay_words(minutes)) for minutes in delays]
    return form


def _places(account: Account) -> dict[str, str | None]:
    """By what the form calls it: an address, or None. Nobody has notices sent to an address that is not confirmed."""
    places: dict[str, str | None] = {}
    if account.address and account.address_confirmed_at:
        places[OWN] = account.address
    if account.notice_address and account.notice_address not in places.values():
        places[KEPT] = account.notice_address
    return {**places, OFF: None}


def _save(form: NoticesForm, places: dict[str, str | None]) -> ResponseReturnValue:
    now, account_id = services().now(), reader().account_id
    chosen = NoticeChoices(
        delivered=form.delivered.data,
        deferred=form.deferred.data,
        deferred_after_minutes=form.deferred_after_minutes.data,
        failed=form.failed.data,
        opened=form.opened.data,
        plan_use=form.plan_use.data,
        digest=Digest(form.digest.data),
    )
    with services().database.writing() as session:
        account = session.get_one(Account, account_id)
        details = _changes(notice_choices.choices(session, account_id), chosen)
        address = places[form.where.data]
        if address != account.notice_address:
            details["notice_address"] = [account.notice_address, address]
            account.notice_address = address
        notice_choices.save(session, account_id, chosen, now)
        if details:
            audit.record(session, "notices changed", actor(), now, account_id=account_id, details=details)
    _LOG.info("event=notices_changed login=%s by=%s", reader().login, reader().actor_login)
    flash(_("Your choice is saved."), "good")
    return redirect(url_for("notices.show"), 303)


def _changes(before: NoticeChoices, after: NoticeChoices) -> dict[str, list[object]]:
    names = NoticeChoices.__dataclass_fields__
    pairs = {name: [getattr(before, name), getattr(after, name)] for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _delay_words(minutes: int) -> str:
    hours, rest = divmod(minutes, 60)
    if hours and not rest:
        return _("1 hour") if hours == 1 else _("%(hours)s hours", hours=hours)
    return _("1 minute") if minutes == 1 else _("%(minutes)s minutes", minutes=minutes)


def _before() -> int | None:
    text = request.args.get("before")
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 19 or not 0 < int(text) <= _HIGHEST_ID:
        abort(400)
    return int(text)
