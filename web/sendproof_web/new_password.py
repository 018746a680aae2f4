"""The form fields for a new password, and why one is refused, in the reader's language. `password_rules` decides."""

from collections.abc import Iterable

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm  # type: ignore[import-untyped] # it has no types
from wtforms import PasswordField  # type: ignore[import-untyped] # it has no types
from wtforms.validators import EqualTo, InputRequired, Length  # type: ignore[import-untyped] # it has no types

from sendproof_core import password_rules
from sendproof_core.password_rules import LONGEST, SHORTEST, Weakness

_REASONS = {
    Weakness.SHORT: _l(
        "This password is too short: use at least %(count)s characters. Four or five random words are easy to keep.",
        count=SHORTEST,
    ),
    Weakness.LONG: _l("This password is too long: use at most %(count)s characters.", count=LONGEST),
    Weakness.CONTROL: _l("This password has a character that cannot be typed: leave out tabs and the like."),
    Weakness.GUESSABLE: _l(
        "This password is easy to guess: many people choose one like it. Four or five random words are better."
    ),
    Weakness.PERSONAL: _l(
        "This password is easy to guess from your login or address. Choose one that has nothing to do with them."
    ),
}


class NewPasswordForm(FlaskForm):  # type: ignore[misc] # Flask-WTF has no types
    """A new password, typed twice."""

    password = PasswordField(_l("New password"), [InputRequired(_l("A new password, please.")), Length(max=1024)])
    repeat = PasswordField(
        _l("The same once more"),
        [
            InputRequired(_l("The same password once more, please.")),
            EqualTo("password", _l("The two passwords differ; type the same one twice.")),
        ],
    )

    def accepts(self, about: Iterable[str]) -> bool:
        """Whether the password may be chosen; if not, the field says why. ``about``: what is known of its owner."""
        weakness = password_rules.weakness(self.password.data, about)
        if weakness is not None:
            self.password.errors = [*self.password.errors, _REASONS[weakness]]
        return weakness is None
