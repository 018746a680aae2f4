"""Group commit: what several threads want to make durable at the same time goes to the disk together.

Knows neither database nor file; `Journal` and the milter's ledger say what a commit is.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

# As many as wait at once; each commit holds up those who come after it.
_AT_MOST = 100


class _Ticket(Generic[Item, Outcome]):
    """One thread's item, and the lock that it sleeps on until there is an outcome or it is its turn to commit."""

    __slots__ = ("error", "item", "leads", "outcome", "wake")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.outcome: Outcome
        self.error: BaseException | None = None
        self.leads = False
        self.wake = threading.Lock()
        self.wake.acquire()


class GroupCommit(Generic[Item, Outcome]):
    """Whoever comes first commits for all who wait; who comes meanwhile waits for the next commit, first come first."""

    def __init__(self, commit: Callable[[Sequence[Item]], Sequence[Outcome | BaseException]]) -> None:
        """``commit``: gives one outcome for each item; an exception among them, or raised, is raised to its thread."""
        self._commit = commit
        self._lock = threading.Lock()
        self._waiting: list[_Ticket[Item, Outcome]] = []
        self._busy = False

    def submit(self, item: Item, seconds: float) -> Outcome:
        """The outcome of an item, once it is committed.

        Raises:
            TimeoutError: its turn did not come within ``seconds``; it was not committed and never will be.
        """
        ticket: _Ticket[Item, Outcome] = _Ticket(item)
        with self._lock:
            self._waiting.append(ticket)
            leads = not self._busy
            self._busy = True
        if not leads:
            if not ticket.wake.acquire(timeout=seconds):
                with self._lock:
                    if not ticket.leads and ticket in self._waiting:
                        self._waiting.remove(ticket)
                        raise TimeoutError
                ticket.wake.acquire()  # it is being committed
            leads = ticket.leads
        if leads:
            self._lead()
        if ticket.error is not None:
            raise ticket.error
        return ticket.outcome

    def _lead(self) -> None:
        """Commit what waits, which begins with the caller's own; then let the next of those who came meanwhile."""
        with self._lock:
            batch, self._waiting = self._waiting[:_AT_MOST], self._waiting[_AT_MOST:]
        try:
            for ticket, outcome in zip(batch, self._commit([ticket.item for ticket in batch]), strict=True):
                if isinstance(outcome, BaseException):
                    ticket.error = outcome
                else:
                    ticket.outcome = outcome
        except BaseException as error:  # noqa: BLE001 - raised again by each thread that waits for it, this one included
            for ticket in batch:
                ticket.error = error
        for ticket in batch[1:]:
            ticket.wake.release()
        with self._lock:
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].wake.release()
            else:
                self._busy = False
