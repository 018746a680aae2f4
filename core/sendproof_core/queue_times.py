"""When Postfix tries again and when it gives up. Pure; Postfix alone decides, we foretell."""

import datetime as dt
import typing
from dataclasses import dataclass

from sendproof_core.settings import setting


@dataclass(frozen=True, kw_only=True)
class QueueTimes:
    """``[queue]``: Postfix's own parameters, told to us so that we can say what it will do."""

    TABLE: typing.ClassVar = "queue"
    minimal_backoff_seconds: int = setting("Postfix's minimal_backoff_time.", default=300, at_least=1)
    maximal_backoff_seconds: int = setting("Postfix's maximal_backoff_time.", default=4000, at_least=1)
    queue_run_seconds: int = setting("Postfix's queue_run_delay.", default=300, at_least=1)
    lifetime_seconds: int = setting("Postfix's maximal_queue_lifetime.", default=432_000, at_least=0)

    def next_attempt(self, attempted_at: dt.datetime, age_seconds: float) -> dt.datetime:
        """The earliest moment of the next attempt; it comes with the queue run after it.

        Postfix 3.7 qmgr_active.c: it waits as long as the message is old, within the two backoffs.
        """
        backoff_seconds = max(age_seconds, self.minimal_backoff_seconds)
        return attempted_at + dt.timedelta(seconds=min(backoff_seconds, self.maximal_backoff_seconds))

    def overdue(self, next_attempt: dt.datetime, now: dt.datetime) -> bool:
        """Whether two queue runs have passed in which it should have been tried."""
        return now > next_attempt + dt.timedelta(seconds=2 * self.queue_run_seconds)

    def gives_up(self, born: dt.datetime) -> dt.datetime:
        """When a message is too old to be tried again."""
        return born + dt.timedelta(seconds=self.lifetime_seconds)
