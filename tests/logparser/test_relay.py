"""The relay of a status line."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_logparser.relay import Relay, take_apart

NOTHING = Relay(None, None, None)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("mx.example.org[192.0.2.4]:25", Relay("mx.example.org", "192.0.2.4", 25)),
        ("127.0.0.1[127.0.0.1]:10024", Relay("127.0.0.1", "127.0.0.1", 10024)),
        (
            "gmail-smtp-in.l.google.com[2607:f8b0:400e:c04::1b]:25",
            Relay("gmail-smtp-in.l.google.com", "2607:f8b0:400e:c04::1b", 25),
        ),
        ("fe.example[fe80::1%eth0]:25", Relay("fe.example", "fe80::1%eth0", 25)),
        ("[192.0.2.4]:25", Relay(None, "192.0.2.4", 25)),
        ("mx.example.org[192.0.2.4]", Relay("mx.example.org", "192.0.2.4", None)),
        ("xn--mx-xka.example[192.0.2.4]:465", Relay("xn--mx-xka.example", "192.0.2.4", 465)),
    ],
)
def test_a_server_has_a_name_an_address_and_a_port(text: str, parts: Relay) -> None:
    assert take_apart(text) == parts


@pytest.mark.parametrize("text", ["mail.example.com[/var/run/dovecot/lmtp]", "mail.example.com[private/dovecot-lmtp]"])
def test_a_socket_is_no_address(text: str) -> None:
    assert take_apart(text) == Relay("mail.example.com", None, None)


@pytest.mark.parametrize("text", ["none", "local", "virtual", "mailman", "dovecot-lda", ""])
def test_a_relay_without_a_server_names_no_server(text: str) -> None:
    assert take_apart(text) == NOTHING


@pytest.mark.parametrize(
    "text",
    [
        "mx.example[192.0.2.4]:25]:26",
        "mx[a][192.0.2.4]:25",
        "mx.example[]:25",
        "mx.example[192.0.2.4",
        "mx.example[192.0.2.4]:123456",
        "mx.example[192.0.2.4]:-1",
        "mx.example[192.0.2.4]: 25",
        "mx .example[192.0.2.4]:25",
        "mx.example[192.0.2.4]:२५",
        "]:25",
    ],
)
def test_what_only_looks_like_a_server_is_none(text: str) -> None:
    assert take_apart(text) == NOTHING


@pytest.mark.parametrize("text", ["mx.example[192.0.2.4]:0", "mx.example[192.0.2.4]:65536"])
def test_a_port_that_cannot_be_is_none(text: str) -> None:
    assert take_apart(text) == Relay("mx.example", "192.0.2.4", None)


@given(st.text() | st.from_regex(r"[a-z\[\]:.0-9 %/]{0,60}", fullmatch=True))
def test_any_text_gives_parts_of_itself(text: str) -> None:
    host, ip, port = take_apart(text)
    assert host is None or text.startswith(host + "[")
    if ip is not None:
        ipaddress.ip_address(ip)
        assert f"[{ip}]" in text
    assert port is None or 0 < port <= 65_535


@given(
    st.from_regex(r"[a-z0-9][a-z0-9.-]{0,60}", fullmatch=True),
    st.ip_addresses().map(str),
    st.integers(min_value=1, max_value=65_535),
)
def test_what_postfix_writes_is_taken_apart(host: str, ip: str, port: int) -> None:
    assert take_apart(f"{host}[{ip}]:{port}") == Relay(host, ip, port)
