"""More accounts in a sandbox that runs, each with a plan, a login and a domain of its own, as a provider adds them."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sendproof_core import clock, directory
from sendproof_core.database import Database
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Account
from sendproof_testing import ledger
from sendproof_testing.installation import Login
from sendproof_testing.sandbox import Sandbox

# Dovecot looks at its passwd-file once a second at the most.
PASSWD_FILE_SECONDS = 1.1


@dataclass(frozen=True)
class Customer:
    """An account with one login, and a plan of the same name. Its domain has no key: the provider's signs its mail."""

    account_id: int
    login: Login
    _database: Database

    @property
    def name(self) -> str:
        """Of the account and its plan."""
        return self.login.login

    @property
    def charged(self) -> int:
        """Recipients charged, by the charges and by every window alike."""
        return ledger.charged_recipients(self._database, self.account_id)

    @property
    def used(self) -> dict[str, ledger.Used]:
        """By hour, day and month."""
        return ledger.used(self._database, self.account_id)

    def change(self, act: Callable[[Session, Account], object]) -> None:
        """Something that people decide, in one transaction."""
        with self._database.writing() as session:
            act(session, session.get_one(Account, self.account_id))

    def limit(self, limits: QuotaLimits, time_zone: str = "UTC") -> None:
        """Other limits; known at once if the milter has not heard of the account in the last seconds."""

        def act(session: Session, account: Account) -> None:
            directory.change_plan(session, self.name, limits)
            directory.change_account(session, account, time_zone=time_zone)

        self.change(act)


def add_customers(sandbox: Sandbox, database: Database, count: int) -> list[Customer]:
    """So many accounts without any limit, which can send at once."""
    with database.writing() as session:
        there = session.scalar(select(func.count()).select_from(Account)) or 0
        found = [_add(session, database, f"customer{there + number}") for number in range(count)]
    directory.sync_passwd_file(database, sandbox.installation.passwd_file)
    time.sleep(PASSWD_FILE_SECONDS)
    return found


def _add(session: Session, database: Database, name: str) -> Customer:
    login = Login(name, secrets.token_hex(12), f"{name}@{name}.example")
    now = clock.now()
    directory.add_plan(session, name, QuotaLimits())
    account = directory.add_account(
        session,
        login=name,
        password=login.password,
        plan_name=name,
        time_zone="UTC",
        tracking=False,
        notice_address=None,
        now=now,
    )
    directory.add_credential(session, account, login=name, label="Laptop", secret=login.password, now=now)
    directory.add_domain(session, f"{name}.example", account, now)
    return Customer(account.id, login, database)
