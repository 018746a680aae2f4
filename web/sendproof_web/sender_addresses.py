"""Single addresses that the account may send as, at domains that are not its own: confirmed by a mail to each.

The link in that mail is good only for who is signed in to the account that asked: nobody is talked into lending their
address to somebody else. Opening it changes nothing; the button does.
"""

import datetime as dt
import logging

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm  # type: ignore[import-untyped] # it has no types
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from wtforms import StringField, ValidationError  # type: ignore[import-untyped] # it has no types
from wtforms.validators import InputRequired, Length  # type: ignore[import-untyped] # it has no types

from sendproof_core import audit, directory, mail_requests, site_links
from sendproof_core.addresses import address_key
from sendproof_core.errors import UserError
from sendproof_core.mail_requests import Letter
from sendproof_core.schema import Account, OwnAddress, SiteLink
from sendproof_core.states import LinkPurpose
from sendproof_web.access import actor, freshly_signed_in, reader, signed_in
from sendproof_web.services import services

# Mails that an account may cause in a day: to addresses that are perhaps not its own.
_ASKED_PER_DAY = 10
_MOST = 50
_DAY = dt.timedelta(days=1)
_LOG = logging.getLogger(__name__)

blueprint = Blueprint("sender_addresses", __name__)


class AddressForm(FlaskForm):  # type: ignore[misc] # Flask-WTF has no types
    """An address to send as."""

    address = StringField(_l("Address"), [InputRequired(_l("The address, such as you@example.net.")), Length(max=320)])

    def validate_address(self, field: StringField) -> None:
        """One that mail can be sent to."""
        try:
            field.data = directory.checked_mailbox(field.data.strip())
        except UserError:
            raise ValidationError(_("This is no mail address. Enter it like this: you@example.net")) from None


@blueprint.route("/account/addresses/new", methods=["GET", "POST"])
@freshly_signed_in
def new() -> ResponseReturnValue:
    """Ask for a mail to the address."""
    form = AddressForm()
    if not form.validate_on_submit():
        return render_template("domains_address_new.html", form=form), 422 if request.method == "POST" else 200
    with services().database.writing() as session:
        problem = _ask(session, form.address.data, services().now())
    if problem is not None:
        form.address.errors = [problem]
        return render_template("domains_address_new.html", form=form), 422
    flash(_("We have sent a mail to %(address)s. Open the link in it.", address=form.address.data), "good")
    return redirect(url_for("domains.index"), 303)


@blueprint.route("/sender-address/<token>", methods=["GET", "POST"])
@signed_in
def confirm(token: str) -> ResponseReturnValue:
    """Where the link in the mail leads: a button, and what it does."""
    form, now, key = FlaskForm(), services().now(), services().links_key
    with services().database.reading() as session:
        link = site_links.find(session, token, LinkPurpose.SENDER_ADDRESS, key, now)
        address = link.address if link is not None and link.account_id == reader().account_id else None
    if address is None:
        return render_template("domains_address_gone.html"), 404
    if not form.validate_on_submit():
        status = 422 if request.method == "POST" else 200
        return render_template("domains_address_confirm.html", form=form, address=address), status
    try:
        with services().database.writing() as session:
            link = site_links.find(session, token, LinkPurpose.SENDER_ADDRESS, key, now)
            if link is None or not site_links.use(session, link, now):
                return render_template("domains_address_gone.html"), 404
            is_added = _add(session, address, now)
    except IntegrityError:  # another account was faster
        is_added = False
    if is_added:
        _LOG.info("event=sender_address_added login=%s", reader().login)
        flash(_("You can send as %(address)s now.", address=address), "good")
    else:
        flash(_("%(address)s cannot be added: it, or its domain, belongs to another account.", address=address), "bad")
    return redirect(url_for("domains.index"), 303)


@blueprint.route("/account/addresses/<int(max=2147483647):address_id>/remove", methods=["GET", "POST"])
@freshly_signed_in
def remove(address_id: int) -> ResponseReturnValue:
    """Ask once more, then take it away."""
    form = FlaskForm()
    with services().database.reading() as session:
        own = session.get(OwnAddress, address_id)
        address = own.address if own is not None and own.account_id == reader().account_id else None
    if address is None:
        abort(404)
    if not form.validate_on_submit():
        status = 422 if request.method == "POST" else 200
        return render_template("domains_address_remove.html", form=form, address=address), status
    with services().database.writing() as session:
        account = session.get_one(Account, reader().account_id)
        try:
            directory.remove_own_address(session, account, address)
        except UserError:
            abort(404)  # another request was faster
        details = {"address": address}
        audit.record(
            session, "sender address removed", actor(), services().now(), account_id=account.id, details=details
        )
    flash(_("%(address)s is removed.", address=address), "good")
    return redirect(url_for("domains.index"), 303)


def _ask(session: Session, address: str, now: dt.datetime) -> str | None:
    """Ask for the mail with the link; or say why not."""
    account = session.get_one(Account, reader().account_id)
    mine = select(func.count()).select_from(OwnAddress).where(OwnAddress.account_id == account.id)
    if (session.scalar(mine) or 0) >= _MOST:
        return _("You have %(number)s addresses. Remove those that you do not need any more.", number=_MOST)
    same = select(OwnAddress.id).where(OwnAddress.address_key == address_key(address))
    if session.scalar(same.where(OwnAddress.account_id == account.id)) is not None:
        return _("You can send as this address already.")
    asked = select(func.count()).select_from(SiteLink).where(SiteLink.account_id == account.id)
    asked = asked.where(SiteLink.purpose == LinkPurpose.SENDER_ADDRESS.value, SiteLink.created_at > now - _DAY)
    if (session.scalar(asked) or 0) >= _ASKED_PER_DAY:
        return _("You asked for %(number)s such mails today. Go on tomorrow.", number=_ASKED_PER_DAY)
    link = site_links.make(session, LinkPurpose.SENDER_ADDRESS, address=address, account_id=account.id, now=now)
    mail_requests.ask(
        session,
        Letter.CONFIRM_SENDER_ADDRESS,
        to_address=address,
        now=now,
        account_id=account.id,
        language=account.language,
        link_id=link.id,
        data={"login": account.login},
    )
    details = {"address": address}
    audit.record(session, "sender address asked for", actor(), now, account_id=account.id, details=details)
    return None


def _add(session: Session, address: str, now: dt.datetime) -> bool:
    account = session.get_one(Account, reader().account_id)
    try:
        directory.add_own_address(session, account, address, now)
    except UserError:
        return False
    details = {"address": address}
    audit.record(session, "sender address added", actor(), now, account_id=account.id, details=details)
    return True
