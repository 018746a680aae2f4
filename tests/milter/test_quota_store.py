"""The ledger, on SQLite and on PostgreSQL."""

import dataclasses
import datetime as dt
import itertools
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy.exc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from sendproof_core import identity
from sendproof_core.addresses import address_digest
from sendproof_core.database import Database
from sendproof_core.plans import OverQuota, QuotaLimits, Use, Window, windows
from sendproof_core.schema import (
    Account,
    Charge,
    KnownRecipient,
    Message,
    Plan,
    QueueFile,
    QuotaUse,
    ReadingPosition,
    Recipient,
)
from sendproof_core.source_names import import_name, source_name
from sendproof_core.states import Span
from sendproof_milter.quota_store import ChargeRequest, QuotaStore
from sendproof_milter.reconciliation import ReadUpTo, Reconciled, reconcile
from sendproof_testing.submissions import NOW

_ZONE = "Europe/Vienna"
_MAX, _ANNA = 1, 2
_HOST = "edge.relay.example"
_HOUR, _DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


@pytest.fixture
def ledger(either_database: Database) -> Database:
    """A database with two accounts."""
    with either_database.writing() as session:
        session.add(Plan(id=1, name="personal"))
        session.flush()
        for account_id, login in ((_MAX, "max"), (_ANNA, "anna")):
            session.add(
                Account(
                    id=account_id,
                    login=login,
                    password_hash="",
                    plan_id=1,
                    time_zone=_ZONE,
                    tracking=False,
                    test_mode=False,
                    shared_pixel=False,
                    created_at=NOW,
                )
            )
    return either_database


_number = itertools.count(1)


def _addresses(count: int) -> tuple[str, ...]:
    """Addresses that nobody was mailed at."""
    return tuple(f"r{next(_number)}@example.net" for _ in range(count))


def _request(
    recipients: int | tuple[str, ...] = 1,
    limits: QuotaLimits | None = None,
    now: dt.datetime = NOW,
    *,
    account_id: int = _MAX,
    queue_id: str = "4Zabc",
) -> ChargeRequest:
    return ChargeRequest(
        account_id,
        identity.new_message_id(now),
        _HOST,
        queue_id,
        _addresses(recipients) if isinstance(recipients, int) else recipients,
        limits or QuotaLimits(),
        windows(now, _ZONE),
        now,
    )


_FIFTY = QuotaLimits(recipients_per_day=50)
Uses = dict[tuple[int, Span, dt.datetime], Use]


def _uses(database: Database) -> Uses:
    """What the windows hold, those with nothing left out."""
    with database.reading() as session:
        found = {
            (row.account_id, Span(row.span), row.window_begins): Use(row.messages, row.recipients, row.new_recipients)
            for row in session.scalars(select(QuotaUse))
        }
    return {key: use for key, use in found.items() if use != Use()}


def _charges(database: Database) -> dict[uuid.UUID, Charge]:
    with database.reading() as session:
        session.expire_on_commit = False
        return {charge.message_id: charge for charge in session.scalars(select(Charge))}


def _known(database: Database) -> dict[tuple[int, bytes], uuid.UUID]:
    with database.reading() as session:
        return {(row.account_id, bytes(row.digest)): row.message_id for row in session.scalars(select(KnownRecipient))}


def _uses_of_charges(database: Database) -> Uses:
    """What the windows must hold."""
    found: Uses = {}
    for charge in _charges(database).values():
        share = Use(1, charge.recipients, charge.new_recipients)
        for span in Span:
            key = (charge.account_id, span, getattr(charge, f"{span}_begins"))
            found[key] = found.get(key, Use()).plus(share)
    return found


def _today(database: Database, now: dt.datetime = NOW, account_id: int = _MAX) -> Use:
    return _uses(database).get((account_id, Span.DAY, windows(now, _ZONE).day.begins), Use())


# --- one message ---


def test_a_charge_raises_every_window_and_is_written_down(ledger: Database) -> None:
    request = _request(3)
    assert QuotaStore(ledger).charge(request) is None
    found = request.windows
    begins = {Span.HOUR: found.hour.begins, Span.DAY: found.day.begins, Span.MONTH: found.month.begins}
    assert _uses(ledger) == {(_MAX, span, begin): Use(1, 3, 3) for span, begin in begins.items()}
    (charge,) = _charges(ledger).values()
    assert (charge.message_id, charge.account_id) == (request.message_id, _MAX)
    assert (charge.host, charge.queue_id) == (_HOST, "4Zabc")
    assert (charge.recipients, charge.new_recipients, charge.charged_at, charge.settled_at) == (3, 3, NOW, None)
    assert {span: getattr(charge, f"{span}_begins") for span in Span} == begins
    assert _known(ledger) == {(_MAX, address_digest(address)): request.message_id for address in request.recipients}


@pytest.mark.parametrize(
    ("name", "span"),
    [
        ("messages_per_hour", "hour"),
        ("recipients_per_hour", "hour"),
        ("messages_per_day", "day"),
        ("recipients_per_day", "day"),
        ("new_recipients_per_day", "day"),
        ("messages_per_month", "month"),
        ("recipients_per_month", "month"),
    ],
)
def test_the_limit_itself_is_allowed_and_one_more_changes_nothing(ledger: Database, name: str, span: str) -> None:
    store, limits = QuotaStore(ledger), QuotaLimits(**{name: 3})
    for _ in range(3):
        assert store.charge(_request(1, limits)) is None
    before = _uses(ledger), set(_charges(ledger)), _known(ledger)
    window: Window = getattr(windows(NOW, _ZONE), span)
    assert store.charge(_request(1, limits)) == OverQuota(name, 3, 3, 1, window.ends)
    assert (_uses(ledger), set(_charges(ledger)), _known(ledger)) == before
    assert store.charge(_request(1, limits, now=window.ends)) is None


def test_a_message_counts_as_a_whole_or_not_at_all(ledger: Database) -> None:
    store = QuotaStore(ledger)
    store.charge(_request(49, _FIFTY))
    assert store.charge(_request(2, _FIFTY)) == OverQuota("recipients_per_day", 50, 49, 2, windows(NOW, _ZONE).day.ends)
    assert store.charge(_request(1, _FIFTY)) is None
    assert _today(ledger) == Use(2, 50, 50)


def test_a_first_message_over_the_limit_leaves_nothing_behind(ledger: Database) -> None:
    assert QuotaStore(ledger).charge(_request(51, _FIFTY)) is not None
    assert (_uses(ledger), _charges(ledger), _known(ledger)) == ({}, {}, {})


def test_no_limit_counts_all_the_same(ledger: Database) -> None:
    store = QuotaStore(ledger)
    assert store.charge(_request(1_001)) is None
    assert store.charge(_request(999)) is None
    assert _today(ledger) == Use(2, 2_000, 2_000)


def test_a_message_is_charged_at_most_once_and_never_refused_afterwards(ledger: Database) -> None:
    store, request = QuotaStore(ledger), _request(3, QuotaLimits(messages_per_hour=1))
    assert store.charge(request) is None
    assert store.charge(request) is None
    assert _today(ledger) == Use(1, 3, 3)


def test_each_account_counts_for_itself(ledger: Database) -> None:
    store, limits = QuotaStore(ledger), QuotaLimits(messages_per_day=1)
    assert store.charge(_request(("a@example.net",), limits)) is None
    assert store.charge(_request(("a@example.net",), limits, account_id=_ANNA)) is None
    assert _today(ledger) == _today(ledger, account_id=_ANNA) == Use(1, 1, 1)


def test_a_day_of_25_hours_is_one_window(ledger: Database) -> None:
    store = QuotaStore(ledger)
    for hour in range(25):  # 25 October 2026 in Vienna begins at 22:00 UTC the day before
        now = dt.datetime(2026, 10, 24, 22, 30, tzinfo=dt.UTC) + dt.timedelta(hours=hour)
        assert store.charge(_request(now=now)) is None
    assert [use.messages for (_, span, _), use in _uses(ledger).items() if span is Span.DAY] == [25]


# --- addresses that are new to an account ---


def test_an_address_is_new_once_however_it_is_written(ledger: Database) -> None:
    store = QuotaStore(ledger)
    assert store.charge(_request(("anna@example.net", "Anna@Example.NET", "b@example.net"))) is None
    assert store.charge(_request(("ANNA@example.net", "c@example.net"))) is None
    assert _today(ledger) == Use(2, 5, 3)


@pytest.mark.parametrize("count", [1, 9, 10, 11, 99, 100, 101, 250])
def test_however_many_addresses_a_message_has_each_becomes_known(ledger: Database, count: int) -> None:
    store, addresses = QuotaStore(ledger), _addresses(count)
    store.charge(_request(addresses))
    store.charge(_request((*addresses, *_addresses(1))))
    assert _today(ledger) == Use(2, 2 * count + 1, count + 1)
    assert len(_known(ledger)) == count + 1


def test_old_acquaintances_are_written_to_when_there_is_no_room_for_new_ones(ledger: Database) -> None:
    store, limits = QuotaStore(ledger), QuotaLimits(new_recipients_per_day=2)
    assert store.charge(_request(("a@example.net", "b@example.net"), limits)) is None
    over = store.charge(_request(("b@example.net", "c@example.net"), limits))
    assert over == OverQuota("new_recipients_per_day", 2, 2, 1, windows(NOW, _ZONE).day.ends)
    assert store.charge(_request(("a@example.net", "b@example.net"), limits)) is None


def test_a_refused_message_makes_nobody_known(ledger: Database) -> None:
    store = QuotaStore(ledger)
    assert store.charge(_request(("a@example.net",), QuotaLimits(messages_per_day=0))) is not None
    assert store.charge(_request(("a@example.net",))) is None
    assert _today(ledger) == Use(1, 1, 1)


# --- taken back ---


def test_a_charge_is_taken_back_once(ledger: Database) -> None:
    store, request = QuotaStore(ledger), _request(3)
    store.charge(request)
    store.charge(_request(2))
    assert store.uncharge(request.message_id)
    assert not store.uncharge(request.message_id)
    assert _today(ledger) == Use(1, 2, 2)
    assert _uses(ledger) == _uses_of_charges(ledger)


def test_what_was_never_charged_is_not_taken_back(ledger: Database) -> None:
    assert not QuotaStore(ledger).uncharge(uuid.uuid4())
    assert _uses(ledger) == {}


def test_a_charge_is_taken_back_from_the_windows_it_was_made_in(ledger: Database) -> None:
    store, request = QuotaStore(ledger), _request(3)
    store.charge(request)
    tomorrow = NOW + _DAY
    store.charge(_request(4, now=tomorrow))
    store.uncharge(request.message_id)
    assert (_today(ledger), _today(ledger, tomorrow)) == (Use(), Use(1, 4, 4))
    assert _uses(ledger) == _uses_of_charges(ledger)


def test_a_message_taken_back_made_nobody_known_whoever_was_mailed_since(ledger: Database) -> None:
    store = QuotaStore(ledger)
    first, second, third = (_request(("a@example.net",)) for _ in range(3))
    store.charge(first)
    store.charge(second)
    store.uncharge(first.message_id)
    assert (_today(ledger), _known(ledger)) == (Use(1, 1, 0), {})
    store.charge(third)
    assert _today(ledger) == Use(2, 2, 1)
    assert _known(ledger) == {(_MAX, address_digest("a@example.net")): third.message_id}
    store.uncharge(second.message_id)
    assert len(_known(ledger)) == 1


# --- several at once ---


def _together(store: QuotaStore, requests: list[ChargeRequest]) -> list[OverQuota | Exception | None]:
    """Charge in as many threads, on SQLite so that all but one share a commit."""

    def charge(request: ChargeRequest) -> OverQuota | Exception | None:
        try:
            return store.charge(request)
        except sqlalchemy.exc.SQLAlchemyError as error:
            return error

    # PostgreSQL lets the first one write beside this connection, and the others share commits as they come.
    waiting = len(requests) - 1 if store._database.engine.dialect.name == "sqlite" else 0
    with ThreadPoolExecutor(len(requests)) as pool:
        with store._database.writing_connection():
            outcomes = [pool.submit(charge, request) for request in requests]
            while len(store._charging._waiting) < waiting:
                time.sleep(0.001)
        return [outcome.result(timeout=30) for outcome in outcomes]


def test_messages_charged_in_one_transaction_count_as_if_one_after_the_other(ledger: Database) -> None:
    store, limits = QuotaStore(ledger), QuotaLimits(recipients_per_hour=7)
    first, *others = (_request((address,), limits) for address in ("a@example.net", *["b@example.net"] * 8))
    outcomes = _together(store, [first, others[0], *others])  # one of them twice
    assert len([outcome for outcome in outcomes if outcome is not None]) == 2
    assert _today(ledger) == Use(7, 7, 2)
    assert _uses(ledger) == _uses_of_charges(ledger)


def test_a_message_that_is_refused_or_fails_does_not_hurt_its_neighbours(ledger: Database) -> None:
    store = QuotaStore(ledger)
    nobody = _request(account_id=99)
    too_many = _request(51, _FIFTY)
    others = [_request(1, _FIFTY, account_id=account_id) for account_id in (_MAX, _ANNA) * 3]
    outcomes = _together(store, [others[0], nobody, *others[1:], too_many])
    assert isinstance(outcomes[1], sqlalchemy.exc.IntegrityError)
    assert isinstance(outcomes[-1], OverQuota)
    assert [outcome for outcome in outcomes if outcome is None] == [None] * 6
    assert _today(ledger) == _today(ledger, account_id=_ANNA) == Use(3, 3, 3)
    assert set(_charges(ledger)) == {request.message_id for request in others}


def test_messages_on_both_sides_of_an_hours_end_share_the_day(ledger: Database) -> None:
    limits = QuotaLimits(messages_per_hour=3, messages_per_day=5)
    requests = [_request(1, limits, now=NOW + number % 2 * _HOUR) for number in range(8)]
    outcomes = _together(QuotaStore(ledger), requests)
    refused = [outcome for outcome in outcomes if isinstance(outcome, OverQuota)]
    assert len(refused) == 3
    assert _today(ledger) == Use(5, 5, 5)
    assert _uses(ledger) == _uses_of_charges(ledger)


def test_a_database_that_is_locked_is_an_error_and_nothing_is_charged_later(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sendproof_core.database._BUSY_TIMEOUT_MILLISECONDS", 50)
    monkeypatch.setattr("sendproof_milter.quota_store._WAIT_SECONDS", 0.02)
    store = QuotaStore(sqlite_database)
    failures: list[str] = []

    def charge() -> None:
        try:
            store.charge(_request())
        except sqlalchemy.exc.SQLAlchemyError as error:
            failures.append(type(error).__name__)

    with sqlite_database.writing_connection():
        threads = [threading.Thread(target=charge) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert set(failures) <= {"OperationalError", "TimeoutError"}
    assert (len(failures), _charges(sqlite_database)) == (4, {})


# Charges in several threads of a process of its own, once told to begin; prints how many messages were admitted.
_CHARGE_MANY = """
import datetime as dt, sys, uuid
from concurrent.futures import ThreadPoolExecutor
from sendproof_core.database import open_database
from sendproof_core.plans import QuotaLimits, windows
from sendproof_milter.quota_store import ChargeRequest, QuotaStore

url, now, threads, messages, recipients = sys.argv[1], dt.datetime.fromisoformat(sys.argv[2]), *map(int, sys.argv[3:6])
limits = QuotaLimits(**{name: int(limit) for name, limit in (pair.split("=") for pair in sys.argv[6:])})
store = QuotaStore(open_database(url))
def charge(number):
    # the same addresses in every process
    addresses = tuple(f"r{number % 7}.{recipient}@example.net" for recipient in range(recipients))
    account = 1 + number % 2
    asked = ChargeRequest(account, uuid.uuid4(), "edge", "4Z", addresses, limits, windows(now, "Europe/Vienna"), now)
    return store.charge(asked) is None
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(threads) as pool:
    print(sum(pool.map(charge, range(threads * messages))))
"""


@pytest.mark.parametrize(
    ("recipients", "limits", "admitted"),
    [
        (1, {"recipients_per_day": 60, "messages_per_month": 1000, "recipients_per_hour": 70}, 60),
        pytest.param(
            3,
            {"recipients_per_day": 100, "messages_per_hour": 35, "messages_per_month": 34},
            33,
            marks=pytest.mark.integration,
        ),
        # of seven pairs of addresses there is room for four
        pytest.param(2, {"new_recipients_per_day": 8, "messages_per_day": 40}, 40, marks=pytest.mark.integration),
    ],
)
def test_processes_and_threads_together_get_exactly_the_limits(
    ledger: Database, recipients: int, limits: dict[str, int], admitted: int
) -> None:
    url = ledger.engine.url.render_as_string(hide_password=False)
    named = [f"{name}={limit}" for name, limit in limits.items()]
    command = [sys.executable, "-c", _CHARGE_MANY, url, NOW.isoformat(), "4", "40", str(recipients), *named]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("begin\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert sum(map(int, outputs)) == 2 * admitted
    for account_id in (_MAX, _ANNA):
        use = _today(ledger, account_id=account_id)
        assert (use.messages, use.recipients) == (admitted, admitted * recipients)
        known = [digest for owner, digest in _known(ledger) if owner == account_id]
        assert use.new_recipients == len(known) <= limits.get("new_recipients_per_day", 1000)
    assert _uses(ledger) == _uses_of_charges(ledger)


# Charges in several threads of a child, says what was charged, and is killed in the middle, again and again.
_KILLED = """
import datetime as dt, itertools, os, random, signal, sys, threading, time, uuid
from sendproof_core.database import open_database
from sendproof_core.plans import QuotaLimits, windows
from sendproof_milter.quota_store import ChargeRequest, QuotaStore

url, now = sys.argv[1], dt.datetime.fromisoformat(sys.argv[2])
limits, found = QuotaLimits(recipients_per_day=10**6), windows(now, "Europe/Vienna")

def charge_for_ever(store, writes):
    for number in itertools.count():
        addresses = tuple(f"r{random.randrange(10**6)}@example.net" for _ in range(1 + number % 3))
        asked = ChargeRequest(1, uuid.uuid4(), "edge", "4Z", addresses, limits, found, now)
        if store.charge(asked) is None:
            os.write(writes, asked.message_id.bytes)
            if number % 4 == 3:
                store.uncharge(asked.message_id)

for _ in range(8):
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        store = QuotaStore(open_database(url))
        for _ in range(3):
            threading.Thread(target=charge_for_ever, args=(store, writes)).start()
        time.sleep(30)
        os._exit(1)
    os.close(writes)
    os.read(reads, 16)
    time.sleep(random.random() * 0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


def test_a_process_killed_while_it_charges_leaves_all_of_a_message_or_nothing(ledger: Database) -> None:
    url = ledger.engine.url.render_as_string(hide_password=False)
    subprocess.run([sys.executable, "-c", _KILLED, url, NOW.isoformat()], check=True, timeout=60)
    charges = _charges(ledger)
    assert len(charges) > 8
    assert _uses(ledger) == _uses_of_charges(ledger)
    introduced = list(_known(ledger).values())
    assert all(introduced.count(message_id) == charge.new_recipients for message_id, charge in charges.items())
    assert set(introduced) <= set(charges)


def test_what_a_process_was_told_is_charged_is_charged(ledger: Database) -> None:
    told = [_request() for _ in range(3)]
    for request in told:
        QuotaStore(ledger).charge(request)  # each on a connection of its own
    assert set(_charges(ledger)) == {request.message_id for request in told}


# --- the record's evidence ---


def _read_up_to(database: Database, **sources: dt.datetime | None) -> None:
    with database.writing() as session:
        session.execute(delete(ReadingPosition))
        for name, moment in sources.items():
            session.add(
                ReadingPosition(
                    source=name.replace("HOST", _HOST).replace("_", ":"),
                    fingerprint="",
                    fingerprint_octets=0,
                    inode=1,
                    offset=0,
                    lines_read=0,
                    read_at=NOW,
                    read_up_to=moment,
                )
            )


def _queue_file(
    database: Database, request: ChargeRequest, *, knows_message: bool = False, host: str = _HOST, **columns: object
) -> None:
    values: dict[str, object] = {
        "host": host,
        "instance": "postfix",
        "queue_id": request.queue_id,
        "born_at": request.now,
        "message_id": request.message_id if knows_message else None,
    }
    with database.writing() as session:
        session.add(QueueFile(**(values | columns)))


def _message(database: Database, request: ChargeRequest, **columns: object) -> None:
    """The journal's line of a message was read."""
    values: dict[str, object] = {
        "id": request.message_id,
        "account_id": request.account_id,
        "login": "max",
        "credential_label": "laptop",
        "submitted_at": request.now,
        "envelope_sender": "max@own.example",
        "size_bytes": 1,
        "recipient_count": len(request.recipients),
        "signatures": [],
        "pixel": "inserted",
        "wire_edits": [],
        "charged_recipients": 0,
        "split": False,
        "test_mode": False,
    }
    with database.writing() as session:
        session.add(Message(**(values | columns)))
        session.flush()
        queue_file = QueueFile(
            host=_HOST, instance="", queue_id=request.queue_id, born_at=request.now, message_id=request.message_id
        )
        session.add(queue_file)
        session.flush()
        for number, address in enumerate(request.recipients, start=1):
            session.add(
                Recipient(
                    queue_file_id=queue_file.id, address=address, number=number, state="queued", state_at=request.now
                )
            )


def _queue(database: Database, request: ChargeRequest) -> None:
    """The queue manager's line of a message was read."""
    with database.writing() as session:
        for queue_file in session.scalars(select(QueueFile).where(QueueFile.message_id == request.message_id)):
            queue_file.size_bytes = 900


def test_charges_come_right_by_what_the_record_says(ledger: Database) -> None:
    store = QuotaStore(ledger)
    queued, refused, silent, waiting = (_request(2, queue_id=f"4Zqueue{name}z1") for name in ("B", "C", "D", "F"))
    waiting = dataclasses.replace(waiting, now=NOW + _HOUR)
    for request in (queued, refused, silent, waiting):
        store.charge(request)
    _queue_file(ledger, queued, size_bytes=900)
    _queue_file(ledger, refused, disposition="rejected")
    _read_up_to(ledger, HOST_maillog=NOW + 2 * _HOUR, HOST_journal=NOW + _HOUR)
    later = NOW + 3 * _HOUR
    assert reconcile(store, _HOST, later) == Reconciled(settled=1, taken_back=2, charged_late=0)
    charges = _charges(ledger)
    assert {key: charge.settled_at for key, charge in charges.items()} == {
        queued.message_id: later,
        waiting.message_id: None,
    }
    assert _uses(ledger) == _uses_of_charges(ledger)
    assert reconcile(store, _HOST, later) == Reconciled(0, 0, 0)


def test_more_charges_than_one_look_takes_in_come_right(ledger: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("quota_store", "reconciliation"):
        monkeypatch.setattr(f"sendproof_milter.{module}._AT_A_TIME", 3)
    store = QuotaStore(ledger)
    requests = [_request(queue_id=f"4Zq{number}z1") for number in range(20)]
    for number, request in enumerate(requests):
        store.charge(request)
        if number % 2:
            _queue_file(ledger, request, size_bytes=900)
        elif number % 4:
            _queue_file(ledger, request, disposition="rejected")
    assert reconcile(store, _HOST, NOW + _DAY) == Reconciled(settled=10, taken_back=5, charged_late=0)


@pytest.mark.parametrize(
    ("sources", "taken_back"),
    [
        ({"HOST_maillog": NOW + _HOUR, "HOST_journal": NOW + _HOUR}, 1),
        ({"HOST_maillog": NOW + _DAY, "HOST_journal": NOW + _HOUR - dt.timedelta(microseconds=1)}, 0),
        ({"HOST_maillog": NOW + _DAY, "HOST_journal": None}, 0),
        ({}, 0),
        ({"other_maillog": NOW + _DAY}, 0),
        ({"HOST.other_maillog": NOW + _DAY}, 0),
        ({"HOST_maillog": NOW + _DAY, "other_maillog": None, "HOSTb_maillog": NOW - _DAY}, 1),
    ],
)
def test_silence_counts_only_where_everything_of_the_host_was_read(
    ledger: Database, sources: dict[str, dt.datetime | None], taken_back: int
) -> None:
    store = QuotaStore(ledger)
    store.charge(_request())
    _read_up_to(ledger, **sources)
    assert reconcile(store, _HOST, NOW + 2 * _DAY).taken_back == taken_back


def test_old_files_that_are_imported_say_nothing_of_how_far_was_read(ledger: Database) -> None:
    """Nor do they hold back what the host's own sources say."""
    store = QuotaStore(ledger)
    ours, imports = source_name(_HOST, "/var/log/mail.log"), import_name(_HOST, "/root/mail.log.7.gz")
    _read_up_to(ledger, **{ours: NOW, imports: None})
    assert store.read_up_to(_HOST) == ReadUpTo(NOW, NOW)
    _read_up_to(ledger, **{ours: NOW + _HOUR, imports: NOW - _DAY})
    assert store.read_up_to(_HOST) == ReadUpTo(NOW + _HOUR, NOW + _HOUR)
    _read_up_to(ledger, **{imports: NOW})
    assert store.read_up_to(_HOST) == ReadUpTo(None, None)
    _read_up_to(ledger, **{ours: None, imports: NOW})
    assert store.read_up_to(_HOST) == ReadUpTo(None, None)


def test_an_import_makes_no_charge_taken_back(ledger: Database) -> None:
    store, request = QuotaStore(ledger), _request()
    store.charge(request)
    _read_up_to(ledger, **{import_name(_HOST, "/old"): NOW + _DAY})
    assert reconcile(store, _HOST, NOW + _DAY) == Reconciled(0, 0, 0)
    _read_up_to(ledger, **{import_name(_HOST, "/old"): None, source_name(_HOST, "/log"): NOW + _DAY})
    assert reconcile(store, _HOST, NOW + _DAY) == Reconciled(0, 1, 0)


def test_another_hosts_charges_and_queue_files_are_not_touched(ledger: Database) -> None:
    store = QuotaStore(ledger)
    ours, theirs = _request(), dataclasses.replace(_request(), host="other.example")
    store.charge(ours)
    store.charge(theirs)
    _queue_file(ledger, ours, host="other.example", disposition="rejected")
    _read_up_to(ledger, HOST_maillog=NOW)
    assert reconcile(store, _HOST, NOW + _DAY) == Reconciled(0, 0, 0)
    assert reconcile(store, "other.example", NOW + _DAY) == Reconciled(0, 1, 0)


def test_a_message_that_postfix_queued_without_a_charge_is_charged_late_whatever_the_limits(ledger: Database) -> None:
    store = QuotaStore(ledger)
    request = _request(("a@example.net", "b@example.net", "b@example.net"))
    _message(ledger, dataclasses.replace(request, recipients=("a@example.net", "b@example.net")), recipient_count=3)
    later = NOW + _DAY
    assert reconcile(store, _HOST, later) == Reconciled(0, 0, 0)
    _queue(ledger, request)
    assert reconcile(store, _HOST, later) == Reconciled(0, 0, 1)
    assert reconcile(store, _HOST, later) == Reconciled(0, 0, 0)
    charge = _charges(ledger)[request.message_id]
    assert (charge.recipients, charge.new_recipients) == (3, 2)
    assert (charge.host, charge.queue_id, charge.charged_at, charge.settled_at) == (_HOST, "4Zabc", NOW, later)
    assert (_today(ledger), _today(ledger, later)) == (Use(1, 3, 2), Use())
    assert len(_known(ledger)) == 2


def test_a_split_message_is_charged_late_once(ledger: Database) -> None:
    store, request = QuotaStore(ledger), _request(2)
    _message(ledger, request, split=True)
    for number, address in enumerate(request.recipients, start=1):
        with ledger.writing() as session:
            copy = QueueFile(host=_HOST, instance="postfix", queue_id=f"4Zcopy{number}", born_at=NOW, size_bytes=900,
                             message_id=request.message_id, parent_queue_id=request.queue_id)  # fmt: skip
            session.add(copy)
            session.flush()
            session.add(Recipient(queue_file_id=copy.id, address=address, number=number, state="queued", state_at=NOW))
    _queue(ledger, request)
    assert reconcile(store, _HOST, NOW + _HOUR).charged_late == 1
    assert _today(ledger) == Use(1, 2, 2)


def test_a_charge_that_was_taken_back_wrongly_is_made_again(ledger: Database) -> None:
    store, request = QuotaStore(ledger), _request(2)
    store.charge(request)
    _read_up_to(ledger, HOST_maillog=NOW + _HOUR)
    assert reconcile(store, _HOST, NOW + _HOUR).taken_back == 1
    _message(ledger, request, charged_recipients=2)
    _queue(ledger, request)
    assert reconcile(store, _HOST, NOW + _HOUR).charged_late == 1
    assert _today(ledger) == Use(1, 2, 2)


@pytest.mark.parametrize("columns", [{"test_mode": True}, {"account_id": 99}])
def test_what_is_not_to_be_charged_is_not_charged_late(ledger: Database, columns: dict[str, object]) -> None:
    request = _request()
    _message(ledger, request, **columns)
    _queue(ledger, request)
    assert reconcile(QuotaStore(ledger), _HOST, NOW + _HOUR) == Reconciled(0, 0, 0)


def test_a_host_charges_late_only_what_it_queued_itself(ledger: Database) -> None:
    request = _request()
    _message(ledger, request)
    _queue(ledger, request)
    assert reconcile(QuotaStore(ledger), "other.example", NOW + _HOUR).charged_late == 0


def test_old_charges_and_windows_go_and_known_recipients_stay(ledger: Database) -> None:
    store = QuotaStore(ledger)
    old, older, open_one = _request(), _request(), _request()
    for request, settled_at in ((old, NOW), (older, NOW - _DAY), (open_one, None)):
        store.charge(request)
        if settled_at is not None:
            store.settle([request.message_id], settled_at)
    other = dataclasses.replace(_request(), host="other.example")
    store.charge(other)
    store.settle([other.message_id], NOW - _DAY)
    store.forget(_HOST, NOW + 62 * _DAY)
    assert set(_charges(ledger)) == {old.message_id, open_one.message_id, other.message_id}
    assert len(_uses(ledger)) == 3
    found = windows(NOW, _ZONE)
    kept = 400 * _DAY
    for end, left in ((found.day.ends, {Span.DAY, Span.MONTH}), (found.month.ends, {Span.MONTH})):
        QuotaStore(ledger).forget(_HOST, end + kept)
        assert {span for _, span, _ in _uses(ledger)} == left
    QuotaStore(ledger).forget(_HOST, found.month.ends + kept + 3 * _DAY)
    assert (_uses(ledger), len(_known(ledger))) == ({}, 4)


# --- any sequence ---


@dataclasses.dataclass
class _Told:
    """A message of the model and what became of it."""

    request: ChargeRequest
    new: int | None = None  # None: no charge stands
    settled: bool = False
    fate: str = ""


class _Model:
    """What the ledger must say, in the plainest way."""

    def __init__(self) -> None:
        self.messages: list[_Told] = []
        self.known: dict[tuple[int, str], uuid.UUID] = {}

    def uses(self) -> Uses:
        found: Uses = {}
        for told in self.messages:
            if told.new is None:
                continue
            request = told.request
            for span in Span:
                key = (request.account_id, span, getattr(request.windows, span).begins)
                share = Use(1, len(request.recipients), told.new)
                found[key] = found.get(key, Use()).plus(share)
        return found

    def charge(self, told: _Told, *, settled: bool = False) -> None:
        request = told.request
        new = {address for address in request.recipients if (request.account_id, address) not in self.known}
        self.known |= {(request.account_id, address): request.message_id for address in new}
        told.new, told.settled = len(new), settled

    def fits(self, request: ChargeRequest) -> bool:
        new = {address for address in request.recipients if (request.account_id, address) not in self.known}
        asked, uses = {"messages": 1, "recipients": len(request.recipients), "new_recipients": len(new)}, self.uses()
        for name, limit in vars(request.limits).items():
            part, _, span = name.partition("_per_")
            if limit is None or not asked[part]:
                continue
            used = uses.get((request.account_id, Span(span), getattr(request.windows, span).begins), Use())
            if getattr(used, part) + asked[part] > limit:
                return False
        return True

    def uncharge(self, told: _Told) -> bool:
        was_charged, told.new = told.new is not None, None
        self.known = {key: value for key, value in self.known.items() if value != told.request.message_id}
        return was_charged

    def reconcile(self, read_up_to: dt.datetime) -> Reconciled:
        settled = taken_back = charged_late = 0
        for told in self.messages:
            if told.new is None or told.settled or told.request.now > read_up_to:
                continue
            if told.fate == "queued":
                told.settled = True
                settled += 1
            elif told.fate == "rejected" or read_up_to >= told.request.now + _HOUR:
                self.uncharge(told)
                taken_back += 1
        for told in sorted(self.messages, key=lambda told: told.request.message_id):
            if told.new is None and told.fate == "queued":
                self.charge(told, settled=True)
                charged_late += 1
        return Reconciled(settled, taken_back, charged_late)


_LIMIT = st.none() | st.integers(0, 6)
_LIMITS = st.builds(
    QuotaLimits,
    messages_per_hour=_LIMIT,
    recipients_per_hour=_LIMIT,
    messages_per_day=_LIMIT,
    recipients_per_day=_LIMIT,
    messages_per_month=_LIMIT,
    recipients_per_month=_LIMIT,
    new_recipients_per_day=_LIMIT,
)
_MINUTES = st.sampled_from([0, 1, 50, 59, 60, 61, 120, 600, 1440])
_STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("charge"),
            st.sampled_from([_MAX, _ANNA]),
            st.lists(st.sampled_from("abcd"), min_size=1, max_size=4),
            st.just(QuotaLimits()) | _LIMITS,
            _MINUTES,
        ),
        st.tuples(st.just("uncharge"), st.integers(0, 4)),
        st.tuples(st.just("queued"), st.integers(0, 4)),
        st.tuples(st.just("rejected"), st.integers(0, 4)),
        st.tuples(st.just("reconcile"), _MINUTES),
    ),
    max_size=16,
)


def _clear(database: Database) -> None:
    with database.writing() as session:
        for table in (Recipient, QueueFile, Message, Charge, KnownRecipient, QuotaUse, ReadingPosition):
            session.execute(delete(table))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
def test_any_sequence_of_charges_and_evidence_gives_what_a_simple_model_gives(
    ledger: Database, steps: list[tuple[object, ...]]
) -> None:
    _clear(ledger)
    store, model = QuotaStore(ledger), _Model()
    for step in steps:
        match step:
            case ("charge", int(account_id), list(letters), QuotaLimits() as limits, int(minutes)):
                now = NOW + dt.timedelta(minutes=minutes)
                addresses = tuple(f"{letter}@example.net" for letter in letters)
                queue_id = f"4Z{len(model.messages)}z1"
                told = _Told(_request(addresses, limits, now, account_id=account_id, queue_id=queue_id))
                fits = model.fits(told.request)
                assert (store.charge(told.request) is None) == fits
                model.messages.append(told)
                if fits:
                    model.charge(told)
            case (str(what), int(number)) if what != "reconcile":
                if number >= len(model.messages):
                    continue
                told = model.messages[number]
                if what == "uncharge":
                    assert store.uncharge(told.request.message_id) == model.uncharge(told)
                elif not told.fate:
                    told.fate = what
                    once = tuple(dict.fromkeys(told.request.recipients))
                    count = len(told.request.recipients)
                    _message(ledger, dataclasses.replace(told.request, recipients=once), recipient_count=count)
                    if what == "queued":
                        _queue(ledger, told.request)
                    else:  # as the journal's word that it was withdrawn
                        _queue_file(ledger, told.request, instance="", disposition="rejected",
                                    born_at=told.request.now + dt.timedelta(microseconds=1))  # fmt: skip
            case (_, int(minutes)):
                read_up_to = NOW + dt.timedelta(minutes=minutes)
                _read_up_to(ledger, HOST_maillog=read_up_to)
                assert reconcile(store, _HOST, NOW + 2 * _DAY) == model.reconcile(read_up_to)
            case _:
                raise AssertionError(step)
        assert _uses(ledger) == model.uses()
        assert {key: charge.new_recipients for key, charge in _charges(ledger).items()} == {
            told.request.message_id: told.new for told in model.messages if told.new is not None
        }
        assert _known(ledger) == {
            (account_id, address_digest(address)): message_id
            for (account_id, address), message_id in model.known.items()
        }
