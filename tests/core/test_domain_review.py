"""From a claim to a key that signs: DNS on loopback, a database, nothing in between left out."""

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from sendproof_core import audit, directory, domain_directory, domain_review
from sendproof_core.database import Database
from sendproof_core.domain_directory import OwnDomain, Settled
from sendproof_core.domain_records import Verdict
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Account, DkimKey, Domain
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.settings import DnsSettings
from sendproof_testing import dns_zone
from sendproof_testing.dns_zone import DnsZone

_NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)


@pytest.fixture
def zone() -> Iterator[DnsZone]:
    with dns_zone.running() as running:
        yield running


@pytest.fixture
def secrets(tmp_path: Path) -> SecretsStore:
    store = SecretsStore(tmp_path / "secrets")
    store.create()
    return store


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    with sqlite_database.writing() as session:
        directory.add_plan(session, "personal", QuotaLimits())
        for login in ("max", "eva"):
            account = directory.add_account(
                session,
                login=login,
                password_hash="x",
                plan_name="personal",
                time_zone="UTC",
                tracking=False,
                notice_address=None,
                now=_NOW,
            )
            domain_directory.claim(session, account, "own.example", _NOW)
    return sqlite_database


def _own(database: Database, login: str) -> OwnDomain:
    with database.reading() as session:
        account_id = session.scalars(select(Account.id).where(Account.login == login)).one()
        found = domain_directory.find(session, account_id, "own.example")
    assert found
    return found


def _review(database: Database, login: str, zone: DnsZone, secrets: SecretsStore, **settings: str) -> Settled:
    dns_settings = DnsSettings(servers=(zone.server,), **settings)  # type: ignore[arg-type] # by name
    return domain_review.review(
        database,
        _own(database, login),
        dns_settings=dns_settings,
        secrets=secrets,
        actor=audit.COMMAND,
        now=_NOW,
    )


def _publish_zone(database: Database, zone: DnsZone) -> None:
    with database.reading() as session:
        for record in domain_directory.zone_records(session, "keys.relay.example"):
            zone.set(record.name, record.type, "".join(record.strings))


def _publish_cnames(domain: OwnDomain, zone: DnsZone) -> None:
    for selector in ("sp1", "sp1-ed25519"):
        target = f"{selector}.{domain.wanted.challenge}.keys.relay.example"
        zone.set(f"{selector}._domainkey.own.example", "CNAME", f"{target}.")


def test_by_cname_from_claim_to_signing(database: Database, zone: DnsZone, secrets: SecretsStore) -> None:
    settings = {"dkim_zone": "keys.relay.example"}
    assert _review(database, "max", zone, secrets, **settings) is Settled.AS_BEFORE
    _publish_cnames(_own(database, "max"), zone)
    assert _review(database, "max", zone, secrets, **settings) is Settled.PROVED
    checked = _own(database, "max").checked
    assert checked
    assert [finding.verdict for finding in checked.findings[:2]] == [Verdict.WAITING] * 2
    _publish_zone(database, zone)
    assert _review(database, "max", zone, secrets, **settings) is Settled.AS_BEFORE
    with database.reading() as session:
        assert set(session.scalars(select(DkimKey.state))) == {"active"}


def test_by_text_from_claim_to_signing(database: Database, zone: DnsZone, secrets: SecretsStore) -> None:
    challenge = _own(database, "max").wanted.challenge
    zone.set("_sendproof-challenge.own.example", "TXT", f"sendproof-challenge={challenge}")
    assert _review(database, "max", zone, secrets) is Settled.PROVED
    for key in _own(database, "max").wanted.keys:
        zone.set(f"{key.selector}._domainkey.own.example", "TXT", key.record_text or "")
    _review(database, "max", zone, secrets)
    with database.reading() as session:
        assert set(session.scalars(select(DkimKey.state))) == {"active"}


def test_a_domain_goes_over_only_when_the_first_ones_records_are_gone(
    database: Database, zone: DnsZone, secrets: SecretsStore
) -> None:
    settings = {"dkim_zone": "keys.relay.example"}
    _publish_cnames(_own(database, "max"), zone)
    assert _review(database, "max", zone, secrets, **settings) is Settled.PROVED
    challenge = _own(database, "eva").wanted.challenge
    zone.set("_sendproof-challenge.own.example", "TXT", f"sendproof-challenge={challenge}")
    assert _review(database, "eva", zone, secrets, **settings) is Settled.TAKEN
    _publish_cnames(_own(database, "eva"), zone)
    assert _review(database, "eva", zone, secrets, **settings) is Settled.PROVED
    with database.reading() as session:
        owner = session.scalars(select(Domain.account_id)).one()
        assert owner == session.scalars(select(Account.id).where(Account.login == "eva")).one()


class _Overtaken(Database):
    """Somebody else is faster, whenever it is about to write."""

    def __init__(self, database: Database, faster: Callable[[], object]) -> None:
        super().__init__(database.engine)
        self._faster = faster

    @contextlib.contextmanager
    def writing(self) -> Iterator[Session]:
        self._faster()
        with super().writing() as session:
            yield session


def test_of_two_who_prove_a_domain_at_once_the_first_has_it(
    database: Database, zone: DnsZone, secrets: SecretsStore
) -> None:
    proofs = [f"sendproof-challenge={_own(database, login).wanted.challenge}" for login in ("max", "eva")]
    zone.set("_sendproof-challenge.own.example", "TXT", *proofs)
    settled: list[Settled] = []
    overtaken = _Overtaken(database, lambda: settled.append(_review(database, "eva", zone, secrets)))
    assert _review(overtaken, "max", zone, secrets) is Settled.TAKEN
    assert settled == [Settled.PROVED]


def test_a_silent_server_changes_nothing(database: Database, zone: DnsZone, secrets: SecretsStore) -> None:
    _publish_cnames(_own(database, "max"), zone)
    _review(database, "max", zone, secrets, dkim_zone="keys.relay.example")
    before = _own(database, "max").proved_at
    for name in ("own.example", "sp1._domainkey.own.example", "sp1-ed25519._domainkey.own.example"):
        zone.break_name(name)
    assert _review(database, "max", zone, secrets, dkim_zone="keys.relay.example") is Settled.AS_BEFORE
    assert _own(database, "max").proved_at == before
