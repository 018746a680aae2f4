import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_logparser import queue_id


def test_a_long_queue_id_tells_its_birth() -> None:
    assert queue_id.birth("4PbMVH1gW1z3tBr") == dt.datetime(2023, 3, 14, 5, 27, 35, 236653, dt.UTC)


@pytest.mark.parametrize(
    "short", ["4F5C64474F", "ABCDEF", "C7B4530001DA", "z", "4PbMVHz3tBr", "4PbMVH1gW1z", "0000000000z1"]
)
def test_another_queue_id_tells_no_birth(short: str) -> None:
    assert queue_id.birth(short) is None


@pytest.mark.parametrize("word", ["4jXGhv32rHzJLdv", "4F5C64474F", "ABCDEF", "6A3F73FC075XXXX"])
def test_queue_ids_are_recognised(word: str) -> None:
    assert queue_id.is_queue_id(word)


@pytest.mark.parametrize(
    "word", ["warning", "fatal", "NOQUEUE", "Deleted", "statistics", "1234", "4jX hv32rH", "٣٣٣٣٣٣"]
)
def test_other_words_are_not(word: str) -> None:
    assert not queue_id.is_queue_id(word)


@given(st.text())
def test_no_text_makes_it_fail(text: str) -> None:
    queue_id.is_queue_id(text)
    queue_id.birth(text)
