"""Secret files and what they protect: DKIM keys at rest, pixel tokens, the site's cookies.

One file per purpose in one folder (``[secrets] directory``, or a systemd credentials folder). Nothing here has a
default, nothing is made again over an existing file, and no function puts a secret in an error's text.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from sendproof_core.errors import UserError

_KEY_ENCRYPTION = "key-encryption.key"
_TOKENS = "tokens-1.key"
_SITE = "site.key"
TOKEN_KEY_NUMBER = 1


class SecretsStore:
    """The secret files in one folder."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def create(self) -> list[Path]:
        """Make the files that are missing (0600 in a 0700 folder); the ones made. What exists stays as it is."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        contents = {
            _KEY_ENCRYPTION: Fernet.generate_key(),
            _TOKENS: secrets.token_hex(32).encode(),
            _SITE: secrets.token_hex(32).encode(),
        }
        made = []
        for name, content in contents.items():
            path = self._directory / name
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                continue
            with os.fdopen(descriptor, "wb") as file:
                file.write(content + b"\n")
            made.append(path)
        return made

    def token_keys(self) -> Mapping[int, bytes]:
        """The keys of pixel tokens by their number."""
        return {TOKEN_KEY_NUMBER: self._read(_TOKENS)}

    def site_key(self) -> bytes:
        """What signs the site's cookies."""
        return self._read(_SITE)

    def seal(self, plaintext: bytes) -> bytes:
        """Encrypt for storage (Fernet: AES-128-CBC with HMAC-SHA-256)."""
        return self._fernet().encrypt(plaintext)

    def unseal(self, sealed: bytes) -> bytes:
        """Decrypt what `seal` made.

        Raises:
            UserError: it was sealed with another key-encryption key, or damaged.
        """
        try:
            return self._fernet().decrypt(sealed)
        except InvalidToken:
            path = self._directory / _KEY_ENCRYPTION
            raise UserError(
                f"a stored key cannot be opened with {path}; restore the file it was sealed with."
            ) from None

    def _fernet(self) -> Fernet:
        try:
            return Fernet(self._read(_KEY_ENCRYPTION))
        except ValueError:
            path = self._directory / _KEY_ENCRYPTION
            raise UserError(f"{path} does not hold a key-encryption key; restore it from your backup.") from None

    def _read(self, name: str) -> bytes:
        path = self._directory / name
        try:
            content = path.read_bytes().strip()
        except OSError as error:
            reason = error.strerror or "unreadable"
            raise UserError(f"{path} cannot be read ({reason}); `sendproof secrets create` makes it.") from None
        if len(content) < 32:
            raise UserError(f"{path} is too short to be a key; restore it from your backup.")
        return content
