"""Signed-in browsers: a row for each, found by the token in its cookie, ended at any time by its owner.

An unused session ends after `IDLE`, a used one after `LIFETIME`; a new password ends them all. The cookie itself is
`session_cookie`'s.
"""

import datetime as dt
import hashlib
import secrets
from dataclasses import dataclass

from sqlalchemy import Select, delete, select, update
from sqlalchemy.orm import Session

from sendproof_core import plans
from sendproof_core.schema import Account, SiteSession
from sendproof_web.access import Reader

LIFETIME = dt.timedelta(hours=12)
IDLE = dt.timedelta(hours=2)
# Ended ones are kept for so long: from where somebody signed in before is no stranger (`throttle`).
KEPT = dt.timedelta(days=90)
_TOKEN_OCTETS = 32
_SEEN_EVERY = dt.timedelta(minutes=1)
_USER_AGENT_CHARACTERS = 300


@dataclass(frozen=True)
class OpenSession:
    """A browser that is signed in."""

    id: int
    client_address: str
    user_agent: str
    created_at: dt.datetime
    last_seen_at: dt.datetime


def begin(session: Session, account_id: int, *, client_address: str, user_agent: str, now: dt.datetime) -> str:
    """A new session; its token, which is not kept."""
    old = delete(SiteSession).where(SiteSession.account_id == account_id, SiteSession.created_at < now - KEPT)
    session.execute(old)
    token = _new_token()
    session.add(
        SiteSession(
            token_hash=_hash(token),
            account_id=account_id,
            acting_as_id=None,
            created_at=now,
            last_seen_at=now,
            authenticated_at=now,
            client_address=client_address,
            # A header may hold anything; PostgreSQL keeps no NUL.
            user_agent=user_agent.replace("\0", "")[:_USER_AGENT_CHARACTERS],
            ended_at=None,
        )
    )
    return token


def find(session: Session, token: str, now: dt.datetime) -> tuple[Reader, bool] | None:
    """Whose session it is, and whether it is time to write down that it was seen."""
    row = session.scalar(select(SiteSession).where(SiteSession.token_hash == _hash(token)))
    if row is None or row.ended_at is not None or now - row.created_at > LIFETIME or now - row.last_seen_at > IDLE:
        return None
    actor = session.get_one(Account, row.account_id)
    shown = session.get_one(Account, row.acting_as_id) if row.acting_as_id and actor.is_provider else actor
    found = Reader(
        account_id=shown.id,
        login=shown.login,
        zone=plans.zone(shown.time_zone),
        language=actor.language,
        is_provider=actor.is_provider,
        actor_id=actor.id,
        actor_login=actor.login,
        session_id=row.id,
        authenticated_at=row.authenticated_at,
        has_second_factor=actor.totp_since is not None,
        is_suspended=shown.suspended_at is not None,
        is_in_test_mode=shown.test_mode,
    )
    return found, now - row.last_seen_at > _SEEN_EVERY


def seen(session: Session, session_id: int, now: dt.datetime) -> None:
    """It is in use."""
    session.execute(update(SiteSession).where(SiteSession.id == session_id).values(last_seen_at=now))


def renew(session: Session, session_id: int, now: dt.datetime) -> str:
    """Who uses it gave the password again: another token, and the one before is good for nothing."""
    token = _new_token()
    values = {"token_hash": _hash(token), "authenticated_at": now, "last_seen_at": now}
    session.execute(update(SiteSession).where(SiteSession.id == session_id).values(values))
    return token


def open_sessions(session: Session, account_id: int, now: dt.datetime) -> list[OpenSession]:
    """The account's signed-in browsers, the one used last first."""
    rows = session.scalars(_open(account_id, now).order_by(SiteSession.last_seen_at.desc(), SiteSession.id.desc()))
    return [OpenSession(row.id, row.client_address, row.user_agent, row.created_at, row.last_seen_at) for row in rows]


def end(session: Session, session_id: int, now: dt.datetime) -> None:
    """From now on its cookie is good for nothing."""
    session.execute(update(SiteSession).where(SiteSession.id == session_id).values(ended_at=now))


def end_one_of(session: Session, account_id: int, session_id: int, now: dt.datetime) -> bool:
    """End one of the account's own sessions; False if it has no such."""
    if session.scalar(_open(account_id, now).where(SiteSession.id == session_id)) is None:
        return False
    end(session, session_id, now)
    return True


def _open(account_id: int, now: dt.datetime) -> Select[SiteSession]:
    return select(SiteSession).where(
        SiteSession.account_id == account_id,
        SiteSession.ended_at.is_(None),
        SiteSession.created_at >= now - LIFETIME,
        SiteSession.last_seen_at >= now - IDLE,
    )


def _new_token() -> str:
    return secrets.token_urlsafe(_TOKEN_OCTETS)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
