"""Times and numbers are the reader's; a language without words is English."""

import datetime as dt
import zoneinfo

import pytest

from sendproof_notices import words
from sendproof_notices.words import Words, words_for

VIENNA = zoneinfo.ZoneInfo("Europe/Vienna")
MOMENT = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)


@pytest.mark.parametrize("language", [None, "xx", "../..", ""])
def test_a_language_without_words_is_english(language: str | None) -> None:
    assert words_for(language, VIENNA).language == "en"


def test_every_language_that_was_compiled_is_offered() -> None:
    assert "en" in words.languages()


def test_moments_stand_by_themselves_in_the_readers_zone() -> None:
    english = Words("en", VIENNA)
    assert english.moment(MOMENT) == "22 Nov 2026, 14:03 CET"
    assert Words("de", VIENNA).moment(MOMENT) == "22.11.2026, 14:03 CET"
    assert Words("en", zoneinfo.ZoneInfo("America/Sao_Paulo")).moment(MOMENT) == "22 Nov 2026, 10:03 UTC-03:00"
    assert english.clock(MOMENT, dt.date(2026, 11, 22)) == "14:03:05"
    assert english.clock(MOMENT, dt.date(2026, 11, 21)) == "22 Nov 2026, 14:03 CET"


def test_placeholders_are_filled_and_plain_texts_left_alone() -> None:
    english = Words("en", VIENNA)
    assert english.gettext("%(used)s %% of your plan", used=80) == "80 % of your plan"
    assert english.gettext("100 % sure") == "100 % sure"
    assert english.ngettext("%(number)s line", "%(number)s lines", 1) == "1 line"
    assert english.ngettext("%(number)s line", "%(number)s lines", 1204) == "1,204 lines"
    assert Words("de", VIENNA).number(1204) == "1.204"
