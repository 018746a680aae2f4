import concurrent.futures
import datetime as dt
import threading
from dataclasses import dataclass
from pathlib import Path

import pyotp
import pytest
from sqlalchemy import select

from sendproof_core.audit import Actor
from sendproof_core.database import Database
from sendproof_core.schema import Account, MailRequest, RecoveryCode
from sendproof_core.secrets_store import SecretsStore
from sendproof_testing import sample_record
from sendproof_web import two_factor
from sendproof_web.attempts import Attempts
from sendproof_web.two_factor import Code

NOW = sample_record.SENT_AT
EVA = Actor(None, "eva", "192.0.2.7")
STEP = dt.timedelta(seconds=30)


@dataclass
class Setup:
    database: Database
    secrets: SecretsStore
    account_id: int
    secret: str
    recovery_codes: tuple[str, ...]

    def code(self, now: dt.datetime) -> str:
        return pyotp.TOTP(self.secret).at(now)

    def check(self, typed: str, now: dt.datetime) -> Code | dt.timedelta:
        return two_factor.check(self.database, Attempts(b"k" * 32), self.secrets, self.account_id, typed, EVA, now)


@pytest.fixture
def setup(either_database: Database, tmp_path: Path) -> Setup:
    secrets = SecretsStore(tmp_path / "secrets")
    secrets.create()
    with either_database.writing() as session:
        sample_record.fill(session)
        sample_record.add_people(session)
        eva = session.scalars(select(Account).where(Account.login == "eva")).one()
        two_factor.begin(session, eva, secrets)
        secret = two_factor.pending_secret(eva, secrets)
        assert secret
        assert two_factor.confirm(session, eva, secrets, "000000", EVA, NOW) is None
        assert eva.totp_since is None
        codes = two_factor.confirm(session, eva, secrets, pyotp.TOTP(secret).at(NOW), EVA, NOW)
        assert codes
        return Setup(either_database, secrets, eva.id, secret, codes)


def test_the_code_that_set_it_up_is_used_and_the_next_one_is_good_once(setup: Setup) -> None:
    assert setup.check(setup.code(NOW), NOW) is Code.WRONG
    later = NOW + STEP
    assert setup.check(setup.code(later), later) is Code.FROM_APP
    assert setup.check(setup.code(later), later) is Code.WRONG


def test_of_two_that_send_the_same_code_at_once_one_gets_in(setup: Setup) -> None:
    later = NOW + STEP
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: setup.check(setup.code(later), later), range(3)))
    assert answers.count(Code.FROM_APP) == 1


def test_a_recovery_code_gets_in_once(setup: Setup) -> None:
    first, second = setup.recovery_codes[:2]
    assert setup.check(first.upper(), NOW) is Code.RECOVERY
    assert setup.check(first, NOW) is Code.WRONG
    assert setup.check(second, NOW) is Code.RECOVERY
    with setup.database.reading() as session:
        assert two_factor.recovery_codes_left(session, setup.account_id) == 8


def test_guessing_codes_is_stopped_even_for_the_right_one(setup: Setup) -> None:
    for _ in range(5):
        assert setup.check("000000", NOW) is Code.WRONG
    later = NOW + STEP
    assert setup.check(setup.code(later), later) == dt.timedelta(minutes=15) - STEP


def test_neither_secret_nor_codes_are_stored_as_they_are(setup: Setup) -> None:
    with setup.database.reading() as session:
        account = session.get_one(Account, setup.account_id)
        assert account.totp_sealed
        assert setup.secret.encode() not in account.totp_sealed
        stored = set(session.scalars(select(RecoveryCode.code_hash)))
    assert stored.isdisjoint(setup.recovery_codes)


def test_a_secret_in_force_is_shown_to_nobody_and_not_made_anew(setup: Setup) -> None:
    with setup.database.writing() as session:
        account = session.get_one(Account, setup.account_id)
        before = account.totp_sealed
        two_factor.begin(session, account, setup.secrets)
        assert account.totp_sealed == before
        assert two_factor.pending_secret(account, setup.secrets) is None
        assert two_factor.confirm(session, account, setup.secrets, setup.code(NOW + STEP), EVA, NOW + STEP) is None


def test_new_recovery_codes_make_an_end_of_the_old_ones(setup: Setup) -> None:
    with setup.database.writing() as session:
        account = session.get_one(Account, setup.account_id)
        fresh = two_factor.renew_recovery_codes(session, account, EVA, NOW)
    assert setup.check(setup.recovery_codes[0], NOW) is Code.WRONG
    assert setup.check(fresh[0], NOW) is Code.RECOVERY


def test_the_owner_is_told(setup: Setup) -> None:
    with setup.database.reading() as session:
        told = session.scalars(select(MailRequest)).one()
        assert (told.kind, told.to_address) == ("second-factor-changed", "eva@eva.example")
        assert told.data == {"login": "eva", "client_address": "192.0.2.7", "on": True}


def test_of_recovery_codes_that_are_made_twice_at_once_the_last_ten_are_good(setup: Setup) -> None:
    later = NOW + STEP
    both_have_read = threading.Barrier(2)

    def renew(_: int) -> None:
        with setup.database.reading() as session:
            session.get_one(Account, setup.account_id)
        both_have_read.wait(5)
        with setup.database.writing() as session:
            account = session.get_one(Account, setup.account_id)
            two_factor.renew_recovery_codes(session, account, EVA, later)

    for _ in range(5):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(renew, range(2)))
        with setup.database.reading() as session:
            assert two_factor.recovery_codes_left(session, setup.account_id) == 10
