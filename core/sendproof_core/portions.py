"""Many values a portion at a time: statements and transactions have their limits. Runs no statement."""

import itertools
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def portions(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of ``size`` items (at least 1), the last one of what is left; none if there are no items."""
    left = iter(items)
    while portion := list(itertools.islice(left, size)):
        yield portion
