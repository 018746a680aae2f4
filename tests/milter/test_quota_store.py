"""The ledger, on SQLite and on PostgreSQL."""

import contextlib
import datetime as dt
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy.exc
from sqlalchemy import func, select

from sendproof_core.database import Database
from sendproof_core.plans import OverQuota, day_window
from sendproof_core.schema import Charge, QuotaUse
from sendproof_milter.quota_store import RECIPIENTS_PER_DAY, ChargeRequest, QuotaStore
from sendproof_testing.submissions import NOW

_ACCOUNT = 1
_ZONE = "Europe/Vienna"
_WORKERS = 8


def _request(
    recipients: int = 1, limit: int | None = 50, now: dt.datetime = NOW, message_id: uuid.UUID | None = None
) -> ChargeRequest:
    return ChargeRequest(
        _ACCOUNT, message_id or uuid.uuid4(), "edge", "4Zabc", recipients, limit, day_window(now, _ZONE), now
    )


def _uses(database: Database) -> dict[dt.datetime, int]:
    with database.reading() as session:
        rows = session.execute(select(QuotaUse.window_begins, QuotaUse.used))
        return {row.window_begins: row.used for row in rows}


def _used(database: Database, now: dt.datetime = NOW) -> int:
    return _uses(database).get(day_window(now, _ZONE).begins, 0)


def _charged(database: Database) -> int:
    """What the charges say: always what the use says."""
    with database.reading() as session:
        return session.scalar(select(func.coalesce(func.sum(Charge.recipients), 0))) or 0


def test_a_charge_raises_the_use_and_is_written_down(ledger: Database) -> None:
    request = _request(3)
    assert QuotaStore(ledger).charge(request) is None
    with ledger.reading() as session:
        use = session.scalars(select(QuotaUse)).one()
        charge = session.scalars(select(Charge)).one()
        assert (use.account_id, use.limit_name, use.used) == (_ACCOUNT, RECIPIENTS_PER_DAY, 3)
        assert use.window_begins == charge.window_begins == request.window.begins
        assert (charge.message_id, charge.host, charge.queue_id) == (request.message_id, "edge", "4Zabc")
        assert (charge.recipients, charge.charged_at) == (3, NOW)


def test_the_limit_itself_is_allowed_and_one_more_is_not(ledger: Database) -> None:
    store = QuotaStore(ledger)
    assert store.charge(_request(49)) is None
    assert store.charge(_request(1)) is None
    assert store.charge(_request(1)) == OverQuota(50, 50, 1, day_window(NOW, _ZONE).ends)
    assert (_used(ledger), _charged(ledger)) == (50, 50)


def test_a_message_counts_as_a_whole_or_not_at_all(ledger: Database) -> None:
    store = QuotaStore(ledger)
    store.charge(_request(49))
    assert store.charge(_request(2)) == OverQuota(50, 49, 2, day_window(NOW, _ZONE).ends)
    assert store.charge(_request(1)) is None
    assert (_used(ledger), _charged(ledger)) == (50, 50)


def test_a_first_message_over_the_limit_is_refused(ledger: Database) -> None:
    assert QuotaStore(ledger).charge(_request(51)) == OverQuota(50, 0, 51, day_window(NOW, _ZONE).ends)
    assert (_used(ledger), _charged(ledger)) == (0, 0)


def test_no_limit_counts_all_the_same(ledger: Database) -> None:
    store = QuotaStore(ledger)
    assert store.charge(_request(1_000_000, limit=None)) is None
    assert store.charge(_request(1_000_000, limit=None)) is None
    assert _used(ledger) == 2_000_000


def test_a_message_is_charged_at_most_once(ledger: Database) -> None:
    store, request = QuotaStore(ledger), _request(3)
    store.charge(request)
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        store.charge(request)
    assert (_used(ledger), _charged(ledger)) == (3, 3)


def test_a_charge_is_taken_back_once(ledger: Database) -> None:
    store, request = QuotaStore(ledger), _request(3)
    store.charge(request)
    store.charge(_request(2))
    assert store.uncharge(request.message_id)
    assert not store.uncharge(request.message_id)
    assert (_used(ledger), _charged(ledger)) == (2, 2)


def test_what_was_never_charged_is_not_taken_back(ledger: Database) -> None:
    assert not QuotaStore(ledger).uncharge(uuid.uuid4())
    assert _uses(ledger) == {}


def test_each_day_of_the_account_counts_for_itself(ledger: Database) -> None:
    store = QuotaStore(ledger)
    last_moment = dt.datetime(2026, 11, 22, 22, 59, 59, tzinfo=dt.UTC)  # 23:59:59 in Vienna
    assert store.charge(_request(50, now=last_moment)) is None
    assert store.charge(_request(1, now=last_moment)) is not None
    assert store.charge(_request(50, now=last_moment + dt.timedelta(seconds=1))) is None


def test_a_charge_is_taken_back_from_the_day_it_was_made_on(ledger: Database) -> None:
    store, request = QuotaStore(ledger), _request(3)
    store.charge(request)
    tomorrow = NOW + dt.timedelta(days=1)
    store.charge(_request(4, now=tomorrow))
    store.uncharge(request.message_id)
    assert (_used(ledger), _used(ledger, tomorrow)) == (0, 4)


def test_a_day_of_25_hours_is_one_window(ledger: Database) -> None:
    store = QuotaStore(ledger)
    for hour in range(25):  # 25 October 2026 in Vienna begins at 22:00 UTC the day before
        now = dt.datetime(2026, 10, 24, 22, 30, tzinfo=dt.UTC) + dt.timedelta(hours=hour)
        assert store.charge(_request(now=now)) is None
    assert list(_uses(ledger).values()) == [25]


def test_threads_together_get_exactly_the_limit(ledger: Database) -> None:
    store = QuotaStore(ledger)
    with ThreadPoolExecutor(_WORKERS) as pool:
        outcomes = list(pool.map(lambda _: store.charge(_request()), range(80)))
    assert outcomes.count(None) == 50
    assert (_used(ledger), _charged(ledger)) == (50, 50)


# Charges in a process of its own, once told to begin; prints how many messages were admitted.
_CHARGE_MANY = """
import datetime as dt, sys, uuid
from sendproof_core.database import open_database
from sendproof_core.plans import day_window
from sendproof_milter.quota_store import ChargeRequest, QuotaStore

url, now, messages, recipients = sys.argv[1], dt.datetime.fromisoformat(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
store, window = QuotaStore(open_database(url)), day_window(now, "Europe/Vienna")
print("ready", flush=True)
sys.stdin.readline()
requests = [ChargeRequest(1, uuid.uuid4(), "edge", "4Z", recipients, 100, window, now) for _ in range(messages)]
print(sum(store.charge(request) is None for request in requests))
"""


@pytest.mark.integration
@pytest.mark.parametrize(("messages", "recipients", "admitted"), [(25, 1, 100), (10, 3, 33)])
def test_processes_together_get_exactly_the_limit(
    ledger_url: str, ledger: Database, messages: int, recipients: int, admitted: int
) -> None:
    command = [sys.executable, "-c", _CHARGE_MANY, ledger_url, NOW.isoformat(), str(messages), str(recipients)]
    with contextlib.ExitStack() as running:
        processes = [
            running.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for _ in range(_WORKERS)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("begin\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert sum(map(int, outputs)) == admitted
    assert (_used(ledger), _charged(ledger)) == (admitted * recipients, admitted * recipients)
