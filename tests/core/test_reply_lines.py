import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.reply_lines import REPLY_CODE, split_lines


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ("250 2.0.0 Ok: queued as 4dDn", ("250 2.0.0 Ok: queued as 4dDn",)),
        ("550 no 550 such user", ("550 no 550 such user",)),
        ("550-5.1.1 first line 550 second, without", ("550-5.1.1 first line", "550 second, without")),
        ("550-a 550-b 550 c 550-d", ("550-a", "550-b", "550 c 550-d")),
        ("550-cut off at 2,000 charac", ("550-cut off at 2,000 charac",)),
    ],
)
def test_only_a_reply_that_announces_more_lines_is_split(words: str, lines: tuple[str, ...]) -> None:
    assert split_lines(words) == lines


@pytest.mark.parametrize(
    ("words", "code", "enhanced_code"),
    [
        ("250 2.0.0 Ok", "250", "2.0.0"),
        ("550-5.1.10 no", "550", "5.1.10"),
        ("250", "250", None),
        ("450 192.0.2.1 is not known", "450", None),
        ("421 4.7.0.1 no", "421", None),
        ("650 what", None, None),
        ("2500 what", None, None),
    ],
)
def test_codes_are_read_where_they_stand(words: str, code: str | None, enhanced_code: str | None) -> None:
    found = REPLY_CODE.match(words)
    assert (found["code"] if found else None) == code
    assert (found["enhanced"] if found else None) == enhanced_code


@given(st.text())
def test_no_word_is_lost(text: str) -> None:
    for words in (text, f"550-{text}", f"550-5.1.1 {text} 550 5.1.1 {text}"):
        assert " ".join(split_lines(words)) == words
