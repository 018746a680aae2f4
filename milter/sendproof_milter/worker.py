"""One worker process's resources, and what it does with a whole message. Made after the fork; knows no libmilter."""

import concurrent.futures
import itertools
import logging
import uuid
from dataclasses import dataclass

import sqlalchemy.exc

from sendproof_core import clock, identity
from sendproof_core.errors import UserError
from sendproof_core.journal import Journal
from sendproof_core.journal_records import to_line
from sendproof_core.plans import OverQuota, windows
from sendproof_milter import pipeline, records, self_check
from sendproof_milter.edits import Edits, edits_of
from sendproof_milter.message import Submission
from sendproof_milter.metrics import Metrics
from sendproof_milter.quota_store import ChargeRequest, QuotaStore
from sendproof_milter.sender import Sender
from sendproof_milter.sender_store import SenderStore
from sendproof_milter.work import Refusal, Site, Unavailable, Work

_log = logging.getLogger(__name__)
# The service that copies for single recipients come back to (postfix-conf/master.cf.j2).
RESUBMISSION_DAEMON = "resubmit"
_LEDGER_RESTS_SECONDS = 5.0


@dataclass(frozen=True)
class Pass:
    """Let the message through, changed like this. ``discard``: accept it and throw it away (test mode)."""

    work: Work
    edits: Edits
    discard: bool


@dataclass(frozen=True)
class TryAgain:
    """Answer 451: something of ours failed, nothing was charged, the client keeps the message."""

    # It is still being worked on, and may be for ever: the process should be replaced.
    is_stuck: bool = False
    text: str = "Temporary trouble on our side, nothing was sent or counted; please try again"


Verdict = Pass | Refusal | TryAgain


class DatabaseServices:
    """What the pipeline's steps need, from the database."""

    def __init__(self, senders: SenderStore, quota: QuotaStore, host: str, *, ledger_may_rest: bool) -> None:
        """``ledger_may_rest``: one that was away is not asked for some seconds; else each message waits for it."""
        self._senders = senders
        self._quota = quota
        self._host = host
        self._ledger_may_rest = ledger_may_rest
        self._ledger_rests_until = float("-inf")

    def sender(self, login: str) -> Sender | None:
        """See `work.Services`."""
        try:
            return self._senders.find(login)
        except (sqlalchemy.exc.SQLAlchemyError, UserError) as error:
            raise Unavailable(f"directory: {type(error).__name__}") from error

    def account(self, account_id: int) -> Sender | None:
        """See `work.Services`."""
        try:
            return self._senders.find_account(account_id)
        except (sqlalchemy.exc.SQLAlchemyError, UserError) as error:
            raise Unavailable(f"directory: {type(error).__name__}") from error

    def charge(self, sender: Sender, message_id: uuid.UUID, submission: Submission) -> OverQuota | None:
        """See `work.Services`."""
        if clock.monotonic_seconds() < self._ledger_rests_until:
            raise Unavailable("ledger: away a moment ago")
        now = submission.received_at
        request = ChargeRequest(
            account_id=sender.account_id,
            message_id=message_id,
            host=self._host,
            queue_id=submission.queue_id,
            recipients=submission.recipients,
            limits=sender.limits,
            windows=windows(now, sender.time_zone),
            now=now,
        )
        try:
            return self._quota.charge(request)
        except sqlalchemy.exc.SQLAlchemyError as error:
            if self._ledger_may_rest:
                self._ledger_rests_until = clock.monotonic_seconds() + _LEDGER_RESTS_SECONDS
            raise Unavailable(f"ledger: {type(error).__name__}") from error


class Worker:
    """Decides on whole messages, a few at a time, each on a thread that Python made.

    libmilter calls back on threads of its own, where code that takes the interpreter lock by itself can crash; so a
    callback only waits for `decide`.
    """

    def __init__(
        self,
        *,
        quota: QuotaStore,
        senders: SenderStore,
        journal: Journal,
        site: Site,
        metrics: Metrics,
        threads: int,
        verify_every: int,
    ) -> None:
        self._quota = quota
        self._metrics = metrics
        self._services = DatabaseServices(senders, quota, site.host, ledger_may_rest=site.accept_uncharged)
        self._journal = journal
        self._site = site
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="message")
        self._checks = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="self-check")
        self._verify_every = verify_every
        self._counter = itertools.count(1)

    def decide(self, submission: Submission, seconds: float) -> Verdict:
        """The verdict on a message; `TryAgain` if it takes too long. Blocks the caller."""
        future = self._pool.submit(self._decide, submission)
        try:
            return future.result(timeout=seconds)
        except concurrent.futures.TimeoutError:
            is_stuck = not future.cancel()
            if is_stuck:
                self._pool.submit(self._take_back_if_admitted, future)
            _log.error("queue_id=%s event=message-took-too-long seconds=%s", submission.queue_id, seconds)
            return TryAgain(is_stuck=is_stuck)

    def _decide(self, submission: Submission) -> Verdict:
        work = Work(submission, identity.new_message_id(submission.received_at))
        try:
            return self._admit(work)
        except Unavailable as error:
            _log.warning("queue_id=%s event=try-again reason=%r", submission.queue_id, str(error))
            self._metrics.count_verdict("unavailable")
            if not _lost_connection(error):  # before the charge, or because of it: there is nothing to take back
                return TryAgain()
        except Exception:  # noqa: BLE001 - the one broad except of this process: around one message, which stays with its client
            _log.exception("queue_id=%s event=message-failed", submission.queue_id)
            self._metrics.count_verdict("failed")
        self._take_back(work)
        return TryAgain()

    def _admit(self, work: Work) -> Verdict:
        second = work.submission.daemon_name == RESUBMISSION_DAEMON
        steps = pipeline.SECOND_PASS if second else pipeline.STEPS
        done, refusal = pipeline.run(work, self._services, self._site, self._metrics.timed(steps))
        if refusal is not None:
            self._journal.append(to_line(records.refused(done, refusal, self._site)))
            self._metrics.count_refusal(refusal)
            return refusal
        edits = edits_of(done, self._site)
        self._journal.append(to_line(records.of_passed(done, self._site)))
        self._metrics.count_passed(done)
        if done.signature_values and self._verify_every and next(self._counter) % self._verify_every == 0:
            self._checks.submit(self._self_check, done).add_done_callback(_alarm)
        return Pass(done, edits, discard=done.known_sender.test_mode and done.stamp is None)

    def _self_check(self, work: Work) -> None:
        keys = (*work.known_sender.keys, *work.known_sender.provider_keys)
        for value in work.signature_values:
            self_check.verify(work.submission.queue_id, work.signed_headers, value, work.body, keys)

    def _take_back_if_admitted(self, future: concurrent.futures.Future[Verdict]) -> None:
        verdict = future.result()
        if isinstance(verdict, Pass):
            self._withdraw(verdict.work)

    def take_back(self, work: Work) -> None:
        """For a caller on libmilter's thread: the verdict could not be carried out, so the MTA queues nothing."""
        self._pool.submit(self._withdraw, work).result()

    def _withdraw(self, work: Work) -> None:
        """A message that the journal let through already."""
        self._take_back(work)
        try:
            self._journal.append(to_line(records.withdrawn(work, self._site)))
        except OSError as error:
            _log.error("queue_id=%s event=not-withdrawn error=%s", work.submission.queue_id, error)

    def _take_back(self, work: Work) -> None:
        """A message that is answered 451 after its charge was written; a copy has none of its own."""
        if work.submission.daemon_name == RESUBMISSION_DAEMON:
            return
        try:
            if self._quota.uncharge(work.message_id):
                _log.info("queue_id=%s event=charge-taken-back", work.submission.queue_id)
        except sqlalchemy.exc.SQLAlchemyError as error:
            _log.error(
                "queue_id=%s event=charge-not-taken-back message_id=%s reason=%s",
                work.submission.queue_id,
                work.message_id,
                type(error).__name__,
            )


def _lost_connection(error: Unavailable) -> bool:
    """Whether the database went away in mid-transaction: it may have committed the charge all the same."""
    cause = error.__cause__
    return isinstance(cause, sqlalchemy.exc.DBAPIError) and cause.connection_invalidated


def _alarm(checked: concurrent.futures.Future[None]) -> None:
    """A check that could not be made is an alarm as well."""
    if error := checked.exception():
        _log.error("event=self-check-failed error=%s", type(error).__name__)
