"""Read the directory: who a login is. Answers are kept for a few seconds; keys are opened once per process.

Reads only. A suspension or a new key takes effect when the kept answer is `MAXIMAL_AGE_SECONDS` old. While the database
is away, the snapshot on disk answers.
"""

import base64
import dataclasses
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator

from sqlalchemy import Select, or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from sendproof_core import dkim_keys
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Account, Credential, DkimKey, Domain, OwnAddress, Plan
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.states import KeyState
from sendproof_milter.directory_snapshot import DirectorySnapshot, Document, SnapshotUnusable
from sendproof_milter.sender import Sender, SigningKey

MAXIMAL_AGE_SECONDS = 5.0
# Answers kept at the most; beyond that the oldest goes.
_MAXIMAL_ENTRIES = 10_000
_LIMITS = tuple(field.name for field in dataclasses.fields(QuotaLimits))
_log = logging.getLogger(__name__)


class SenderStore:
    """The directory as the milter needs it, with a bounded memory."""

    def __init__(
        self,
        database: Database,
        secrets: SecretsStore,
        snapshot: DirectorySnapshot,
        monotonic_seconds: Callable[[], float],
    ) -> None:
        self._database = database
        self._secrets = secrets
        self._snapshot = snapshot
        self._monotonic_seconds = monotonic_seconds
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Sender | None]] = {}
        # Until then the database is not asked: each question may take its whole time-out.
        self._away_until = float("-inf")
        # By what is stored, not by its id: SQLite gives the id of a deleted row to the next one.
        self._opened_keys: dict[bytes, SigningKey] = {}

    def find(self, login: str) -> Sender | None:
        """Who may submit with that login; None: nobody, or the credential was revoked.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database is away, and there is no snapshot.
            sendproof_core.errors.UserError: a key cannot be opened.
        """
        return self._find(
            _login_name(login),
            lambda: _CREDENTIALS.where(Credential.login == login, Credential.revoked_at.is_(None)),
        )

    def find_account(self, account_id: int) -> Sender | None:
        """The account, as nobody's login. Raises as `find`."""
        return self._find(_account_name(account_id), lambda: _ACCOUNTS.where(Account.id == account_id))

    def write_snapshot(self) -> int:
        """Write the whole directory to disk; how many senders it has.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database is away; the old snapshot stays.
            OSError: the disk is full or gone; so it does, too.
        """
        with self._database.reading() as session:
            return self._snapshot.write(_all_documents(session))

    def _find(self, name: str, query: Callable[[], "_Query"]) -> Sender | None:
        now = self._monotonic_seconds()
        with self._lock:
            known = self._known.get(name)
        if known is not None and now - known[0] < MAXIMAL_AGE_SECONDS:
            return known[1]
        document = self._document(name, query(), now)
        before = known[1] if known is not None else None
        sender = None if document is None else self._sender(document, before)
        with self._lock:
            self._known.pop(name, None)
            self._known[name] = (now, sender)
            if len(self._known) > _MAXIMAL_ENTRIES:
                del self._known[next(iter(self._known))]
        return sender

    def _document(self, name: str, query: "_Query", now: float) -> Document | None:
        if now >= self._away_until:
            try:
                with self._database.reading() as session:
                    return next((document for _, document in _documents(session, query)), None)
            except SQLAlchemyError as error:
                try:
                    document = self._snapshot.find(name)
                except SnapshotUnusable:
                    raise error from None
                self._away_until = now + MAXIMAL_AGE_SECONDS
                _log.warning("event=directory-from-snapshot reason=%s", type(error).__name__)
                return document
        try:
            return self._snapshot.find(name)
        except SnapshotUnusable as unusable:
            raise UserError("the directory's snapshot cannot be read any more.") from unusable

    def _sender(self, document: Document, before: Sender | None) -> Sender:
        keys = self._keys(document["keys"], before)
        values = {name: document[name] for name in _SAME}
        return Sender(
            **values,
            open_details=document.get("open_details", False),  # a snapshot of an older version does not say
            limits=QuotaLimits(**document["limits"]),
            domains=frozenset(document["domains"]),
            own_addresses=frozenset(document["own_addresses"]),
            keys=tuple(key for key, is_provider in keys if not is_provider),
            provider_keys=tuple(key for key, is_provider in keys if is_provider),
        )

    def _keys(self, items: list[Document], before: Sender | None) -> list[tuple[SigningKey, bool]]:
        """The keys that can be opened; for a domain of which none can, those that were in use before.

        Raises:
            UserError: a domain would be left without its signature.
        """
        found: list[tuple[SigningKey, bool]] = []
        failed: dict[str, Exception] = {}
        for item in items:
            try:
                found.append((self._open(item), item["provider"]))
            except (UserError, ValueError) as error:
                _log.error("event=key-not-opened domain=%s selector=%s", item["domain"], item["selector"])
                failed[item["domain"]] = error
        old = (*before.keys, *before.provider_keys) if before is not None else ()
        for domain, reason in failed.items():
            if any(key.domain == domain for key, _ in found):
                continue
            kept = [key for key in old if key.domain == domain]
            if not kept:
                raise UserError(f"no key of {domain} can be opened.") from reason
            found += [(key, before is not None and key in before.provider_keys) for key in kept]
        return found

    def _open(self, item: Document) -> SigningKey:
        sealed = base64.b64decode(item["sealed"])
        opened = self._opened_keys.get(sealed)
        if opened is None:
            private_key = dkim_keys.load(item["algorithm"], self._secrets.unseal(sealed))
            opened = SigningKey(item["domain"], item["selector"], item["algorithm"], private_key)
            self._opened_keys[sealed] = opened
        return opened


_Query = Select[Account, Plan, Credential] | Select[Account, Plan]
_CREDENTIALS = (
    select(Account, Plan, Credential)
    .join(Plan, Plan.id == Account.plan_id)
    .join(Credential, Credential.account_id == Account.id)
)
_ACCOUNTS = select(Account, Plan).join(Plan, Plan.id == Account.plan_id)
# What a document and a `Sender` have under the same names.
_SAME = (
    "account_id", "login", "credential_label", "time_zone", "tracking", "suspended_reason", "test_mode", "shared_pixel",
    "tracking_image",
)  # fmt: skip


def _login_name(login: str) -> str:
    return f"login {login}"


def _account_name(account_id: int) -> str:
    return f"account {account_id}"


def _all_documents(session: Session) -> Iterator[tuple[str, Document]]:
    yield from _documents(session, _ACCOUNTS)
    yield from _documents(session, _CREDENTIALS.where(Credential.revoked_at.is_(None)))


def _documents(session: Session, query: _Query) -> Iterator[tuple[str, Document]]:
    """Each row's sender, with its name."""
    rows = session.execute(query).all()
    if not rows:
        return
    accounts = {account.id for account, *_ in rows}
    # One account's own are asked for by its id; all accounts' are asked for at once.
    few = accounts if len(accounts) == 1 else None
    domains: dict[int, list[str]] = defaultdict(list)
    wanted = select(Domain.account_id, Domain.name).where(Domain.proved_at.is_not(None), Domain.account_id.is_not(None))
    for owner, domain_name in session.execute(wanted.where(Domain.account_id.in_(few)) if few else wanted):
        if owner is not None:
            domains[owner].append(domain_name)
    addresses: dict[int, list[str]] = defaultdict(list)
    owned = select(OwnAddress.account_id, OwnAddress.address_key)
    for account_id, own_address in session.execute(owned.where(OwnAddress.account_id.in_(few)) if few else owned):
        addresses[account_id].append(own_address)
    keys: dict[int | None, list[Document]] = defaultdict(list)
    active = (
        select(DkimKey, Domain)
        .join(Domain, Domain.id == DkimKey.domain_id)
        .where(DkimKey.state == KeyState.ACTIVE.value, or_(Domain.proved_at.is_not(None), Domain.account_id.is_(None)))
        # RSA comes first: a verifier may stop at the first signature that it cannot read.
        .order_by(Domain.name, DkimKey.algorithm.desc(), DkimKey.id)
    )
    ours = or_(Domain.account_id.in_(few or ()), Domain.account_id.is_(None))
    for key, domain in session.execute(active.where(ours) if few else active):
        keys[domain.account_id].append(
            {
                "domain": domain.name,
                "selector": key.selector,
                "algorithm": key.algorithm,
                "sealed": base64.b64encode(key.sealed_private_key).decode("ascii"),
                "provider": domain.account_id is None,
            }
        )
    for row in rows:
        account, plan = row[0], row[1]
        credential: Credential | None = row[2] if len(row) > 2 else None
        name = _account_name(account.id) if credential is None else _login_name(credential.login)
        suspended_reason = None
        if account.suspended_at is not None:
            suspended_reason = account.suspended_reason or "ask your provider"
        yield (
            name,
            {
                "account_id": account.id,
                "login": credential.login if credential else "",
                "credential_label": credential.label if credential else "",
                "time_zone": account.time_zone,
                "tracking": account.tracking,
                "suspended_reason": suspended_reason,
                "test_mode": account.test_mode,
                "shared_pixel": account.shared_pixel,
                "tracking_image": account.tracking_image,
                "open_details": account.open_details,
                "limits": {limit: getattr(plan, limit) for limit in _LIMITS},
                "domains": domains[account.id],
                "own_addresses": addresses[account.id],
                "keys": keys[account.id] + keys[None],
            },
        )
