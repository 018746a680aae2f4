import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.addresses import address_key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a..b@x.example", '"a..b"@x.example'),
        (".dot@x.example", '".dot"@x.example'),
        ('"solo"@x.example', "solo@x.example"),
        ('"so\\lo"@x.example', "solo@x.example"),
        ('"a\\@b"@x.example', '"a@b"@x.example'),
        ("@relay.example:route@x.example", "route@x.example"),
        ("x@accept.example (comment)", "x@accept.example"),
        ("Max@X.Example", "max@x.example"),
        ("max@x.example.", "max@x.example"),
    ],
)
def test_spellings_of_one_address_have_one_key(one: str, other: str) -> None:
    assert address_key(one) == address_key(other)


def test_different_addresses_have_different_keys() -> None:
    keys = {
        address_key(text) for text in ("a@x.example", "b@x.example", "a@y.example", "a+b@x.example", "a.b@x.example")
    }
    assert len(keys) == 5


@given(st.text())
def test_any_text_has_a_key(text: str) -> None:
    assert isinstance(address_key(text), str)
