"""The site's cookie: the token of a session, or that the password was right and the code is still to come.

Flask signs it. The rows behind it are `sessions`.
"""

import datetime as dt
from dataclasses import dataclass

from flask import request, session
from sqlalchemy.orm import Session

from sendproof_web import queries, sessions
from sendproof_web.access import visitor
from sendproof_web.queries import SiteAccount
from sendproof_web.services import services

_TOKEN = "session"  # noqa: S105 - the name of a value
_HALF = "half"
# To fetch the phone; after that the password is asked for anew.
_HALF_LIFETIME = dt.timedelta(minutes=5)


@dataclass(frozen=True)
class Half:
    """Somebody whose password was right a moment ago, and who is asked for a code now."""

    account: SiteAccount
    wanted: str | None


def token() -> str | None:
    """The token of this browser's session."""
    found = session.get(_TOKEN)
    return found if isinstance(found, str) else None


def keep(new_token: str) -> None:
    """This browser has that session from now on, and nothing of what was before."""
    session.clear()
    session.permanent = True
    session[_TOKEN] = new_token


def keep_half(account: SiteAccount, wanted: str | None, now: dt.datetime) -> None:
    """The password was right; where the visitor wanted to be."""
    session.clear()
    session[_HALF] = [account.id, account.password_mark, int(now.timestamp()), wanted]


def half(now: dt.datetime) -> Half | None:
    """Who has given the right password a moment ago. None also if it is not the password any more."""
    match session.get(_HALF):
        case [int(account_id), str(mark), int(at), wanted]:
            pass
        case _:
            return None
    if not 0 <= now.timestamp() - at < _HALF_LIFETIME.total_seconds():
        return None
    with services().database.reading() as database_session:
        account = queries.account_by_id(database_session, account_id)
    if account is None or account.password_mark != mark:
        return None
    return Half(account, wanted if isinstance(wanted, str) else None)


def forget() -> None:
    """This browser has no session any more."""
    session.clear()


def begin(database_session: Session, account_id: int, now: dt.datetime) -> None:
    """Sign this browser in: a new session, and the cookie to it. The one that it had is ended."""
    if (before := visitor()) is not None:
        sessions.end(database_session, before.session_id, now)
    keep(
        sessions.begin(
            database_session,
            account_id,
            client_address=request.remote_addr or "",
            user_agent=request.headers.get("User-Agent", ""),
            now=now,
        )
    )
