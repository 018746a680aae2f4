"""A plan's limits as a form takes them and as pages say them. Decides nothing: `directory` says what can be."""

import dataclasses
import re

from flask_babel import LazyString
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm  # type: ignore[import-untyped] # it has no types
from wtforms import Field, HiddenField, StringField, ValidationError  # type: ignore[import-untyped] # it has no types
from wtforms.validators import InputRequired, Length  # type: ignore[import-untyped] # it has no types

from sendproof_core import wording
from sendproof_core.plans import QuotaLimits
from sendproof_web import locale

SIZE = "message_octets"
_OCTETS_OF_MB = 1024**2
_LARGEST = 2**31 - 1
# A whole number, with or without marks between the thousands.
_NUMBER = re.compile(r"\d{1,10}|\d{1,3}(?:[ .,'\u00a0\u2009\u202f]\d{3}){1,3}")
_MEGABYTES = re.compile(r"\d{1,4}(?:[.,]\d{1,7})?")

NAMES: dict[str, LazyString] = {
    "messages_per_hour": _l("Messages per hour"),
    "recipients_per_hour": _l("Recipients per hour"),
    "messages_per_day": _l("Messages per day"),
    "recipients_per_day": _l("Recipients per day"),
    "new_recipients_per_day": _l("New recipients per day"),
    "messages_per_month": _l("Messages per month"),
    "recipients_per_month": _l("Recipients per month"),
    "recipients_per_message": _l("Recipients of one message"),
    SIZE: _l("Largest message"),
}


def _is_number(_form: FlaskForm, field: Field) -> None:
    text = (field.data or "").strip()
    if not text:
        return
    if not _NUMBER.fullmatch(text) or not 1 <= _number(text) <= _LARGEST:
        raise ValidationError(_("A whole number from 1, or nothing for no limit."))


def _is_size(_form: FlaskForm, field: Field) -> None:
    text = (field.data or "").strip()
    if text and (not _MEGABYTES.fullmatch(text) or not 1 <= _octets(text) <= _LARGEST):
        raise ValidationError(_("A size in MB, at most 2047, such as 25 or 0.5, or nothing for no limit."))


def _limit_field(name: str) -> StringField:
    return StringField(NAMES[name], [Length(max=20), _is_size if name == SIZE else _is_number])


class PlanForm(FlaskForm):  # type: ignore[misc] # Flask-WTF has no types
    """A plan. An empty limit is none. ``edition``: which one the form was made from."""

    name = StringField(_l("Name"), [InputRequired(_l("A name, please.")), Length(max=100)])
    messages_per_hour = _limit_field("messages_per_hour")
    recipients_per_hour = _limit_field("recipients_per_hour")
    messages_per_day = _limit_field("messages_per_day")
    recipients_per_day = _limit_field("recipients_per_day")
    new_recipients_per_day = _limit_field("new_recipients_per_day")
    messages_per_month = _limit_field("messages_per_month")
    recipients_per_month = _limit_field("recipients_per_month")
    recipients_per_message = _limit_field("recipients_per_message")
    message_octets = _limit_field(SIZE)
    edition = HiddenField()

    def limits(self) -> QuotaLimits:
        """What was typed, once it is valid."""
        found: dict[str, int | None] = {}
        for name in NAMES:
            text = (self[name].data or "").strip()
            found[name] = None if not text else _octets(text) if name == SIZE else _number(text)
        return QuotaLimits(**found)


def typed(limits: QuotaLimits) -> dict[str, str]:
    """What the form's fields show for these limits."""
    return {name: _typed(name, value) for name, value in dataclasses.asdict(limits).items()}


def value_words(name: str, value: int | None) -> str:
    """A limit's value for people."""
    if value is None:
        return str(_("no limit"))
    return wording.size(value) if name == SIZE else locale.number(value)


def limit_words(limits: QuotaLimits) -> list[tuple[str, str]]:
    """Every limit that is set: its name and its value."""
    values = dataclasses.asdict(limits)
    return [(str(words), value_words(name, values[name])) for name, words in NAMES.items() if values[name] is not None]


def _typed(name: str, value: int | None) -> str:
    if value is None:
        return ""
    if name != SIZE:
        return str(value)
    # Seven places tell every number of octets.
    return f"{value / _OCTETS_OF_MB:.7f}".rstrip("0").rstrip(".")


def _number(text: str) -> int:
    return int(re.sub(r"\D", "", text))


def _octets(text: str) -> int:
    return round(float(text.replace(",", ".")) * _OCTETS_OF_MB)
