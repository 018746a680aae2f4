"""People with an account in a sandbox that runs: who sign in to the site, read their mail, and send."""

import time
from dataclasses import dataclass

from sendproof_core import clock, directory
from sendproof_core.addresses import address_key
from sendproof_core.schema import Account
from sendproof_testing.customers import PASSWD_FILE_SECONDS
from sendproof_testing.sandbox import Sandbox

# Long enough for the site, and nothing that a guesser tries.
PASSWORD = "lantern umbrella cactus 42"
PLAN = "sandbox"


@dataclass(frozen=True)
class Person:
    """Login, password of the site, and where their mail arrives."""

    login: str
    password: str
    address: str


def add(sandbox: Sandbox, login: str, *, is_provider: bool = False) -> Person:
    """An account with a confirmed address and a domain of its own, ``LOGIN.example``; no credential yet."""
    person = Person(login, PASSWORD, f"{login}@{login}.example")
    database = sandbox.database()
    try:
        with database.writing() as session:
            now = clock.now()
            account: Account = directory.add_account(
                session,
                login=login,
                password=person.password,
                plan_name=PLAN,
                time_zone="UTC",
                tracking=False,
                notice_address=person.address,
                now=now,
            )
            account.address, account.address_key = person.address, address_key(person.address)
            account.address_confirmed_at = now
            account.is_provider = is_provider
            directory.add_domain(session, f"{login}.example", account, now)
    finally:
        database.close()
    return person


def until_dovecot_knows() -> None:
    """Wait until a credential that was just made is good for submitting with."""
    time.sleep(PASSWD_FILE_SECONDS)
