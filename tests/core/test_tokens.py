import base64
import datetime as dt
import struct
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core import tokens
from sendproof_core.tokens import Purpose, Token

_KEYS = {1: b"1" * 32, 2: b"2" * 32}
_NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)
_TOKEN = Token(Purpose.PIXEL, uuid.UUID(int=7), 3, dt.datetime(2026, 11, 22, 14, tzinfo=dt.UTC))
_TOKENS = st.builds(
    Token,
    st.sampled_from(Purpose),
    st.uuids(),
    st.integers(0, 65535),
    st.integers(500_000, 10_000_000).map(lambda hours: dt.datetime.fromtimestamp(hours * 3600, dt.UTC)),
)


@given(_TOKENS, st.sampled_from([1, 2]))
def test_a_token_says_what_it_was_made_of(token: Token, number: int) -> None:
    text = tokens.make(token, number, _KEYS[number])
    assert len(text) == tokens.TOKEN_CHARACTERS
    assert tokens.read(text, _KEYS, token.expires) == token


@given(st.text(max_size=80) | st.text("abcXYZ019-_+/=", min_size=56, max_size=56))
def test_anything_else_says_nothing(text: str) -> None:
    assert tokens.read(text, _KEYS, _NOW) is None


@given(st.integers(0, 41), st.integers(1, 255))
def test_a_token_in_which_one_octet_was_changed_says_nothing(place: int, change: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(tokens.make(_TOKEN, 1, _KEYS[1])))
    raw[place] ^= change
    assert tokens.read(base64.urlsafe_b64encode(raw).decode(), _KEYS, _NOW) is None


def test_a_token_of_a_key_that_is_gone_says_nothing() -> None:
    text = tokens.make(_TOKEN, 2, _KEYS[2])
    assert tokens.read(text, {1: _KEYS[1]}, _NOW) is None
    assert tokens.read(text, {2: _KEYS[1]}, _NOW) is None


def test_a_token_is_good_until_its_hour_ends() -> None:
    text = tokens.make(
        Token(Purpose.PIXEL, uuid.UUID(int=7), 3, dt.datetime(2026, 11, 22, 13, 1, tzinfo=dt.UTC)), 1, _KEYS[1]
    )
    assert tokens.read(text, _KEYS, dt.datetime(2026, 11, 22, 14, tzinfo=dt.UTC)) == _TOKEN
    assert tokens.read(text, _KEYS, dt.datetime(2026, 11, 22, 14, 0, 1, tzinfo=dt.UTC)) is None


@pytest.mark.parametrize(("version", "purpose"), [(2, 1), (0, 1), (1, 0), (1, 99)])
def test_a_version_or_purpose_of_another_time_says_nothing(version: int, purpose: int) -> None:
    head = struct.pack("!BBBx16sHI", version, purpose, 1, bytes(16), 0, 2**31)
    text = base64.urlsafe_b64encode(head + tokens._mac(head, _KEYS[1])).decode()
    assert tokens.read(text, _KEYS, _NOW) is None


def test_nothing_personal_is_inside() -> None:
    assert struct.calcsize("!BBBx16sHI") + 16 == len(base64.urlsafe_b64decode(tokens.make(_TOKEN, 1, _KEYS[1]))) == 42
