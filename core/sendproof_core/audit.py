"""The audit log: who did what to whom. Written in the transaction that does it, so that neither is without the other.

Details are values for people to read: never a secret, a password, a token or a key.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from sendproof_core.schema import AuditEntry


@dataclass(frozen=True)
class Actor:
    """Who does it. ``account_id``: None for a command, and for who is not signed in."""

    account_id: int | None
    name: str
    client_address: str | None


COMMAND = Actor(None, "command", None)


def record(
    session: Session,
    event: str,
    actor: Actor,
    now: dt.datetime,
    *,
    account_id: int | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """Write an entry. ``event``: noun and verb, such as ``account suspended``; ``account_id``: whom it is about."""
    session.add(
        AuditEntry(
            at=now,
            actor_id=actor.account_id,
            actor=actor.name,
            account_id=account_id,
            event=event,
            details=details or {},
            client_address=actor.client_address,
        )
    )
