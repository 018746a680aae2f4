import datetime as dt

import pytest

from sendproof_web import throttle
from sendproof_web.throttle import Guard, Kind

NOW = dt.datetime(2026, 11, 22, 13, 0, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)


def test_an_attempt_waits_until_the_first_of_too_many_failures_is_old() -> None:
    guard = Guard(Kind.SIGN_IN, ("max",), 2, 15 * MINUTE)
    assert throttle.wait([], guard, NOW) is None
    assert throttle.wait([NOW], guard, NOW) is None
    failed_at = [NOW, NOW + 5 * MINUTE]
    assert throttle.wait(failed_at, guard, NOW + 6 * MINUTE) == 9 * MINUTE
    assert throttle.wait(failed_at, guard, NOW + 15 * MINUTE) is None


def test_the_order_of_failures_does_not_matter() -> None:
    guard = Guard(Kind.SIGN_IN, ("max",), 2, 15 * MINUTE)
    assert throttle.wait([NOW + 5 * MINUTE, NOW], guard, NOW + 6 * MINUTE) == 9 * MINUTE


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2ff::1", "2001:db8:1:200::/56"),
        ("", ""),
        ("unix:", ""),
    ],
)
def test_neighbours_count_as_one(address: str, network: str) -> None:
    assert throttle.network_of(address) == network


def test_a_network_of_before_is_not_held_to_what_others_did() -> None:
    stranger = throttle.sign_in("max", "203.0.113.77", is_known=False)
    known = throttle.sign_in("max", "203.0.113.77", is_known=True)
    assert {guard.who[0] for guard in stranger} - {guard.who[0] for guard in known} == {"login"}
    assert throttle.is_known("203.0.113.77", ["198.51.100.1", "203.0.113.9"])
    assert not throttle.is_known("203.0.113.77", ["198.51.100.1"])
    assert not throttle.is_known("", [""])


def test_only_failures_that_a_guesser_cannot_take_back_are_forgotten_at_success() -> None:
    forgotten = {
        guard.who[0] for guard in throttle.sign_in("max", "203.0.113.77", is_known=False) if guard.is_forgotten
    }
    assert forgotten == {"login and network"}


def test_the_spelling_of_a_login_gives_no_more_guesses() -> None:
    assert throttle.sign_in("Max", "203.0.113.77", is_known=False) == throttle.sign_in(
        "max", "203.0.113.77", is_known=False
    )


def test_behind_an_uncounted_proxy_one_visitor_does_not_stop_all_others() -> None:
    assert throttle.letters(Kind.RESET, "127.0.0.1") == ()
    assert len(throttle.letters(Kind.RESET, "203.0.113.77")) == 1


def test_a_new_password_makes_an_end_of_the_failures_of_its_account_and_of_no_network() -> None:
    whose = {guard.who[0] for guard in throttle.of_account(7, "max", "203.0.113.77")}
    assert whose == {"login and network", "login", "account", "day of account"}


def test_nothing_counts_for_longer_than_failures_are_kept() -> None:
    guards = (
        *throttle.sign_in("max", "203.0.113.77", is_known=False),
        *throttle.code(7),
        *throttle.reset("max"),
        *throttle.sign_up("a@b.example"),
        *throttle.confirm(7, "a@b.example"),
        *throttle.letters(Kind.SIGN_UP, "203.0.113.77"),
    )
    assert max(guard.span for guard in guards) <= throttle.LONGEST_SPAN
