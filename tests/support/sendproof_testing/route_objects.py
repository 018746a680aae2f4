"""One of everything that a route can name, all of it the account ``max``'s where it is somebody's, and their ids."""

import datetime as dt
import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from sendproof_core import directory, link_tokens, site_links
from sendproof_core.addresses import address_key
from sendproof_core.database import Database
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import HandOver, Page, Refusal
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.states import LinkPurpose
from sendproof_testing.sample_record import OFFER_ID

_HOME = "max@home.example"


def make(database: Database, secrets: SecretsStore, now: dt.datetime) -> dict[str, str]:
    """Make them in a sample site's database."""
    with database.writing() as session:
        return {
            "message": str(OFFER_ID),
            **_accounts(session),
            **_things(session, now),
            **_links(session, secrets.links_key(), now),
            "stylesheet": "sendproof.css",
        }


def nowhere(value: str) -> str:
    """The like of that id, of nothing."""
    try:
        return str(uuid.UUID(int=uuid.UUID(value).int ^ 1))
    except ValueError:
        return "987654" if value.isdigit() else value.replace("routes.example", "nowhere.example")


def _accounts(session: Session) -> dict[str, str]:
    logins = ("max", "eva", "boss")
    return {login: str(directory.find_account(session, login).id) for login in logins}


def _things(session: Session, now: dt.datetime) -> dict[str, str]:
    account = directory.find_account(session, "max")
    credential = directory.add_credential(
        session, account, login="max-phone", label="Phone", secret="x" * 24, now=now
    )  # fmt: skip
    # Where max is written to: a reset's link holds only while that is so.
    account.address, account.address_key, account.address_confirmed_at = _HOME, address_key(_HOME), now
    own = directory.add_own_address(session, account, "max@foreign.example", now)
    domain = directory.add_domain(session, "routes.example", account, now)
    directory.add_plan(session, "unused", QuotaLimits())
    page = Page(slug="contact", title="Contact", markdown="Write to us.", position=1, changed_at=now)
    session.add(page)
    session.flush()
    refusal = session.scalars(select(Refusal.id).where(Refusal.account_id == account.id)).first()
    return {
        "credential": str(credential.id),
        "domain": domain.name,
        "own_address": str(own.id),
        "refusal": str(refusal),
        "plan": str(directory.find_plan(session, "standard").id),
        "unused_plan": str(directory.find_plan(session, "unused").id),
        "page": page.slug,
        "page_id": str(page.id),
    }


def _links(session: Session, key: bytes, now: dt.datetime) -> dict[str, str]:
    """Links that were mailed to max, and a transcript that max handed over."""
    account = directory.find_account(session, "max")
    tokens = {}
    for name, purpose, address, owner, data in (
        ("sign_up", LinkPurpose.SIGN_UP, "new@new.example", None, {}),
        ("invitation", LinkPurpose.INVITATION, "invited@new.example", None, {"plan": "standard"}),
        ("address", LinkPurpose.ADDRESS, "max@new.example", account.id, {"login": "max"}),
        ("sender_address", LinkPurpose.SENDER_ADDRESS, "max@sender.example", account.id, {}),
        ("reset", LinkPurpose.RESET, _HOME, account.id, {"login": "max"}),
    ):
        link = site_links.make(
            session, purpose, address=address, account_id=owner, now=now, data=data
        )  # fmt: skip
        tokens[name] = site_links.token(link.id, purpose, key)
    over = HandOver(
        id=uuid.UUID("019ab000-0000-7000-8000-0000000000aa"),
        account_id=account.id,
        message_id=OFFER_ID,
        recipient_key=address_key("anna@example.net"),
        created_at=now,
        expires_at=now + dt.timedelta(days=7),
        revoked_at=None,
    )
    session.add(over)
    return {**tokens, "hand_over": str(over.id), "hand_over_token": link_tokens.make("hand-over", over.id, key)}
