from collections.abc import Callable

import pytest
from sqlalchemy import select, update

from sendproof_core import directory
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Account, Credential, DkimKey, Domain
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.states import KeyState
from sendproof_milter.sender import Sender
from sendproof_milter.sender_store import MAXIMAL_AGE_SECONDS, SenderStore
from sendproof_testing.submissions import NOW


class _Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def store(database: Database, secrets: SecretsStore, clock: _Clock) -> SenderStore:
    return SenderStore(database, secrets, clock)


@pytest.fixture
def found(store: SenderStore, clock: _Clock) -> Callable[[], Sender | None]:
    """Looks max up when every kept answer is too old."""

    def find() -> Sender | None:
        clock.seconds += MAXIMAL_AGE_SECONDS
        return store.find("max")

    return find


def _signers(sender: Sender | None) -> list[str]:
    assert sender is not None
    return [key.domain for key in sender.keys]


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
        ("relay.example", "sp1", "rsa-sha256"),
    ]


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
    sender = store.find("max")
    assert sender is not None
    assert sender.domains == {"own.example"}
    assert _signers(sender) == ["own.example", "relay.example"]


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
    assert before.keys[-1].private_key is not after.keys[-1].private_key


def test_a_key_that_cannot_be_opened_is_said_so(database: Database, found: Callable[[], Sender | None]) -> None:
    with database.writing() as session:
        session.execute(update(DkimKey).values(sealed_private_key=b"damaged"))
    with pytest.raises(UserError, match="cannot be opened"):
        found()


def test_memory_is_bounded(store: SenderStore) -> None:
    for number in range(10_050):
        store._known[str(number)] = (0.0, None)
        if number >= 10_000:
            store.find(f"nobody{number}")
    assert len(store._known) <= 10_101
