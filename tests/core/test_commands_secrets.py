from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from sendproof_core import dkim_keys
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.schema import DkimKey
from sendproof_core.secrets_store import SecretsStore

Command = Callable[..., str]


def _sealed(database: Database) -> list[bytes]:
    with database.reading() as session:
        return list(session.scalars(select(DkimKey.sealed_private_key).order_by(DkimKey.id)))


def test_a_rotation_seals_every_key_anew_and_all_can_still_be_opened(
    ready: Command, sqlite_database: Database, tmp_path: Path
) -> None:
    ready("domain", "add", "own.example", "--ed25519")
    before = _sealed(sqlite_database)
    output = ready("secrets", "rotate")
    assert "sealed anew with a new key-encryption key: 2" in output
    assert "keeps the old key until the next rotation" in output
    after = _sealed(sqlite_database)
    assert not set(before) & set(after)
    store = SecretsStore(tmp_path / "secrets")
    assert [store.unseal(sealed) for sealed in after] == [store.unseal(sealed) for sealed in before]
    dkim_keys.load(dkim_keys.RSA_SHA256, store.unseal(after[0]))
    written = (tmp_path / "secrets" / "key-encryption.key").read_text().split()
    assert not any(key in output for key in written)


def test_a_rotation_that_cannot_open_a_key_changes_nothing(
    ready: Command, sqlite_database: Database, tmp_path: Path
) -> None:
    ready("domain", "add", "own.example")
    before = _sealed(sqlite_database)
    path = tmp_path / "secrets" / "key-encryption.key"
    path.unlink()
    ready("secrets", "create")
    file_before = path.read_bytes()
    with pytest.raises(UserError, match="restore the file it was sealed with"):
        ready("secrets", "rotate")
    assert (_sealed(sqlite_database), path.read_bytes()) == (before, file_before)


def test_the_next_key_can_be_handed_out_before_it_is_used(
    ready: Command, sqlite_database: Database, tmp_path: Path
) -> None:
    ready("domain", "add", "own.example")
    assert "made the next key-encryption key" in ready("secrets", "rotate", "--prepare")
    assert "is there already" in ready("secrets", "rotate", "--prepare")
    other_machine = tmp_path / "other"
    other_machine.mkdir()
    (other_machine / "key-encryption.key").write_bytes((tmp_path / "secrets" / "key-encryption.key").read_bytes())
    ready("secrets", "rotate")
    (sealed,) = _sealed(sqlite_database)
    assert SecretsStore(other_machine).unseal(sealed).startswith(b"-----BEGIN PRIVATE KEY")


def test_a_new_token_key_stands_beside_the_old_one(ready: Command, tmp_path: Path) -> None:
    assert "tokens-2.key" in ready("secrets", "add-token-key")
    store = SecretsStore(tmp_path / "secrets")
    assert (list(store.token_keys()), store.newest_token_key_number()) == ([1, 2], 2)
