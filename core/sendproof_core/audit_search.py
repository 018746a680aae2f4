"""The audit log, newest first: by account, actor, event and time. Reads only."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from sendproof_core.schema import Account, AuditEntry

PAGE_LENGTH = 50


@dataclass(frozen=True)
class Wanted:
    """What to look for; everything that is given must hold.

    ``account``, ``actor``: a login; ``event``: words that stand in it; ``after`` is part of the time, ``before`` not.
    """

    account: str | None = None
    actor: str | None = None
    event: str | None = None
    after: dt.datetime | None = None
    before: dt.datetime | None = None


@dataclass(frozen=True)
class Entry:
    """One entry. ``account``: the login now, of an account that is there still."""

    id: int
    at: dt.datetime
    actor: str
    actor_id: int | None
    account_id: int | None
    account: str | None
    event: str
    details: dict[str, Any]
    client_address: str | None

    @property
    def detail_words(self) -> tuple[tuple[str, str], ...]:
        """The details as people read them: of what was changed, both values."""
        return tuple((name.replace("_", " "), _words(value)) for name, value in self.details.items())


@dataclass(frozen=True)
class AuditPage:
    """Entries, newest first. ``next``: the id that `find` continues ``below``; None: these are the oldest."""

    entries: tuple[Entry, ...]
    next: int | None


def find(session: Session, wanted: Wanted, *, below: int | None = None, limit: int = PAGE_LENGTH) -> AuditPage:
    """A page of the log. Entries are numbered in the order in which they were written."""
    query = (
        select(AuditEntry, Account.login)
        .outerjoin(Account, Account.id == AuditEntry.account_id)
        .order_by(AuditEntry.id.desc())
        .limit(limit + 1)
    )
    if wanted.account is not None:
        query = query.where(AuditEntry.account_id == _account_id(session, wanted.account))
    if wanted.actor is not None:
        actor_id = _account_id(session, wanted.actor)
        query = query.where(or_(AuditEntry.actor == wanted.actor, AuditEntry.actor_id == actor_id))
    if wanted.event is not None:
        query = query.where(AuditEntry.event.icontains(wanted.event, autoescape=True))
    if wanted.after is not None:
        query = query.where(AuditEntry.at >= wanted.after)
    if wanted.before is not None:
        query = query.where(AuditEntry.at < wanted.before)
    if below is not None:
        query = query.where(AuditEntry.id < below)
    found = session.execute(query).all()
    entries = tuple(_entry(row, login) for row, login in found[:limit])
    return AuditPage(entries, entries[-1].id if len(found) > limit else None)


def events(session: Session) -> Sequence[str]:
    """Every kind of event that there is."""
    return session.scalars(select(AuditEntry.event).distinct().order_by(AuditEntry.event)).all()


def _account_id(session: Session, login: str) -> int:
    """-1, which nobody has, where there is no such account."""
    found = session.scalar(select(Account.id).where(Account.login == login))
    return -1 if found is None else found


def _entry(row: AuditEntry, login: str | None) -> Entry:
    return Entry(
        id=row.id,
        at=row.at,
        actor=row.actor,
        actor_id=row.actor_id,
        account_id=row.account_id,
        account=login,
        event=row.event,
        details=row.details,
        client_address=row.client_address,
    )


def _words(value: object) -> str:
    if isinstance(value, list) and len(value) == 2:  # before and after
        return f"{_words(value[0])} → {_words(value[1])}"
    if isinstance(value, list):
        return ", ".join(_words(one) for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
