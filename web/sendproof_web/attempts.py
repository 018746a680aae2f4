"""Attempts at what is guarded against guessing, in the database, so that all workers count together.

An attempt counts as failed before it is made, so that many at once are as few as one after the other; what succeeded
is taken back. Which limits there are says `throttle`.
"""

import datetime as dt
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from sendproof_core.schema import SiteSession, ThrottledFailure
from sendproof_web import throttle
from sendproof_web.throttle import Guard

_KNOWN_FOR = dt.timedelta(days=90)
_KNOWN_SESSIONS = 200
_PURGED_AT_ONCE = 500


@dataclass(frozen=True)
class Attempt:
    """An attempt that may be made: it stands as a failure until `succeeded`."""

    guards: tuple[Guard, ...]
    failure_ids: tuple[int, ...]


class Attempts:
    """Counts them. ``key``: what is kept cannot be read without it; a login field sometimes gets a password."""

    def __init__(self, key: bytes) -> None:
        self._key = hmac.digest(key, b"throttle", hashlib.sha256)

    def begin(self, session: Session, guards: Sequence[Guard], now: dt.datetime) -> Attempt | dt.timedelta:
        """The attempt, or how long it must wait. Takes a writing transaction of its own."""
        if session.get_bind().dialect.name == "postgresql":  # SQLite has one writer anyway
            for number in sorted(self._lock_number(guard) for guard in guards):
                session.execute(select(func.pg_advisory_xact_lock(number)))
        self._purge(session, now)
        waits = [wait for guard in guards if (wait := throttle.wait(self._failed_at(session, guard, now), guard, now))]
        if waits:
            return max(waits)
        rows = [ThrottledFailure(kind=guard.kind.value, key=self._hash(guard), failed_at=now) for guard in guards]
        session.add_all(rows)
        session.flush()
        return Attempt(tuple(guards), tuple(row.id for row in rows))

    def succeeded(self, session: Session, attempt: Attempt) -> None:
        """It was no guess."""
        session.execute(delete(ThrottledFailure).where(ThrottledFailure.id.in_(attempt.failure_ids)))
        self.forget(session, [guard for guard in attempt.guards if guard.is_forgotten])

    def forget(self, session: Session, guards: Sequence[Guard]) -> None:
        """Take back every failure that these count."""
        for guard in guards:
            session.execute(
                delete(ThrottledFailure).where(
                    ThrottledFailure.kind == guard.kind.value, ThrottledFailure.key == self._hash(guard)
                )
            )

    def _purge(self, session: Session, now: dt.datetime) -> None:
        """A few at a time; what another worker purges at the moment is not waited for."""
        old = select(ThrottledFailure.id).where(ThrottledFailure.failed_at < now - throttle.LONGEST_SPAN)
        old = old.limit(_PURGED_AT_ONCE).with_for_update(skip_locked=True)
        session.execute(delete(ThrottledFailure).where(ThrottledFailure.id.in_(old)))

    def _failed_at(self, session: Session, guard: Guard, now: dt.datetime) -> list[dt.datetime]:
        newest = (
            select(ThrottledFailure.failed_at)
            .where(
                ThrottledFailure.kind == guard.kind.value,
                ThrottledFailure.key == self._hash(guard),
                ThrottledFailure.failed_at > now - guard.span,
            )
            .order_by(ThrottledFailure.failed_at.desc())
            .limit(guard.failures)
        )
        return list(session.scalars(newest))

    def _hash(self, guard: Guard) -> bytes:
        return hmac.digest(self._key, "\0".join((guard.kind.value, *guard.who)).encode(), hashlib.sha256)

    def _lock_number(self, guard: Guard) -> int:
        return int.from_bytes(self._hash(guard)[:8], "big", signed=True)


def addresses_before(session: Session, account_id: int, now: dt.datetime) -> list[str]:
    """From where the account signed in lately."""
    lately = select(SiteSession.client_address).where(
        SiteSession.account_id == account_id, SiteSession.created_at > now - _KNOWN_FOR
    )
    return list(session.scalars(lately.distinct().limit(_KNOWN_SESSIONS)))
