import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_logparser import grammar_words
from sendproof_logparser.grammar_words import ADDRESS, stands_for_queue_id
from sendproof_logparser.queue_id import is_queue_id
from sendproof_testing.log_records import log_records, phrases_without_a_line


@given(st.one_of(st.from_regex(r"[0-9A-Za-z]{0,45}", fullmatch=True), st.text()))
def test_the_fast_check_of_a_queue_id_is_the_exact_one(word: str) -> None:
    assert stands_for_queue_id(word) == is_queue_id(word)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "root",
        "a@example.com",
        '"a b>"@example.com',
        '"a\\"b"@example.com',
        "@own.example:a@example.com",
        '"\\\\"@x',
    ],
)
def test_an_address_is_quoted_as_a_whole_or_not_at_all(address: str) -> None:
    match = re.fullmatch(ADDRESS, f"<{address}>")
    assert match
    assert match[1] == address


@pytest.mark.parametrize("text", ['<a"b>', '<"a>', '<a"b>c"@example.com>', "<a>b>", '<"a"b"@example.com>'])
def test_what_is_quoted_in_part_is_no_address(text: str) -> None:
    assert re.fullmatch(ADDRESS, text) is None


def test_every_beginning_of_a_verbose_line_is_in_the_corpus() -> None:
    texts = [record.text for record in log_records()]
    assert phrases_without_a_line(grammar_words.OFTEN_VERBOSE, texts) == []
