"""What was refused at submission, of all accounts, newest first. Reads only; for the provider.

A sender's own refusals are in the list of messages (`message_search`).
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from sendproof_core.schema import Account, Refusal

PAGE_LENGTH = 50
# Who says so, as `schema.Refusal.source` has it.
SOURCES = ("milter", "postfix", "sign-in")


@dataclass(frozen=True)
class Wanted:
    """What to look for; everything that is given must hold. ``account``: a login; ``text`` stands in the reply."""

    account: str | None = None
    source: str | None = None
    reason: str | None = None
    text: str | None = None
    since: dt.datetime | None = None


@dataclass(frozen=True)
class RefusalRow:
    """One refusal. ``account``: the login of the account it belongs to; ``login``: what the client signed in with."""

    id: int
    at: dt.datetime
    account_id: int | None
    account: str | None
    login: str
    host: str
    source: str
    reason: str
    reply: str
    envelope_sender: str
    recipients: tuple[str, ...]
    subject: str | None
    client_address: str | None


@dataclass(frozen=True)
class Cursor:
    """A place in the list: what comes after it is older."""

    at: dt.datetime
    id: int

    @classmethod
    def read(cls, text: str) -> "Cursor | None":
        """As `written`; None: it is none."""
        moment, _, number = text.partition("~")
        try:
            at = dt.datetime.fromisoformat(moment)
        except ValueError:
            return None
        if at.tzinfo is None or not (number.isascii() and number.isdigit() and len(number) < 19):
            return None
        return cls(at, int(number))

    @property
    def written(self) -> str:
        """For an address."""
        return f"{self.at.astimezone(dt.UTC).isoformat()}~{self.id}"


@dataclass(frozen=True)
class RefusalPage:
    """Refusals, newest first. ``next`` None: these are the oldest."""

    rows: tuple[RefusalRow, ...]
    next: Cursor | None


def find(session: Session, wanted: Wanted, *, after: Cursor | None = None, limit: int = PAGE_LENGTH) -> RefusalPage:
    """A page of the list."""
    query = (
        select(Refusal, Account.login)
        .outerjoin(Account, Account.id == Refusal.account_id)
        .order_by(Refusal.refused_at.desc(), Refusal.id.desc())
        .limit(limit + 1)
    )
    if wanted.account is not None:
        account_id = session.scalar(select(Account.id).where(Account.login == wanted.account))
        query = query.where(Refusal.account_id == (-1 if account_id is None else account_id))
    if wanted.source is not None:
        query = query.where(Refusal.source == wanted.source)
    if wanted.reason is not None:
        query = query.where(Refusal.reason == wanted.reason)
    if wanted.text is not None:
        query = query.where(
            or_(
                Refusal.reply.icontains(wanted.text, autoescape=True),
                Refusal.login.icontains(wanted.text, autoescape=True),
                Refusal.envelope_sender.icontains(wanted.text, autoescape=True),
                Refusal.client_address == wanted.text,
            )
        )
    if wanted.since is not None:
        query = query.where(Refusal.refused_at >= wanted.since)
    if after is not None:
        same_moment = and_(Refusal.refused_at == after.at, Refusal.id < after.id)
        query = query.where(or_(Refusal.refused_at < after.at, same_moment))
    found = session.execute(query).all()
    rows = tuple(_row(row, login) for row, login in found[:limit])
    return RefusalPage(rows, Cursor(rows[-1].at, rows[-1].id) if len(found) > limit else None)


def reasons(session: Session, since: dt.datetime) -> Sequence[str]:
    """Every reason that there was since then."""
    return session.scalars(
        select(Refusal.reason).where(Refusal.refused_at >= since).distinct().order_by(Refusal.reason)
    ).all()


def _row(row: Refusal, login: str | None) -> RefusalRow:
    return RefusalRow(
        id=row.id,
        at=row.refused_at,
        account_id=row.account_id if login is not None else None,
        account=login,
        login=row.login,
        host=row.host,
        source=row.source,
        reason=row.reason,
        reply=row.reply,
        envelope_sender=row.envelope_sender,
        recipients=tuple(str(address) for address in row.recipients),
        subject=row.subject,
        client_address=row.client_address,
    )
