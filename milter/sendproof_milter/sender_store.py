"""Read the directory: who a login is. Answers are kept for a few seconds; keys are opened once per process.

Reads only. A suspension or a new key takes effect when the kept answer is `MAXIMAL_AGE_SECONDS` old.
"""

import threading
from collections.abc import Callable

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from sendproof_core import dkim_keys
from sendproof_core.database import Database
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Account, Credential, DkimKey, Domain, Plan
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.states import KeyState
from sendproof_milter.sender import Sender, SigningKey

MAXIMAL_AGE_SECONDS = 5.0
# Logins kept at the most; beyond that the oldest answer goes.
_MAXIMAL_ENTRIES = 10_000


class SenderStore:
    """The directory as the milter needs it, with a bounded memory."""

    def __init__(self, database: Database, secrets: SecretsStore, monotonic_seconds: Callable[[], float]) -> None:
        self._database = database
        self._secrets = secrets
        self._monotonic_seconds = monotonic_seconds
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Sender | None]] = {}
        # By what is stored, not by its id: SQLite gives the id of a deleted row to the next one.
        self._opened_keys: dict[bytes, SigningKey] = {}

    def find(self, login: str) -> Sender | None:
        """Who may submit with that login; None: nobody, or the credential was revoked.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database is away.
            sendproof_core.errors.UserError: a key cannot be opened.
        """
        now = self._monotonic_seconds()
        with self._lock:
            known = self._known.get(login)
        if known is not None and now - known[0] < MAXIMAL_AGE_SECONDS:
            return known[1]
        with self._database.reading() as session:
            sender = self._read(session, login)
        with self._lock:
            self._known.pop(login, None)
            self._known[login] = (now, sender)
            if len(self._known) > _MAXIMAL_ENTRIES:
                del self._known[next(iter(self._known))]
        return sender

    def _read(self, session: Session, login: str) -> Sender | None:
        found = session.execute(
            select(Account, Credential, Plan)
            .join(Credential, Credential.account_id == Account.id)
            .join(Plan, Plan.id == Account.plan_id)
            .where(Credential.login == login, Credential.revoked_at.is_(None))
        ).one_or_none()
        if found is None:
            return None
        account, credential, plan = found
        domains = frozenset(session.scalars(select(Domain.name).where(Domain.account_id == account.id)))
        suspended_reason = None
        if account.suspended_at is not None:
            suspended_reason = account.suspended_reason or "ask your provider"
        return Sender(
            account_id=account.id,
            login=credential.login,
            credential_label=credential.label,
            time_zone=account.time_zone,
            tracking=account.tracking,
            suspended_reason=suspended_reason,
            limits=QuotaLimits(recipients_per_day=plan.recipients_per_day),
            domains=domains,
            keys=self._keys(session, account.id),
        )

    def _keys(self, session: Session, account_id: int) -> tuple[SigningKey, ...]:
        rows = session.execute(
            select(DkimKey, Domain.name)
            .join(Domain, Domain.id == DkimKey.domain_id)
            .where(DkimKey.state == KeyState.ACTIVE.value)
            .where(or_(Domain.account_id == account_id, Domain.account_id.is_(None)))
            .order_by(Domain.account_id.is_(None), Domain.name, DkimKey.id)
        )
        return tuple(self._open(key, domain) for key, domain in rows)

    def _open(self, key: DkimKey, domain: str) -> SigningKey:
        opened = self._opened_keys.get(key.sealed_private_key)
        if opened is None:
            private_key = dkim_keys.load_rsa(self._secrets.unseal(key.sealed_private_key))
            opened = SigningKey(domain, key.selector, key.algorithm, private_key)
            self._opened_keys[key.sealed_private_key] = opened
        return opened
