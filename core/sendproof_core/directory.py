"""Plans, accounts, credentials, domains and keys: what people decide. Written by the site and the `sendproof` command.

Every function takes a `Session` of one writing transaction. Dovecot reads none of this: `passwd_file` gives it its
own file. Asks no DNS: that a record is published is the word of who activates the key.
"""

import dataclasses
import datetime as dt
import errno
import fcntl
import os
import re
import secrets as random_source
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sendproof_core import dkim_keys, domain_names, key_rotation, passwords, plans
from sendproof_core.addresses import address_key
from sendproof_core.database import Database
from sendproof_core.dkim_keys import KeyPair
from sendproof_core.errors import UserError
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Account, Credential, DkimKey, Domain, OwnAddress, Plan
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.states import KeyState

# A login stands in Dovecot's passwd-file (fields divided by colons) and in Postfix's log.
LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")
_TEXT_CHARACTERS = 100
# One address, of the form that notices can be sent to (RFC 5321 section 4.5.3.1 has the lengths).
_ADDRESS = re.compile(r"[!#$%&'*+/=?^_`{|}~.\w-]{1,64}@[a-z0-9.-]{1,255}", re.ASCII | re.IGNORECASE)
# Before the @ of an address that mail comes from: also letters beyond ASCII (RFC 6531).
_LOCAL_PART = re.compile(r"[!#$%&'*+/=?^_`{|}~.\w-]{1,64}")
_SELECTOR = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_IMAGE = re.compile(r"[a-z0-9][a-z0-9._-]{0,94}\.(png|gif|jpg)")
_LARGEST = 2**31 - 1  # a column of 32 bits


@dataclass(frozen=True)
class DnsRecord:
    """A record to publish: ``value`` in strings of at most 255 octets (RFC 1035 section 3.3)."""

    name: str
    type: str
    strings: tuple[str, ...]


def add_plan(session: Session, name: str, limits: QuotaLimits) -> Plan:
    """A new plan."""
    _check_limits(limits)
    _check_text("a plan's name", name)
    if session.scalar(select(Plan).where(Plan.name == name)):
        raise UserError(f"there is a plan named {name!r} already.")
    plan = Plan(name=name, **dataclasses.asdict(limits))
    session.add(plan)
    session.flush()
    return plan


def find_plan(session: Session, name: str) -> Plan:
    """The plan of that name."""
    plan = session.scalar(select(Plan).where(Plan.name == name))
    if plan is None:
        raise UserError(f"there is no plan named {name!r}; `sendproof plan add` makes one.")
    return plan


def plan_limits(plan: Plan) -> QuotaLimits:
    """What the plan allows."""
    return QuotaLimits(**{field.name: getattr(plan, field.name) for field in dataclasses.fields(QuotaLimits)})


def change_plan(session: Session, name: str, limits: QuotaLimits) -> Plan:
    """Let these be the plan's limits, all of them; what was used in a window that runs counts against them at once."""
    _check_limits(limits)
    plan = find_plan(session, name)
    for limit, value in dataclasses.asdict(limits).items():
        setattr(plan, limit, value)
    return plan


def rename_plan(session: Session, plan: Plan, name: str) -> None:
    """Another name for a plan."""
    _check_text("a plan's name", name)
    if session.scalar(select(Plan).where(Plan.name == name, Plan.id != plan.id)):
        raise UserError(f"there is a plan named {name!r} already.")
    plan.name = name


def delete_plan(session: Session, plan: Plan) -> None:
    """Forget a plan that no account has.

    Raises:
        UserError: accounts have it.
    """
    accounts = session.scalar(select(func.count()).select_from(Account).where(Account.plan_id == plan.id)) or 0
    if accounts:
        whose = "1 account has" if accounts == 1 else f"{accounts:,} accounts have"
        raise UserError(f"{whose} the plan {plan.name!r}; give them another one first.")
    session.delete(plan)
    session.flush()


def add_account(
    session: Session,
    *,
    login: str,
    plan_name: str,
    time_zone: str,
    tracking: bool,
    notice_address: str | None,
    now: dt.datetime,
    password: str | None = None,
    password_hash: str | None = None,
    address: str | None = None,
    is_provider: bool = False,
    language: str | None = None,
) -> Account:
    """A new account that can sign in to the site; it has no credential to submit mail with yet.

    Either a ``password``, or the hash of one that was made before the transaction. ``address``: where the site writes
    to; it counts as confirmed.
    """
    _check_login(login)
    if session.scalar(select(Account).where(Account.login == login)):
        raise UserError(f"there is an account {login!r} already.")
    if password_hash is None:
        if password is None:
            raise TypeError("an account needs a password")
        password_hash = passwords.hash_site_password(password)
    address = checked_mailbox(address) if address else None
    account = Account(
        login=login,
        password_hash=password_hash,
        plan_id=find_plan(session, plan_name).id,
        time_zone=_checked_time_zone(time_zone),
        tracking=tracking,
        notice_address=_checked_notice_address(notice_address),
        created_at=now,
        suspended_at=None,
        suspended_reason=None,
        test_mode=False,
        shared_pixel=False,
        tracking_image=None,
        address=address,
        address_key=address_key(address) if address else None,
        address_confirmed_at=now if address else None,
        is_provider=is_provider,
        language=language,
    )
    session.add(account)
    session.flush()
    return account


def change_account(
    session: Session,
    account: Account,
    *,
    plan_name: str | None = None,
    time_zone: str | None = None,
    notice_address: str | None = None,
    tracking: bool | None = None,
    shared_pixel: bool | None = None,
    tracking_image: str | None = None,
    test_mode: bool | None = None,
    open_details: bool | None = None,
    language: str | None = None,
) -> None:
    """Change what is given; None leaves a thing as it is.

    An empty ``notice_address``, ``tracking_image`` or ``language`` ends it.
    """
    if plan_name is not None:
        account.plan_id = find_plan(session, plan_name).id
    if time_zone is not None:
        account.time_zone = _checked_time_zone(time_zone)
    if notice_address is not None:
        account.notice_address = _checked_notice_address(notice_address or None)
    if tracking is not None:
        account.tracking = tracking
    if shared_pixel is not None:
        account.shared_pixel = shared_pixel
    if tracking_image is not None:
        if tracking_image and not _IMAGE.fullmatch(tracking_image):
            raise UserError(
                f"{tracking_image!r} cannot be a tracking image: a file name of lower-case letters, digits and . _ -, "
                "at most 99, ending in .png, .gif or .jpg."
            )
        account.tracking_image = tracking_image or None
    if test_mode is not None:
        account.test_mode = test_mode
    if open_details is not None:
        account.open_details = open_details
    if language is not None:
        account.language = language or None


def find_account(session: Session, login: str) -> Account:
    """The account with that login."""
    account = session.scalar(select(Account).where(Account.login == login))
    if account is None:
        raise UserError(f"there is no account {login!r}.")
    return account


def add_credential(
    session: Session,
    account: Account,
    *,
    login: str,
    label: str,
    now: dt.datetime,
    secret: str | None = None,
    secret_hash: str | None = None,
) -> Credential:
    """A login for one device or application. Write the passwd-file after the commit.

    Either a ``secret``, or the hash of one that was made before the transaction.
    """
    if secret_hash is None:
        if secret is None:
            raise TypeError("a credential needs a secret")
        secret_hash = passwords.hash_credential(secret)
    _check_login(login)
    _check_text("a label", label)
    if session.scalar(select(Credential).where(Credential.login == login)):
        raise UserError(f"there is a credential {login!r} already.")
    credential = Credential(
        account_id=account.id,
        login=login,
        label=label,
        secret_hash=secret_hash,
        created_at=now,
        revoked_at=None,
    )
    session.add(credential)
    session.flush()
    return credential


def replace_credential(session: Session, account: Account, *, login: str, label: str, secret: str) -> bool | None:
    """Let the account's login have that secret and label, and be good if it was revoked. Write the passwd-file after.

    Whether anything of it is new; None: there is no such login yet.

    Raises:
        UserError: the login is another account's.
    """
    credential = session.scalar(select(Credential).where(Credential.login == login))
    if credential is None:
        return None
    if credential.account_id != account.id:
        raise UserError(f"the credential {login!r} is another account's; choose another login.")
    _check_text("a label", label)
    fits = passwords.verify(credential.secret_hash, secret)
    if fits and credential.label == label and credential.revoked_at is None:
        return False
    if not fits:
        credential.secret_hash = passwords.hash_credential(secret)
    credential.label = label
    credential.revoked_at = None
    session.flush()
    return True


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


def add_domain(
    session: Session, name: str, account: Account | None, now: dt.datetime, *, proved: bool = True
) -> Domain:
    """A domain of an account, whose addresses it may send as once it is proved; without one, the provider's."""
    name = _checked_domain_name(name)
    if session.scalar(select(Domain).where(Domain.name == name)):
        raise UserError(f"the domain {name} is there already.")
    if account is not None:
        _check_no_foreign_address(session, name, account)
    domain = Domain(
        name=name,
        account_id=account.id if account else None,
        created_at=now,
        proved_at=now if proved else None,
        challenge=fresh_challenge() if account else None,
    )
    session.add(domain)
    session.flush()
    return domain


def fresh_challenge() -> str:
    """What an account publishes to prove a domain: one label in DNS, 80 random bits."""
    return random_source.token_hex(10)


def find_domain(session: Session, name: str) -> Domain:
    """The domain of that name."""
    domain = session.scalar(select(Domain).where(Domain.name == _checked_domain_name(name)))
    if domain is None:
        raise UserError(f"there is no domain {name}; `sendproof domain add` makes one.")
    return domain


def prove_domain(domain: Domain, now: dt.datetime) -> None:
    """From now on the account may send as any address there; a domain that was proved before stays so."""
    domain.proved_at = domain.proved_at or now


def add_own_address(session: Session, account: Account, address: str, now: dt.datetime) -> OwnAddress:
    """An address that the account may send as, at a domain that is not its own."""
    address = _checked_address(address)
    key = address_key(address)
    existing = session.scalar(select(OwnAddress).where(OwnAddress.address_key == key))
    if existing is not None:
        whose = "the account's" if existing.account_id == account.id else "another account's"
        raise UserError(f"{address} is {whose} already.")
    name = address.rpartition("@")[2]
    owner = session.scalar(select(Domain.account_id).where(Domain.name == name, Domain.account_id.is_not(None)))
    if owner not in (None, account.id):
        raise UserError(f"the domain {name} belongs to another account, and so do all addresses there.")
    own_address = OwnAddress(account_id=account.id, address=address, address_key=key, created_at=now)
    session.add(own_address)
    session.flush()
    return own_address


def remove_own_address(session: Session, account: Account, address: str) -> None:
    """The account may not send as that address any more, unless its domain is the account's own."""
    key = address_key(_checked_address(address))
    existing = session.scalar(
        select(OwnAddress).where(OwnAddress.address_key == key, OwnAddress.account_id == account.id)
    )
    if existing is None:
        raise UserError(f"the account {account.login} has no address {address!r}.")
    session.delete(existing)
    session.flush()


def add_dkim_key(
    session: Session,
    domain: Domain,
    *,
    selector: str,
    secrets: SecretsStore,
    state: KeyState,
    now: dt.datetime,
    algorithm: str = dkim_keys.RSA_SHA256,
) -> DkimKey:
    """A new key for a domain. A selector that exists is never written over."""
    _check_selector(session, domain, selector)
    return _store_key(session, domain, selector, dkim_keys.generate(algorithm), secrets=secrets, state=state, now=now)


def import_key(
    session: Session, domain: Domain, *, selector: str, pem: bytes, secrets: SecretsStore, now: dt.datetime
) -> DkimKey:
    """A key that another program made, pending: validated, then sealed as our own are."""
    _check_selector(session, domain, selector)
    pair = dkim_keys.import_key(pem)
    same = select(DkimKey).where(DkimKey.domain_id == domain.id, DkimKey.public_key == pair.public_key)
    if (existing := session.scalar(same)) is not None:
        raise UserError(f"{domain.name} has that key already: {existing.selector!r}, {existing.state}.")
    return _store_key(session, domain, selector, pair, secrets=secrets, state=KeyState.PENDING, now=now)


def store_key(
    session: Session,
    domain: Domain,
    *,
    selector: str,
    pair: KeyPair,
    secrets: SecretsStore,
    state: KeyState,
    now: dt.datetime,
) -> DkimKey:
    """A key that was made before the transaction began: RSA takes a while. The selector must be new."""
    _check_selector(session, domain, selector)
    return _store_key(session, domain, selector, pair, secrets=secrets, state=state, now=now)


def keys_of(session: Session, domain: Domain) -> list[DkimKey]:
    """All keys of a domain, the oldest first."""
    return list(session.scalars(select(DkimKey).where(DkimKey.domain_id == domain.id).order_by(DkimKey.id)))


def activate_key(session: Session, domain: Domain, selector: str, now: dt.datetime) -> DkimKey | None:
    """Let a pending key sign, or a retiring one again; an active one stays active.

    The active key of the same algorithm begins to retire in the same transaction, so that there is no moment with
    none and none with two. Returns it.
    """
    key = _find_key(session, domain, selector)
    if key.state == KeyState.RETIRED.value:
        raise UserError(
            f"the key {selector!r} of {domain.name} is retired and its record revoked; `sendproof domain rotate` makes "
            "a new one."
        )
    if key.state == KeyState.ACTIVE.value:
        return None
    before = _active_key(session, domain, key.algorithm)
    if before is not None:
        _enter(before, KeyState.RETIRING, now)
    _enter(key, KeyState.ACTIVE, now)
    session.flush()
    return before


def rotate_domain(
    session: Session, domain: Domain, secrets: SecretsStore, now: dt.datetime, *, also: Collection[str] = ()
) -> list[DkimKey]:
    """New pending keys beside the active ones: of each algorithm in use, and of those in ``also``.

    Makes none where one is pending: that one was published, perhaps, and is to be activated.
    """
    _lock(session, domain)
    keys = keys_of(session, domain)
    in_use = {key.algorithm for key in keys if key.state == KeyState.ACTIVE.value} | set(also)
    pending = {key.algorithm: key for key in keys if key.state == KeyState.PENDING.value}
    wanted = in_use or set(pending) or {dkim_keys.RSA_SHA256}
    missing = [algorithm for algorithm in dkim_keys.ALGORITHMS if algorithm in wanted - set(pending)]
    if not missing:
        waiting = next(key for algorithm, key in pending.items() if algorithm in wanted)
        raise UserError(
            f"{domain.name} has the pending key {waiting.selector!r} already; publish its record, then run `sendproof "
            f"domain activate {domain.name} {waiting.selector}`."
        )
    made: list[DkimKey] = []
    for algorithm in missing:
        selector = key_rotation.fresh_selector(now, {key.selector for key in (*keys, *made)})
        made.append(
            add_dkim_key(
                session,
                domain,
                selector=selector,
                secrets=secrets,
                state=KeyState.PENDING,
                now=now,
                algorithm=algorithm,
            )
        )
    return made


def retire_key(session: Session, domain: Domain, selector: str, now: dt.datetime, *, forced: bool = False) -> DkimKey:
    """One step towards retired: an active key stops to sign, a retiring or pending one is revoked.

    Raises:
        UserError: the domain would be left without a signature that every receiver checks, or mail with the key's
            signature may be under way still; ``forced`` does it all the same.
    """
    key = _find_key(session, domain, selector)
    if key.state == KeyState.ACTIVE.value:
        # Some receivers do not know Ed25519 (RFC 8463 section 5): it is no replacement for RSA.
        if not forced and (
            key.algorithm == dkim_keys.RSA_SHA256 or _active_key(session, domain, dkim_keys.RSA_SHA256) is None
        ):
            raise UserError(
                f"{selector!r} is the only active {key.algorithm} key of {domain.name}, whose mail would lack that "
                f"signature; make another with `sendproof domain rotate {domain.name}` and activate it, or use --force."
            )
        _enter(key, KeyState.RETIRING, now)
    elif key.state == KeyState.RETIRED.value:
        raise UserError(f"the key {selector!r} of {domain.name} is retired already.")
    else:
        until = key_rotation.retire_from(key.state_since)
        if key.state == KeyState.RETIRING.value and now < until and not forced:
            raise UserError(
                f"mail that {selector!r} signed may be under way until {until:%Y-%m-%d %H:%M} UTC; leave its record "
                "published until then, or revoke it now with --force."
            )
        _enter(key, KeyState.RETIRED, now)
    session.flush()
    return key


def rotate_key_encryption(session: Session, secrets: SecretsStore) -> int:
    """Seal every DKIM key, and the second factors, anew with a new key-encryption key; how many DKIM keys there are.

    The file has the new key before this transaction is committed, and keeps the old one.
    """
    keys = session.scalars(select(DkimKey).order_by(DkimKey.id).with_for_update()).all()
    sealed = select(Account).where(Account.totp_sealed.is_not(None)).order_by(Account.id).with_for_update()
    second_factors = {account: account.totp_sealed for account in session.scalars(sealed) if account.totp_sealed}
    anew = secrets.rotate([*(key.sealed_private_key for key in keys), *second_factors.values()])
    for key in keys:
        key.sealed_private_key = anew[key.sealed_private_key]
    for account, before in second_factors.items():
        account.totp_sealed = anew[before]
    session.flush()
    return len(keys)


def dkim_record(domain: Domain, key: DkimKey) -> DnsRecord:
    """The TXT record that publishes a key (RFC 6376 section 3.6.1); of a retired one, the record that revokes it."""
    published = "" if key.state == KeyState.RETIRED.value else key.public_key
    text = dkim_keys.record_text(key.algorithm, published)
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
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "no ordinary file")  # root could replace a device
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o640)
    if path.exists():
        old = path.stat()
        fresh.chmod(old.st_mode & 0o777)
        made = fresh.stat()
        # The group comes from the folder. The site could not name it: in its user namespace Dovecot's is unknown.
        if (made.st_uid, made.st_gid) != (old.st_uid, old.st_gid):
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


def _check_limits(limits: QuotaLimits) -> None:
    for name, value in dataclasses.asdict(limits).items():
        if value is not None and not 1 <= value <= _LARGEST:
            words = name.replace("_", " ")
            raise UserError(f"a plan's {words} is from 1 to {_LARGEST}; leave it out for no limit.")


def _checked_time_zone(name: str) -> str:
    if name != "UTC" and plans.zone(name) is dt.UTC:
        raise UserError(f"the time zone {name!r} is unknown; name one such as Europe/Vienna.")
    return name


def _checked_notice_address(address: str | None) -> str | None:
    if address is not None and not _ADDRESS.fullmatch(address):
        raise UserError(f"{address!r} is no mail address.")
    return address


def _checked_domain_name(name: str) -> str:
    try:
        return domain_names.to_ascii(name)
    except ValueError:
        raise UserError(f"{name!r} is no domain name.") from None


def checked_mailbox(address: str) -> str:
    """An address that mail can be sent to: ASCII before the @, the domain as A-labels.

    Raises:
        UserError: it is none.
    """
    checked = _checked_address(address)
    if not _ADDRESS.fullmatch(checked):
        raise UserError(f"{address!r} is no mail address.")
    return checked


def _checked_address(address: str) -> str:
    """The address with its domain as A-labels."""
    local, _, domain = address.rpartition("@")
    if not _LOCAL_PART.fullmatch(local):
        raise UserError(f"{address!r} is no mail address.")
    return f"{local}@{_checked_domain_name(domain)}"


def _check_no_foreign_address(session: Session, name: str, account: Account) -> None:
    others = select(OwnAddress.address).where(OwnAddress.account_id != account.id)
    at_domain = others.where(OwnAddress.address_key.endswith(f"@{name}", autoescape=True))
    foreign = session.scalar(at_domain.limit(1))
    if foreign is not None:
        raise UserError(
            f"{foreign} is an address of another account; `sendproof account address-remove` takes it from there."
        )


def _check_selector(session: Session, domain: Domain, selector: str) -> None:
    if not _SELECTOR.fullmatch(selector):
        raise UserError(f"{selector!r} is no selector: letters, digits and hyphens, at most 63.")
    existing = select(DkimKey).where(DkimKey.domain_id == domain.id, DkimKey.selector == selector)
    if session.scalar(existing):
        raise UserError(f"{domain.name} has a key {selector!r} already; choose another selector.")


def _store_key(
    session: Session,
    domain: Domain,
    selector: str,
    pair: KeyPair,
    *,
    secrets: SecretsStore,
    state: KeyState,
    now: dt.datetime,
) -> DkimKey:
    key = DkimKey(
        domain_id=domain.id,
        selector=selector,
        algorithm=pair.algorithm,
        sealed_private_key=secrets.seal(pair.private_pem),
        public_key=pair.public_key,
        state=state.value,
        state_since=now,
        created_at=now,
    )
    if state is KeyState.ACTIVE:
        _lock(session, domain)
        if (before := _active_key(session, domain, pair.algorithm)) is not None:
            _enter(before, KeyState.RETIRING, now)
    session.add(key)
    session.flush()
    return key


def _find_key(session: Session, domain: Domain, selector: str) -> DkimKey:
    _lock(session, domain)
    key = session.scalar(select(DkimKey).where(DkimKey.domain_id == domain.id, DkimKey.selector == selector))
    if key is None:
        raise UserError(f"{domain.name} has no key {selector!r}; `sendproof domain show {domain.name}` lists them.")
    return key


def _active_key(session: Session, domain: Domain, algorithm: str) -> DkimKey | None:
    active = select(DkimKey).where(DkimKey.domain_id == domain.id, DkimKey.state == KeyState.ACTIVE.value)
    return session.scalar(active.where(DkimKey.algorithm == algorithm))


def _enter(key: DkimKey, state: KeyState, now: dt.datetime) -> None:
    key.state = state.value
    key.state_since = now


def _lock(session: Session, domain: Domain) -> None:
    """Who else changes this domain's keys waits for us (SQLite has one writer anyway)."""
    session.execute(select(Domain.id).where(Domain.id == domain.id).with_for_update())
