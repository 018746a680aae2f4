import contextlib
import dataclasses
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import OperationalError

from sendproof_core import clock
from sendproof_core.database import Database
from sendproof_core.journal import Journal
from sendproof_core.plans import OverQuota
from sendproof_core.schema import Account, Charge, DkimKey, QuotaUse
from sendproof_core.secrets_store import SecretsStore
from sendproof_milter import pipeline
from sendproof_milter.directory_snapshot import DirectorySnapshot
from sendproof_milter.edits import Edits
from sendproof_milter.message import Submission
from sendproof_milter.metrics import Metrics
from sendproof_milter.quota_store import ChargeRequest, QuotaStore
from sendproof_milter.sender_store import SenderStore
from sendproof_milter.work import Reason, Refusal, Site
from sendproof_milter.worker import Pass, TryAgain, Worker
from sendproof_testing.counted import counted
from sendproof_testing.submissions import as_queued, from_wire, submission

_PATIENCE_SECONDS = 20.0
_THREE = ("a@x.example", "b@x.example", "c@x.example")


class _Milter:
    """A worker on a folder: its journal, its ledger."""

    def __init__(
        self,
        database: Database,
        secrets: SecretsStore,
        folder: Path,
        *,
        quota: type[QuotaStore] = QuotaStore,
        accept_uncharged: bool = False,
    ) -> None:
        self.database = database
        self.journal = folder / "milter.journal"
        self.metrics = Metrics()
        self.senders = SenderStore(
            database, secrets, DirectorySnapshot(folder / "milter.snapshot"), clock.monotonic_seconds
        )
        self.worker = Worker(
            quota=quota(database),
            senders=self.senders,
            journal=Journal(self.journal, synchronous=False),
            site=Site(
                "edge.relay.example",
                "https://t.relay.example",
                1,
                secrets.token_keys(),
                split=True,
                accept_uncharged=accept_uncharged,
            ),
            metrics=self.metrics,
            threads=2,
            verify_every=1,
        )

    def decide(self, message: Submission | None = None, seconds: float = _PATIENCE_SECONDS) -> object:
        return self.worker.decide(message or submission(received_at=clock.now()), seconds)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.journal.read_bytes().splitlines()] if self.journal.exists() else []

    def ledger(self) -> tuple[int, int]:
        """Recipients used, charges written."""
        with self.database.reading() as session:
            of_days = select(func.coalesce(func.sum(QuotaUse.recipients), 0)).where(QuotaUse.span == "day")
            return session.scalar(of_days) or 0, session.scalar(select(func.count()).select_from(Charge)) or 0

    def charged(self) -> int:
        """Recipients, by the charges."""
        with self.database.reading() as session:
            return session.scalar(select(func.coalesce(func.sum(Charge.recipients), 0))) or 0

    def lose_the_database(self) -> None:
        """As when its disk is not mounted."""
        self.database.close()
        file = Path(self.database.engine.url.database or "")
        for path in file.parent.glob(f"{file.name}*"):
            path.unlink()
        file.mkdir()


@pytest.fixture
def milter(database: Database, secrets: SecretsStore, tmp_path: Path) -> _Milter:
    return _Milter(database, secrets, tmp_path)


@pytest.fixture
def locked(milter: _Milter) -> Iterator[Callable[[], None]]:
    """Another process's writing transaction that does not end until it is called."""
    release, held = threading.Event(), threading.Event()

    def hold() -> None:
        with milter.database.writing_connection():
            held.set()
            release.wait(_PATIENCE_SECONDS)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(_PATIENCE_SECONDS)
    yield release.set
    release.set()
    holder.join()


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_admitted_message_is_charged_and_journalled(milter: _Milter, caplog: pytest.LogCaptureFixture) -> None:
    verdict = milter.decide()
    assert isinstance(verdict, Pass)
    assert not verdict.discard
    (event,) = milter.events()
    assert (event["event"], event["message_id"]) == ("admitted", str(verdict.work.message_id))
    assert milter.ledger() == (1, 1)
    milter.worker._checks.shutdown()
    assert caplog.records == []  # dkimpy verified the signatures


def test_a_refused_message_is_journalled_and_not_charged(milter: _Milter) -> None:
    verdict = milter.decide(submission(envelope_sender="boss@bank.example"))
    assert isinstance(verdict, Refusal)
    assert verdict.reason is Reason.FOREIGN_SENDER
    (event,) = milter.events()
    assert (event["event"], event["reason"]) == ("refused", "foreign-sender")
    assert milter.ledger() == (0, 0)


def test_over_quota_is_journalled_and_not_charged(milter: _Milter) -> None:
    verdict = milter.decide(submission(recipients=("a@x.example",) * 51))
    assert isinstance(verdict, Refusal)
    assert verdict.reason is Reason.OVER_QUOTA
    assert [event["reason"] for event in milter.events()] == ["over-quota"]
    assert milter.ledger() == (0, 0)


def test_when_the_database_is_away_and_there_is_no_snapshot_the_client_tries_again(
    milter: _Milter, caplog: pytest.LogCaptureFixture
) -> None:
    milter.lose_the_database()
    assert milter.decide() == TryAgain()
    assert milter.events() == []
    assert "event=try-again" in caplog.text


def test_when_a_key_cannot_be_opened_the_client_tries_again_and_nothing_is_charged(milter: _Milter) -> None:
    with milter.database.writing() as session:
        session.execute(update(DkimKey).values(sealed_private_key=b"damaged"))
    assert milter.decide() == TryAgain()
    assert (milter.events(), milter.ledger()) == ([], (0, 0))


def test_when_a_key_is_none_the_client_tries_again(
    milter: _Milter, secrets: SecretsStore, caplog: pytest.LogCaptureFixture
) -> None:
    with milter.database.writing() as session:
        session.execute(update(DkimKey).values(sealed_private_key=secrets.seal(b"no key at all")))
    assert milter.decide() == TryAgain()
    assert "event=key-not-opened domain=own.example selector=sp1" in caplog.text
    assert milter.ledger() == (0, 0)


def test_when_the_journal_cannot_be_written_the_charge_is_taken_back(
    milter: _Milter, caplog: pytest.LogCaptureFixture
) -> None:
    milter.journal.mkdir()
    assert milter.decide() == TryAgain()
    assert milter.ledger() == (0, 0)
    assert "event=charge-taken-back" in caplog.text or caplog.records[0].levelno == logging.ERROR


def test_a_full_disk_is_a_451_and_no_charge(milter: _Milter) -> None:
    milter.journal.symlink_to("/dev/full")
    assert milter.decide() == TryAgain()
    assert milter.ledger() == (0, 0)


def test_while_the_ledger_is_locked_the_message_waits_and_goes_through(
    milter: _Milter, locked: Callable[[], None]
) -> None:
    threading.Timer(0.1, locked).start()
    assert isinstance(milter.decide(), Pass)
    assert milter.ledger() == (1, 1)


def test_a_message_that_takes_too_long_is_a_451_and_its_charge_is_taken_back(
    milter: _Milter, locked: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert milter.decide(seconds=0.1) == TryAgain(is_stuck=True)
    assert "event=message-took-too-long" in caplog.text
    locked()
    _until(lambda: "event=charge-taken-back" in caplog.text)
    assert milter.ledger() == (0, 0)


def test_a_message_that_never_began_is_not_charged_later(milter: _Milter, locked: Callable[[], None]) -> None:
    waiting = [threading.Thread(target=milter.decide) for _ in range(2)]
    for thread in waiting:
        thread.start()
    pool = milter.worker._pool
    _until(lambda: len(pool._threads) == 2 and pool._work_queue.empty())  # both are being worked on
    assert milter.decide(seconds=0.1) == TryAgain()
    locked()
    for thread in waiting:
        thread.join()
    assert milter.ledger() == (2, 2)


def test_a_refused_message_that_took_too_long_has_nothing_to_take_back(
    milter: _Milter, locked: Callable[[], None]
) -> None:
    assert milter.decide(submission(recipients=("a@x.example",) * 51), seconds=0.1) == TryAgain(is_stuck=True)
    locked()
    _until(lambda: [event["event"] for event in milter.events()] == ["refused"])
    assert milter.ledger() == (0, 0)


def test_the_journal_line_is_written_before_the_verdict_is_known(milter: _Milter) -> None:
    os.mkfifo(milter.journal)
    reader = os.open(milter.journal, os.O_RDONLY | os.O_NONBLOCK)
    try:
        verdict = milter.decide()
        assert isinstance(verdict, Pass)
        assert str(verdict.work.message_id).encode() in os.read(reader, 65536)
    finally:
        os.close(reader)


# The journal had let it through already: its recipients stayed "queued" in the record for days.
def test_a_message_that_is_taken_back_is_withdrawn_in_the_journal(milter: _Milter) -> None:
    verdict = milter.decide()
    assert isinstance(verdict, Pass)
    milter.worker.take_back(verdict.work)
    assert [event["event"] for event in milter.events()] == ["admitted", "withdrawn"]
    assert milter.events()[1]["message_id"] == str(verdict.work.message_id)
    assert milter.ledger() == (0, 0)


# --- while the database is away ---------------------------------------------------------------------------------------


def test_with_a_snapshot_the_directory_is_there_and_the_ledger_is_not(
    milter: _Milter, caplog: pytest.LogCaptureFixture
) -> None:
    milter.senders.write_snapshot()
    milter.lose_the_database()
    assert milter.decide() == TryAgain()
    assert "reason='ledger: OperationalError'" in caplog.text
    refusal = milter.decide(submission(login="nobody"))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.UNKNOWN_LOGIN
    assert [event["event"] for event in milter.events()] == ["refused"]


def test_an_operator_may_let_mail_out_uncharged_meanwhile(
    database: Database, secrets: SecretsStore, tmp_path: Path
) -> None:
    milter = _Milter(database, secrets, tmp_path, accept_uncharged=True)
    milter.senders.write_snapshot()
    assert isinstance(milter.decide(), Pass)
    milter.lose_the_database()
    verdict = milter.decide()
    assert isinstance(verdict, Pass)
    assert len(verdict.work.signature_values) == 2
    assert [event["charged_recipients"] for event in milter.events()] == [1, 0]


class _Away(QuotaStore):
    """Each question takes its whole time-out, which a test does not wait for."""

    asked = 0

    def charge(self, request: ChargeRequest) -> OverQuota | None:
        del request
        type(self).asked += 1
        raise OperationalError("BEGIN", None, TimeoutError("locked"))


def test_a_ledger_that_is_away_holds_up_one_message_and_not_all(
    database: Database, secrets: SecretsStore, tmp_path: Path
) -> None:
    _Away.asked = 0
    milter = _Milter(database, secrets, tmp_path, quota=_Away, accept_uncharged=True)
    assert all(isinstance(milter.decide(), Pass) for _ in range(3))
    assert _Away.asked == 1


def test_where_mail_is_not_let_out_uncharged_each_message_asks_the_ledger(
    database: Database, secrets: SecretsStore, tmp_path: Path
) -> None:
    _Away.asked = 0
    milter = _Milter(database, secrets, tmp_path, quota=_Away)
    assert all(milter.decide() == TryAgain() for _ in range(3))
    assert _Away.asked == 3


def test_even_then_nobody_is_let_in_without_the_directory(
    database: Database, secrets: SecretsStore, tmp_path: Path
) -> None:
    milter = _Milter(database, secrets, tmp_path, accept_uncharged=True)
    milter.lose_the_database()
    assert milter.decide() == TryAgain()
    assert milter.events() == []


class _LosesItsConnection(QuotaStore):
    """The server commits, and the connection breaks before it says so."""

    def charge(self, request: ChargeRequest) -> OverQuota | None:
        assert super().charge(request) is None
        raise OperationalError("COMMIT", None, ConnectionError("lost"), connection_invalidated=True)


def test_a_charge_of_which_nobody_knows_is_taken_back(
    database: Database, secrets: SecretsStore, tmp_path: Path
) -> None:
    milter = _Milter(database, secrets, tmp_path, quota=_LosesItsConnection)
    assert milter.decide() == TryAgain()
    assert (milter.events(), milter.ledger()) == ([], (0, 0))


# --- test mode --------------------------------------------------------------------------------------------------------


def test_in_test_mode_a_message_is_accepted_recorded_and_thrown_away(milter: _Milter) -> None:
    with milter.database.writing() as session:
        session.execute(update(Account).values(test_mode=True))
    verdict = milter.decide(submission(recipients=_THREE, received_at=clock.now()))
    assert isinstance(verdict, Pass)
    assert verdict.discard
    (event,) = milter.events()
    assert (event["event"], event["test_mode"], event["split"]) == ("admitted", True, False)
    assert (event["charged_recipients"], event["recipients"]) == (0, list(_THREE))
    assert len(event["signatures"]) == 2
    assert milter.ledger() == (0, 0)
    assert counted(milter.metrics)["messages_total test-mode"] == 1


# --- copies for single recipients -------------------------------------------------------------------------------------


def _split(milter: _Milter) -> Submission:
    """A message that the milter has split, as it comes back for one of three."""
    message = submission(recipients=_THREE, received_at=clock.now())
    verdict = milter.decide(message)
    assert isinstance(verdict, Pass)
    assert [name for name, _ in verdict.edits.inserted].count("X-Sendproof-Split") == 1
    return from_wire(
        as_queued(message, verdict.edits),
        login="",
        daemon_name="resubmit",
        queue_id="4Zcopy",
        recipients=("b@x.example",),
        received_at=clock.now(),
    )


def test_a_split_message_is_charged_once_and_each_copy_is_recorded_with_its_parent(milter: _Milter) -> None:
    copy = _split(milter)
    verdict = milter.decide(copy)
    assert isinstance(verdict, Pass)
    assert not verdict.discard
    admitted, copied = milter.events()
    assert (admitted["event"], admitted["split"], admitted["charged_recipients"]) == ("admitted", True, 3)
    assert (len(admitted["signatures"]), admitted["pixel"]) == (2, "inserted")
    assert (copied["event"], copied["queue_id"], copied["parent_queue_id"]) == ("copied", "4Zcopy", "4Zabc123")
    assert copied["message_id"] == admitted["message_id"]
    assert (copied["recipient"], copied["recipient_number"], copied["pixel"]) == ("b@x.example", 2, "inserted")
    assert len(copied["signatures"]) == 2
    assert milter.ledger() == (3, 1)


def test_a_copy_is_delivered_though_its_account_only_tries_things_out_since(milter: _Milter) -> None:
    copy = _split(milter)
    with milter.database.writing() as session:
        session.execute(update(Account).values(test_mode=True))
    milter.senders._known.clear()
    verdict = milter.decide(copy)
    assert isinstance(verdict, Pass)
    assert not verdict.discard  # it was charged, and its sender was told that it is under way


@pytest.mark.parametrize("daemon_name", ["submission", "smtpd", ""])
def test_a_stamp_opens_nothing_on_another_service(milter: _Milter, daemon_name: str) -> None:
    copy = dataclasses.replace(_split(milter), daemon_name=daemon_name)
    verdict = milter.decide(copy)
    assert isinstance(verdict, Refusal)
    assert verdict.reason is Reason.NO_LOGIN


def test_a_login_opens_nothing_on_the_service_for_copies(milter: _Milter) -> None:
    verdict = milter.decide(submission(daemon_name="resubmit"))
    assert isinstance(verdict, Refusal)
    assert verdict.reason is Reason.NO_STAMP
    assert milter.ledger() == (0, 0)


def test_a_copy_that_fails_does_not_take_the_charge_of_its_message_back(milter: _Milter) -> None:
    copy = _split(milter)
    verdict = milter.decide(copy)
    assert isinstance(verdict, Pass)
    milter.worker.take_back(verdict.work)  # the MTA hung up
    assert milter.ledger() == (3, 1)
    withdrawn = milter.events()[-1]
    assert (withdrawn["event"], withdrawn["queue_id"]) == ("withdrawn", "4Zcopy")
    milter.journal.unlink()
    milter.journal.mkdir()
    assert milter.decide(copy) == TryAgain()
    assert milter.ledger() == (3, 1)


def test_a_copy_that_takes_too_long_does_not_take_the_charge_back_either(
    milter: _Milter, caplog: pytest.LogCaptureFixture
) -> None:
    copy = _split(milter)
    milter.journal.unlink()
    os.mkfifo(milter.journal)  # a disk that does not answer: opened for reading and writing, it fills up
    full = os.open(milter.journal, os.O_RDWR | os.O_NONBLOCK)
    try:
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(full, b"\n" * 4096)
        assert milter.decide(copy, seconds=0.5) == TryAgain(is_stuck=True)
        os.read(full, 65536)
        milter.worker._pool.shutdown()
    finally:
        os.close(full)
    assert "event=message-took-too-long" in caplog.text
    assert milter.ledger() == (3, 1)


# --- what is counted --------------------------------------------------------------------------------------------------


def test_every_verdict_is_counted_and_every_step_measured(milter: _Milter) -> None:
    copy = _split(milter)
    milter.decide(copy)
    milter.decide()
    milter.decide(submission(envelope_sender="boss@bank.example"))
    milter.decide(submission(recipients=tuple(f"{number}@x.example" for number in range(51)), received_at=clock.now()))
    milter.journal.unlink()
    milter.journal.mkdir()
    milter.decide()
    milter.lose_the_database()
    milter.senders._known.clear()
    milter.decide()
    numbers = counted(milter.metrics)
    assert {name: number for name, number in numbers.items() if not name.startswith("step_")} == {
        "messages_total split": 1,
        "messages_total copied": 1,
        "messages_total passed": 1,
        "messages_total refused": 2,
        "messages_total failed": 1,
        "messages_total unavailable": 1,
        "refusals_total foreign-sender": 1,
        "refusals_total recipients_per_day": 1,
        "charged_recipients_total": 4,
        "pixels_total inserted": 2,
    }
    steps = {name.partition(" ")[2]: number for name, number in numbers.items() if name.startswith("step_")}
    assert set(steps) >= {step.__name__ for step in pipeline.STEPS}  # of the first message; then of a few


def test_what_the_mta_is_told_makes_the_message_that_was_signed(milter: _Milter) -> None:
    verdict = milter.decide()
    assert isinstance(verdict, Pass)
    assert isinstance(verdict.edits, Edits)
    assert verdict.edits.body == verdict.work.body
    assert [name for name, _ in verdict.edits.inserted] == ["X-Sendproof-Trace", "DKIM-Signature", "DKIM-Signature"]
