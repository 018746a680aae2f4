"""Links that the site mails to people: to confirm an address, to sign up by invitation, to choose a new password.

Each is good once, until it expires. The mail has the token; the database does not (`link_tokens`).
"""

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from sendproof_core import link_tokens
from sendproof_core.schema import SiteLink
from sendproof_core.states import LinkPurpose

LIFETIMES = {
    LinkPurpose.SIGN_UP: dt.timedelta(days=2),
    LinkPurpose.INVITATION: dt.timedelta(days=14),
    LinkPurpose.ADDRESS: dt.timedelta(days=2),
    LinkPurpose.SENDER_ADDRESS: dt.timedelta(days=2),
    LinkPurpose.RESET: dt.timedelta(hours=1),
}


def make(
    session: Session,
    purpose: LinkPurpose,
    *,
    address: str,
    account_id: int | None,
    now: dt.datetime,
    data: dict[str, Any] | None = None,
) -> SiteLink:
    """A new link for who reads mail at ``address``."""
    link = SiteLink(
        id=uuid.uuid4(),
        purpose=purpose.value,
        account_id=account_id,
        address=address,
        data=data or {},
        created_at=now,
        expires_at=now + LIFETIMES[purpose],
        used_at=None,
    )
    session.add(link)
    session.flush()
    return link


def token(link_id: uuid.UUID, purpose: LinkPurpose, key: bytes) -> str:
    """What stands in the link. ``key``: `SecretsStore.links_key`."""
    return link_tokens.make(purpose.value, link_id, key)


def url(site_url: str, link_id: uuid.UUID, purpose: LinkPurpose, key: bytes) -> str:
    """The link itself. ``site_url``: ``[site] url``."""
    return f"{site_url}/{purpose.value}/{token(link_id, purpose, key)}"


def find(session: Session, text: str, purpose: LinkPurpose, key: bytes, now: dt.datetime) -> SiteLink | None:
    """The link of that token, if it is genuine, for this, neither used nor expired."""
    link_id = link_tokens.read(purpose.value, text, key)
    if link_id is None:
        return None
    wanted = select(SiteLink).where(SiteLink.id == link_id, SiteLink.purpose == purpose.value)
    return session.scalar(wanted.where(SiteLink.used_at.is_(None), SiteLink.expires_at > now))


def end_all(session: Session, account_id: int, purpose: LinkPurpose, now: dt.datetime) -> None:
    """Let every such link of the account be good for nothing."""
    unused = update(SiteLink).where(SiteLink.account_id == account_id, SiteLink.purpose == purpose.value)
    session.execute(unused.where(SiteLink.used_at.is_(None)).values(used_at=now))


def use(session: Session, link: SiteLink, now: dt.datetime) -> bool:
    """Use it up; False if another request was faster."""
    used = update(SiteLink).where(SiteLink.id == link.id, SiteLink.used_at.is_(None)).values(used_at=now)
    return session.execute(used.returning(SiteLink.id)).one_or_none() is not None
