"""Find accounts: by login, address, domain or a device's login. Reads only; for the provider, who sees them all."""

import datetime as dt
import enum
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from sendproof_core.schema import Account, Credential, Domain, OwnAddress, Plan

PAGE_LENGTH = 50
_DOMAINS_SHOWN = 3


class Which(enum.StrEnum):
    """Which accounts are looked through."""

    ALL = "all"
    LIVE = "live"
    TEST = "test"
    SUSPENDED = "suspended"
    PROVIDER = "provider"


@dataclass(frozen=True)
class AccountRow:
    """A line of the list. ``domains``: the first few by name; ``more_domains``: how many there are beside them."""

    id: int
    login: str
    address: str | None
    plan: str
    created_at: dt.datetime
    suspended_at: dt.datetime | None
    suspended_reason: str | None
    test_mode: bool
    is_provider: bool
    domains: tuple[str, ...]
    more_domains: int


@dataclass(frozen=True)
class AccountPage:
    """Accounts by login. ``next``: what `find` continues ``after``; None: these are the last."""

    rows: tuple[AccountRow, ...]
    next: str | None


def find(
    session: Session,
    text: str = "",
    *,
    which: Which = Which.ALL,
    plan: str | None = None,
    after: str | None = None,
    limit: int = PAGE_LENGTH,
) -> AccountPage:
    """Accounts in which ``text`` stands anywhere, whatever its case; % and _ are letters like others."""
    wanted = select(Account, Plan.name).join(Plan, Plan.id == Account.plan_id).order_by(Account.login).limit(limit + 1)
    if text.strip():
        wanted = wanted.where(_mentions(text.strip()))
    if (state := _state(which)) is not None:
        wanted = wanted.where(state)
    if plan is not None:
        wanted = wanted.where(Plan.name == plan)
    if after is not None:
        wanted = wanted.where(Account.login > after)
    found = session.execute(wanted).all()
    domains = _domains(session, [account.id for account, _ in found[:limit]])
    rows = tuple(_row(account, plan_name, domains.get(account.id, [])) for account, plan_name in found[:limit])
    return AccountPage(rows, rows[-1].login if len(found) > limit else None)


def count(session: Session) -> dict[Which, int]:
    """How many accounts there are of each kind."""
    counts: dict[Which, int] = {}
    for which in Which:
        wanted = select(func.count()).select_from(Account)
        state = _state(which)
        counts[which] = session.scalar(wanted if state is None else wanted.where(state)) or 0
    return counts


def _mentions(text: str) -> ColumnElement[bool]:
    domain = exists().where(Domain.account_id == Account.id, Domain.name.icontains(text, autoescape=True))
    own = exists().where(OwnAddress.account_id == Account.id, OwnAddress.address.icontains(text, autoescape=True))
    device = exists().where(Credential.account_id == Account.id, Credential.login.icontains(text, autoescape=True))
    login, address = Account.login, Account.address
    return or_(login.icontains(text, autoescape=True), address.icontains(text, autoescape=True), domain, own, device)


def _state(which: Which) -> ColumnElement[bool] | None:
    match which:
        case Which.ALL:
            return None
        case Which.LIVE:
            return and_(Account.suspended_at.is_(None), Account.test_mode.is_(False))
        case Which.TEST:
            return and_(Account.suspended_at.is_(None), Account.test_mode.is_(True))
        case Which.SUSPENDED:
            return Account.suspended_at.is_not(None)
        case Which.PROVIDER:
            return Account.is_provider.is_(True)


def _domains(session: Session, account_ids: list[int]) -> dict[int, list[str]]:
    wanted = select(Domain.account_id, Domain.name).where(Domain.account_id.in_(account_ids)).order_by(Domain.name)
    found: dict[int, list[str]] = {}
    for account_id, name in session.execute(wanted):
        if account_id is not None:
            found.setdefault(account_id, []).append(name)
    return found


def _row(account: Account, plan: str, domains: list[str]) -> AccountRow:
    return AccountRow(
        id=account.id,
        login=account.login,
        address=account.address,
        plan=plan,
        created_at=account.created_at,
        suspended_at=account.suspended_at,
        suspended_reason=account.suspended_reason,
        test_mode=account.test_mode,
        is_provider=account.is_provider,
        domains=tuple(domains[:_DOMAINS_SHOWN]),
        more_domains=max(len(domains) - _DOMAINS_SHOWN, 0),
    )
