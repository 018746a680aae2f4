from pathlib import Path

import pytest

from sendproof_core.errors import UserError
from sendproof_core.secrets_store import TOKEN_KEY_NUMBER, SecretsStore


@pytest.fixture
def store(tmp_path: Path) -> SecretsStore:
    store = SecretsStore(tmp_path / "secrets")
    store.create()
    return store


def test_only_the_owner_can_read_them(store: SecretsStore, tmp_path: Path) -> None:
    del store
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    files = list((tmp_path / "secrets").iterdir())
    assert len(files) == 3
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)


def test_what_exists_is_never_made_again(store: SecretsStore, tmp_path: Path) -> None:
    before = {file.name: file.read_bytes() for file in (tmp_path / "secrets").iterdir()}
    (tmp_path / "secrets" / "site.key").unlink()
    assert [path.name for path in store.create()] == ["site.key"]
    assert store.create() == []
    after = {file.name: file.read_bytes() for file in (tmp_path / "secrets").iterdir()}
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} == {"site.key"}


def test_every_secret_is_another(store: SecretsStore, tmp_path: Path) -> None:
    other = SecretsStore(tmp_path / "other")
    other.create()
    assert store.site_key() != other.site_key()
    assert store.site_key() not in store.token_keys().values()
    assert len(store.token_keys()[TOKEN_KEY_NUMBER]) >= 32


def test_what_was_sealed_is_opened_with_the_same_key_only(store: SecretsStore, tmp_path: Path) -> None:
    sealed = store.seal(b"a private key")
    assert b"private" not in sealed
    assert store.unseal(sealed) == b"a private key"
    other = SecretsStore(tmp_path / "other")
    other.create()
    with pytest.raises(UserError, match="restore the file it was sealed with"):
        other.unseal(sealed)
    with pytest.raises(UserError, match="cannot be opened"):
        store.unseal(sealed[:-4] + b"AAAA")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "`sendproof secrets create` makes it"),
        (b"", "too short"),
        (b"x" * 44, "does not hold a key-encryption key"),
    ],
)
def test_a_damaged_secret_is_named_and_never_shown(
    store: SecretsStore, tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "secrets" / "key-encryption.key"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        store.seal(b"x")
    assert str(path) in str(caught.value)
    assert "xxxx" not in str(caught.value)
    assert caught.value.__cause__ is None
