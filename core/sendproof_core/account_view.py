"""One account as the provider sees it: who it is, what it may send and with what. Reads only."""

import datetime as dt
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from sendproof_core import limit_use, statistics
from sendproof_core.limit_use import LimitUse
from sendproof_core.schema import Account, Credential, Domain, OwnAddress, Plan


@dataclass(frozen=True)
class CredentialView:
    """A device's login. ``last_used_at`` None: no message came with it yet."""

    login: str
    label: str
    created_at: dt.datetime
    revoked_at: dt.datetime | None
    last_used_at: dt.datetime | None


@dataclass(frozen=True)
class DomainView:
    """A domain of the account; nobody sends as it before it is proved."""

    name: str
    proved_at: dt.datetime | None


@dataclass(frozen=True)
class AccountView:
    """Everything about an account but its messages."""

    id: int
    login: str
    plan_id: int
    plan_name: str
    created_at: dt.datetime
    time_zone: str
    language: str | None
    address: str | None
    address_confirmed_at: dt.datetime | None
    notice_address: str | None
    suspended_at: dt.datetime | None
    suspended_reason: str | None
    test_mode: bool
    tracking: bool
    is_provider: bool
    has_second_factor: bool
    uses: tuple[LimitUse, ...]
    domains: tuple[DomainView, ...]
    own_addresses: tuple[str, ...]
    credentials: tuple[CredentialView, ...]

    @property
    def state(self) -> str:
        """``live``, ``test mode``, or that it is suspended and why."""
        if self.suspended_at is not None:
            return f"suspended: {self.suspended_reason}"
        return "test mode" if self.test_mode else "live"


def read(session: Session, account_id: int, now: dt.datetime) -> AccountView | None:
    """The account with that id; None: there is none."""
    account = session.get(Account, account_id)
    if account is None:
        return None
    plan = session.get_one(Plan, account.plan_id)
    domains = session.scalars(select(Domain).where(Domain.account_id == account_id).order_by(Domain.name))
    own = session.scalars(select(OwnAddress.address).where(OwnAddress.account_id == account_id))
    return AccountView(
        id=account.id,
        login=account.login,
        plan_id=plan.id,
        plan_name=plan.name,
        created_at=account.created_at,
        time_zone=account.time_zone,
        language=account.language,
        address=account.address,
        address_confirmed_at=account.address_confirmed_at,
        notice_address=account.notice_address,
        suspended_at=account.suspended_at,
        suspended_reason=account.suspended_reason,
        test_mode=account.test_mode,
        tracking=account.tracking,
        is_provider=account.is_provider,
        has_second_factor=account.totp_since is not None,
        uses=limit_use.read(session, account, now),
        domains=tuple(DomainView(domain.name, domain.proved_at) for domain in domains),
        own_addresses=tuple(sorted(own)),
        credentials=_credentials(session, account_id),
    )


def _credentials(session: Session, account_id: int) -> tuple[CredentialView, ...]:
    """The newest first."""
    rows = list(
        session.scalars(
            select(Credential)
            .where(Credential.account_id == account_id)
            .order_by(Credential.created_at.desc(), Credential.id.desc())
        )
    )
    used = statistics.last_used(session, [row.login for row in rows])
    return tuple(
        CredentialView(row.login, row.label, row.created_at, row.revoked_at, used.get(row.login)) for row in rows
    )
