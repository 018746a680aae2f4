"""Claims, proofs and keys of accounts' domains, on SQLite and PostgreSQL."""

import datetime as dt
import functools
from collections.abc import Iterator

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from sendproof_core import directory, dkim_keys, domain_directory, domain_records
from sendproof_core.audit import Actor
from sendproof_core.database import Database
from sendproof_core.dkim_keys import KeyPair
from sendproof_core.dns_answers import Presence
from sendproof_core.domain_directory import OwnDomain, Settled
from sendproof_core.domain_records import Checked, Finding, Problem, Subject, Verdict
from sendproof_core.errors import UserError
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Account, AuditEntry, DkimKey, Domain, DomainClaim, OwnAddress
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.states import KeyState

_NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)
_SECOND = dt.timedelta(seconds=1)
_ACTOR = Actor(1, "max", "192.0.2.9")


@pytest.fixture
def session(either_database: Database) -> Iterator[Session]:
    with either_database.writing() as opened:
        directory.add_plan(opened, "personal", QuotaLimits())
        yield opened


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> SecretsStore:
    store = SecretsStore(tmp_path_factory.mktemp("secrets"))
    store.create()
    return store


@functools.cache
def _pairs() -> dict[str, KeyPair]:
    return {name: dkim_keys.generate(algorithm) for name, algorithm in domain_records.FIRST_SELECTORS.items()}


def _account(session: Session, login: str) -> Account:
    return directory.add_account(
        session,
        login=login,
        password_hash="x",
        plan_name="personal",
        time_zone="UTC",
        tracking=False,
        notice_address=None,
        now=_NOW,
    )


def _claimed(session: Session, account: Account, name: str = "own.example") -> OwnDomain:
    domain_directory.claim(session, account, name, _NOW)
    found = domain_directory.find(session, account.id, name)
    assert found
    return found


def _seen(proof: Presence, *selectors: str) -> Checked:
    findings = tuple(
        Finding(Subject.DKIM, f"{name}._domainkey", "CNAME", "t", (), Verdict.GOOD, Problem.NONE, selector=name)
        for name in selectors
    )
    return Checked(_NOW, proof, findings)


def _settle(
    session: Session,
    domain: OwnDomain,
    checked: Checked,
    secrets: SecretsStore,
    *,
    rival_holds: Presence = Presence.ABSENT,
) -> Settled:
    return domain_directory.settle(
        session,
        domain,
        checked,
        rival_holds=rival_holds,
        pairs=_pairs(),
        secrets=secrets,
        actor=_ACTOR,
        now=_NOW,
    )


def _events(session: Session) -> list[tuple[str, int | None]]:
    return [(row.event, row.account_id) for row in session.scalars(select(AuditEntry).order_by(AuditEntry.id))]


def test_a_claim_is_no_domain_until_it_is_proved(session: Session, secrets: SecretsStore) -> None:
    owner = _account(session, "max")
    claimed = _claimed(session, owner)
    assert not claimed.is_proved
    assert session.scalars(select(Domain)).all() == []
    assert _settle(session, claimed, _seen(Presence.UNKNOWN), secrets) is Settled.AS_BEFORE
    assert _settle(session, claimed, _seen(Presence.ABSENT), secrets) is Settled.AS_BEFORE
    assert session.scalars(select(Domain)).all() == []
    assert _settle(session, claimed, _seen(Presence.PRESENT), secrets) is Settled.PROVED
    proved = domain_directory.find(session, owner.id, "own.example")
    assert proved
    assert proved.is_proved
    assert proved.wanted.challenge == claimed.wanted.challenge
    assert proved.checked == _seen(Presence.PRESENT)
    assert session.scalars(select(DomainClaim)).all() == []
    assert [(key.selector, key.state) for key in proved.wanted.keys] == [
        ("sp1", KeyState.PENDING),
        ("sp1-ed25519", KeyState.PENDING),
    ]
    assert _events(session) == [("domain proved", owner.id)]


def test_a_key_signs_from_when_its_record_was_seen(session: Session, secrets: SecretsStore) -> None:
    owner = _account(session, "max")
    claimed = _claimed(session, owner)
    _settle(session, claimed, _seen(Presence.PRESENT), secrets)
    proved = domain_directory.find(session, owner.id, "own.example")
    assert proved
    _settle(session, proved, _seen(Presence.PRESENT, "sp1"), secrets)
    states = {key.selector: key.state for key in session.scalars(select(DkimKey))}
    assert states == {"sp1": "active", "sp1-ed25519": "pending"}


def test_what_is_not_proved_signs_nothing_whatever_was_seen(session: Session, secrets: SecretsStore) -> None:
    owner = _account(session, "max")
    unproved = directory.add_domain(session, "own.example", owner, _NOW, proved=False)
    directory.add_dkim_key(session, unproved, selector="k", secrets=secrets, state=KeyState.PENDING, now=_NOW)
    found = domain_directory.find(session, owner.id, "own.example")
    assert found
    _settle(session, found, _seen(Presence.ABSENT, "k"), secrets)
    assert session.scalars(select(Domain.proved_at)).one() is None


def test_a_claim_stands_in_nobodys_way(session: Session, secrets: SecretsStore) -> None:
    first, second = _account(session, "max"), _account(session, "eva")
    claims = [_claimed(session, account) for account in (first, second)]
    assert claims[0].wanted.challenge != claims[1].wanted.challenge
    assert _settle(session, claims[1], _seen(Presence.PRESENT), secrets) is Settled.PROVED
    assert session.scalars(select(Domain.account_id)).one() == second.id
    assert [own.is_proved for own in domain_directory.of_account(session, first.id)] == [False]


@pytest.mark.parametrize("rival_holds", [Presence.PRESENT, Presence.UNKNOWN])
def test_a_domain_stays_with_who_has_its_records(
    session: Session, secrets: SecretsStore, rival_holds: Presence
) -> None:
    first, second = _account(session, "max"), _account(session, "eva")
    _settle(session, _claimed(session, first), _seen(Presence.PRESENT), secrets)
    claimed = _claimed(session, second)
    rival = domain_directory.rival(session, claimed)
    assert rival
    assert [key.selector for key in rival.keys] == ["sp1", "sp1-ed25519"]
    assert _settle(session, claimed, _seen(Presence.PRESENT), secrets, rival_holds=rival_holds) is Settled.TAKEN
    assert session.scalars(select(Domain.account_id)).one() == first.id
    still = domain_directory.find(session, second.id, "own.example")
    assert still
    assert still.checked


def test_a_domain_that_changed_hands_goes_to_who_proves_it_with_new_keys(
    session: Session, secrets: SecretsStore
) -> None:
    first, second = _account(session, "max"), _account(session, "eva")
    _settle(session, _claimed(session, first), _seen(Presence.PRESENT), secrets)
    old = session.scalars(select(DkimKey.sealed_private_key)).all()
    claimed = _claimed(session, second)
    assert _settle(session, claimed, _seen(Presence.PRESENT), secrets) is Settled.PROVED
    row = session.scalars(select(Domain)).one()
    assert (row.account_id, row.challenge) == (second.id, claimed.wanted.challenge)
    new = session.scalars(select(DkimKey.sealed_private_key)).all()
    assert len(new) == 2
    assert not set(new) & set(old)
    assert ("domain lost", first.id) in _events(session)
    assert domain_directory.of_account(session, first.id) == []


def test_the_providers_own_domain_is_nobodys(session: Session, secrets: SecretsStore) -> None:
    directory.add_domain(session, "own.example", None, _NOW)
    claimed = _claimed(session, _account(session, "max"))
    assert domain_directory.rival(session, claimed) is None
    assert _settle(session, claimed, _seen(Presence.PRESENT), secrets) is Settled.PROVIDERS
    assert session.scalars(select(Domain.account_id)).one() is None


def test_addresses_at_a_proved_domain_are_its_owners(session: Session, secrets: SecretsStore) -> None:
    first, second = _account(session, "max"), _account(session, "eva")
    for address in ("a@own.example", "b@sub.own.example", "c@notown.example"):
        directory.add_own_address(session, second, address, _NOW)
    directory.add_own_address(session, first, "d@own.example", _NOW)
    _settle(session, _claimed(session, first), _seen(Presence.PRESENT), secrets)
    left = set(session.scalars(select(OwnAddress.address)))
    assert left == {"b@sub.own.example", "c@notown.example", "d@own.example"}
    assert ("sender address lost", second.id) in _events(session)


def test_what_was_given_up_meanwhile_is_gone(session: Session, secrets: SecretsStore) -> None:
    owner = _account(session, "max")
    claimed = _claimed(session, owner)
    assert domain_directory.give_up(session, owner, "own.example", _ACTOR, _NOW)
    assert not domain_directory.give_up(session, owner, "own.example", _ACTOR, _NOW)
    assert _settle(session, claimed, _seen(Presence.PRESENT), secrets) is Settled.GONE
    again = _claimed(session, owner)
    assert again.wanted.challenge != claimed.wanted.challenge
    assert _settle(session, claimed, _seen(Presence.PRESENT), secrets) is Settled.GONE


def test_giving_up_a_domain_takes_its_keys_along_and_no_other_accounts(session: Session, secrets: SecretsStore) -> None:
    first, second = _account(session, "max"), _account(session, "eva")
    _settle(session, _claimed(session, first), _seen(Presence.PRESENT), secrets)
    assert not domain_directory.give_up(session, second, "own.example", _ACTOR, _NOW)
    assert domain_directory.give_up(session, first, "own.example", _ACTOR, _NOW)
    assert session.scalars(select(DkimKey)).all() == []
    assert session.scalars(select(Domain)).all() == []


def test_a_name_is_claimed_once_and_not_without_end(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = _account(session, "max")
    domain_directory.claim(session, owner, " Straße.Example ", _NOW)
    assert domain_directory.of_account(session, owner.id)[0].unicode_name == "straße.example"
    for name in ("xn--strae-oqa.example", "straße.example"):
        with pytest.raises(UserError, match="on your list already"):
            domain_directory.claim(session, owner, name, _NOW)
    with pytest.raises(UserError, match="no domain name"):
        domain_directory.claim(session, owner, "localhost", _NOW)
    monkeypatch.setattr(domain_directory, "MOST_DOMAINS", 2)
    domain_directory.claim(session, owner, "two.example", _NOW)
    with pytest.raises(UserError, match="2 domains at the most"):
        domain_directory.claim(session, owner, "three.example", _NOW)


def test_looks_are_paused(session: Session) -> None:
    owner = _account(session, "max")
    claimed = [_claimed(session, owner, f"d{number}.example") for number in range(12)]
    assert domain_directory.may_look(session, claimed[0], _NOW)
    looked = domain_directory.find(session, owner.id, "d0.example")
    assert looked
    assert not domain_directory.may_look(session, looked, _NOW + 9 * _SECOND)
    assert domain_directory.may_look(session, looked, _NOW + 11 * _SECOND)
    allowed = [domain_directory.may_look(session, own, _NOW + 12 * _SECOND) for own in claimed[1:]]
    assert allowed.count(True) == domain_directory.CHECKS_PER_MINUTE - 1
    assert domain_directory.may_look(session, claimed[11], _NOW + 80 * _SECOND)


def test_of_two_looks_at_once_one_begins(session: Session) -> None:
    claimed = _claimed(session, _account(session, "max"))
    assert domain_directory.may_look(session, claimed, _NOW)
    assert not domain_directory.may_look(session, claimed, _NOW)


def test_the_zone_has_every_key_of_every_account_and_none_of_the_providers(
    session: Session, secrets: SecretsStore
) -> None:
    owner = _account(session, "max")
    claimed = _claimed(session, owner)
    _settle(session, claimed, _seen(Presence.PRESENT), secrets)
    own = directory.add_domain(session, "relay.example", None, _NOW)
    directory.add_dkim_key(session, own, selector="k", secrets=secrets, state=KeyState.ACTIVE, now=_NOW)
    records = domain_directory.zone_records(session, "keys.relay.example")
    assert [(record.name, record.type) for record in records] == [
        (f"sp1.{claimed.wanted.challenge}.keys.relay.example", "TXT"),
        (f"sp1-ed25519.{claimed.wanted.challenge}.keys.relay.example", "TXT"),
    ]
    assert "".join(records[0].strings) == f"v=DKIM1; k=rsa; p={_pairs()['sp1'].public_key}"


def test_another_accounts_domain_is_not_found(session: Session) -> None:
    first, second = _account(session, "max"), _account(session, "eva")
    _claimed(session, first)
    directory.add_domain(session, "proved.example", first, _NOW)
    for name in ("own.example", "proved.example"):
        assert domain_directory.find(session, second.id, name) is None
        assert domain_directory.find(session, None, name) is None
    assert [own.name for own in domain_directory.everything(session)] == ["own.example", "proved.example"]
