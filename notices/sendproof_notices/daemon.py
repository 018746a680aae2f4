"""The loop: look what there is to tell, send what is due, wait. Each step is one short transaction or one mail.

SIGTERM and SIGINT are taken between two steps: a mail in flight is finished and marked first.
"""

import contextlib
import logging
import queue
import signal
from dataclasses import dataclass
from types import FrameType
from typing import Self

from sqlalchemy.exc import OperationalError

from sendproof_core.clock import Clock
from sendproof_core.database import Database
from sendproof_core.hostile_text import visible
from sendproof_notices import outbox, selection, sender, wording
from sendproof_notices.outbox import Claim
from sendproof_notices.sender import NotSubmittedError, Submission
from sendproof_notices.wording import Letterhead, UnusableAddressError

_BATCH = 100
_log = logging.getLogger(__name__)


class StopSignals:
    """SIGTERM and SIGINT while this is entered: they end a `wait`, and nothing else. Enter it in the main thread.

    Not `sigtimedwait`: a process that was stopped and continued would take the end of its time-out for a signal.
    """

    _SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __enter__(self) -> Self:
        # Unlike an Event's, this queue's `put` may be called by a signal handler that interrupts `get`.
        self._received: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stopping = False
        self._before = {number: signal.signal(number, self._take) for number in self._SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wait(self, seconds: float) -> bool:
        """Wait for a signal for so long; whether one has come, now or before. 0: only look."""
        if not self._stopping and seconds > 0:
            with contextlib.suppress(queue.Empty):
                self._received.get(timeout=seconds)
        return self._stopping

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True
        self._received.put(None)


@dataclass(frozen=True)
class Round:
    """What one round did."""

    sent: int
    failed: int


@dataclass(frozen=True)
class Daemon:
    """Turns the record into mails. ``database``: opened by the process that runs this."""

    database: Database
    submission: Submission
    letterhead: Letterhead
    clock: Clock

    def run(self, stop: StopSignals, poll_seconds: float) -> None:
        """Go round until a signal comes. A database that is away is tried again at the next round."""
        _log.info("event=started submission=%s", self.submission)
        while not stop.wait(0):
            try:
                self.go_round(stop)
            except OperationalError as error:
                _log.warning("event=database-unavailable error=%s", visible(str(error.orig)))
            stop.wait(poll_seconds)
        _log.info("event=stopped")

    def go_round(self, stop: StopSignals) -> Round:
        """Find what is new, send what is due, until nothing is left or a signal has come."""
        self._find()
        sent = failed = 0
        while not stop.wait(0) and (claimed := self._claim()) is not None:
            if self._deliver(claimed):
                sent += 1
            else:
                failed += 1
        return Round(sent, failed)

    def _find(self) -> None:
        own = self.letterhead.from_address
        while True:
            now = self.clock()
            with self.database.reading() as session:
                found = selection.failures_to_tell(session, own, now, limit=_BATCH)
            if not found:
                return
            with self.database.writing() as session:
                outbox.add(session, found, now)

    def _claim(self) -> Claim | None:
        with self.database.writing() as session:
            return outbox.claim(session, self.clock())

    def _deliver(self, claimed: Claim) -> bool:
        """Send one notice and mark it; whether it was taken over."""
        try:
            error = self._send(claimed)
        except OperationalError:
            raise
        except Exception as bug:  # noqa: BLE001 - one notice that cannot be made must not hold up the others
            _log.error("notice=%d event=bug", claimed.notice_id, exc_info=True)
            error = f"internal error: {type(bug).__name__}"
        now = self.clock()
        with self.database.writing() as session:
            if error is None:
                outbox.mark_sent(session, claimed, now)
            else:
                outbox.mark_failed(session, claimed, error, now)
        if error is None:
            _log.info("notice=%d event=sent recipient=%d", claimed.notice_id, claimed.recipient_id)
        else:
            _log.warning("notice=%d event=not-sent tries=%d error=%s", claimed.notice_id, claimed.tries, error)
        return error is None

    def _send(self, claimed: Claim) -> str | None:
        """None if the submission server took it over, else why not."""
        with self.database.reading() as session:
            failure = selection.load_failure(session, claimed.recipient_id)
        if failure is None:
            return "the record no longer has this recipient"
        own = self.letterhead.from_address
        try:
            mail = wording.compose(
                failure,
                self.letterhead,
                to_address=claimed.to_address,
                message_id_header=claimed.message_id_header(own.rpartition("@")[2]),
                now=self.clock(),
            )
            sender.submit(self.submission, mail, from_address=own, to_address=claimed.to_address)
        except UnusableAddressError:
            return "the account's notice address is no mail address"
        except NotSubmittedError as error:
            return visible(str(error))
        return None
