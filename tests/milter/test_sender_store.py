import base64
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from sendproof_core import directory, dkim_keys
from sendproof_core.database import Database, open_database
from sendproof_core.dkim_keys import ED25519_SHA256
from sendproof_core.errors import UserError
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Account, Credential, DkimKey, Domain
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.states import KeyState
from sendproof_milter.directory_snapshot import DirectorySnapshot
from sendproof_milter.sender import Sender
from sendproof_milter.sender_store import MAXIMAL_AGE_SECONDS, SenderStore
from sendproof_testing.submissions import NOW

# Nothing listens there.
_NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


class _Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def snapshot_path(tmp_path: Path) -> Path:
    return tmp_path / "milter.snapshot"


@pytest.fixture
def store(database: Database, secrets: SecretsStore, clock: _Clock, snapshot_path: Path) -> SenderStore:
    return SenderStore(database, secrets, DirectorySnapshot(snapshot_path), clock)


@pytest.fixture
def found(store: SenderStore, clock: _Clock) -> Callable[[], Sender | None]:
    """Looks max up when every kept answer is too old."""

    def find() -> Sender | None:
        clock.seconds += MAXIMAL_AGE_SECONDS
        return store.find("max")

    return find


def _signers(sender: Sender | None) -> list[str]:
    assert sender is not None
    return [key.domain for key in (*sender.keys, *sender.provider_keys)]


def test_a_login_is_an_account_with_its_plan_domains_and_keys(store: SenderStore) -> None:
    sender = store.find("max")
    assert sender is not None
    assert (sender.login, sender.credential_label, sender.time_zone) == ("max", "laptop", "Europe/Vienna")
    assert (sender.tracking, sender.suspended_reason) == (True, None)
    assert sender.limits == QuotaLimits(recipients_per_day=50)
    assert sender.domains == {"own.example", "second.example"}
    assert [(key.domain, key.selector, key.algorithm) for key in sender.keys] == [
        ("own.example", "sp1", "rsa-sha256"),
        ("second.example", "sp1", "rsa-sha256"),
    ]
    assert [key.domain for key in sender.provider_keys] == ["relay.example"]
    assert (sender.own_addresses, sender.test_mode, sender.shared_pixel) == (frozenset(), False, False)
    assert (sender.tracking_image, sender.open_details) == (None, False)


def test_what_an_account_chose_is_known(database: Database, found: Callable[[], Sender | None]) -> None:
    with database.writing() as session:
        account = directory.find_account(session, "max")
        directory.change_account(session, account, test_mode=True, shared_pixel=True, tracking_image="logo.png")
        directory.add_own_address(session, account, "Max@gmail.example", NOW)
        account.open_details = True
        directory.change_plan(session, "personal", QuotaLimits(messages_per_hour=3, message_octets=1000))
    sender = found()
    assert sender is not None
    assert sender.open_details
    assert (sender.test_mode, sender.shared_pixel, sender.tracking_image) == (True, True, "logo.png")
    assert sender.limits == QuotaLimits(messages_per_hour=3, message_octets=1000)
    assert sender.may_use("max@gmail.example")
    assert not sender.may_use("eva@gmail.example")


def test_an_account_is_found_without_a_login(store: SenderStore) -> None:
    by_login = store.find("max")
    assert by_login is not None
    account = store.find_account(by_login.account_id)
    assert account == dataclasses.replace(by_login, login="", credential_label="")
    assert store.find_account(by_login.account_id + 1) is None


def test_a_login_that_looks_like_an_account_is_none(store: SenderStore) -> None:
    assert store.find_account(1) is not None
    assert store.find("1") is None
    assert store.find("account 1") is None


def test_each_kind_of_database_has_the_same_directory_and_snapshot(
    ledger: Database, secrets: SecretsStore, snapshot_path: Path
) -> None:
    store = SenderStore(ledger, secrets, DirectorySnapshot(snapshot_path), lambda: 0.0)
    sender = store.find("max")
    assert _signers(sender) == ["own.example", "second.example", "relay.example"]
    assert store.write_snapshot() == 2
    ledger.close()
    away = SenderStore(open_database(_NOWHERE), secrets, DirectorySnapshot(snapshot_path), lambda: 0.0)
    found = away.find("max")
    assert _without_keys(found) == _without_keys(sender)
    assert _signers(found) == _signers(sender)


def test_nobody_is_found_by_another_login(store: SenderStore) -> None:
    assert store.find("nobody") is None
    assert store.find("MAX") is None
    assert store.find("") is None


def test_the_domain_of_another_account_is_not_ours(database: Database, store: SenderStore) -> None:
    with database.writing() as session:
        other = directory.add_account(
            session,
            login="eva",
            password="a password for the site",
            plan_name="personal",
            time_zone="UTC",
            tracking=False,
            notice_address=None,
            now=NOW,
        )
        session.execute(update(Domain).where(Domain.name == "second.example").values(account_id=other.id))
    with database.writing() as session:
        directory.add_own_address(session, directory.find_account(session, "eva"), "eva@gmail.example", NOW)
    sender = store.find("max")
    assert sender is not None
    assert sender.domains == {"own.example"}
    assert sender.own_addresses == frozenset()
    assert _signers(sender) == ["own.example", "relay.example"]


def test_a_domain_that_was_not_proved_yet_is_not_ours_and_its_keys_do_not_sign(
    database: Database, store: SenderStore
) -> None:
    with database.writing() as session:
        session.execute(update(Domain).where(Domain.name == "second.example").values(proved_at=None))
    sender = store.find("max")
    assert sender is not None
    assert sender.domains == {"own.example"}
    assert _signers(sender) == ["own.example", "relay.example"]


def test_the_keys_of_both_algorithms_sign_rsa_first(
    database: Database, secrets: SecretsStore, store: SenderStore
) -> None:
    with database.writing() as session:
        for name in ("own.example", "relay.example"):
            domain = directory.find_domain(session, name)
            directory.add_dkim_key(
                session,
                domain,
                selector="a1",
                secrets=secrets,
                state=KeyState.ACTIVE,
                now=NOW,
                algorithm=dkim_keys.ED25519_SHA256,
            )
    sender = store.find("max")
    assert sender is not None
    signers = [(key.domain, key.algorithm) for key in (*sender.keys, *sender.provider_keys)]
    assert signers == [
        ("own.example", "rsa-sha256"),
        ("own.example", "ed25519-sha256"),
        ("second.example", "rsa-sha256"),
        ("relay.example", "rsa-sha256"),
        ("relay.example", "ed25519-sha256"),
    ]


def test_a_revoked_credential_is_nobody(database: Database, found: Callable[[], Sender | None]) -> None:
    with database.writing() as session:
        session.execute(update(Credential).values(revoked_at=NOW))
    assert found() is None


@pytest.mark.parametrize(("reason", "shown"), [("spam", "spam"), (None, "ask your provider")])
def test_a_suspended_account_is_found_with_the_reason(
    database: Database, found: Callable[[], Sender | None], reason: str | None, shown: str
) -> None:
    with database.writing() as session:
        session.execute(update(Account).values(suspended_at=NOW, suspended_reason=reason))
    sender = found()
    assert sender is not None
    assert sender.suspended_reason == shown


@pytest.mark.parametrize("state", [KeyState.PENDING, KeyState.RETIRING, KeyState.RETIRED])
def test_only_active_keys_sign(database: Database, found: Callable[[], Sender | None], state: KeyState) -> None:
    with database.writing() as session:
        domain = directory.find_domain(session, "own.example")
        session.execute(update(DkimKey).where(DkimKey.domain_id == domain.id).values(state=state.value))
    assert _signers(found()) == ["second.example", "relay.example"]


def test_an_answer_is_kept_for_some_seconds_and_no_longer(
    database: Database, store: SenderStore, clock: _Clock
) -> None:
    assert store.find("max") is not None
    with database.writing() as session:
        session.execute(update(Credential).values(revoked_at=NOW))
    clock.seconds += MAXIMAL_AGE_SECONDS - 0.01
    assert store.find("max") is not None
    clock.seconds += 0.01
    assert store.find("max") is None


def test_that_nobody_was_found_is_kept_as_well(database: Database, store: SenderStore, clock: _Clock) -> None:
    assert store.find("telephone") is None
    with database.writing() as session:
        account = directory.find_account(session, "max")
        directory.add_credential(session, account, login="telephone", label="telephone", secret="long", now=NOW)
    assert store.find("telephone") is None
    clock.seconds += MAXIMAL_AGE_SECONDS
    assert store.find("telephone") is not None


def test_a_key_is_opened_once(found: Callable[[], Sender | None]) -> None:
    first, second = found(), found()
    assert first is not None
    assert second is not None
    assert first is not second
    assert [id(key) for key in first.keys] == [id(key) for key in second.keys]


# SQLite gives the id of a deleted row to the next one: kept by its id, the old key went on signing.
def test_a_key_that_took_the_place_of_another_signs_with_itself(
    database: Database, secrets: SecretsStore, found: Callable[[], Sender | None]
) -> None:
    before = found()
    with database.writing() as session:
        domain = directory.find_domain(session, "relay.example")
        key = session.scalars(select(DkimKey).where(DkimKey.domain_id == domain.id)).one()
        old_id = key.id
        session.delete(key)
        session.flush()
        fresh = directory.add_dkim_key(session, domain, selector="sp1", secrets=secrets, state=KeyState.ACTIVE, now=NOW)
        assert fresh.id == old_id
    after = found()
    assert before is not None
    assert after is not None
    assert before.provider_keys[0].private_key is not after.provider_keys[0].private_key


def test_a_key_that_cannot_be_opened_is_said_so(database: Database, found: Callable[[], Sender | None]) -> None:
    with database.writing() as session:
        session.execute(update(DkimKey).values(sealed_private_key=b"damaged"))
    with pytest.raises(UserError, match="can be opened"):
        found()


def test_a_key_that_cannot_be_opened_beside_a_good_one_stops_no_mail(
    database: Database, secrets: SecretsStore, found: Callable[[], Sender | None], caplog: pytest.LogCaptureFixture
) -> None:
    with database.writing() as session:
        domain = directory.find_domain(session, "relay.example")
        directory.add_dkim_key(
            session, domain, selector="ed1", secrets=secrets, state=KeyState.ACTIVE, now=NOW, algorithm=ED25519_SHA256
        )
        session.execute(update(DkimKey).where(DkimKey.selector == "ed1").values(sealed_private_key=b"damaged"))
    sender = found()
    assert sender is not None
    assert [key.selector for key in sender.provider_keys] == ["sp1"]
    assert "event=key-not-opened domain=relay.example selector=ed1" in caplog.text


def test_a_key_that_cannot_be_opened_any_more_is_used_as_it_was_opened_before(
    database: Database, store: SenderStore, clock: _Clock
) -> None:
    """With what the plan and the account say now."""
    before = store.find("max")
    assert before is not None
    store._opened_keys.clear()
    with database.writing() as session:
        session.execute(update(DkimKey).values(sealed_private_key=b"damaged"))
        session.execute(update(Account).values(test_mode=True))
    clock.seconds += MAXIMAL_AGE_SECONDS
    after = store.find("max")
    assert after is not None
    assert (after.keys, after.provider_keys) == (before.keys, before.provider_keys)
    assert after.test_mode


def test_memory_is_bounded(store: SenderStore) -> None:
    store._known = {f"login {number}": (0.0, None) for number in range(10_000)}
    for number in range(10):
        store.find(f"nobody{number}")
    assert len(store._known) == 10_000
    assert "login 9" not in store._known  # the oldest went
    assert "login 10" in store._known


# --- while the database is away -------------------------------------------------------------------------------------


class _Outage:
    """The same directory, as another process has it while the database comes and goes."""

    def __init__(self, database: Database, file: Path) -> None:
        self._database = database
        self._file = file

    def begin(self) -> None:
        self._database.close()
        for path in self._file.parent.glob(f"{self._file.name}*"):
            path.rename(path.with_name(f"away-{path.name}"))
        self._file.mkdir()  # else SQLite makes an empty one

    def end(self) -> None:
        self._file.rmdir()
        for path in self._file.parent.glob(f"away-{self._file.name}*"):
            path.rename(path.with_name(path.name.removeprefix("away-")))


@pytest.fixture
def outage(database: Database, tmp_path: Path) -> _Outage:
    return _Outage(database, tmp_path / "sendproof.db")


def test_while_the_database_is_away_the_snapshot_answers_the_same(
    store: SenderStore, outage: _Outage, clock: _Clock
) -> None:
    before, account = store.find("max"), store.find_account(1)
    assert store.write_snapshot() == 2  # the account and its login
    outage.begin()
    clock.seconds += MAXIMAL_AGE_SECONDS
    assert store.find("max") == before
    assert store.find_account(1) == account
    assert before is not None


def test_in_the_snapshot_a_stranger_is_a_stranger_too(store: SenderStore, outage: _Outage) -> None:
    store.write_snapshot()
    outage.begin()
    assert store.find("nobody") is None
    assert store.find_account(4711) is None


def test_a_revoked_credential_is_not_in_the_snapshot(database: Database, store: SenderStore, outage: _Outage) -> None:
    with database.writing() as session:
        directory.revoke_credential(session, "max", NOW)
    assert store.write_snapshot() == 1
    outage.begin()
    assert store.find("max") is None


def test_of_several_accounts_each_has_its_own_in_the_snapshot(
    database: Database, secrets: SecretsStore, store: SenderStore, outage: _Outage
) -> None:
    with database.writing() as session:
        eva = directory.add_account(
            session,
            login="eva",
            password="a password for the site",
            plan_name="personal",
            time_zone="UTC",
            tracking=False,
            notice_address=None,
            now=NOW,
        )
        directory.add_credential(session, eva, login="eva", label="telephone", secret="a password of eva", now=NOW)
        directory.add_own_address(session, eva, "eva@gmail.example", NOW)
        domain = directory.add_domain(session, "eva.example", eva, NOW)
        directory.add_dkim_key(session, domain, selector="e1", secrets=secrets, state=KeyState.ACTIVE, now=NOW)
    asked = [store.find(login) for login in ("max", "eva")]
    store.write_snapshot()
    outage.begin()
    afterwards = SenderStore(store._database, secrets, store._snapshot, lambda: 0.0)
    found = [afterwards.find(login) for login in ("max", "eva")]
    assert [_without_keys(sender) for sender in found] == [_without_keys(sender) for sender in asked]
    assert [_signers(sender) for sender in found] == [
        ["own.example", "second.example", "relay.example"],
        ["eva.example", "relay.example"],
    ]


def _without_keys(sender: Sender | None) -> Sender:
    assert sender is not None
    return dataclasses.replace(sender, keys=(), provider_keys=())


def test_without_a_snapshot_nobody_is_taken_for_a_stranger(store: SenderStore, outage: _Outage) -> None:
    outage.begin()
    with pytest.raises(SQLAlchemyError):
        store.find("max")


def test_a_snapshot_that_becomes_unreadable_makes_nobody_a_stranger(
    store: SenderStore, outage: _Outage, snapshot_path: Path
) -> None:
    store.write_snapshot()
    outage.begin()
    assert store.find("max") is not None
    snapshot_path.write_bytes(b"damaged")
    with pytest.raises(UserError, match="snapshot"):
        store.find("nobody")


def test_the_database_is_asked_again_every_few_seconds_and_that_is_logged(
    store: SenderStore, outage: _Outage, clock: _Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store.write_snapshot()
    outage.begin()
    for login in ("max", "nobody", "eva"):
        store.find(login)
    assert [record.getMessage() for record in caplog.records] == [
        "event=directory-from-snapshot reason=OperationalError"
    ]
    clock.seconds += MAXIMAL_AGE_SECONDS - 0.01
    store.find("another")
    assert len(caplog.records) == 1
    clock.seconds += 0.01
    store.find("another again")
    assert len(caplog.records) == 2


def test_when_the_database_is_back_it_answers_within_seconds(
    database: Database, store: SenderStore, outage: _Outage, clock: _Clock
) -> None:
    store.write_snapshot()
    outage.begin()
    assert store.find("max") is not None
    outage.end()
    with database.writing() as session:
        directory.suspend(directory.find_account(session, "max"), "spam", NOW)
    clock.seconds += MAXIMAL_AGE_SECONDS
    sender = store.find("max")
    assert sender is not None
    assert sender.suspended_reason == "spam"


def test_a_snapshot_that_cannot_be_written_leaves_the_old_one(store: SenderStore, outage: _Outage) -> None:
    store.write_snapshot()
    outage.begin()
    with pytest.raises(SQLAlchemyError):
        store.write_snapshot()
    assert store.find("max") is not None


def test_the_snapshot_holds_no_private_key_and_is_nobody_elses(
    database: Database, secrets: SecretsStore, store: SenderStore, snapshot_path: Path
) -> None:
    store.write_snapshot()
    content = snapshot_path.read_bytes()
    with database.reading() as session:
        keys = session.scalars(select(DkimKey)).all()
        assert len(keys) == 3
        for key in keys:
            pem = secrets.unseal(key.sealed_private_key)
            lines = [line for line in pem.splitlines() if not line.startswith(b"-----")]
            assert not any(line in content for line in lines)
            assert not any(base64.b64encode(pem)[start : start + 60] in content for start in range(3))
        account = session.scalars(select(Account)).one()
        assert account.password_hash.encode() not in content
    assert b"PRIVATE" not in content
    assert snapshot_path.stat().st_mode & 0o777 == 0o600
