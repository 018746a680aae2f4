"""Portions: everything once, in its order, none larger than asked for and none empty."""

from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.portions import portions


@given(st.lists(st.integers()), st.integers(min_value=1, max_value=10))
def test_all_items_come_once_in_their_order_and_only_the_last_portion_is_smaller(items: list[int], size: int) -> None:
    found = list(portions(items, size))
    assert [item for portion in found for item in portion] == items
    assert all(len(portion) == size for portion in found[:-1])
    assert all(1 <= len(portion) <= size for portion in found)
    assert list(portions(iter(items), size)) == found
