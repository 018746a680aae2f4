"""The account's domains: what to publish in DNS, and what was seen there."""

import logging

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm  # type: ignore[import-untyped] # it has no types
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from wtforms import StringField, ValidationError  # type: ignore[import-untyped] # it has no types
from wtforms.validators import InputRequired, Length  # type: ignore[import-untyped] # it has no types

from sendproof_core import audit, domain_directory, domain_names, domain_records, domain_review
from sendproof_core.domain_directory import OwnDomain, Settled
from sendproof_core.domain_records import Setup, Subject
from sendproof_core.errors import UserError
from sendproof_core.schema import Account, OwnAddress
from sendproof_web import domain_words
from sendproof_web.access import actor, freshly_signed_in, reader, signed_in
from sendproof_web.services import services

_LOG = logging.getLogger(__name__)

blueprint = Blueprint("domains", __name__)


class DomainForm(FlaskForm):  # type: ignore[misc] # Flask-WTF has no types
    """A domain that somebody says is theirs."""

    name = StringField(
        _l("Domain"), [InputRequired(_l("The name of your domain, such as example.net.")), Length(max=300)]
    )

    def validate_name(self, field: StringField) -> None:
        """A name that mail can come from; people paste addresses of mailboxes and sites, too."""
        text = field.data.strip().rpartition("@")[2].removeprefix("https://").removeprefix("http://").partition("/")[0]
        try:
            field.data = domain_names.to_ascii(text)
        except ValueError:
            raise ValidationError(_("This is no domain name. Enter it like this: example.net")) from None


@blueprint.get("/account/domains")
@signed_in
def index() -> ResponseReturnValue:
    """All of the account's domains, and the single addresses it may send as."""
    account_id = reader().account_id
    with services().database.reading() as session:
        own = domain_directory.of_account(session, account_id)
        addresses = session.scalars(
            select(OwnAddress).where(OwnAddress.account_id == account_id).order_by(OwnAddress.address_key)
        ).all()
        return render_template("domains.html", domains=own, addresses=addresses, state=domain_words.state)


@blueprint.route("/account/domains/new", methods=["GET", "POST"])
@signed_in
def new() -> ResponseReturnValue:
    """Claim a domain; whether somebody else has it is not said, because the proof decides."""
    form = DomainForm()
    if not form.validate_on_submit():
        return render_template("domains_new.html", form=form), 422 if request.method == "POST" else 200
    now = services().now()
    try:
        with services().database.writing() as session:
            account = session.get_one(Account, reader().account_id)
            name = domain_directory.claim(session, account, form.name.data, now).name
            audit.record(session, "domain claimed", actor(), now, account_id=account.id, details={"domain": name})
    except (UserError, IntegrityError):  # the latter: the same form, sent twice at once
        form.name.errors = [
            _(
                "This domain is on your list already, or your list is full: it has room for %(number)s.",
                number=domain_directory.MOST_DOMAINS,
            )
        ]
        return render_template("domains_new.html", form=form), 422
    _LOG.info("event=domain_claimed domain=%s login=%s", name, reader().login)
    # At once, so that the page can show the record that is there with ours put in.
    _look(_own(name))
    return redirect(url_for("domains.show", name=name), 303)


@blueprint.get("/account/domains/<name>")
@signed_in
def show(name: str) -> ResponseReturnValue:
    """What to publish, beside what was seen."""
    domain, setup = _own(name), _setup()
    findings = domain_records.current(domain.wanted, setup, domain.checked)
    return render_template(
        "domains_show.html",
        domain=domain,
        to_publish=[finding for finding in findings if finding.subject is not Subject.MX],
        hints=[finding for finding in findings if finding.subject is Subject.MX],
        setup=setup,
        state=domain_words.state(domain),
        words=domain_words,
        keys_come_later=not domain.is_proved and domain_records.asks_for_text(domain.wanted, setup),
    )


@blueprint.post("/account/domains/<name>/check")
@signed_in
def check(name: str) -> ResponseReturnValue:
    """Look at DNS now."""
    domain = _own(name)
    match _look(domain):
        case None:
            flash(_("We looked a moment ago. Wait half a minute, then look again."), "waiting")
        case Settled.PROVED:
            flash(_("The domain is yours: you can send mail from its addresses now."), "good")
        case Settled.TAKEN:
            flash(
                _(
                    "Your record is there, but another account uses this domain, and its records are in DNS, too. Take "
                    "those out, wait an hour, and look again; or ask your provider."
                ),
                "bad",
            )
        case Settled.PROVIDERS:
            flash(_("This domain is your provider's own. Ask them if you want to send from it."), "bad")
        case Settled.GONE:
            abort(404)
        case Settled.AS_BEFORE:
            flash(_("We have looked. Below is what we saw."), "good")
    return redirect(url_for("domains.show", name=domain.name), 303)


@blueprint.route("/account/domains/<name>/remove", methods=["GET", "POST"])
@freshly_signed_in
def remove(name: str) -> ResponseReturnValue:
    """Ask once more, then take it off the list."""
    domain = _own(name)
    form = FlaskForm()
    if not form.validate_on_submit():
        return render_template(
            "domains_remove.html", form=form, domain=domain
        ), 422 if request.method == "POST" else 200
    with services().database.writing() as session:
        account = session.get_one(Account, reader().account_id)
        domain_directory.give_up(session, account, domain.name, actor(), services().now())
    _LOG.info("event=domain_removed domain=%s login=%s", domain.name, reader().login)
    flash(_("The domain %(name)s is removed.", name=domain.unicode_name), "good")
    return redirect(url_for("domains.index"), 303)


def _look(domain: OwnDomain) -> Settled | None:
    """Look at DNS and keep what was seen; None if somebody did a moment ago."""
    now = services().now()
    with services().database.writing() as session:
        may_look = domain_directory.may_look(session, domain, now)
    if not may_look:
        return None
    settled = domain_review.review(
        services().database,
        domain,
        dns_settings=services().dns,
        secrets=services().secrets,
        actor=actor(),
        now=now,
    )
    _LOG.info("event=domain_checked domain=%s login=%s settled=%s", domain.name, reader().login, settled.value)
    return settled


def _own(name: str) -> OwnDomain:
    """The reader's domain of that name, or 404: also if it is somebody else's."""
    try:
        ascii_name = domain_names.to_ascii(name)
    except ValueError:
        abort(404)
    with services().database.reading() as session:
        found = domain_directory.find(session, reader().account_id, ascii_name)
    if found is None:
        abort(404)
    return found


def _setup() -> Setup:
    return domain_review.setup_of(services().dns)
