"""The language of a page: the account's, else the visitor's choice, else what the browser asks for, else English.

Translates nothing itself: Flask-Babel does, from ``translations/``. How dates are written stands here, too.
"""

import datetime as dt
from pathlib import Path

import flask_babel
from babel import Locale, dates, numbers
from flask import Blueprint, Flask, abort, make_response, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFProtect  # type: ignore[import-untyped] # it has no types

from sendproof_web.access import own_path, public
from sendproof_web.page_reader import page_reader
from sendproof_web.services import services

# Each in its own words: who looks for a language reads that one.
LANGUAGES = {"en": "English", "de": "Deutsch"}
ENGLISH = "en"
FOLDER = Path(__file__).parent / "translations"
_COOKIE = "language"
_ONE_YEAR = 365 * 86400
# How the day is written: with and without the year. Hours and minutes are 24-hour everywhere.
_DAYS = {"en": ("d MMM", "d MMM y"), "de": ("d. MMM", "d. MMM y")}

blueprint = Blueprint("locale", __name__)


def install(app: Flask, csrf: CSRFProtect) -> None:
    """Give the application its languages."""
    flask_babel.Babel(app, default_translation_directories=str(FOLDER), locale_selector=language)
    app.jinja_env.policies["ext.i18n.trimmed"] = True
    app.jinja_env.filters["number"] = number
    app.context_processor(
        lambda: {"page_language": language(), "languages": LANGUAGES, "may_choose_language": _may_choose()}
    )
    # It changes one harmless cookie, and pages without a session have no token.
    csrf.exempt(blueprint)


def language() -> str:
    """``en`` or another of `LANGUAGES`, for the current request."""
    who = page_reader()
    wanted = who.language if who else None
    for choice in (wanted, request.cookies.get(_COOKIE)):
        if choice in LANGUAGES:
            return choice
    # Best first; "en-GB" is English, whatever stands behind it.
    asked = (tag.partition("-")[0].lower() for tag, quality in request.accept_languages if quality > 0)
    return next((tag for tag in asked if tag in LANGUAGES), ENGLISH)


def day_and_minute(moment: dt.datetime, zone: dt.tzinfo, today: dt.date) -> str:
    """``14:03``; with the day before it where it is not ``today``, and the year where it is not this one."""
    here = moment.astimezone(zone)
    if here.date() == today:
        return f"{here:%H:%M}"
    return f"{day(here.date(), today)} {here:%H:%M}"


def day(date: dt.date, today: dt.date | None = None) -> str:
    """``21 Nov`` in the year of ``today``, else ``21 Nov 2025``."""
    short, full = _DAYS[language()]
    pattern = short if today and date.year == today.year else full
    return dates.format_date(date, pattern, locale=_locale())


def number(value: int | float) -> str:
    """``1,204`` as the language writes it."""
    return numbers.format_decimal(value, locale=_locale())


def _locale() -> Locale:
    return Locale.parse(language())


def _may_choose() -> bool:
    """Whether the choice at the foot of the page decides: an account's own setting goes before it."""
    who = page_reader()
    return who is None or who.language is None


@blueprint.post("/language/<wanted>")
@public
def choose(wanted: str) -> ResponseReturnValue:
    """Remember the visitor's choice and go back to the page; an account's own setting still goes first."""
    if wanted not in LANGUAGES:
        abort(404)
    answer = make_response(redirect(own_path(request.form.get("next")) or url_for("home"), 303))
    answer.set_cookie(
        _COOKIE,
        wanted,
        max_age=_ONE_YEAR,
        secure=services().site.url.startswith("https://"),
        httponly=True,
        samesite="Lax",
    )
    return answer
