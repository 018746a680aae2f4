import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from sendproof_core.errors import UserError
from sendproof_core.secrets_store import SecretsStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "secrets"


@pytest.fixture
def store(folder: Path) -> SecretsStore:
    store = SecretsStore(folder)
    store.create()
    return store


def _key_lines(folder: Path) -> list[bytes]:
    return (folder / "key-encryption.key").read_bytes().splitlines()


def test_only_the_owner_can_read_them(store: SecretsStore, folder: Path) -> None:
    store.add_token_key()
    store.prepare_rotation()
    store.rotate([])
    assert folder.stat().st_mode & 0o777 == 0o700
    files = list(folder.iterdir())
    assert len(files) == 5
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)


def test_what_exists_is_never_made_again(store: SecretsStore, folder: Path) -> None:
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    (folder / "site.key").unlink()
    assert [path.name for path in store.create()] == ["site.key"]
    assert store.create() == []
    after = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} == {"site.key"}


def test_every_secret_is_another(store: SecretsStore, tmp_path: Path) -> None:
    other = SecretsStore(tmp_path / "other")
    other.create()
    assert store.site_key() != other.site_key()
    assert store.site_key() not in store.token_keys().values()


def test_the_highest_token_key_makes_and_all_check(store: SecretsStore, folder: Path) -> None:
    (first,) = store.token_keys().values()
    assert store.newest_token_key_number() == 1
    assert store.add_token_key() == folder / "tokens-2.key"
    (folder / "tokens-10.key").write_bytes(b"y" * 64)
    for name in ("tokens-0.key", "tokens-03.key", "tokens-256.key", "tokens-x.key", "tokens-4.key.old"):
        (folder / name).write_bytes(b"x" * 64)
    keys = store.token_keys()
    assert (list(keys), keys[1], keys[10]) == ([1, 2, 10], first, b"y" * 64)
    assert store.newest_token_key_number() == 10


def test_token_keys_have_no_more_numbers_than_a_token_has_room_for(store: SecretsStore, folder: Path) -> None:
    (folder / "tokens-255.key").write_bytes(b"y" * 64)
    with pytest.raises(UserError, match="no token key number after 255"):
        store.add_token_key()


def test_without_a_token_key_the_command_that_makes_it_is_named(store: SecretsStore, folder: Path) -> None:
    (folder / "tokens-1.key").unlink()
    with pytest.raises(UserError, match=r"tokens-1\.key cannot be read .*`sendproof secrets create` makes it"):
        store.token_keys()


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


def test_a_rotation_seals_with_a_new_key_and_keeps_the_one_before_until_the_next(
    store: SecretsStore, folder: Path
) -> None:
    (first,) = _key_lines(folder)
    sealed = store.seal(b"a private key")
    anew = store.rotate([sealed])[sealed]
    assert _key_lines(folder)[1:] == [first]
    assert Fernet(_key_lines(folder)[0]).decrypt(anew) == b"a private key"
    # Who reads the database as it was before, or after, can open it.
    assert store.unseal(sealed) == store.unseal(anew) == b"a private key"
    store.rotate([anew])
    assert first not in _key_lines(folder)
    with pytest.raises(UserError, match="cannot be opened"):
        store.unseal(sealed)


def test_a_rotation_whose_result_was_never_stored_loses_no_key(store: SecretsStore) -> None:
    sealed = store.seal(b"a private key")
    for _ in range(3):
        store.rotate([sealed])
    assert store.unseal(sealed) == b"a private key"


def test_a_rotation_that_cannot_open_everything_changes_nothing(store: SecretsStore, folder: Path) -> None:
    before = _key_lines(folder)
    with pytest.raises(UserError, match="restore the file it was sealed with"):
        store.rotate([store.seal(b"a private key"), Fernet(Fernet.generate_key()).encrypt(b"another")])
    assert _key_lines(folder) == before


def test_the_next_key_opens_before_it_seals(store: SecretsStore, folder: Path, tmp_path: Path) -> None:
    (first,) = _key_lines(folder)
    assert (store.prepare_rotation(), store.prepare_rotation()) == (True, False)
    prepared = _key_lines(folder)
    assert (prepared[0], prepared[1][:5], len(prepared)) == (first, b"next ", 2)
    sealed = store.seal(b"a private key")
    assert Fernet(first).decrypt(sealed) == b"a private key"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "key-encryption.key").write_bytes((folder / "key-encryption.key").read_bytes())
    anew = store.rotate([sealed])[sealed]
    assert _key_lines(folder) == [prepared[1].removeprefix(b"next "), first]
    assert SecretsStore(elsewhere).unseal(anew) == b"a private key"


def test_two_rotations_at_once_do_not_lose_each_others_key(store: SecretsStore, folder: Path) -> None:
    sealed = store.seal(b"a private key")
    together = threading.Barrier(4)

    def rotate() -> bytes:
        together.wait()
        return SecretsStore(folder).rotate([sealed])[sealed]

    with ThreadPoolExecutor(4) as pool:
        made = [future.result() for future in [pool.submit(rotate) for _ in range(4)]]
    # Any of the last two may be what the database has in the end; each began with what the other left.
    opened = 0
    for anew in made:
        try:
            opened += store.unseal(anew) == b"a private key"
        except UserError:
            continue
    assert opened == 2
    assert store.unseal(sealed) == b"a private key"


def test_what_systemd_gave_to_the_service_is_read_first(
    store: SecretsStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = store.seal(b"a private key")
    given = tmp_path / "credentials"
    given.mkdir()
    (folder / "key-encryption.key").rename(given / "key-encryption.key")
    (given / "tokens-2.key").write_bytes(b"z" * 64)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given))
    service = SecretsStore(folder)
    assert service.unseal(sealed) == b"a private key"
    assert (list(service.token_keys()), service.token_keys()[2]) == ([1, 2], b"z" * 64)
    assert service.site_key() == store.site_key()
    assert service.links_key() == store.links_key()
    for name in ("tokens-1.key", "site.key", "links.key"):
        (folder / name).rename(given / name)
    folder.rmdir()  # a service needs no other folder
    assert list(SecretsStore(folder).token_keys()) == [1, 2]


def test_a_rotation_needs_the_file_itself_and_not_systemds_copy(
    store: SecretsStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del store
    (folder / "key-encryption.key").rename(tmp_path / "key-encryption.key")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(UserError, match=r"secrets/key-encryption\.key cannot be read"):
        SecretsStore(folder).rotate([])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "`sendproof secrets create` makes it"),
        (b"", "too short"),
        (b"x" * 44, "does not hold a key-encryption key"),
        (b"next " + Fernet.generate_key(), "does not hold a key-encryption key"),
        (Fernet.generate_key() + b"\n" + b"x" * 44, "does not hold a key-encryption key"),
    ],
    ids=["missing", "empty", "no key", "only the next", "a second line that is none"],
)
def test_a_damaged_secret_is_named_and_never_shown(
    store: SecretsStore, folder: Path, content: bytes | None, said: str
) -> None:
    path = folder / "key-encryption.key"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    for use in (lambda: store.seal(b"x"), lambda: store.rotate([])):
        with pytest.raises(UserError, match=said) as caught:
            use()
        assert str(path) in str(caught.value)
        assert "xxxx" not in str(caught.value)
        assert caught.value.__cause__ is None


@pytest.mark.parametrize("directory", ["", "secrets", "/proc/secrets", "/dev/null/secrets"])
def test_a_folder_that_secrets_cannot_be_in_is_said_so(directory: str) -> None:
    with pytest.raises(UserError, match=r"whole path|cannot be made"):
        SecretsStore(Path(directory)).create()


def test_no_more_of_a_secret_is_read_than_a_key_can_be(tmp_path: Path) -> None:
    store = SecretsStore(tmp_path)
    (tmp_path / "key-encryption.key").symlink_to("/dev/zero")
    with pytest.raises(UserError, match="does not hold a key-encryption key"):
        store.seal(b"x")
