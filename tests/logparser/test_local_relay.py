import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_logparser.local_relay import LocalRelays


@pytest.mark.parametrize(
    "name",
    [
        "127.0.0.1[127.0.0.1]:10024", "localhost[127.0.0.1]", "localhost[127.8.0.1]:25", "localhost[::1]:10025",
        "localhost[::1]",
    ],
)  # fmt: skip
def test_loopback_addresses_are_this_machine(name: str) -> None:
    assert LocalRelays().holds(name)


@pytest.mark.parametrize(
    "name",
    [
        "mx.example.net[192.0.2.1]:25", "unknown[unknown]", "none", "local", "", "dovecot", "mx[2001:db8::1]:25",
        "mx[2001:db8:0:1::1]:25", "mx[192.0.2.127]:25", "mx[1.127.0.0]:25", "mx.example.net[private/127.0.0.1]",
        # what stands in front of the address says nothing
        "127.0.0.1[192.0.2.1]:25", "127.0.0.1", "localhost", "[127.0.0.1].example.net[192.0.2.1]:25",
        "[::1].example.net[192.0.2.1]:25",
    ],
)  # fmt: skip
def test_every_other_name_is_not(name: str) -> None:
    assert not LocalRelays().holds(name)
    assert not LocalRelays(("203.0.113.5",)).holds(name)


@pytest.mark.parametrize("name", ["out.relay.example[203.0.113.5]:25", "mx[2001:db8::5]", "unknown[203.0.113.5]"])
def test_addresses_that_the_settings_name_are_this_machine_too(name: str) -> None:
    own = LocalRelays(("203.0.113.5", "2001:db8::5"))
    assert own.holds(name)
    assert own.holds("localhost[127.0.0.1]")
    assert not LocalRelays().holds(name)


def test_an_address_that_only_begins_or_ends_as_ours_is_not_ours() -> None:
    own = LocalRelays(("203.0.113.5",))
    assert not own.holds("mx[203.0.113.50]:25")
    assert not own.holds("mx[1203.0.113.5]:25")


def test_another_edge_is_no_machine_of_ours_and_a_machine_of_ours_no_other_edge() -> None:
    relays = LocalRelays(("203.0.113.5",), ("198.51.100.2", "2001:db8::2"))
    for name in ("edge-b.example[198.51.100.2]:25", "edge-b[2001:db8::2]:25"):
        assert relays.is_edge(name)
        assert not relays.holds(name)
        assert not relays.is_declared(name)
    for name in ("out.relay.example[203.0.113.5]:25", "localhost[127.0.0.1]:25", "mx[198.51.100.20]:25", "none"):
        assert not relays.is_edge(name)
    assert not LocalRelays().is_edge("edge-b.example[198.51.100.2]:25")


@given(st.text() | st.from_regex(r"[a-z.\[\]0-9:]{0,20}\[127\.[0-9.\[\]]{0,10}(:25)?"))
def test_no_name_makes_it_fail(name: str) -> None:
    assert LocalRelays().holds(name) in {True, False}
    assert LocalRelays((), ("192.0.2.1",)).is_edge(name) in {True, False}
