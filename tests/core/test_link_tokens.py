import base64
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core import link_tokens

KEY, OTHER = b"k" * 32, b"j" * 32
ROW = uuid.UUID("019ab000-0000-7000-8000-000000000001")


@given(st.uuids(), st.binary(min_size=32, max_size=64))
def test_a_token_names_its_row(row_id: uuid.UUID, key: bytes) -> None:
    token = link_tokens.make("reset", row_id, key)
    assert len(token) == link_tokens.TOKEN_CHARACTERS
    assert link_tokens.read("reset", token, key) == row_id


def test_a_token_is_good_for_one_kind_and_one_key() -> None:
    token = link_tokens.make("reset", ROW, KEY)
    assert link_tokens.read("address", token, KEY) is None
    assert link_tokens.read("reset", token, OTHER) is None


@given(st.integers(0, 31), st.integers(1, 255))
def test_a_changed_token_is_none(position: int, change: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(link_tokens.make("reset", ROW, KEY) + "="))
    raw[position] ^= change
    assert link_tokens.read("reset", base64.urlsafe_b64encode(raw).decode().rstrip("="), KEY) is None


@given(st.text(max_size=60))
def test_any_other_text_is_none(text: str) -> None:
    assert link_tokens.read("reset", text, KEY) is None


@pytest.mark.parametrize(
    "text", ["", "=" * 43, "A" * 42, "A" * 43, "A" * 44, "\N{DIGIT ONE}" * 43, "٣" * 43, "A" * 42 + "\n"]
)
def test_what_only_looks_like_one_is_none(text: str) -> None:
    assert link_tokens.read("reset", text, KEY) is None


_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(st.uuids(), st.sampled_from(_ALPHABET))
def test_a_token_has_one_spelling(row_id: uuid.UUID, last: str) -> None:
    token = link_tokens.make("reset", row_id, KEY)
    spelled = token[:-1] + last
    same_octets = base64.urlsafe_b64decode(spelled + "=") == base64.urlsafe_b64decode(token + "=")
    # Of four last characters that mean the same octets, one is the token's.
    assert same_octets == (_ALPHABET.index(last) // 4 == _ALPHABET.index(token[-1]) // 4)
    assert link_tokens.read("reset", spelled, KEY) == (row_id if spelled == token else None)


@given(st.uuids(), st.integers(0, 42), st.text("ABCxyz0189-_+/=. \t\n\0", min_size=1, max_size=2), st.booleans())
def test_no_other_text_is_read_as_a_token(row_id: uuid.UUID, position: int, put_in: str, is_longer: bool) -> None:
    token = link_tokens.make("reset", row_id, KEY)
    changed = token[:position] + put_in + token[position + (0 if is_longer else len(put_in)) :]
    assert link_tokens.read("reset", changed, KEY) == (row_id if changed == token else None)
    usual_base64 = token.replace("-", "+").replace("_", "/")
    assert link_tokens.read("reset", usual_base64, KEY) == (row_id if usual_base64 == token else None)
