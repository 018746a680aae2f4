import pytest

from sendproof_core.addresses import address_key
from sendproof_core.dkim_keys import ED25519_SHA256
from sendproof_milter.sender import Sender
from sendproof_testing.submissions import sender, signing_key


def _with_own_addresses(*addresses: str) -> Sender:
    return sender(domains=frozenset({"own.example"}), own_addresses=frozenset(map(address_key, addresses)))


@pytest.mark.parametrize("address", ["max@own.example", "anybody@OWN.Example.", '"a@b"@own.example', "@own.example"])
def test_every_address_at_an_own_domain_may_be_used(address: str) -> None:
    assert _with_own_addresses().may_use(address)


@pytest.mark.parametrize(
    "address",
    [
        *("", "max", "own.example", "max@", "max@example", "max@sub.own.example", "max@notown.example"),
        *("max@own.example@bank.example", "max@own.example>", "max@own.example\0", "max@own.exampl\u0435"),
    ],
)
def test_only_the_domain_itself_is_owned(address: str) -> None:
    assert not _with_own_addresses().may_use(address)


def test_an_own_domain_is_known_in_both_its_forms() -> None:
    account = sender(domains=frozenset({"xn--mnchen-3ya.example"}))
    assert account.may_use("max@münchen.example")
    assert account.may_use("max@MÜNCHEN.example")
    assert account.may_use("max@xn--mnchen-3ya.example")
    assert not account.may_use("max@munchen.example")


def test_at_a_foreign_domain_only_the_own_address_may_be_used() -> None:
    account = _with_own_addresses("max@gmail.example")
    assert account.may_use("max@gmail.example")
    assert account.may_use("Max@GMAIL.example.")
    assert account.may_use('"max"@gmail.example')
    for address in ("eva@gmail.example", "max@mail.gmail.example", "max+boss@gmail.example", "gmail.example", "max"):
        assert not account.may_use(address)


# The directory keeps A-labels; a client that writes the letters was refused its own address.
def test_an_own_address_at_an_international_domain_is_known_in_both_its_forms() -> None:
    account = _with_own_addresses("max@xn--mnchen-3ya.example")
    assert account.may_use("max@münchen.example")
    assert account.may_use("max@XN--mnchen-3ya.example")
    assert not account.may_use("eva@münchen.example")


def test_who_owns_nothing_may_use_nothing() -> None:
    account = sender(domains=frozenset(), own_addresses=frozenset())
    assert not any(account.may_use(address) for address in ("", "@", "max@own.example", "max"))


def test_no_key_shows_in_a_traceback_or_a_log() -> None:
    assert "PRIVATE" not in repr(sender())
    numbers = signing_key().private_key
    assert not hasattr(numbers, "private_numbers") or str(numbers.private_numbers().d) not in repr(signing_key())
    ed25519 = signing_key(algorithm=ED25519_SHA256)
    secret = ed25519.private_key
    assert not hasattr(secret, "private_bytes_raw") or secret.private_bytes_raw().hex() not in repr(ed25519)
