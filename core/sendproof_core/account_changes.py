"""What the provider decides about an account: done, written in the audit log, and told to its owner by letter.

For the site and the `sendproof` command. What an account decides about itself is not here.
"""

import datetime as dt
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from sendproof_core import audit, directory, mail_requests, site_accounts
from sendproof_core.audit import Actor
from sendproof_core.mail_requests import Letter
from sendproof_core.schema import Account, Credential, Plan

# What `changed` compares, by the names that the audit log shows.
_WATCHED = (
    "time_zone",
    "notice_address",
    "tracking",
    "shared_pixel",
    "tracking_image",
    "test_mode",
    "open_details",
    "is_provider",
    "language",
)


def created(session: Session, account: Account, actor: Actor, now: dt.datetime) -> None:
    """Write down that the account was made."""
    details: dict[str, Any] = {"login": account.login, "plan": _plan_name(session, account)}
    if account.address:
        details["address"] = account.address
    if account.is_provider:
        details["is_provider"] = True
    audit.record(session, "account created", actor, now, account_id=account.id, details=details)


def change(
    session: Session,
    account: Account,
    actor: Actor,
    now: dt.datetime,
    *,
    address: str | None = None,
    is_provider: bool | None = None,
    **changes: Any,
) -> dict[str, list[Any]]:
    """Change what is given, as `directory.change_account`; an empty ``address`` takes it away.

    What was changed, each with its value before and after. ``address`` counts as confirmed.

    Raises:
        UserError: a value cannot be.
    """
    before = _values(session, account)
    directory.change_account(session, account, **changes)
    if is_provider is not None:
        account.is_provider = is_provider
    after = _values(session, account)
    changed = {name: [before[name], after[name]] for name in after if before[name] != after[name]}
    if changed:
        audit.record(session, "account changed", actor, now, account_id=account.id, details=changed)
    if address and (address != account.address or account.address_confirmed_at is None):
        changed["address"] = [account.address, address]
        site_accounts.confirm_address(session, account, address, actor, now)
    elif address == "" and account.address is not None:
        changed["address"] = [account.address, None]
        account.address = account.address_key = account.address_confirmed_at = None
        details = {"address": changed["address"]}
        audit.record(session, "account changed", actor, now, account_id=account.id, details=details)
    return changed


def give_role(session: Session, account: Account, actor: Actor, now: dt.datetime, *, is_provider: bool) -> bool:
    """Make it a provider, or a customer again; False if who does it is no provider any more.

    So of two who take the role from each other at once, one keeps it.
    """
    providers = select(Account.id).where(Account.is_provider).order_by(Account.id).with_for_update()
    if actor.account_id not in session.scalars(providers).all():
        return False
    change(session, account, actor, now, is_provider=is_provider)
    return True


def suspend(session: Session, account: Account, reason: str, actor: Actor, now: dt.datetime) -> None:
    """No mail from this account until `reinstate`; its owner reads the reason.

    Raises:
        UserError: that is no reason.
    """
    is_news = account.suspended_at is None or account.suspended_reason != reason
    directory.suspend(account, reason, now)
    if is_news:
        audit.record(session, "account suspended", actor, now, account_id=account.id, details={"reason": reason})
        _tell(session, account, Letter.SUSPENDED, now, reason=reason)


def reinstate(session: Session, account: Account, actor: Actor, now: dt.datetime) -> None:
    """The account may send again."""
    if account.suspended_at is None:
        return
    directory.reinstate(account)
    audit.record(session, "account reinstated", actor, now, account_id=account.id)
    _tell(session, account, Letter.REINSTATED, now)


def revoke_credential(session: Session, login: str, actor: Actor, now: dt.datetime) -> Credential:
    """A device's login that is good for nothing from now on. Write the passwd-file after the commit."""
    credential = directory.revoke_credential(session, login, now)
    if credential.revoked_at == now:
        audit.record(
            session,
            "credential revoked",
            actor,
            now,
            account_id=credential.account_id,
            details={"login": credential.login, "label": credential.label},
        )
    return credential


def _tell(session: Session, account: Account, letter: Letter, now: dt.datetime, **data: Any) -> None:
    """By letter, if there is an address to write to."""
    if account.address is None or account.address_confirmed_at is None:
        return
    mail_requests.ask(
        session,
        letter,
        to_address=account.address,
        now=now,
        account_id=account.id,
        language=account.language,
        data={"login": account.login, **data},
    )


def _values(session: Session, account: Account) -> dict[str, Any]:
    return {"plan": _plan_name(session, account), **{name: getattr(account, name) for name in _WATCHED}}


def _plan_name(session: Session, account: Account) -> str:
    return session.get_one(Plan, account.plan_id).name
