"""A provider who looks at an account with that account's eyes. Every begin and end is in the audit log.

Has no page of its own.
"""

import datetime as dt

from sqlalchemy import update
from sqlalchemy.orm import Session

from sendproof_core import audit
from sendproof_core.audit import Actor
from sendproof_core.schema import Account, SiteSession
from sendproof_web.access import Reader


def begin(session: Session, who: Reader, account: Account, actor: Actor, now: dt.datetime) -> None:
    """From now on this session sees the account's pages."""
    _act_as(session, who, account.id)
    audit.record(session, "acting begun", actor, now, account_id=account.id)


def end(session: Session, who: Reader, actor: Actor, now: dt.datetime) -> None:
    """From now on it sees its own again."""
    _act_as(session, who, None)
    audit.record(session, "acting ended", actor, now, account_id=who.account_id)


def _act_as(session: Session, who: Reader, account_id: int | None) -> None:
    session.execute(update(SiteSession).where(SiteSession.id == who.session_id).values(acting_as_id=account_id))
