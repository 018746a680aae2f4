"""The language, the clock and the calendar of the person who reads a letter. Words nothing itself."""

import datetime as dt
import functools
from dataclasses import dataclass
from pathlib import Path

from babel import Locale, dates, numbers
from babel.support import NullTranslations, Translations

ENGLISH = "en"
_FOLDER = Path(__file__).parent / "translations"


@dataclass(frozen=True)
class Words:
    """``language``: of `languages()`. Names in a text's placeholders are given as keywords."""

    language: str
    zone: dt.tzinfo

    def gettext(self, text: str, **values: object) -> str:
        """The text in the reader's language, with its placeholders filled in."""
        found = str(_catalogue(self.language).ugettext(text))
        return found % values if values else found

    def ngettext(self, one: str, many: str, number: int, **values: object) -> str:
        """The one or the other, as the reader's language counts; ``%(number)s`` is the number as it writes it."""
        found = str(_catalogue(self.language).ungettext(one, many, number))
        return found % {"number": self.number(number), **values}

    def number(self, value: int) -> str:
        """``1,204``."""
        return str(numbers.format_decimal(value, locale=self._locale))

    def moment(self, moment: dt.datetime) -> str:
        """``22 Nov 2026, 14:03 CET``: stands by itself."""
        here = moment.astimezone(self.zone)
        day = dates.format_date(here.date(), "d MMM y" if self.language == ENGLISH else "medium", locale=self._locale)
        return f"{day}, {here:%H:%M} {_zone_name(here)}"

    def clock(self, moment: dt.datetime, today: dt.date) -> str:
        """``14:03:07``; of another day than ``today`` with that."""
        here = moment.astimezone(self.zone)
        return f"{here:%H:%M:%S}" if here.date() == today else self.moment(moment)

    @property
    def _locale(self) -> Locale:
        return Locale.parse(self.language)


def languages() -> frozenset[str]:
    """Those that letters can be written in."""
    return _languages()


def words_for(language: str | None, zone: dt.tzinfo) -> Words:
    """Who has chosen no language, or one that letters are not written in, reads English."""
    return Words(language if language in languages() else ENGLISH, zone)


@functools.lru_cache(maxsize=1)
def _languages() -> frozenset[str]:
    # A catalogue that was not compiled yet is none.
    return frozenset({ENGLISH, *(path.parts[-3] for path in _FOLDER.glob("*/LC_MESSAGES/messages.mo"))})


@functools.lru_cache(maxsize=8)
def _catalogue(language: str) -> NullTranslations:
    return Translations.load(str(_FOLDER), [language], domain="messages")


def _zone_name(here: dt.datetime) -> str:
    name = here.strftime("%Z")
    return name if name.isalpha() else f"UTC{here.isoformat()[-6:]}"
