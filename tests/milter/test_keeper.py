"""The keeper on a real database, beside no mail."""

import datetime as dt
import http.client
import logging
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from sendproof_core import clock
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.plans import QuotaLimits, windows
from sendproof_core.schema import Charge, Message, QueueFile, QuotaUse
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.states import Span
from sendproof_milter.directory_snapshot import DirectorySnapshot
from sendproof_milter.keeper import Keeper, listen_for_metrics
from sendproof_milter.metrics import Metrics
from sendproof_milter.quota_store import ChargeRequest, QuotaStore
from sendproof_milter.sender_store import SenderStore
from sendproof_testing.counted import counted

_HOST = "edge.relay.example"
_PATIENCE_SECONDS = 20.0


class _Kept:
    """A keeper and what it keeps."""

    def __init__(self, database: Database, secrets: SecretsStore, snapshot: Path) -> None:
        self.database = database
        self.snapshot = DirectorySnapshot(snapshot)
        self.quota = QuotaStore(database)
        self.metrics = Metrics()
        self.keeper = Keeper(
            quota=self.quota,
            senders=SenderStore(database, secrets, self.snapshot, clock.monotonic_seconds),
            host=_HOST,
            own_metrics=self.metrics,
            every_seconds=0.01,
            server=None,
        )

    def charge(self, queue_id: str, recipients: int) -> uuid.UUID:
        """A message that was charged a while ago."""
        now = clock.now() - dt.timedelta(minutes=5)
        request = ChargeRequest(
            account_id=1,
            message_id=uuid.uuid4(),
            host=_HOST,
            queue_id=queue_id,
            recipients=tuple(f"{number}@x.example" for number in range(recipients)),
            limits=QuotaLimits(),
            windows=windows(now, "UTC"),
            now=now,
        )
        assert self.quota.charge(request) is None
        return request.message_id

    def record(self, queue_id: str, message_id: uuid.UUID | None = None, **changes: object) -> None:
        """What the record says of a queue file."""
        at = clock.now() - dt.timedelta(minutes=5)
        row = QueueFile(host=_HOST, instance="postfix", queue_id=queue_id, born_at=at, message_id=message_id)
        for name, value in changes.items():
            setattr(row, name, value)
        with self.database.writing() as session:
            if message_id is not None:
                session.add(
                    Message(
                        id=message_id,
                        account_id=1,
                        login="max",
                        credential_label="laptop",
                        submitted_at=at,
                        envelope_sender="max@own.example",
                        size_bytes=1,
                        recipient_count=2,
                        signatures=[],
                        pixel="inserted",
                    )
                )
                session.flush()
            session.add(row)

    def use(self) -> tuple[int, int]:
        """Recipients counted today, charges."""
        with self.database.reading() as session:
            of_days = select(func.coalesce(func.sum(QuotaUse.recipients), 0)).where(QuotaUse.span == Span.DAY.value)
            return session.scalar(of_days) or 0, session.scalar(select(func.count()).select_from(Charge)) or 0


@pytest.fixture
def kept(database: Database, secrets: SecretsStore, tmp_path: Path) -> _Kept:
    return _Kept(database, secrets, tmp_path / "milter.snapshot")


def _new_id() -> uuid.UUID:
    """As the milter gives them: in order of time."""
    return uuid.UUID(int=int((clock.now() - dt.timedelta(minutes=5)).timestamp() * 1000) << 80 | 1)


def test_a_round_writes_the_snapshot(kept: _Kept) -> None:
    kept.keeper.round()
    document = kept.snapshot.find("login max")
    assert document is not None
    assert document["domains"] == ["own.example", "second.example"]


def test_a_round_takes_back_what_postfix_did_not_queue_and_leaves_what_it_did(
    kept: _Kept, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    kept.charge("4Zrefused", 3)
    kept.record("4Zrefused", disposition="rejected")
    kept.charge("4Zqueued", 2)
    kept.record("4Zqueued", size_bytes=500)
    kept.keeper.round()
    assert kept.use() == (2, 1)
    assert counted(kept.metrics) == {
        "reconciled_charges_total taken-back": 1,
        "reconciled_charges_total settled": 1,
    }
    assert "event=reconciled taken_back=1 charged_late=0" in caplog.text


def test_a_round_charges_what_went_out_uncharged_and_the_next_one_does_not_again(kept: _Kept) -> None:
    kept.record("4Zqueued", _new_id(), size_bytes=500)
    kept.keeper.round()
    assert kept.use() == (2, 1)
    assert counted(kept.metrics) == {"reconciled_charges_total charged-late": 1}
    kept.keeper.round()
    assert kept.use() == (2, 1)


def test_where_charges_and_record_agree_nothing_is_said(kept: _Kept, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    kept.keeper.round()
    assert (caplog.records, counted(kept.metrics)) == ([], {})


def test_a_disk_without_room_for_the_snapshot_does_not_stop_the_reconciliation(
    database: Database, secrets: SecretsStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = _Kept(database, secrets, tmp_path / "missing" / "milter.snapshot")
    kept.charge("4Zrefused", 3)
    kept.record("4Zrefused", disposition="rejected")
    kept.keeper.round()
    assert kept.use() == (0, 0)
    assert "event=keeper-failed what=snapshot error=FileNotFoundError" in caplog.text


def test_while_the_database_is_away_the_old_snapshot_stays_and_the_next_round_comes(
    kept: _Kept, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept.keeper.round()
    kept.database.close()
    for path in tmp_path.glob("sendproof.db*"):
        path.rename(path.with_name(f"away-{path.name}"))
    (tmp_path / "sendproof.db").mkdir()
    kept.keeper.round()
    assert [record.getMessage() for record in caplog.records] == [
        "event=keeper-failed what=snapshot error=OperationalError",
        "event=keeper-failed what=reconciliation error=OperationalError",
    ]
    assert kept.snapshot.find("login max") is not None
    (tmp_path / "sendproof.db").rmdir()
    for path in tmp_path.glob("away-*"):
        path.rename(path.with_name(path.name.removeprefix("away-")))
    caplog.clear()
    kept.keeper.round()
    assert caplog.records == []


def test_it_goes_round_until_it_is_told_to_stop(kept: _Kept, tmp_path: Path) -> None:
    stopping = threading.Event()
    thread = threading.Thread(target=kept.keeper.run, args=(stopping,))
    thread.start()
    path = tmp_path / "milter.snapshot"
    _until(path.exists)
    for _ in range(2):
        path.unlink()
        _until(path.exists)
    stopping.set()
    thread.join(_PATIENCE_SECONDS)
    assert not thread.is_alive()


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- the numbers ------------------------------------------------------------------------------------------------------

_ANOTHER_PROCESS = """
import sys
from pathlib import Path
from sendproof_milter import metrics

metrics.prepare(Path(sys.argv[1]))
metrics.Metrics().count_verdict("passed")
"""


@pytest.fixture
def monitor(
    kept: _Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], tuple[int, str, str]]]:
    """Asks a keeper that runs for a path: status, type of the content, content."""
    folder = tmp_path / "m.metrics"
    subprocess.run([sys.executable, "-c", _ANOTHER_PROCESS, str(folder)], check=True)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))
    server = listen_for_metrics("127.0.0.1:0")
    kept.keeper._server = server
    stopping = threading.Event()
    thread = threading.Thread(target=kept.keeper.run, args=(stopping,))
    thread.start()

    def ask(path: str) -> tuple[int, str, str]:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=_PATIENCE_SECONDS)
        connection.request("GET", path)
        answer = connection.getresponse()
        found = answer.status, answer.headers["Content-Type"], answer.read().decode()
        connection.close()
        return found

    yield ask
    stopping.set()
    thread.join()
    server.shutdown()
    server.server_close()


def test_a_monitor_finds_the_numbers_of_all_processes(
    monitor: Callable[[str], tuple[int, str, str]], capfd: pytest.CaptureFixture[str]
) -> None:
    status, content_type, content = monitor("/metrics")
    assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert 'sendproof_milter_messages_total{verdict="passed"} 1.0\n' in content
    assert monitor("/")[0] == 404
    assert monitor("/metrics/..")[0] == 404
    assert capfd.readouterr() == ("", "")  # a monitor asks every few seconds


@pytest.mark.parametrize(
    "address", ["", "9090", ":9090", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:http"]
)
def test_an_address_that_is_none_is_said_so(address: str) -> None:
    with pytest.raises(UserError, match=r"\[milter\] metrics cannot be served at .* name another host:port"):
        listen_for_metrics(address)


def test_an_address_that_another_program_has_is_said_so() -> None:
    server = listen_for_metrics("127.0.0.1:0")
    try:
        with pytest.raises(UserError, match="Address already in use"):
            listen_for_metrics(f"127.0.0.1:{server.server_port}")
    finally:
        server.server_close()
