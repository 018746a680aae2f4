"""The loop: look what there is to tell, send what is due, wait. Each step is one short transaction or one mail.

SIGTERM and SIGINT are taken between two steps: a mail in flight is finished and marked first. It may also be killed
between any two: `outbox` says why each notice is sent once nevertheless.
"""

import contextlib
import datetime as dt
import itertools
import logging
import queue
import signal
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import FrameType
from typing import Self

from sqlalchemy.exc import OperationalError

from sendproof_core.clock import Clock
from sendproof_core.database import Database
from sendproof_core.hostile_text import visible
from sendproof_core.service_notify import ServiceNotifier
from sendproof_notices import contents, evidence, findings, mail, outbox, plan_findings, sender
from sendproof_notices.contents import CannotBeWritten, NothingToTell, Source
from sendproof_notices.evidence import Evidence, Verdict
from sendproof_notices.findings import Finding
from sendproof_notices.mail import Letterhead, UnusableAddressError
from sendproof_notices.outbox import Claim
from sendproof_notices.sender import NotSubmittedError, Submission, UnknownOutcomeError

# In one transaction.
_BATCH = 100
# What changed lately is looked at in every round. Everything else at the start and now and then: a reader that was
# down writes what happened long ago.
_LATELY = dt.timedelta(minutes=10)
_WHOLE_LOOK_EVERY = dt.timedelta(minutes=10)
_PLAN_LOOK_EVERY = dt.timedelta(seconds=30)
_FORGET_EVERY = dt.timedelta(hours=1)
# Pauses are taken in such steps, so that systemd's watchdog hears of us.
_STEP_SECONDS = 5.0
# How often the record is asked about a submission that ended in doubt, and for how long. Where nobody reads the logs,
# or not for so long, the notice is sent again, perhaps for the second time: better than a failure that nobody hears of.
_LOOK_AGAIN = dt.timedelta(seconds=5)
PATIENCE = dt.timedelta(hours=1)
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
    """What one round did. ``doubtful``: submissions of which it is not known yet whether they were taken over."""

    sent: int = 0
    failed: int = 0
    withdrawn: int = 0
    doubtful: int = 0

    def plus(self, other: "Round") -> "Round":
        """Both together."""
        return Round(
            self.sent + other.sent,
            self.failed + other.failed,
            self.withdrawn + other.withdrawn,
            self.doubtful + other.doubtful,
        )


_SENT, _FAILED, _WITHDRAWN, _DOUBTFUL = Round(sent=1), Round(failed=1), Round(withdrawn=1), Round(doubtful=1)


@dataclass
class _Looked:
    """When what was last looked for; None: not yet."""

    wholly: dt.datetime | None = None
    at_plans: dt.datetime | None = None
    for_old: dt.datetime | None = None


@dataclass(frozen=True)
class Daemon:
    """Turns the record into mails. ``database``: opened by the process that runs this; ``lease``: of one submission."""

    database: Database
    submission: Submission
    letterhead: Letterhead
    source: Source
    lease: dt.timedelta
    clock: Clock
    notifier: ServiceNotifier
    _looked: _Looked = field(default_factory=_Looked)

    def run(self, stop: StopSignals, poll_seconds: float) -> None:
        """Go round until a signal comes. A database that is away is tried again at the next round."""
        _log.info("event=started submission=%s", self.submission)
        self.notifier.ready()
        while not stop.wait(0):
            try:
                self.go_round(stop)
                self.notifier.status("waiting for news")
            except OperationalError as error:
                _log.warning("event=database-unavailable error=%s", visible(str(error.orig)))
                self.notifier.status("the database is away")
            self._pause(stop, poll_seconds)
        self.notifier.stopping()
        _log.info("event=stopped")

    def _pause(self, stop: StopSignals, seconds: float) -> None:
        """Wait for so long, or until a signal comes."""
        while seconds > 0 and not stop.wait(min(seconds, _STEP_SECONDS)):
            self.notifier.alive()
            seconds -= _STEP_SECONDS

    def go_round(self, stop: StopSignals) -> Round:
        """Find what is new, send what is due, until nothing is left or a signal has come."""
        self._find()
        done = Round()
        while not stop.wait(0) and (claimed := self._claim()) is not None:
            self.notifier.alive()
            done = done.plus(self._take_care_of(claimed))
        return done

    # --- finding --------------------------------------------------------------------------------------------------

    def _find(self) -> None:
        now, looked = self.clock(), self._looked
        self._find_letters(now)
        wholly = looked.wholly is None or now - looked.wholly >= _WHOLE_LOOK_EVERY
        since = now - (findings.NEWS if wholly else _LATELY)
        own = self.letterhead.from_address
        with self.database.reading() as session:
            found = list(findings.find(session, own, now, since))
        if looked.at_plans is None or now - looked.at_plans >= _PLAN_LOOK_EVERY:
            with self.database.reading() as session:
                found += plan_findings.find(session, own, now)
            looked.at_plans = now
        self._add(found, now)
        if wholly:
            looked.wholly = now
        self._find_digests(now)
        if looked.for_old is None or now - looked.for_old >= _FORGET_EVERY:
            with self.database.writing() as session:
                outbox.forget(session, now)
            looked.for_old = now

    def _add(self, found: Iterable[Finding], now: dt.datetime) -> None:
        """What belongs to one message stays in one transaction, so that it becomes one notice."""
        of_message = itertools.groupby(
            sorted(found, key=lambda one: (one.account_id, str(one.message_id), one.kind)),
            key=lambda one: (one.account_id, one.message_id),
        )
        batch: list[Finding] = []
        for _, group in of_message:
            batch += group
            if len(batch) >= _BATCH:
                self._add_batch(batch, now)
                batch = []
        self._add_batch(batch, now)

    def _add_batch(self, batch: list[Finding], now: dt.datetime) -> None:
        if batch:
            with self.database.writing() as session:
                outbox.add(session, batch, self.letterhead.domain, now)

    def _find_letters(self, now: dt.datetime) -> None:
        while True:
            with self.database.reading() as session:
                if not outbox.has_letters(session, now):
                    return
            with self.database.writing() as session:
                outbox.add_letters(session, self.letterhead.domain, now, limit=_BATCH)

    def _find_digests(self, now: dt.datetime) -> None:
        with self.database.reading() as session:
            if not outbox.is_digest_due(session, now):
                return
        with self.database.writing() as session:
            outbox.add_digests(session, self.letterhead.domain, now)

    # --- sending --------------------------------------------------------------------------------------------------

    def _claim(self) -> Claim | None:
        with self.database.writing() as session:
            return outbox.claim(session, self.letterhead.domain, self.lease, self.clock())

    def _take_care_of(self, claimed: Claim) -> Round:
        if claimed.doubtful_since is None:
            return self._deliver(claimed)
        found = self._ask_the_record(claimed, claimed.doubtful_since)
        match found.verdict:
            case Verdict.TAKEN_OVER:
                with self.database.writing() as session:
                    outbox.mark_sent(session, claimed, found.at or self.clock())
                _log.info("notice=%d event=found-sent", claimed.notice_id)
                return _SENT
            case Verdict.UNKNOWN:
                with self.database.writing() as session:
                    outbox.mark_doubtful(session, claimed, None, self.clock() + _LOOK_AGAIN)
                return _DOUBTFUL
            case Verdict.NOT_TAKEN_OVER:
                with self.database.writing() as session:
                    again = outbox.try_again(session, claimed, self.lease, self.clock())
                return self._deliver(again) if again else Round()

    def _ask_the_record(self, claimed: Claim, began_at: dt.datetime) -> Evidence:
        with self.database.reading() as session:
            found = evidence.look(session, claimed.message_id_header, began_at + self.lease)
        if found.verdict is Verdict.UNKNOWN and self.clock() - began_at > PATIENCE:
            _log.warning("notice=%d event=record-silent sending=again", claimed.notice_id)
            return Evidence(Verdict.NOT_TAKEN_OVER)
        return found

    def _deliver(self, claimed: Claim) -> Round:
        """Send one notice and mark it."""
        try:
            self._send(claimed)
        except OperationalError:
            raise
        except NothingToTell as reason:
            with self.database.writing() as session:
                outbox.withdraw(session, claimed, str(reason))
            _log.info("notice=%d event=withdrawn", claimed.notice_id)
            return _WITHDRAWN
        except UnknownOutcomeError as error:
            with self.database.writing() as session:
                outbox.mark_doubtful(session, claimed, visible(str(error)), self.clock() + _LOOK_AGAIN)
            _log.warning("notice=%d event=in-doubt tries=%d", claimed.notice_id, claimed.tries)
            return _DOUBTFUL
        except (NotSubmittedError, CannotBeWritten) as error:
            return self._failed(claimed, visible(str(error)))
        except UnusableAddressError:
            return self._failed(claimed, "that is no mail address")
        except Exception as bug:  # noqa: BLE001 - one notice that cannot be made must not hold up the others
            _log.error("notice=%d event=bug", claimed.notice_id, exc_info=True)
            return self._failed(claimed, f"internal error: {type(bug).__name__}")
        with self.database.writing() as session:
            outbox.mark_sent(session, claimed, self.clock())
        _log.info("notice=%d event=sent kind=%s", claimed.notice_id, claimed.kind)
        return _SENT

    def _failed(self, claimed: Claim, error: str) -> Round:
        with self.database.writing() as session:
            outbox.mark_failed(session, claimed, error, self.clock())
        _log.warning("notice=%d event=not-sent tries=%d error=%s", claimed.notice_id, claimed.tries, error)
        return _FAILED

    def _send(self, claimed: Claim) -> None:
        now = self.clock()
        with self.database.reading() as session:
            written = contents.write(session, claimed, self.source, now)
        composed = mail.compose(
            written.letter,
            self.letterhead,
            to_address=claimed.to_address,
            message_id_header=claimed.message_id_header,
            language=written.language,
            now=now,
        )
        sender.submit(
            self.submission,
            composed,
            from_address=self.letterhead.from_address,
            to_address=claimed.to_address,
            is_in_time=lambda: self.clock() < claimed.lease_ends_at,
        )
