"""What an account signs in to the site with: its password, mail address, second factor and sessions.

For the site and the `sendproof` command; each function takes the `Session` of one writing transaction, writes the
audit entry and asks for the letter. Hashes no password (that takes too long inside a transaction), sends no mail.
"""

import datetime as dt
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from sendproof_core import audit, directory, mail_requests, site_links
from sendproof_core.addresses import address_key
from sendproof_core.audit import Actor
from sendproof_core.errors import UserError
from sendproof_core.mail_requests import Letter
from sendproof_core.schema import Account, Plan, RecoveryCode, SiteLink, SiteSession
from sendproof_core.states import LinkPurpose

# Who follows one of an account can make its password theirs, at once or (by its address) after that.
_TAKES_OVER = (LinkPurpose.RESET, LinkPurpose.INVITATION, LinkPurpose.ADDRESS)


def accounts_at(session: Session, address: str) -> list[Account]:
    """The accounts whose confirmed address it is, by login."""
    return list(
        session.scalars(
            select(Account)
            .where(Account.address_key == address_key(address), Account.address_confirmed_at.is_not(None))
            .order_by(Account.login)
        )
    )


def invite(session: Session, address: str, plan_name: str, actor: Actor, now: dt.datetime) -> SiteLink:
    """Mail somebody a link with which they make an account of that plan."""
    address = directory.checked_mailbox(address)
    plan = directory.find_plan(session, plan_name)
    link = site_links.make(
        session, LinkPurpose.INVITATION, address=address, account_id=None, now=now, data={"plan_id": plan.id}
    )
    mail_requests.ask(
        session, Letter.INVITATION, to_address=address, now=now, link_id=link.id, data={"plan": plan.name}
    )
    audit.record(session, "invited", actor, now, details={"address": address, "plan": plan.name})
    return link


def invite_account(session: Session, account: Account, address: str, actor: Actor, now: dt.datetime) -> SiteLink:
    """Mail the owner of an account that was made for them a link with which they choose its password.

    Following it confirms the address.
    """
    address = directory.checked_mailbox(address)
    plan = session.get_one(Plan, account.plan_id)
    link = site_links.make(session, LinkPurpose.INVITATION, address=address, account_id=account.id, now=now)
    _ask(session, account, Letter.INVITATION, now, to_address=address, link_id=link.id, data={"plan": plan.name})
    audit.record(session, "invited", actor, now, account_id=account.id, details={"address": address})
    return link


def ask_reset(session: Session, account: Account, actor: Actor, now: dt.datetime, *, mailed: bool = True) -> SiteLink:
    """A link to choose a new password with, mailed to the account's confirmed address.

    Raises:
        UserError: it is to be mailed, and the account has no confirmed address.
    """
    address = account.address if account.address_confirmed_at else None
    if mailed and address is None:
        raise UserError(f"{account.login} has no confirmed mail address; `sendproof web confirm-address` gives it one.")
    link = site_links.make(session, LinkPurpose.RESET, address=address or "", account_id=account.id, now=now)
    if mailed:
        _ask(session, account, Letter.RESET, now, link_id=link.id)
    audit.record(session, "reset asked", actor, now, account_id=account.id, details={"mailed": mailed})
    return link


def ask_address(session: Session, account: Account, address: str, actor: Actor, now: dt.datetime) -> SiteLink:
    """Mail a link to the address that the account wants; following the last such makes it the account's."""
    address = directory.checked_mailbox(address)
    site_links.end_all(session, account.id, LinkPurpose.ADDRESS, now)
    link = site_links.make(session, LinkPurpose.ADDRESS, address=address, account_id=account.id, now=now)
    _ask(session, account, Letter.CONFIRM_ADDRESS, now, to_address=address, link_id=link.id)
    audit.record(session, "address change asked", actor, now, account_id=account.id, details={"address": address})
    return link


def confirm_address(session: Session, account: Account, address: str, actor: Actor, now: dt.datetime) -> None:
    """From now on the site writes to that address, and the address before learns of it.

    Notices follow, if they went to the address before.
    """
    address = directory.checked_mailbox(address)
    before = account.address if account.address_confirmed_at else None
    if account.notice_address and before and address_key(account.notice_address) == address_key(before):
        account.notice_address = address
    account.address, account.address_key = address, address_key(address)
    account.address_confirmed_at = now
    site_links.end_all(session, account.id, LinkPurpose.ADDRESS, now)
    if before is not None and address_key(before) != account.address_key:
        data = {"login": account.login, "new_address": address}
        _ask(session, account, Letter.ADDRESS_CHANGED, now, to_address=before, data=data)
    details = {"address": address, "before": before}
    audit.record(session, "address changed", actor, now, account_id=account.id, details=details)


def account_of_reset(session: Session, link: SiteLink) -> Account | None:
    """Whose new password a reset link sets; None: it was mailed to an address that is not the account's any more."""
    account = session.get(Account, link.account_id)
    if account is None or (link.address and address_key(link.address) != account.address_key):
        return None
    return account


def account_of_invitation(session: Session, link: SiteLink) -> Account | None:
    """Whose password an invitation sets; None: nobody's yet, or it was mailed to an address that is not theirs now."""
    account = None if link.account_id is None else session.get(Account, link.account_id)
    if account is None or account.address_key not in (None, address_key(link.address)):
        return None
    return account


def change_password(
    session: Session,
    account: Account,
    password_hash: str,
    actor: Actor,
    now: dt.datetime,
    *,
    event: str = "password changed",
    keep_session_id: int | None = None,
) -> None:
    """Another password: every session but the one to keep ends, and so does every link to take the account over with.

    ``password_hash``: of `passwords.hash_site_password`, made before the transaction.
    """
    account.password_hash = password_hash
    end_sessions(session, account.id, now, but=keep_session_id)
    for purpose in _TAKES_OVER:
        site_links.end_all(session, account.id, purpose, now)
    _tell(session, account, Letter.PASSWORD_CHANGED, actor, now)
    audit.record(session, event, actor, now, account_id=account.id)


def turn_second_factor_off(session: Session, account: Account, actor: Actor, now: dt.datetime) -> bool:
    """The password alone signs in again; False: it did already. Recovery codes are gone, too."""
    was_on = account.totp_since is not None
    account.totp_sealed = account.totp_since = account.totp_last_step = None
    session.execute(delete(RecoveryCode).where(RecoveryCode.account_id == account.id))
    if was_on:
        tell_second_factor(session, account, actor, now, event="second factor off")
    return was_on


def tell_second_factor(session: Session, account: Account, actor: Actor, now: dt.datetime, *, event: str) -> None:
    """Tell the account's owner, and the audit log, that something about the second factor changed."""
    _tell(session, account, Letter.SECOND_FACTOR_CHANGED, actor, now, on=account.totp_since is not None)
    audit.record(session, event, actor, now, account_id=account.id)


def end_sessions(session: Session, account_id: int, now: dt.datetime, *, but: int | None = None) -> int:
    """Sign every browser of the account out, but that of one session; how many there were.

    A provider's session that acts as the account is not the account's.
    """
    ended = update(SiteSession).where(SiteSession.account_id == account_id, SiteSession.ended_at.is_(None))
    if but is not None:
        ended = ended.where(SiteSession.id != but)
    return len(session.execute(ended.values(ended_at=now).returning(SiteSession.id)).all())


def _tell(session: Session, account: Account, letter: Letter, actor: Actor, now: dt.datetime, **data: Any) -> None:
    if account.address_confirmed_at is not None:
        told = {"login": account.login, "client_address": actor.client_address, **data}
        _ask(session, account, letter, now, data=told)


def _ask(
    session: Session,
    account: Account,
    letter: Letter,
    now: dt.datetime,
    *,
    to_address: str | None = None,
    link_id: Any = None,
    data: dict[str, Any] | None = None,
) -> None:
    to_address = to_address or account.address
    if to_address is None:
        raise TypeError("a letter needs an address")
    mail_requests.ask(
        session,
        letter,
        to_address=to_address,
        now=now,
        account_id=account.id,
        language=account.language,
        link_id=link_id,
        data={"login": account.login, **(data or {})},
    )
