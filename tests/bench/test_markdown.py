"""Tables in Markdown, and the part of a page that is one."""

import pytest
from bench.markdown import included, table
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.errors import UserError

PAGE = "# Title\n\n<!-- bench-milter -->\nold\n<!-- /bench-milter -->\n\nThe rest.\n"


def test_numbers_are_aligned_to_the_right_and_words_to_the_left() -> None:
    assert table(("milter", "CPU"), [("ours", "1.20"), ("a peer", "10.00")]) == (
        "| milter |   CPU |\n|--------|------:|\n| ours   |  1.20 |\n| a peer | 10.00 |\n"
    )


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    assert included(PAGE, "bench-milter", "new\n") == PAGE.replace("old", "new")


@given(st.text(alphabet=st.characters(exclude_characters="<"), min_size=1))
def test_including_twice_is_including_once(content: str) -> None:
    once = included(PAGE, "bench-milter", content)
    assert included(once, "bench-milter", content) == once


@pytest.mark.parametrize(
    "page",
    [
        "no marker",
        "<!-- bench-milter -->\nno end",
        "<!-- /bench-milter -->\n<!-- bench-milter -->\n",
        PAGE + PAGE,
        PAGE + "<!-- bench-milter -->\n",
        "<!-- /bench-milter -->\n" + PAGE,
    ],
)
def test_a_page_without_its_two_markers_is_refused_with_both_named(page: str) -> None:
    with pytest.raises(UserError, match="<!-- bench-milter --> and, below it, a line <!-- /bench-milter -->"):
        included(page, "bench-milter", "new")
