import base64
import contextlib
import dataclasses
import datetime as dt
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from sendproof_core import directory, dkim_keys, passwords
from sendproof_core.database import Database, open_database
from sendproof_core.errors import UserError
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Account, DkimKey, Domain, OwnAddress
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.states import KeyState

_NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)
_DAY = dt.timedelta(days=1)
_RSA, _ED25519 = dkim_keys.ALGORITHMS


@pytest.fixture(scope="module")
def with_account(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the account max, to copy: a hash for the site takes a sixth of a second."""
    path = tmp_path_factory.mktemp("account") / "sendproof.db"
    shutil.copy(sqlite_template, path)
    database = open_database(f"sqlite:///{path}")
    with database.writing() as session:
        directory.add_plan(session, "personal", QuotaLimits(recipients_per_day=200))
        _add_account(session)
    database.close()
    return path


@pytest.fixture
def session(
    request: pytest.FixtureRequest, sqlite_database: Database, with_account: Path, tmp_path: Path
) -> Iterator[Session]:
    """A writing transaction on a directory: empty, but for the account where a test asks for it."""
    if "account" in request.fixturenames:
        shutil.copy(with_account, tmp_path / "sendproof.db")  # nobody has connected to it yet
    with sqlite_database.writing() as session:
        yield session


@pytest.fixture(scope="module")
def secrets_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets")
    SecretsStore(folder).create()
    return folder


@pytest.fixture
def secrets(tmp_path: Path) -> SecretsStore:
    store = SecretsStore(tmp_path / "secrets")
    store.create()
    return store


@pytest.fixture
def account(session: Session) -> Account:
    return session.scalars(select(Account)).one()


def _add_account(session: Session, **values: Any) -> Account:
    ordinary: dict[str, Any] = {
        "login": "max",
        "password": "a password for the site",
        "plan_name": "personal",
        "time_zone": "Europe/Vienna",
        "tracking": False,
        "notice_address": None,
        "now": _NOW,
    }
    return directory.add_account(session, **{**ordinary, **values})


def _credential(session: Session, account: Account, login: str = "max") -> None:
    directory.add_credential(session, account, login=login, label="laptop", secret="a secret", now=_NOW)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(QuotaLimits)])
def test_each_limit_is_a_number_or_none(session: Session, name: str) -> None:
    for number, value in enumerate((None, 1, 2**31 - 1)):
        limits = QuotaLimits(**{name: value})
        assert directory.plan_limits(directory.add_plan(session, f"plan {number}", limits)) == limits
    for value in (0, -1, 2**31):
        with pytest.raises(UserError, match=rf"{name.replace('_', ' ')} is from 1 to 2147483647; leave it out"):
            directory.add_plan(session, "another", QuotaLimits(**{name: value}))


def test_a_changed_plan_has_the_limits_that_were_given_and_no_other(session: Session) -> None:
    directory.add_plan(session, "a", QuotaLimits(recipients_per_day=200, messages_per_hour=3))
    limits = QuotaLimits(recipients_per_day=100, new_recipients_per_day=5)
    assert directory.plan_limits(directory.change_plan(session, "a", limits)) == limits
    with pytest.raises(UserError, match="from 1 to"):
        directory.change_plan(session, "a", QuotaLimits(messages_per_day=0))
    with pytest.raises(UserError, match="there is no plan named 'b'"):
        directory.change_plan(session, "b", limits)


def test_a_name_is_given_once(session: Session, account: Account) -> None:
    _credential(session, account)
    directory.add_domain(session, "own.example", account, _NOW)
    with pytest.raises(UserError, match="there is a plan named 'personal' already"):
        directory.add_plan(session, "personal", QuotaLimits())
    with pytest.raises(UserError, match="there is an account 'max' already"):
        _add_account(session)
    with pytest.raises(UserError, match="there is a credential 'max' already"):
        _credential(session, account)
    with pytest.raises(UserError, match=r"the domain own\.example is there already"):
        directory.add_domain(session, "OWN.example.", None, _NOW)


def test_an_account_keeps_only_hashes(session: Session, account: Account) -> None:
    credential = directory.add_credential(session, account, login="max", label="laptop", secret="a secret", now=_NOW)
    assert passwords.verify(account.password_hash, "a password for the site")
    assert passwords.verify(credential.secret_hash, "a secret")
    assert directory.find_account(session, "max") is account


def test_what_an_account_names_must_exist(session: Session, account: Account) -> None:
    with pytest.raises(UserError, match="there is no plan named 'gold'; `sendproof plan add` makes one"):
        _add_account(session, login="eva", plan_name="gold")
    with pytest.raises(UserError, match="the time zone 'Vienna' is unknown; name one such as Europe/Vienna"):
        _add_account(session, login="eva", time_zone="Vienna")
    with pytest.raises(UserError, match="there is no account 'eva'"):
        directory.find_account(session, "eva")
    assert account.time_zone == "Europe/Vienna"


@pytest.mark.parametrize("login", ["", " ", "a b", "a:b", "a\nb", "max\n", "-a", "a" * 101, "ü", "a/b", "a'"])
def test_a_login_stands_safely_in_files_and_logs(session: Session, account: Account, login: str) -> None:
    with pytest.raises(UserError, match="cannot be a login"):
        _add_account(session, login=login)
    with pytest.raises(UserError, match="cannot be a login"):
        _credential(session, account, login)


@pytest.mark.parametrize("login", ["max", "max@own.example", "max+laptop", "a.b_c-d", "A" * 100])
def test_an_ordinary_login_is_taken(session: Session, account: Account, login: str) -> None:
    _credential(session, account, login)


@pytest.mark.parametrize("name", ["own.example", "OWN.Example.", "Müller.example", "XN--mller-kva.example"])
def test_a_domain_is_kept_in_one_form_and_found_in_any(session: Session, name: str) -> None:
    domain = directory.add_domain(session, name, None, _NOW)
    assert domain.name in ("own.example", "xn--mller-kva.example")
    assert directory.find_domain(session, name.upper()) is domain
    assert directory.find_domain(session, domain.name) is domain


def test_what_is_no_domain_is_refused(session: Session) -> None:
    with pytest.raises(UserError, match=r"'a b\.example' is no domain name"):
        directory.add_domain(session, "a b.example", None, _NOW)


def test_a_domain_is_proved_at_once_or_when_it_is_said_so(session: Session, account: Account) -> None:
    assert directory.add_domain(session, "own.example", account, _NOW).proved_at == _NOW
    other = directory.add_domain(session, "other.example", account, _NOW, proved=False)
    assert other.proved_at is None
    directory.prove_domain(other, _NOW + _DAY)
    directory.prove_domain(other, _NOW + 2 * _DAY)
    assert other.proved_at == _NOW + _DAY


def test_an_address_belongs_to_one_account_however_it_is_written(session: Session, account: Account) -> None:
    eva = _add_account(session, login="eva")
    directory.add_own_address(session, account, "Max@Web.example", _NOW)
    for owner, whose in ((eva, "another account's"), (account, "the account's")):
        with pytest.raises(UserError, match=f"is {whose} already"):
            directory.add_own_address(session, owner, "max@WEB.example", _NOW)
    with pytest.raises(UserError, match="the account eva has no address"):
        directory.remove_own_address(session, eva, "max@web.example")
    directory.remove_own_address(session, account, "MAX@web.example")
    assert session.scalars(select(OwnAddress)).all() == []


def test_no_address_at_another_accounts_domain_can_be_had(session: Session, account: Account) -> None:
    eva = _add_account(session, login="eva")
    directory.add_domain(session, "own.example", account, _NOW, proved=False)
    with pytest.raises(UserError, match="belongs to another account"):
        directory.add_own_address(session, eva, "eva@Own.example", _NOW)
    directory.add_own_address(session, account, "max@own.example", _NOW)


def test_no_domain_can_be_had_where_another_account_has_an_address(session: Session, account: Account) -> None:
    eva = _add_account(session, login="eva")
    directory.add_own_address(session, eva, "eva@web.example", _NOW)
    with pytest.raises(UserError, match=r"eva@web\.example is an address of another account"):
        directory.add_domain(session, "WEB.example", account, _NOW)
    directory.add_domain(session, "b.example", account, _NOW)
    directory.add_domain(session, "web.example", eva, _NOW)


def test_an_address_at_the_providers_domain_may_be_an_accounts(session: Session, account: Account) -> None:
    directory.add_domain(session, "relay.example", None, _NOW)
    assert directory.add_own_address(session, account, "max@relay.example", _NOW).account_id == account.id


@pytest.mark.parametrize(
    ("given", "kept"), [("max@Müller.example", "max@xn--mller-kva.example"), ("jörg@own.example", "jörg@own.example")]
)
def test_an_address_may_be_international(session: Session, account: Account, given: str, kept: str) -> None:
    assert directory.add_own_address(session, account, given, _NOW).address == kept


@pytest.mark.parametrize(
    "address", ["", "max", "@own.example", "max@", "max@own", "a b@own.example", "a\n@own.example"]
)
def test_what_is_no_address_is_refused(session: Session, account: Account, address: str) -> None:
    with pytest.raises(UserError, match=r"is no (mail address|domain name)"):
        directory.add_own_address(session, account, address, _NOW)


def test_an_account_is_changed_in_what_is_given_only(session: Session, account: Account) -> None:
    directory.add_plan(session, "large", QuotaLimits())
    directory.change_account(session, account, tracking=True, tracking_image="logo.png", notice_address="a@b.example")
    directory.change_account(session, account, plan_name="large", shared_pixel=True, test_mode=True)
    assert (account.tracking, account.tracking_image, account.notice_address) == (True, "logo.png", "a@b.example")
    assert (account.shared_pixel, account.test_mode) == (True, True)
    assert account.plan_id == directory.find_plan(session, "large").id
    directory.change_account(session, account, tracking=False, tracking_image="", notice_address="", test_mode=False)
    assert (account.tracking, account.tracking_image, account.notice_address) == (False, None, None)
    assert (account.shared_pixel, account.test_mode) == (True, False)


@pytest.mark.parametrize("name", ["logo", "Logo.png", "../logo.png", "a/b.png", ".png", "logo.svg", "a" * 96 + ".png"])
def test_a_tracking_image_is_the_name_of_a_picture_in_one_folder(session: Session, account: Account, name: str) -> None:
    with pytest.raises(UserError, match="cannot be a tracking image"):
        directory.change_account(session, account, tracking_image=name)
    directory.change_account(session, account, tracking_image="a" * 95 + ".gif")
    assert account.tracking_image == "a" * 95 + ".gif"


def test_a_domain_that_is_not_there_is_said_so(session: Session) -> None:
    with pytest.raises(UserError, match="`sendproof domain add` makes one"):
        directory.find_domain(session, "own.example")


@pytest.fixture
def domain(session: Session) -> Domain:
    return directory.add_domain(session, "own.example", None, _NOW)


_AddKey = Callable[..., DkimKey]


@pytest.fixture
def add_key(session: Session, domain: Domain, secrets: SecretsStore) -> _AddKey:
    """Adds a key in a state; Ed25519 where nothing else is said, because it is made at once."""

    def add(selector: str, state: KeyState, *, at: dt.datetime = _NOW, algorithm: str = _ED25519) -> DkimKey:
        return directory.add_dkim_key(
            session, domain, selector=selector, secrets=secrets, state=state, now=at, algorithm=algorithm
        )

    return add


@pytest.mark.parametrize(("algorithm", "key_type"), [(_RSA, "rsa"), (_ED25519, "ed25519")])
def test_a_key_is_sealed_and_its_record_publishes_its_public_half(
    domain: Domain, add_key: _AddKey, secrets: SecretsStore, algorithm: str, key_type: str
) -> None:
    key = add_key("sp1", KeyState.PENDING, algorithm=algorithm)
    assert b"PRIVATE" not in key.sealed_private_key
    record = directory.dkim_record(domain, key)
    assert (record.name, record.type) == ("sp1._domainkey.own.example", "TXT")
    assert all(0 < len(string) <= 255 for string in record.strings)
    tags = dict(re.findall(r"(\w+)=([^;]*)", "".join(record.strings)))
    private = dkim_keys.load(algorithm, secrets.unseal(key.sealed_private_key))
    assert (tags["v"], tags["k"], tags["p"]) == ("DKIM1", key_type, dkim_keys.public_key_text(private))
    assert base64.b64decode(tags["p"], validate=True)
    key.state = KeyState.RETIRED.value
    assert directory.dkim_record(domain, key).strings == (f"v=DKIM1; k={key_type}; p=",)


def test_a_key_is_never_made_again_under_its_selector(add_key: _AddKey) -> None:
    add_key("sp1", KeyState.RETIRED)
    with pytest.raises(UserError, match="has a key 'sp1' already; choose another selector"):
        add_key("sp1", KeyState.ACTIVE)
    for selector in ("", "a.b", "a_b", "A", "x" * 64):
        with pytest.raises(UserError, match="is no selector"):
            add_key(selector, KeyState.ACTIVE)


@pytest.mark.parametrize("state", [KeyState.PENDING, KeyState.RETIRING])
def test_a_key_that_begins_to_sign_lets_the_one_before_retire(
    session: Session, domain: Domain, add_key: _AddKey, state: KeyState
) -> None:
    old, other = add_key("sp1", KeyState.ACTIVE), add_key("rsa", KeyState.ACTIVE, algorithm=_RSA)
    new = add_key("sp2", state)
    assert directory.activate_key(session, domain, "sp2", _NOW + _DAY) is old
    assert (old.state, old.state_since) == ("retiring", _NOW + _DAY)
    assert (new.state, new.state_since) == ("active", _NOW + _DAY)
    assert (other.state, other.state_since) == ("active", _NOW)


def test_an_active_key_stays_as_it_is(session: Session, domain: Domain, add_key: _AddKey) -> None:
    key = add_key("sp1", KeyState.ACTIVE)
    assert directory.activate_key(session, domain, "sp1", _NOW + _DAY) is None
    assert (key.state, key.state_since) == ("active", _NOW)


def test_a_retired_key_never_signs_again(session: Session, domain: Domain, add_key: _AddKey) -> None:
    key = add_key("sp1", KeyState.RETIRED)
    with pytest.raises(UserError, match="is retired and its record revoked"):
        directory.activate_key(session, domain, "sp1", _NOW)
    assert key.state == "retired"


def test_a_key_that_is_not_there_is_said_so(session: Session, domain: Domain) -> None:
    with pytest.raises(UserError, match=r"own\.example has no key 'sp1'"):
        directory.activate_key(session, domain, "sp1", _NOW)
    with pytest.raises(UserError, match=r"own\.example has no key 'sp1'"):
        directory.retire_key(session, domain, "sp1", _NOW)


_STEPS = st.lists(st.tuples(st.sampled_from(["activate", "retire", "force", "rotate"]), st.integers(0, 20)))


@settings(max_examples=25, deadline=None)
@given(_STEPS)
def test_never_do_two_keys_of_one_algorithm_sign_and_none_comes_back(
    sqlite_template: Path, secrets_folder: Path, steps: list[tuple[str, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(sqlite_template, folder)
        database = open_database(f"sqlite:///{folder}/sendproof.db")
        with database.writing() as session:
            _walk(session, SecretsStore(secrets_folder), steps)
        database.close()


def _walk(session: Session, secrets: SecretsStore, steps: list[tuple[str, int]]) -> None:
    domain = directory.add_domain(session, "own.example", None, _NOW)
    add = functools.partial(directory.add_dkim_key, session, domain, secrets=secrets, now=_NOW, algorithm=_ED25519)
    add(selector="sp1", state=KeyState.ACTIVE)
    retired: set[str] = set()
    now = _NOW
    for step, number in steps:
        now += dt.timedelta(days=number)
        keys = directory.keys_of(session, domain)
        selector = keys[number % len(keys)].selector
        signed = any(key.state == "active" for key in keys)
        with contextlib.suppress(UserError):
            if step == "activate":
                directory.activate_key(session, domain, selector, now)
            elif step == "rotate":
                directory.rotate_domain(session, domain, secrets, now, also=[_ED25519])
            else:
                directory.retire_key(session, domain, selector, now, forced=step == "force")
        keys = directory.keys_of(session, domain)
        assert sum(key.state == "active" for key in keys) <= 1
        assert sum(key.state == "pending" for key in keys) <= 1
        assert step == "force" or not signed or any(key.state == "active" for key in keys)
        assert retired <= {key.selector for key in keys if key.state == "retired"}
        retired |= {key.selector for key in keys if key.state == "retired"}


def test_a_rotation_makes_one_pending_key_for_each_algorithm_in_use(
    session: Session, domain: Domain, add_key: _AddKey, secrets: SecretsStore
) -> None:
    add_key("sp1", KeyState.ACTIVE, algorithm=_RSA)
    add_key("sp2", KeyState.ACTIVE)
    made = directory.rotate_domain(session, domain, secrets, _NOW)
    assert [(key.selector, key.algorithm, key.state) for key in made] == [
        ("sp202611a", _RSA, "pending"),
        ("sp202611b", _ED25519, "pending"),
    ]
    with pytest.raises(UserError, match="pending key 'sp202611a' already; publish its record"):
        directory.rotate_domain(session, domain, secrets, _NOW)
    directory.activate_key(session, domain, "sp202611b", _NOW)
    (again,) = directory.rotate_domain(session, domain, secrets, _NOW)
    assert (again.selector, again.algorithm) == ("sp202611c", _ED25519)


def test_a_domain_without_a_key_gets_an_rsa_one_and_ed25519_when_it_is_wanted(
    session: Session, domain: Domain, secrets: SecretsStore
) -> None:
    (first,) = directory.rotate_domain(session, domain, secrets, _NOW)
    assert first.algorithm == _RSA
    (second,) = directory.rotate_domain(session, domain, secrets, _NOW, also=[_ED25519])
    assert second.algorithm == _ED25519
    with pytest.raises(UserError, match="already"):
        directory.rotate_domain(session, domain, secrets, _NOW)


def test_the_last_key_that_every_receiver_checks_goes_by_force_only(
    session: Session, domain: Domain, add_key: _AddKey
) -> None:
    rsa = add_key("sp1", KeyState.ACTIVE, algorithm=_RSA)
    ed25519 = add_key("sp2", KeyState.ACTIVE)
    with pytest.raises(UserError, match="only active rsa-sha256 key"):
        directory.retire_key(session, domain, "sp1", _NOW)
    assert directory.retire_key(session, domain, "sp2", _NOW).state == "retiring"
    directory.activate_key(session, domain, "sp2", _NOW)
    assert directory.retire_key(session, domain, "sp1", _NOW, forced=True).state == "retiring"
    with pytest.raises(UserError, match="only active ed25519-sha256 key"):
        directory.retire_key(session, domain, "sp2", _NOW)
    assert (rsa.state, ed25519.state) == ("retiring", "active")


def test_a_retiring_key_is_revoked_after_two_weeks_or_by_force(
    session: Session, domain: Domain, add_key: _AddKey
) -> None:
    add_key("sp1", KeyState.RETIRING)
    add_key("sp2", KeyState.RETIRING)
    almost = _NOW + 14 * _DAY - dt.timedelta(seconds=1)
    with pytest.raises(UserError, match=r"may be under way until 2026-12-06 13:03 UTC"):
        directory.retire_key(session, domain, "sp1", almost)
    assert directory.retire_key(session, domain, "sp1", _NOW + 14 * _DAY).state == "retired"
    assert directory.retire_key(session, domain, "sp2", almost, forced=True).state == "retired"
    with pytest.raises(UserError, match="is retired already"):
        directory.retire_key(session, domain, "sp2", almost, forced=True)


def test_a_key_that_never_signed_is_retired_at_once(session: Session, domain: Domain, add_key: _AddKey) -> None:
    add_key("sp1", KeyState.PENDING)
    assert directory.retire_key(session, domain, "sp1", _NOW).state == "retired"


def test_an_imported_key_is_pending_and_sealed_and_taken_once(
    session: Session, domain: Domain, secrets: SecretsStore
) -> None:
    pair = dkim_keys.generate(_ED25519)
    take = functools.partial(directory.import_key, session, domain, pem=pair.private_pem, secrets=secrets, now=_NOW)
    key = take(selector="mail")
    assert (key.state, key.algorithm, key.public_key) == ("pending", _ED25519, pair.public_key)
    assert secrets.unseal(key.sealed_private_key) == pair.private_pem
    with pytest.raises(UserError, match="has that key already: 'mail', pending"):
        take(selector="other")
    with pytest.raises(UserError, match="has a key 'mail' already"):
        take(selector="mail")


def test_every_stored_key_is_sealed_anew(session: Session, add_key: _AddKey, secrets: SecretsStore) -> None:
    keys = [add_key("sp1", KeyState.ACTIVE), add_key("sp2", KeyState.RETIRED)]
    before = [key.sealed_private_key for key in keys]
    plaintexts = [secrets.unseal(sealed) for sealed in before]
    assert directory.rotate_key_encryption(session, secrets) == 2
    after = [key.sealed_private_key for key in keys]
    assert not set(before) & set(after)
    assert [secrets.unseal(sealed) for sealed in after] == plaintexts


def test_two_that_activate_at_once_leave_one_key_that_signs(either_database: Database, secrets: SecretsStore) -> None:
    with either_database.writing() as session:
        domain = directory.add_domain(session, "own.example", None, _NOW)
        for selector in ("sp1", "sp2", "sp3"):
            directory.add_dkim_key(
                session, domain, selector=selector, secrets=secrets, state=KeyState.PENDING, now=_NOW,
                algorithm=_ED25519,
            )  # fmt: skip
    together = threading.Barrier(3)

    def activate(selector: str) -> None:
        together.wait()
        with either_database.writing() as session:
            directory.activate_key(session, directory.find_domain(session, "own.example"), selector, _NOW)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(activate, ("sp1", "sp2", "sp3")))
    with either_database.reading() as session:
        states = session.scalars(select(DkimKey.state)).all()
    assert sorted(states) == ["active", "retiring", "retiring"]


def test_dovecot_reads_every_credential_also_of_a_suspended_account(session: Session, account: Account) -> None:
    eva = _add_account(session, login="eva")
    for owner, login in ((account, "max"), (account, "lost"), (eva, "eva")):
        _credential(session, owner, login)
    lines = directory.passwd_file(session).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["eva", "lost", "max"]
    assert all(re.fullmatch(r"[^:]+:\{ARGON2ID\}\$argon2id\$[^:]+::::::", line) for line in lines)
    eva.suspended_at = _NOW
    session.flush()
    assert directory.passwd_file(session).splitlines() == lines


def test_a_revoked_credential_is_gone_from_dovecots_file(session: Session, account: Account) -> None:
    credential = directory.add_credential(session, account, login="max", label="laptop", secret="a secret", now=_NOW)
    credential.revoked_at = _NOW
    session.flush()
    assert directory.passwd_file(session) == ""


def test_the_passwd_file_is_replaced_at_once_and_keeps_its_mode(
    session: Session, account: Account, tmp_path: Path
) -> None:
    path = tmp_path / "passwd"
    directory.write_passwd_file(session, path)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("", 0o640)
    path.chmod(0o600)
    (tmp_path / ".passwd.new").write_text("left over by a crash")
    before = path.stat().st_ino
    _credential(session, account)
    directory.write_passwd_file(session, path)
    assert path.read_text().startswith("max:{ARGON2ID}$argon2id$")
    assert (path.stat().st_mode & 0o777, path.stat().st_ino == before) == (0o600, False)
    assert not (tmp_path / ".passwd.new").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder to another group")
def test_the_passwd_file_is_replaced_also_by_who_may_not_name_dovecots_group(
    session: Session, account: Account, tmp_path: Path
) -> None:
    """The site runs in a user namespace that knows its own user and nobody else (systemd's PrivateUsers)."""
    group = 12345
    path = tmp_path / "dovecot" / "passwd"
    path.parent.mkdir()
    os.chown(path.parent, 0, group)
    path.parent.chmod(0o2750)  # as the package makes it
    directory.write_passwd_file(session, path)
    _credential(session, account)
    session.commit()
    script = (
        "import sys; from pathlib import Path; from sendproof_core import database, directory; "
        "directory.sync_passwd_file(database.open_database(sys.argv[1]), Path(sys.argv[2]))"
    )
    url = f"sqlite:///{tmp_path}/sendproof.db"
    words = ["unshare", "--user", "--map-root-user", sys.executable, "-c", script, url, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert path.read_text().startswith("max:{ARGON2ID}")
    assert (path.stat().st_gid, path.stat().st_mode & 0o777) == (group, 0o640)
