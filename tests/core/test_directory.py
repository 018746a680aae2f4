import base64
import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from sqlalchemy.orm import Session

from sendproof_core import directory, dkim_keys, passwords
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.schema import Account
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.states import KeyState

_NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)


@pytest.fixture
def session(sqlite_database: Database) -> Iterator[Session]:
    """A writing transaction on an empty directory."""
    with sqlite_database.writing() as session:
        yield session


@pytest.fixture
def secrets(tmp_path: Path) -> SecretsStore:
    store = SecretsStore(tmp_path / "secrets")
    store.create()
    return store


@pytest.fixture
def account(session: Session) -> Account:
    directory.add_plan(session, "personal", 200)
    return _add_account(session)


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


@pytest.mark.parametrize("recipients", [None, 1, 2**31 - 1])
def test_a_plan_has_a_limit_or_none(session: Session, recipients: int | None) -> None:
    assert directory.add_plan(session, "a", recipients).recipients_per_day == recipients


@pytest.mark.parametrize("recipients", [0, -1, 2**31])
def test_a_plan_that_allows_nothing_or_more_than_can_be_counted_is_refused(session: Session, recipients: int) -> None:
    with pytest.raises(UserError, match="leave it out for no limit"):
        directory.add_plan(session, "a", recipients)


def test_a_name_is_given_once(session: Session, account: Account) -> None:
    _credential(session, account)
    directory.add_domain(session, "own.example", account, _NOW)
    with pytest.raises(UserError, match="there is a plan named 'personal' already"):
        directory.add_plan(session, "personal", 1)
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


@pytest.mark.parametrize("name", ["own.example", "OWN.Example.", "xn--mller-kva.example", "a-b.example", "1.example"])
def test_a_domain_is_kept_in_lower_case_and_found_in_any(session: Session, name: str) -> None:
    domain = directory.add_domain(session, name, None, _NOW)
    assert domain.name == name.lower().rstrip(".")
    assert directory.find_domain(session, name.upper()) is domain


@pytest.mark.parametrize(
    "name",
    ["", ".", "own..example", "-own.example", "own-.example", "müller.example", "a b.example", "x" * 64, "a." * 128],
)
def test_what_is_no_domain_is_refused(session: Session, name: str) -> None:
    with pytest.raises(UserError, match="is no domain name"):
        directory.add_domain(session, name, None, _NOW)


def test_a_domain_that_is_not_there_is_said_so(session: Session) -> None:
    with pytest.raises(UserError, match="`sendproof domain add` makes one"):
        directory.find_domain(session, "own.example")


def test_a_key_is_sealed_and_its_record_publishes_its_public_half(session: Session, secrets: SecretsStore) -> None:
    domain = directory.add_domain(session, "own.example", None, _NOW)
    key = directory.add_dkim_key(session, domain, selector="sp1", secrets=secrets, state=KeyState.PENDING, now=_NOW)
    assert b"PRIVATE" not in key.sealed_private_key
    record = directory.dkim_record(domain, key)
    assert (record.name, record.type) == ("sp1._domainkey.own.example", "TXT")
    assert len(record.strings) > 1
    assert all(0 < len(string) <= 255 for string in record.strings)
    tags = dict(re.findall(r"(\w+)=([^;]*)", "".join(record.strings)))
    assert (tags["v"], tags["k"]) == ("DKIM1", "rsa")
    private = dkim_keys.load_rsa(secrets.unseal(key.sealed_private_key))
    published = serialization.load_der_public_key(base64.b64decode(tags["p"], validate=True))
    assert published == private.public_key()


def test_a_key_is_never_made_again_under_its_selector(session: Session, secrets: SecretsStore) -> None:
    domain = directory.add_domain(session, "own.example", None, _NOW)
    directory.add_dkim_key(session, domain, selector="sp1", secrets=secrets, state=KeyState.RETIRED, now=_NOW)
    with pytest.raises(UserError, match="has a key 'sp1' already; choose another selector"):
        directory.add_dkim_key(session, domain, selector="sp1", secrets=secrets, state=KeyState.ACTIVE, now=_NOW)
    for selector in ("", "a.b", "a_b", "A", "x" * 64):
        with pytest.raises(UserError, match="is no selector"):
            directory.add_dkim_key(session, domain, selector=selector, secrets=secrets, state=KeyState.ACTIVE, now=_NOW)


@pytest.mark.parametrize(
    ("state", "goes"), [("pending", True), ("active", True), ("retiring", False), ("retired", False)]
)
def test_only_a_pending_key_becomes_active(session: Session, secrets: SecretsStore, state: str, *, goes: bool) -> None:
    domain = directory.add_domain(session, "own.example", None, _NOW)
    key = directory.add_dkim_key(session, domain, selector="sp1", secrets=secrets, state=KeyState(state), now=_NOW)
    if goes:
        directory.activate_key(session, domain, "sp1")
        assert key.state == KeyState.ACTIVE.value
    else:
        with pytest.raises(UserError, match="only a pending one can be activated"):
            directory.activate_key(session, domain, "sp1")
        assert key.state == state


def test_a_key_that_is_not_there_cannot_become_active(session: Session) -> None:
    domain = directory.add_domain(session, "own.example", None, _NOW)
    with pytest.raises(UserError, match=r"own\.example has no key 'sp1'"):
        directory.activate_key(session, domain, "sp1")


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
