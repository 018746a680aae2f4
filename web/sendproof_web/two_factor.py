"""An account's second factor: set up, checked at sign-in, taken away. Codes are used up by compare-and-set.

The secret is sealed as DKIM keys are. Until its first code was given it is there, but asked for by nobody
(``totp_since`` is None).
"""

import datetime as dt
import enum

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from sendproof_core import audit, site_accounts
from sendproof_core.audit import Actor
from sendproof_core.database import Database
from sendproof_core.schema import Account, RecoveryCode
from sendproof_core.secrets_store import SecretsStore
from sendproof_web import one_time_codes, throttle
from sendproof_web.attempts import Attempt, Attempts


class Code(enum.Enum):
    """What a code turned out to be."""

    FROM_APP = "from the app"
    RECOVERY = "recovery"
    WRONG = "wrong"


def begin(session: Session, account: Account, secrets: SecretsStore) -> None:
    """A new secret, in force once a code was given; one that is in force stays."""
    _lock(session, account)
    if account.totp_since is None:
        account.totp_sealed = secrets.seal(one_time_codes.new_secret().encode())
        account.totp_last_step = None
        session.flush()


def pending_secret(account: Account, secrets: SecretsStore) -> str | None:
    """The secret that is being set up."""
    if account.totp_sealed is None or account.totp_since is not None:
        return None
    return secrets.unseal(account.totp_sealed).decode()


def confirm(
    session: Session, account: Account, secrets: SecretsStore, typed: str, actor: Actor, now: dt.datetime
) -> tuple[str, ...] | None:
    """From now on codes are asked for; the recovery codes, which are shown only now. None: that code is wrong."""
    _lock(session, account)
    secret = pending_secret(account, secrets)
    step = one_time_codes.matching_step(secret, typed, now, None) if secret else None
    if step is None:
        return None
    account.totp_since, account.totp_last_step = now, step
    codes = _new_recovery_codes(session, account)
    site_accounts.tell_second_factor(session, account, actor, now, event="second factor on")
    return codes


def renew_recovery_codes(session: Session, account: Account, actor: Actor, now: dt.datetime) -> tuple[str, ...]:
    """Other recovery codes; those before are good for nothing."""
    _lock(session, account)
    codes = _new_recovery_codes(session, account)
    site_accounts.tell_second_factor(session, account, actor, now, event="recovery codes made")
    return codes


def recovery_codes_left(session: Session, account_id: int) -> int:
    """How many were not used."""
    unused = select(func.count()).select_from(RecoveryCode).where(RecoveryCode.account_id == account_id)
    return session.scalar(unused.where(RecoveryCode.used_at.is_(None))) or 0


def check(
    database: Database,
    attempts: Attempts,
    secrets: SecretsStore,
    account_id: int,
    typed: str,
    actor: Actor,
    now: dt.datetime,
) -> Code | dt.timedelta:
    """Use a code of an account up; or how long the next attempt must wait."""
    with database.writing() as session:
        attempt = attempts.begin(session, throttle.code(account_id), now)
    if not isinstance(attempt, Attempt):
        return attempt
    with database.reading() as session:
        account = session.get_one(Account, account_id)
        sealed, last_step = account.totp_sealed, account.totp_last_step
    step = one_time_codes.matching_step(secrets.unseal(sealed).decode(), typed, now, last_step) if sealed else None
    with database.writing() as session:
        found = Code.WRONG
        if step is not None and _use_step(session, account_id, step):
            found = Code.FROM_APP
        elif _use_recovery_code(session, account_id, typed, now):
            found = Code.RECOVERY
        match found:
            case Code.WRONG:
                audit.record(session, "second factor failed", actor, now, account_id=account_id)
            case Code.RECOVERY:
                left = recovery_codes_left(session, account_id)
                audit.record(session, "recovery code used", actor, now, account_id=account_id, details={"left": left})
                attempts.succeeded(session, attempt)
            case Code.FROM_APP:
                attempts.succeeded(session, attempt)
    return found


def _lock(session: Session, account: Account) -> None:
    """As it is now; who else sets its second factor up waits for us (SQLite has one writer anyway)."""
    session.refresh(account, with_for_update=True)


def _use_step(session: Session, account_id: int, step: int) -> bool:
    unused = or_(Account.totp_last_step.is_(None), Account.totp_last_step < step)
    used = update(Account).where(Account.id == account_id, Account.totp_since.is_not(None), unused)
    return session.execute(used.values(totp_last_step=step).returning(Account.id)).one_or_none() is not None


def _use_recovery_code(session: Session, account_id: int, typed: str, now: dt.datetime) -> bool:
    code_hash = one_time_codes.recovery_hash(typed)
    if code_hash is None:
        return False
    used = update(RecoveryCode).where(RecoveryCode.account_id == account_id, RecoveryCode.code_hash == code_hash)
    used = used.where(RecoveryCode.used_at.is_(None)).values(used_at=now)
    return session.execute(used.returning(RecoveryCode.id)).one_or_none() is not None


def _new_recovery_codes(session: Session, account: Account) -> tuple[str, ...]:
    session.execute(delete(RecoveryCode).where(RecoveryCode.account_id == account.id))
    codes = one_time_codes.new_recovery_codes()
    session.add_all(
        RecoveryCode(account_id=account.id, code_hash=one_time_codes.recovery_hash(code) or "", used_at=None)
        for code in codes
    )
    session.flush()
    return codes
