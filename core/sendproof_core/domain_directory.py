"""The domains of accounts: claimed, proved, checked, given up. Asks no DNS: `domain_check` does, outside a transaction.

Anybody may claim any domain. Who proves a claim in DNS gets the domain, also from another account whose own records are
gone; a claim proves nothing and stands in nobody's way.
"""

import datetime as dt
import enum
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from sendproof_core import audit, directory, dkim_keys, domain_names, domain_records
from sendproof_core.audit import Actor
from sendproof_core.directory import DnsRecord
from sendproof_core.dkim_keys import KeyPair
from sendproof_core.dns_answers import Presence
from sendproof_core.domain_records import Checked, Key, Verdict, Wanted
from sendproof_core.errors import UserError
from sendproof_core.schema import Account, DkimKey, Domain, DomainCheck, DomainClaim, OwnAddress
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.states import KeyState

# Of one account, and how many of them it may have looked at in a minute: each look holds a worker for seconds.
MOST_DOMAINS = 100
CHECKS_PER_MINUTE = 10
CHECK_PAUSE = dt.timedelta(seconds=10)
_MINUTE = dt.timedelta(minutes=1)


@dataclass(frozen=True)
class OwnDomain:
    """A domain of an account (None: the provider's own), claimed or proved, and what was last seen of it.

    ``looked_at``: when a look began; `checked` may be older, if that one did not come to its end.
    """

    name: str
    account_id: int | None
    created_at: dt.datetime
    proved_at: dt.datetime | None
    wanted: Wanted
    looked_at: dt.datetime | None
    checked: Checked | None

    @property
    def is_proved(self) -> bool:
        """Whether mail may be sent from its addresses."""
        return self.proved_at is not None or self.account_id is None

    @property
    def unicode_name(self) -> str:
        """As people write it."""
        return domain_names.to_unicode(self.name)


class Settled(enum.StrEnum):
    """What came of a look at a domain."""

    AS_BEFORE = "as before"
    PROVED = "proved"
    # Another account has proved it, and its records are in DNS still (or nobody could tell).
    TAKEN = "taken"
    PROVIDERS = "the provider's"
    GONE = "gone"


def claim(session: Session, account: Account, name: str, now: dt.datetime) -> DomainClaim:
    """Let an account say that a domain is its own; nothing may be sent from there until it is proved."""
    try:
        ascii_name = domain_names.to_ascii(name.strip())
    except ValueError:
        raise UserError(f"{name!r} is no domain name.") from None
    if find(session, account.id, ascii_name) is not None:
        raise UserError(f"the domain {ascii_name} is on your list already.")
    if len(_names(session, account.id)) >= MOST_DOMAINS:
        raise UserError(f"an account has {MOST_DOMAINS} domains at the most.")
    made = DomainClaim(
        account_id=account.id,
        name=ascii_name,
        challenge=directory.fresh_challenge(),
        created_at=now,
        checked_at=None,
        result=None,
    )
    session.add(made)
    session.flush()
    return made


def of_account(session: Session, account_id: int) -> list[OwnDomain]:
    """An account's domains, by name."""
    found = [_of_row(session, row) for row in session.scalars(select(Domain).where(Domain.account_id == account_id))]
    found += [
        _of_claim(row) for row in session.scalars(select(DomainClaim).where(DomainClaim.account_id == account_id))
    ]
    return sorted(found, key=lambda domain: domain.name)


def find(session: Session, account_id: int | None, name: str) -> OwnDomain | None:
    """An account's domain of that name (A-labels); of None, the provider's own."""
    row = session.scalar(select(Domain).where(Domain.name == name, Domain.account_id.is_not_distinct_from(account_id)))
    if row is not None:
        return _of_row(session, row)
    claimed = _claim_of(session, account_id, name) if account_id is not None else None
    return _of_claim(claimed) if claimed is not None else None


def everything(session: Session) -> list[OwnDomain]:
    """Every domain and every claim, by name: to look at all of them."""
    found = [_of_row(session, row) for row in session.scalars(select(Domain))]
    found += [_of_claim(row) for row in session.scalars(select(DomainClaim))]
    return sorted(found, key=lambda domain: (domain.name, domain.account_id or 0))


def rival(session: Session, domain: OwnDomain) -> Wanted | None:
    """What another account that has proved this domain published for it, if there is one."""
    if domain.account_id is None:
        return None
    row = session.scalar(select(Domain).where(Domain.name == domain.name, Domain.account_id != domain.account_id))
    return None if row is None or row.proved_at is None else _of_row(session, row).wanted


def may_look(session: Session, domain: OwnDomain, now: dt.datetime) -> bool:
    """Note that a look begins; False if this domain, or this account's others, were looked at a moment ago."""
    if domain.account_id is not None:  # who else looks for this account waits for us
        session.execute(select(Account.id).where(Account.id == domain.account_id).with_for_update())
    present = find(session, domain.account_id, domain.name)
    if present is not None and present.looked_at is not None and now - present.looked_at < CHECK_PAUSE:
        return False
    if domain.account_id is not None and _looks(session, domain.account_id, now - _MINUTE) >= CHECKS_PER_MINUTE:
        return False
    _note(session, domain, now, None)
    return True


def settle(
    session: Session,
    domain: OwnDomain,
    checked: Checked,
    *,
    rival_holds: Presence,
    pairs: dict[str, KeyPair],
    secrets: SecretsStore,
    actor: Actor,
    now: dt.datetime,
) -> Settled:
    """Keep what was seen, and do what follows: the domain is proved, published keys begin to sign.

    ``pairs``: new keys by their selectors, for a domain that is proved now. ``rival_holds``: whether the records of
    the account that has the domain are in DNS.
    """
    present = find(session, domain.account_id, domain.name)
    if present is None or present.wanted.challenge != domain.wanted.challenge:
        return Settled.GONE
    _note(session, present, now, checked)
    outcome = Settled.AS_BEFORE
    if not present.is_proved and checked.proof is Presence.PRESENT:
        outcome = _prove(session, present, rival_holds=rival_holds, pairs=pairs, secrets=secrets, actor=actor, now=now)
        if outcome is not Settled.PROVED:
            return outcome
        _note(session, present, now, checked)
    _activate(session, present, checked, actor, now)
    return outcome


def pairs_for(domain: OwnDomain, checked: Checked) -> dict[str, KeyPair]:
    """Keys for a domain that is proved by what was just seen. Takes a while: outside of any transaction."""
    if domain.is_proved or checked.proof is not Presence.PRESENT:
        return {}
    return {name: dkim_keys.generate(algorithm) for name, algorithm in domain_records.FIRST_SELECTORS.items()}


def give_up(session: Session, account: Account, name: str, actor: Actor, now: dt.datetime) -> bool:
    """Take a domain off an account's list, with its keys: nothing may be sent from there any more."""
    row = session.scalar(select(Domain).where(Domain.name == name, Domain.account_id == account.id))
    claimed = _claim_of(session, account.id, name)
    if row is None and claimed is None:
        return False
    if row is not None:
        _forget_keys(session, row)
        session.execute(delete(DomainCheck).where(DomainCheck.domain_id == row.id))
        session.delete(row)
    if claimed is not None:
        session.delete(claimed)
    session.flush()
    audit.record(session, "domain removed", actor, now, account_id=account.id, details={"domain": name})
    return True


def zone_records(session: Session, dkim_zone: str) -> list[DnsRecord]:
    """What the provider's zone of customers' keys holds: one TXT record for each key, in a fixed order."""
    rows = session.execute(
        select(Domain, DkimKey)
        .join(DkimKey, DkimKey.domain_id == Domain.id)
        .where(Domain.account_id.is_not(None), Domain.challenge.is_not(None))
        .order_by(Domain.name, DkimKey.id)
    )
    records: list[DnsRecord] = []
    for domain, key in rows:
        name = domain_records.cname_target(key.selector, domain.challenge or "", dkim_zone)
        records.append(DnsRecord(name, "TXT", directory.dkim_record(domain, key).strings))
    return records


def _prove(
    session: Session,
    domain: OwnDomain,
    *,
    rival_holds: Presence,
    pairs: dict[str, KeyPair],
    secrets: SecretsStore,
    actor: Actor,
    now: dt.datetime,
) -> Settled:
    row = session.scalar(select(Domain).where(Domain.name == domain.name).with_for_update())
    if row is not None and row.account_id != domain.account_id:
        if row.account_id is None:
            return Settled.PROVIDERS
        if row.proved_at is not None and rival_holds is not Presence.ABSENT:
            return Settled.TAKEN
        _forget_keys(session, row)
        details = {"domain": domain.name, "reason": "another account proved it, and its records were gone"}
        audit.record(session, "domain lost", actor, now, account_id=row.account_id, details=details)
    if row is None:
        row = Domain(name=domain.name, account_id=domain.account_id, created_at=domain.created_at)
        session.add(row)
    row.account_id, row.proved_at, row.challenge = domain.account_id, now, domain.wanted.challenge
    session.flush()
    _take_addresses(session, row, actor, now)
    if not directory.keys_of(session, row):
        for selector, pair in pairs.items():
            directory.store_key(
                session, row, selector=selector, pair=pair, secrets=secrets, state=KeyState.PENDING, now=now
            )
    if domain.account_id is not None and (claimed := _claim_of(session, domain.account_id, domain.name)) is not None:
        session.delete(claimed)
    session.flush()
    audit.record(session, "domain proved", actor, now, account_id=domain.account_id, details={"domain": domain.name})
    return Settled.PROVED


def _take_addresses(session: Session, row: Domain, actor: Actor, now: dt.datetime) -> None:
    """All addresses of a domain belong to who has it: no other account may go on to send as one of them."""
    at_domain = OwnAddress.address_key.endswith(f"@{row.name}", autoescape=True)
    for own in session.scalars(select(OwnAddress).where(at_domain, OwnAddress.account_id != row.account_id)).all():
        details = {"address": own.address, "reason": "another account proved its domain"}
        audit.record(session, "sender address lost", actor, now, account_id=own.account_id, details=details)
        session.delete(own)


def _activate(session: Session, domain: OwnDomain, checked: Checked, actor: Actor, now: dt.datetime) -> None:
    """Let pending keys sign whose records every receiver finds now."""
    row = session.scalar(
        select(Domain).where(Domain.name == domain.name, Domain.account_id.is_not_distinct_from(domain.account_id))
    )
    if row is None:
        return
    seen = {finding.selector for finding in checked.findings if finding.verdict is Verdict.GOOD and finding.selector}
    for key in directory.keys_of(session, row):
        if key.state == KeyState.PENDING.value and key.selector in seen:
            directory.activate_key(session, row, key.selector, now)
            details = {"domain": row.name, "selector": key.selector}
            audit.record(session, "key activated", actor, now, account_id=row.account_id, details=details)


def _note(session: Session, domain: OwnDomain, now: dt.datetime, checked: Checked | None) -> None:
    result = None if checked is None else domain_records.to_json(checked)
    row = session.scalar(
        select(Domain).where(Domain.name == domain.name, Domain.account_id.is_not_distinct_from(domain.account_id))
    )
    if row is not None:
        kept = session.get(DomainCheck, row.id)
        if kept is None:
            session.add(DomainCheck(domain_id=row.id, checked_at=now, result=result or {}))
        else:
            kept.checked_at, kept.result = now, result or kept.result
    elif domain.account_id is not None and (claimed := _claim_of(session, domain.account_id, domain.name)) is not None:
        claimed.checked_at, claimed.result = now, result or claimed.result
    session.flush()


def _forget_keys(session: Session, row: Domain) -> None:
    session.execute(delete(DkimKey).where(DkimKey.domain_id == row.id))
    session.flush()


def _claim_of(session: Session, account_id: int, name: str) -> DomainClaim | None:
    return session.scalar(select(DomainClaim).where(DomainClaim.account_id == account_id, DomainClaim.name == name))


def _names(session: Session, account_id: int) -> list[str]:
    proved = session.scalars(select(Domain.name).where(Domain.account_id == account_id)).all()
    claimed = session.scalars(select(DomainClaim.name).where(DomainClaim.account_id == account_id)).all()
    return [*proved, *claimed]


def _looks(session: Session, account_id: int, since: dt.datetime) -> int:
    claims = select(func.count()).select_from(DomainClaim).where(DomainClaim.account_id == account_id)
    checks = (
        select(func.count())
        .select_from(DomainCheck)
        .join(Domain, Domain.id == DomainCheck.domain_id)
        .where(Domain.account_id == account_id)
    )
    return (session.scalar(claims.where(DomainClaim.checked_at > since)) or 0) + (
        session.scalar(checks.where(DomainCheck.checked_at > since)) or 0
    )


def _of_row(session: Session, row: Domain) -> OwnDomain:
    kept = session.get(DomainCheck, row.id)
    keys = tuple(
        Key(key.selector, key.algorithm, KeyState(key.state), key.public_key) for key in directory.keys_of(session, row)
    )
    if not keys and row.account_id is not None and row.proved_at is None:
        keys = domain_records.FIRST_KEYS
    return OwnDomain(
        name=row.name,
        account_id=row.account_id,
        created_at=row.created_at,
        proved_at=row.proved_at,
        wanted=Wanted(row.name, row.challenge if row.account_id is not None else None, keys),
        looked_at=kept.checked_at if kept else None,
        checked=domain_records.from_json(kept.result) if kept else None,
    )


def _of_claim(row: DomainClaim) -> OwnDomain:
    return OwnDomain(
        name=row.name,
        account_id=row.account_id,
        created_at=row.created_at,
        proved_at=None,
        wanted=Wanted(row.name, row.challenge, domain_records.FIRST_KEYS),
        looked_at=row.checked_at,
        checked=domain_records.from_json(row.result),
    )
