import threading
import time
from collections.abc import Sequence

import pytest

from sendproof_core.group_commit import GroupCommit


class _Slow:
    """A commit that waits until it is told to go on; remembers what came together."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)

    def __call__(self, items: Sequence[int]) -> list[int | BaseException]:
        self.batches.append(list(items))
        self.begun.release()
        assert self.go_on.acquire(timeout=10)
        return [ValueError(f"{item} is odd") if item % 2 else item * 10 for item in items]


class _Callers:
    """Threads that each submit one item."""

    def __init__(self, group: GroupCommit[int, int], seconds: float = 10) -> None:
        self.outcomes: dict[int, int | BaseException] = {}
        self._group, self._seconds = group, seconds
        self._threads: list[threading.Thread] = []

    def begin(self, item: int, waiting: int) -> None:
        """Begin, and return when so many wait."""
        self._threads.append(threading.Thread(target=self._submit, args=(item,)))
        self._threads[-1].start()
        while len(self._group._waiting) < waiting:
            time.sleep(0.001)

    def end(self) -> None:
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _submit(self, item: int) -> None:
        try:
            self.outcomes[item] = self._group.submit(item, self._seconds)
        except (ValueError, TimeoutError, ArithmeticError) as error:
            self.outcomes[item] = error


def test_who_is_alone_commits_at_once() -> None:
    group = GroupCommit[int, int](lambda items: [item + 1 for item in items])
    assert [group.submit(number, 0) for number in range(3)] == [1, 2, 3]


def test_those_who_wait_at_the_same_time_are_committed_together_in_their_order() -> None:
    commit = _Slow()
    callers = _Callers(GroupCommit(commit))
    callers.begin(0, waiting=0)
    assert commit.begun.acquire(timeout=10)
    for waiting, item in enumerate((2, 4, 6), start=1):
        callers.begin(item, waiting=waiting)
    commit.go_on.release(2)
    callers.end()
    assert commit.batches == [[0], [2, 4, 6]]
    assert callers.outcomes == {0: 0, 2: 20, 4: 40, 6: 60}


def test_an_error_of_one_is_not_its_neighbours() -> None:
    commit = _Slow()
    callers = _Callers(GroupCommit(commit))
    callers.begin(0, waiting=0)
    assert commit.begun.acquire(timeout=10)
    for waiting, item in enumerate((2, 3), start=1):
        callers.begin(item, waiting=waiting)
    commit.go_on.release(2)
    callers.end()
    assert (callers.outcomes[2], str(callers.outcomes[3])) == (20, "3 is odd")


def test_a_commit_that_fails_fails_for_all_and_the_next_one_works() -> None:
    failing = True

    def commit(items: Sequence[int]) -> list[int]:
        if failing:
            raise ZeroDivisionError
        return list(items)

    group = GroupCommit[int, int](commit)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            group.submit(1, 1)
    failing = False
    assert group.submit(1, 1) == 1


def test_who_waited_too_long_is_never_committed() -> None:
    commit = _Slow()
    group = GroupCommit(commit)
    callers, hurried = _Callers(group), _Callers(group, seconds=0.02)
    callers.begin(0, waiting=0)
    assert commit.begun.acquire(timeout=10)
    hurried.begin(2, waiting=1)
    hurried.end()
    assert isinstance(hurried.outcomes[2], TimeoutError)
    commit.go_on.release()
    callers.end()
    commit.go_on.release()
    assert group.submit(4, 1) == 40
    assert commit.batches == [[0], [4]]


def test_many_threads_get_their_own_outcomes() -> None:
    sizes: list[int] = []

    def commit(items: Sequence[int]) -> list[int]:
        sizes.append(len(items))
        return [item * 2 for item in items]

    group = GroupCommit[int, int](commit)
    wrong: list[int] = []

    def submit(begin: int) -> None:
        wrong.extend(item for item in range(begin, begin + 500) if group.submit(item, 10) != item * 2)

    threads = [threading.Thread(target=submit, args=(1000 * number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (wrong, sum(sizes)) == ([], 4000)
