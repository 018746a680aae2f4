import datetime as dt

import pytest

from sendproof_core import key_rotation
from sendproof_core.states import KeyState

_NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)


def _next(state: KeyState, age: dt.timedelta) -> str:
    return key_rotation.next_step(state, _NOW - age, _NOW, domain="own.example", selector="sp1")


def test_a_selector_says_when_it_was_made() -> None:
    assert key_rotation.fresh_selector(_NOW, []) == "sp202611a"
    assert key_rotation.fresh_selector(_NOW, ["sp202611a", "sp1", "sp202610b"]) == "sp202611b"


def test_a_selector_is_never_taken_twice_also_when_the_letters_are_used_up() -> None:
    taken: list[str] = []
    for _ in range(60):
        taken.append(key_rotation.fresh_selector(_NOW, taken))
    assert len(set(taken)) == len(taken)
    assert taken[25:28] == ["sp202611z", "sp202611aa", "sp202611ab"]


@pytest.mark.parametrize(
    ("state", "days", "says"),
    [
        (KeyState.PENDING, 400, "publish its record, then: sendproof domain activate own.example sp1"),
        (KeyState.ACTIVE, 182, "signs"),
        (KeyState.ACTIVE, 183, "signs, for 183 days: sendproof domain rotate own.example"),
        (KeyState.RETIRING, 13, "leave its record published until 2026-11-23"),
        (KeyState.RETIRING, 14, "sendproof domain retire own.example sp1"),
        (KeyState.RETIRED, 1, "publish its record with the empty p="),
    ],
)
def test_the_next_step_follows_from_state_and_age(state: KeyState, days: int, says: str) -> None:
    assert _next(state, dt.timedelta(days=days)) == says
