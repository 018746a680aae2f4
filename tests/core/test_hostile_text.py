import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.hostile_text import visible


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain text, <b> & all", "plain text, <b> & all"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("two\r\nlines\tand a tab", "two\\x0d\\x0alines\\x09and a tab"),
        ("C1: \x9b31m", "C1: \\x9b31m"),
        ("photo\u202egpj.exe", "photo\\u202egpj.exe"),
        ("line\u2028separator", "line\\u2028separator"),
        ("lone \udcff surrogate", "lone \\udcff surrogate"),
        ("tag \U000e0041", "tag \\U000e0041"),
        ("non\u00a0breaking", "non breaking"),
        ("Grüße, 你好, 👩\u200d🔬", "Grüße, 你好, 👩\u200d🔬"),
    ],
)
def test_harmful_characters_become_visible_and_words_stay(raw: str, shown: str) -> None:
    assert visible(raw) == shown


@given(st.text(st.characters()))
def test_what_is_visible_is_harmless_and_stays_as_it_is(text: str) -> None:
    shown = visible(text)
    assert visible(shown) == shown
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cs", "Zl", "Zp"}
