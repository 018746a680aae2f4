"""What the account prefers: opened alerts, time zone, language, test mode. What it is told by mail is `notices`."""

import datetime as dt
import functools
import logging
import re
import zoneinfo

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm  # type: ignore[import-untyped] # it has no types
from sqlalchemy import select
from sqlalchemy.orm import Session
from wtforms import (  # type: ignore[import-untyped] # it has no types
    BooleanField,
    RadioField,
    SelectField,
    StringField,
    ValidationError,
)
from wtforms.fields.choices import SelectChoice  # type: ignore[import-untyped] # it has no types
from wtforms.validators import InputRequired, Length  # type: ignore[import-untyped] # it has no types

from sendproof_core import account_changes, audit
from sendproof_core.schema import Account, AuditEntry
from sendproof_web import locale
from sendproof_web.access import actor, reader, signed_in
from sendproof_web.services import services

# A plan's days and months begin at midnight there: who moves it begins new ones.
ZONE_PAUSE = dt.timedelta(days=30)
_ZONE_CHANGED = "time zone changed"
_PICTURE = re.compile(r"[a-z0-9][a-z0-9._-]{0,94}\.(png|gif|jpg)")
_MOST_PICTURES = 200
_LOG = logging.getLogger(__name__)

blueprint = Blueprint("preferences", __name__)


class PreferencesForm(FlaskForm):  # type: ignore[misc] # Flask-WTF has no types
    """All of the page."""

    tracking = BooleanField(_l("Tell me when my mail is opened"))
    pixel = RadioField(
        _l("Mail to several people"),
        choices=[
            SelectChoice("each", _l("Tell me for each recipient. Each gets a copy of their own.")),
            SelectChoice("shared", _l("Tell me only that somebody opened it. All get the same copy.")),
        ],
    )
    picture = SelectField(_l("What is put into the mail"))
    open_details = BooleanField(_l("Keep the address and the mail program of who opened it"))
    time_zone = StringField(_l("Time zone"), [InputRequired(_l("Choose a time zone.")), Length(max=64)])
    language = SelectField(_l("Language"))
    test_mode = BooleanField(_l("Test mode: accept my mail, but deliver it to nobody"))

    def validate_time_zone(self, field: StringField) -> None:
        """A zone that this machine knows."""
        if field.data not in time_zones():
            raise ValidationError(_("This time zone is not known. Choose one from the list, such as Europe/Vienna."))


@blueprint.route("/account/preferences", methods=["GET", "POST"])
@signed_in
def show() -> ResponseReturnValue:
    """The form, and what it is answered with."""
    with services().database.reading() as session:
        account = session.get_one(Account, reader().account_id)
        form = _form(account)
    if not form.validate_on_submit():
        status = 422 if request.method == "POST" else 200
        return render_template("preferences.html", form=form, zones=time_zones()), status
    now = services().now()
    with services().database.writing() as session:
        account = session.get_one(Account, reader().account_id)
        is_moved = form.time_zone.data != account.time_zone
        if is_moved and (last := _last_move(session, account.id, now)) is not None:
            again = locale.day_and_minute(last + ZONE_PAUSE, reader().zone, now.date())
            form.time_zone.errors = [
                _(
                    "You changed it lately. Your plan counts by it: you can change it again from %(when)s.",
                    when=again,
                )
            ]
            return render_template("preferences.html", form=form, zones=time_zones()), 422
        if is_moved:
            details = {"time_zone": [account.time_zone, form.time_zone.data]}
            audit.record(session, _ZONE_CHANGED, actor(), now, account_id=account.id, details=details)
        account_changes.change(
            session,
            account,
            actor(),
            now,
            tracking=form.tracking.data,
            shared_pixel=form.pixel.data == "shared",
            tracking_image=form.picture.data,
            open_details=form.open_details.data,
            time_zone=form.time_zone.data,
            language=form.language.data,
            test_mode=form.test_mode.data,
        )
    _LOG.info("event=preferences_changed login=%s by=%s", reader().login, reader().actor_login)
    flash(_("Your preferences are saved."), "good")
    return redirect(url_for("preferences.show"), 303)


@functools.cache
def time_zones() -> tuple[str, ...]:
    """Every zone by the name that people look for, not the other spellings that the database of zones has."""
    return tuple(
        sorted(
            name
            for name in zoneinfo.available_timezones()
            if ("/" in name and not name.startswith(("posix/", "right/", "SystemV/"))) or name == "UTC"
        )
    )


def pictures() -> tuple[str, ...]:
    """The pictures that the provider offers instead of the pixel."""
    folder = services().images
    try:
        names = sorted(path.name for path in folder.iterdir()) if folder is not None else []
    except OSError as error:
        _LOG.error("event=pictures_not_read reason=%s", error.strerror)
        names = []
    return tuple(name for name in names if _PICTURE.fullmatch(name))[:_MOST_PICTURES]


def _form(account: Account) -> PreferencesForm:
    form = PreferencesForm(
        tracking=account.tracking,
        pixel="shared" if account.shared_pixel else "each",
        picture=account.tracking_image or "",
        open_details=account.open_details,
        time_zone=account.time_zone,
        language=account.language or "",
        test_mode=account.test_mode,
    )
    offered = dict.fromkeys((*pictures(), *([account.tracking_image] if account.tracking_image else [])))
    form.picture.choices = [SelectChoice("", _("Nothing that can be seen (recommended)")), *map(SelectChoice, offered)]
    form.language.choices = [
        SelectChoice("", _("As my browser says")),
        *(SelectChoice(code, name) for code, name in locale.LANGUAGES.items()),
    ]
    return form


def _last_move(session: Session, account_id: int, now: dt.datetime) -> dt.datetime | None:
    """When the zone was last changed on the site, if that is not long ago. The provider may change it at any time."""
    changed = select(AuditEntry.at).where(AuditEntry.account_id == account_id, AuditEntry.at > now - ZONE_PAUSE)
    return session.scalar(changed.where(AuditEntry.event == _ZONE_CHANGED).order_by(AuditEntry.at.desc()).limit(1))
