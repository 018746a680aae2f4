"""Secret files and what they protect: DKIM keys at rest, pixel tokens, the site's cookies.

One file per purpose in one folder (``[secrets] directory``); a service to which systemd gave a file of that name
(LoadCredential=) reads that one instead. Nothing here has a default, nothing is made again over an existing file, and
no function puts a secret in an error's text.

``key-encryption.key`` has one key a line: the first seals, all open. A key in front of which ``next`` stands opens
too, and is what the next rotation seals with.
"""

import contextlib
import fcntl
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from sendproof_core.errors import UserError

_KEY_ENCRYPTION = "key-encryption.key"
_NEXT = b"next "
_FIRST_TOKENS = "tokens-1.key"
_TOKENS = re.compile(r"tokens-([1-9][0-9]{0,2})\.key", re.ASCII)
_HIGHEST_TOKEN_KEY_NUMBER = 255  # one octet of a token
_SITE = "site.key"
_LINKS = "links.key"
_SHORTEST = 32


class SecretsStore:
    """The secret files in one folder, and those that systemd gave to this process."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        given = os.environ.get("CREDENTIALS_DIRECTORY")
        self._credentials = Path(given) if given else None

    def create(self) -> list[Path]:
        """Make the files that are missing (0600 in a 0700 folder); the ones made. What exists stays as it is."""
        if not self._directory.is_absolute():
            raise UserError("[secrets] directory must be a whole path, such as /etc/sendproof/secrets.")
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"the folder {self._directory} cannot be made ({error.strerror}); name another.") from None
        contents = {
            _KEY_ENCRYPTION: Fernet.generate_key(),
            _FIRST_TOKENS: _random_text(),
            _SITE: _random_text(),
            _LINKS: _random_text(),
        }
        return [path for name, content in contents.items() if (path := self._make(name, content))]

    def token_keys(self) -> Mapping[int, bytes]:
        """The keys of pixel tokens by their number: all of them check."""
        numbers = self._token_key_numbers()
        return {number: self._read(f"tokens-{number}.key") for number in sorted(numbers)}

    def newest_token_key_number(self) -> int:
        """The number of the key that makes tokens: the highest."""
        return max(self._token_key_numbers())

    def add_token_key(self) -> Path:
        """Make the key that makes tokens from now on, once the programs that check them have read it."""
        number = self.newest_token_key_number() + 1
        if number > _HIGHEST_TOKEN_KEY_NUMBER:
            raise UserError(f"there is no token key number after {_HIGHEST_TOKEN_KEY_NUMBER}; remove the oldest files.")
        name = f"tokens-{number}.key"
        made = self._make(name, _random_text())
        if made is None:
            raise UserError(f"{self._directory / name} is being made by another command.")
        return made

    def site_key(self) -> bytes:
        """What signs the site's cookies."""
        return self._read(_SITE)

    def links_key(self) -> bytes:
        """What makes and checks the links that the site gives out: the notices need it, too."""
        return self._read(_LINKS)

    def seal(self, plaintext: bytes) -> bytes:
        """Encrypt for storage (Fernet: AES-128-CBC with HMAC-SHA-256)."""
        return Fernet(self._key_encryption_keys()[0]).encrypt(plaintext)

    def unseal(self, sealed: bytes) -> bytes:
        """Decrypt what `seal` made.

        Raises:
            UserError: it was sealed with a key-encryption key that is not in the file any more, or damaged.
        """
        keys = self._key_encryption_keys()
        key = _opening(sealed, [line.removeprefix(_NEXT) for line in keys], self._path(_KEY_ENCRYPTION))
        return Fernet(key).decrypt(sealed)

    def prepare_rotation(self) -> bool:
        """Put the next key-encryption key in the file, where it only opens; whether there was none yet."""
        with self._one_at_a_time():
            keys = self._key_encryption_keys(self._directory)
            if any(line.startswith(_NEXT) for line in keys):
                return False
            self._replace_key_encryption([keys[0], _NEXT + Fernet.generate_key(), *keys[1:]])
        return True

    def rotate(self, sealed: Iterable[bytes]) -> dict[bytes, bytes]:
        """Take the next key-encryption key (a new one if none was prepared): each of ``sealed``, sealed with it.

        The file has the new key when this returns. The one before stays in it, and every older one that any of
        ``sealed`` needed, so that it does not matter when, or whether, the caller stores the result.

        Raises:
            UserError: one of ``sealed`` cannot be opened; the file is as it was.
        """
        with self._one_at_a_time():
            keys = self._key_encryption_keys(self._directory)
            prepared = [line.removeprefix(_NEXT) for line in keys if line.startswith(_NEXT)]
            older = [line for line in keys if not line.startswith(_NEXT)]
            new = prepared[0] if prepared else Fernet.generate_key()
            path = self._directory / _KEY_ENCRYPTION
            openers = {item: _opening(item, (*older, *prepared), path) for item in sealed}
            needed = {older[0], *openers.values()}
            self._replace_key_encryption([new, *(key for key in older if key in needed)])
        return {item: Fernet(new).encrypt(Fernet(key).decrypt(item)) for item, key in openers.items()}

    def _key_encryption_keys(self, directory: Path | None = None) -> list[bytes]:
        """The lines of the file, each of them found to be a key; the first is none that only opens."""
        path = directory / _KEY_ENCRYPTION if directory else self._path(_KEY_ENCRYPTION)
        lines = [line.strip() for line in _content(path).splitlines() if line.strip()]
        try:
            for line in lines:
                Fernet(line.removeprefix(_NEXT))
        except ValueError:
            lines = []
        if not lines or lines[0].startswith(_NEXT):
            raise UserError(f"{path} does not hold a key-encryption key; restore it from your backup.")
        return lines

    def _replace_key_encryption(self, lines: list[bytes]) -> None:
        """At once, with the owner and mode that the file has."""
        path = self._directory / _KEY_ENCRYPTION
        fresh = path.with_name(f".{path.name}.new")
        try:
            old = path.stat()
            fresh.unlink(missing_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                os.fchown(file.fileno(), old.st_uid, old.st_gid)
                os.fchmod(file.fileno(), old.st_mode & 0o777)
                file.write(b"".join(line + b"\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except OSError as error:
            raise UserError(f"{path} cannot be written ({error.strerror}); nothing was changed.") from None

    @contextlib.contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Two commands that change the file at once would each lose the other's key."""
        try:
            folder = os.open(self._directory, os.O_RDONLY)
        except OSError as error:
            raise UserError(f"{self._directory} cannot be opened ({error.strerror}).") from None
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
            os.fsync(folder)
        finally:
            os.close(folder)

    def _token_key_numbers(self) -> set[int]:
        names: set[str] = set()
        for folder in (self._credentials, self._directory):
            with contextlib.suppress(OSError):  # a service need not be able to look into the other folder
                names |= {path.name for path in folder.iterdir()} if folder else set()
        numbers = {int(match[1]) for name in names if (match := _TOKENS.fullmatch(name))}
        # Without any, reading the first says what is missing.
        return {number for number in numbers if number <= _HIGHEST_TOKEN_KEY_NUMBER} or {1}

    def _path(self, name: str) -> Path:
        if self._credentials and (self._credentials / name).exists():
            return self._credentials / name
        return self._directory / name

    def _make(self, name: str, content: bytes) -> Path | None:
        path = self._directory / name
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return None
        except OSError as error:
            raise UserError(f"{path} cannot be made ({error.strerror}); check its folder.") from None
        with os.fdopen(descriptor, "wb") as file:
            file.write(content + b"\n")
        return path

    def _read(self, name: str) -> bytes:
        return _content(self._path(name))


_LONGEST = 65_536


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST).strip()
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise UserError(f"{path} cannot be read ({reason}); `sendproof secrets create` makes it.") from None
    if len(content) < _SHORTEST:
        raise UserError(f"{path} is too short to be a key; restore it from your backup.")
    return content


def _opening(sealed: bytes, keys: Iterable[bytes], path: Path) -> bytes:
    """Which of the keys opens it."""
    for key in keys:
        with contextlib.suppress(InvalidToken):
            Fernet(key).decrypt(sealed)
            return key
    raise UserError(f"a stored key cannot be opened with {path}; restore the file it was sealed with.")


def _random_text() -> bytes:
    return secrets.token_hex(32).encode()
