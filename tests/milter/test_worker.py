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

from sendproof_core import clock
from sendproof_core.database import Database
from sendproof_core.journal import Journal
from sendproof_core.schema import Charge, DkimKey, QuotaUse
from sendproof_core.secrets_store import SecretsStore
from sendproof_milter.message import Submission
from sendproof_milter.pipeline import Reason, Refusal, Site, Work
from sendproof_milter.sender_store import SenderStore
from sendproof_milter.worker import TryAgain, Worker
from sendproof_testing.submissions import submission

_PATIENCE_SECONDS = 20.0


class _Milter:
    """A worker on a folder: its journal, its ledger."""

    def __init__(self, database: Database, secrets: SecretsStore, journal: Path) -> None:
        self.database = database
        self.journal = journal
        self.worker = Worker(
            database=database,
            senders=SenderStore(database, secrets, clock.monotonic_seconds),
            journal=Journal(journal, synchronous=False),
            site=Site("edge.relay.example", "https://t.relay.example", 1, secrets.token_keys()),
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
            used = session.scalar(select(func.coalesce(func.sum(QuotaUse.used), 0))) or 0
            return used, session.scalar(select(func.count()).select_from(Charge)) or 0


@pytest.fixture
def milter(database: Database, secrets: SecretsStore, tmp_path: Path) -> _Milter:
    return _Milter(database, secrets, tmp_path / "milter.journal")


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
    assert isinstance(verdict, Work)
    (event,) = milter.events()
    assert (event["event"], event["message_id"]) == ("admitted", str(verdict.message_id))
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


def test_when_the_database_is_away_the_client_tries_again(
    milter: _Milter, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    milter.database.close()
    for file in tmp_path.glob("sendproof.db*"):
        file.unlink()
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
    assert "queue_id=4Zabc123 event=message-failed" in caplog.text
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
    assert isinstance(milter.decide(), Work)
    assert milter.ledger() == (1, 1)


def test_a_message_that_takes_too_long_is_a_451_and_its_charge_is_taken_back(
    milter: _Milter, locked: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert milter.decide(seconds=0.1) == TryAgain()
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
    assert milter.decide(submission(recipients=("a@x.example",) * 51), seconds=0.1) == TryAgain()
    locked()
    _until(lambda: [event["event"] for event in milter.events()] == ["refused"])
    assert milter.ledger() == (0, 0)


def test_the_journal_line_is_written_before_the_verdict_is_known(milter: _Milter) -> None:
    os.mkfifo(milter.journal)
    reader = os.open(milter.journal, os.O_RDONLY | os.O_NONBLOCK)
    try:
        verdict = milter.decide()
        assert isinstance(verdict, Work)
        assert str(verdict.message_id).encode() in os.read(reader, 65536)
    finally:
        os.close(reader)


# The journal had let it through already: its recipients stayed "queued" in the record for days.
def test_a_message_that_is_taken_back_is_withdrawn_in_the_journal(milter: _Milter) -> None:
    verdict = milter.decide()
    assert isinstance(verdict, Work)
    milter.worker.take_back(verdict)
    assert [event["event"] for event in milter.events()] == ["admitted", "withdrawn"]
    assert milter.events()[1]["message_id"] == str(verdict.message_id)
    assert milter.ledger() == (0, 0)
