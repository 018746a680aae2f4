"""The site's own reading of the directory: who signs in. The record is read by `sendproof_core.transcripts`."""

import hashlib
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from sendproof_core.schema import Account


@dataclass(frozen=True)
class SiteAccount:
    """An account as the site knows it. ``password_mark`` changes with the password and tells nothing of it."""

    id: int
    login: str
    password_hash: str
    password_mark: str
    time_zone: str
    has_second_factor: bool


def account_by_login(session: Session, login: str) -> SiteAccount | None:
    """The account with that login."""
    return _site_account(session.scalar(select(Account).where(Account.login == login)))


def account_by_id(session: Session, account_id: int) -> SiteAccount | None:
    """The account with that id."""
    return _site_account(session.get(Account, account_id))


def is_as_before(session: Session, account: SiteAccount) -> bool:
    """Whether what it signs in with was not changed meanwhile; nobody changes it before this transaction ends."""
    row = session.scalar(select(Account).where(Account.id == account.id).with_for_update())
    return _site_account(row) == account


def answers(session: Session) -> bool:
    """Whether the database answers."""
    return session.scalar(select(1)) == 1


def _site_account(row: Account | None) -> SiteAccount | None:
    if row is None:
        return None
    mark = hashlib.sha256(row.password_hash.encode()).hexdigest()[:16]
    return SiteAccount(row.id, row.login, row.password_hash, mark, row.time_zone, row.totp_since is not None)
