import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.password_rules import LONGEST, SHORTEST, Weakness, weakness


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "x7 blaue Pferde am See",
        "Tr0ub4dour&3xx",
        "ein langer satz über brot",
        "🐴" * 3 + "battery staple",
    ],
)
def test_what_takes_long_to_guess_may_be_chosen_whatever_it_is_made_of(password: str) -> None:
    assert weakness(password, ("max", "max@example.org")) is None


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("", Weakness.SHORT),
        ("x7!Pf-Am,Se", Weakness.SHORT),
        ("x" * (LONGEST + 1), Weakness.LONG),
        ("passwordpassword", Weakness.GUESSABLE),
        ("qwertzuiop123", Weakness.GUESSABLE),
        ("aaaaaaaaaaaaaaaaaaaa", Weakness.GUESSABLE),
        ("1234567890123456", Weakness.GUESSABLE),
        ("correct horse\tbattery", Weakness.CONTROL),
        ("correct horse\0battery", Weakness.CONTROL),
        ("eva.muster@mail.example", Weakness.PERSONAL),
    ],
)
def test_what_others_would_try_first_may_not(password: str, why: Weakness) -> None:
    assert weakness(password, ("eva.muster", "eva.muster@mail.example")) is why


def test_every_reason_says_what_to_do() -> None:
    assert str(SHORTEST) in Weakness.SHORT.value
    assert all(reason.value.endswith((".", "better.")) and len(reason.value) > 40 for reason in Weakness)


@given(st.text(max_size=LONGEST + 5), st.lists(st.text(max_size=30), max_size=3))
def test_any_text_is_judged(password: str, about: list[str]) -> None:
    found = weakness(password, about)
    assert (found is Weakness.LONG) == (len(password) > LONGEST)
    assert (found is Weakness.SHORT) == (len(password) < SHORTEST)


def test_a_long_password_is_judged_quickly_and_by_its_beginning() -> None:
    assert weakness("ab" * 100) is Weakness.GUESSABLE
