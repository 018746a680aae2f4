"""Plans, accounts, credentials, domains and keys: what people decide. Written by the site and the `sendproof` command.

Every function takes a `Session` of one writing transaction. Dovecot reads none of this: `passwd_file` gives it its
own file.
"""

import datetime as dt
import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from sendproof_core import dkim_keys, passwords, plans
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.schema import Account, Credential, DkimKey, Domain, Plan
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.states import KeyState

# A login stands in Dovecot's passwd-file (fields divided by colons) and in Postfix's log.
LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")
_TEXT_CHARACTERS = 100
# One address, of the form that notices can be sent to (RFC 5321 section 4.5.3.1 has the lengths).
_ADDRESS = re.compile(r"[!#$%&'*+/=?^_`{|}~.\w-]{1,64}@[a-z0-9.-]{1,255}", re.ASCII | re.IGNORECASE)
_LABEL = re.compile(r"(?:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)")


@dataclass(frozen=True)
class DnsRecord:
    """A record to publish: ``value`` in strings of at most 255 octets (RFC 1035 section 3.3)."""

    name: str
    type: str
    strings: tuple[str, ...]


def add_plan(session: Session, name: str, recipients_per_day: int | None) -> Plan:
    """A new plan; None: unlimited."""
    if recipients_per_day is not None and not 1 <= recipients_per_day < 2**31:  # a column of 32 bits
        raise UserError("a plan's recipients per day is from 1 to 2147483647; leave it out for no limit.")
    _check_text("a plan's name", name)
    if session.scalar(select(Plan).where(Plan.name == name)):
        raise UserError(f"there is a plan named {name!r} already.")
    plan = Plan(name=name, recipients_per_day=recipients_per_day)
    session.add(plan)
    session.flush()
    return plan


def add_account(
    session: Session,
    *,
    login: str,
    password: str,
    plan_name: str,
    time_zone: str,
    tracking: bool,
    notice_address: str | None,
    now: dt.datetime,
) -> Account:
    """A new account that can sign in to the site; it has no credential to submit mail with yet."""
    _check_login(login)
    plan = session.scalar(select(Plan).where(Plan.name == plan_name))
    if plan is None:
        raise UserError(f"there is no plan named {plan_name!r}; `sendproof plan add` makes one.")
    if time_zone != "UTC" and plans.zone(time_zone) is dt.UTC:
        raise UserError(f"the time zone {time_zone!r} is unknown; name one such as Europe/Vienna.")
    if notice_address is not None and not _ADDRESS.fullmatch(notice_address):
        raise UserError(f"{notice_address!r} is no mail address.")
    if session.scalar(select(Account).where(Account.login == login)):
        raise UserError(f"there is an account {login!r} already.")
    account = Account(
        login=login,
        password_hash=passwords.hash_site_password(password),
        plan_id=plan.id,
        time_zone=time_zone,
        tracking=tracking,
        notice_address=notice_address,
        created_at=now,
        suspended_at=None,
        suspended_reason=None,
    )
    session.add(account)
    session.flush()
    return account


def find_account(session: Session, login: str) -> Account:
    """The account with that login."""
    account = session.scalar(select(Account).where(Account.login == login))
    if account is None:
        raise UserError(f"there is no account {login!r}.")
    return account


def add_credential(
    session: Session, account: Account, *, login: str, label: str, secret: str, now: dt.datetime
) -> Credential:
    """A login for one device or application. Write the passwd-file after the commit."""
    _check_login(login)
    _check_text("a label", label)
    if session.scalar(select(Credential).where(Credential.login == login)):
        raise UserError(f"there is a credential {login!r} already.")
    credential = Credential(
        account_id=account.id,
        login=login,
        label=label,
        secret_hash=passwords.hash_credential(secret),
        created_at=now,
        revoked_at=None,
    )
    session.add(credential)
    session.flush()
    return credential


def revoke_credential(session: Session, login: str, now: dt.datetime) -> Credential:
    """A device's login that is good for nothing from now on; the milter notices within seconds."""
    credential = session.scalar(select(Credential).where(Credential.login == login))
    if credential is None:
        raise UserError(f"there is no credential {login!r}.")
    credential.revoked_at = credential.revoked_at or now
    return credential


def suspend(account: Account, reason: str, now: dt.datetime) -> None:
    """No mail from this account until `reinstate`; the reason is in the refusal that the sender reads."""
    _check_text("a reason", reason)
    account.suspended_at = account.suspended_at or now
    account.suspended_reason = reason


def reinstate(account: Account) -> None:
    """The account may send again."""
    account.suspended_at = None
    account.suspended_reason = None


def add_domain(session: Session, name: str, account: Account | None, now: dt.datetime) -> Domain:
    """A domain of an account; without one, the provider's."""
    name = name.lower().rstrip(".")
    if (
        len(name) > 253
        or "." not in name
        or name.rpartition(".")[2].isdigit()
        or not all(_LABEL.fullmatch(label) for label in name.split("."))
    ):
        raise UserError(f"{name!r} is no domain name (write an international one in its xn-- form).")
    if session.scalar(select(Domain).where(Domain.name == name)):
        raise UserError(f"the domain {name} is there already.")
    domain = Domain(name=name, account_id=account.id if account else None, created_at=now)
    session.add(domain)
    session.flush()
    return domain


def find_domain(session: Session, name: str) -> Domain:
    """The domain of that name."""
    domain = session.scalar(select(Domain).where(Domain.name == name.lower().rstrip(".")))
    if domain is None:
        raise UserError(f"there is no domain {name}; `sendproof domain add` makes one.")
    return domain


def add_dkim_key(
    session: Session,
    domain: Domain,
    *,
    selector: str,
    secrets: SecretsStore,
    state: KeyState,
    now: dt.datetime,
) -> DkimKey:
    """A new RSA-2048 key for a domain. A selector that exists is never written over."""
    if not _LABEL.fullmatch(selector):
        raise UserError(f"{selector!r} is no selector: letters, digits and hyphens, at most 63.")
    existing = select(DkimKey).where(DkimKey.domain_id == domain.id, DkimKey.selector == selector)
    if session.scalar(existing):
        raise UserError(f"{domain.name} has a key {selector!r} already; choose another selector.")
    pair = dkim_keys.generate_rsa()
    key = DkimKey(
        domain_id=domain.id,
        selector=selector,
        algorithm=pair.algorithm,
        sealed_private_key=secrets.seal(pair.private_pem),
        public_key=pair.public_key,
        state=state.value,
        created_at=now,
    )
    session.add(key)
    session.flush()
    return key


def activate_key(session: Session, domain: Domain, selector: str) -> None:
    """Let a pending key sign; an active one stays active."""
    key = session.scalar(select(DkimKey).where(DkimKey.domain_id == domain.id, DkimKey.selector == selector))
    if key is None:
        raise UserError(f"{domain.name} has no key {selector!r}.")
    if key.state not in (KeyState.PENDING.value, KeyState.ACTIVE.value):
        raise UserError(f"the key {selector!r} of {domain.name} is {key.state}; only a pending one can be activated.")
    key.state = KeyState.ACTIVE.value


def dkim_record(domain: Domain, key: DkimKey) -> DnsRecord:
    """The TXT record that publishes a key (RFC 6376 section 3.6.1)."""
    text = f"v=DKIM1; k=rsa; p={key.public_key}"
    strings = tuple(text[start : start + 255] for start in range(0, len(text), 255))
    return DnsRecord(f"{key.selector}._domainkey.{domain.name}", "TXT", strings)


def passwd_file(session: Session) -> str:
    """Dovecot's passwd-file: every credential that was not revoked.

    Also those of suspended accounts: the milter refuses their mail and says why, where Dovecot would say only "wrong".
    """
    rows = session.execute(
        select(Credential.login, Credential.secret_hash)
        .where(Credential.revoked_at.is_(None))
        .order_by(Credential.login)
    )
    return "".join(f"{login}:{{ARGON2ID}}{secret_hash}::::::\n" for login, secret_hash in rows)


def write_passwd_file(session: Session, path: Path) -> None:
    """Replace the file at once, keeping its owner and mode if it exists (else 0640)."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o640)
    if path.exists():
        old = path.stat()
        fresh.chmod(old.st_mode & 0o777)
        os.chown(fresh, old.st_uid, old.st_gid)
    with fresh.open("w", encoding="utf-8") as file:
        file.write(passwd_file(session))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def sync_passwd_file(database: Database, path: Path) -> None:
    """Write what is committed now; of two that write at once, the later one has both changes.

    Raises:
        UserError: the file cannot be written; the database keeps what was decided.
    """
    try:
        with path.with_name(f".{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with database.reading() as session:
                write_passwd_file(session, path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}), so Dovecot does not know of the change yet; mend that, then "
            "run `sendproof credential sync`."
        ) from None


def _check_text(what: str, text: str) -> None:
    if not text.strip() or len(text) > _TEXT_CHARACTERS or not text.isprintable():
        raise UserError(f"{what} has 1 to {_TEXT_CHARACTERS} printable characters.")


def _check_login(login: str) -> None:
    if not LOGIN.fullmatch(login):
        raise UserError(f"{login!r} cannot be a login: letters, digits and . _ @ + -, at most 100.")
