"""What the commands share: settings and database, opened at first use; passwords from standard input; tables.

Has no command of its own.
"""

import secrets as random_source
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import click

from sendproof_core import schema_version
from sendproof_core.database import Database, open_database
from sendproof_core.database_url import Program
from sendproof_core.errors import UserError
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.settings import DatabaseSettings, SaslSettings, SecretsSettings, SettingsFile, load

_PASSWORD_OCTETS = 18  # 144 random bits
_CONNECTIONS = 2


class Context:
    """The settings file and what it names."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._opened: list[Database] = []

    @property
    def file(self) -> SettingsFile:
        """The settings, read now."""
        return load(self._config)

    @property
    def secrets(self) -> SecretsStore:
        """The secret files."""
        return SecretsStore(self.file.table(SecretsSettings).directory)

    def unchecked_database(self, program: Program = Program.OPERATOR) -> Database:
        """The database, whatever its schema is."""
        database = open_database(self.file.table(DatabaseSettings).url, program, connections=_CONNECTIONS)
        self._opened.append(database)
        return database

    def database(self, program: Program = Program.OPERATOR) -> Database:
        """The database, once its schema is found to be ours.

        ``program``: in whose place a command writes, where that is not the operator.
        """
        database = self.unchecked_database(program)
        schema_version.check(database)
        return database

    def close(self) -> None:
        """Close every connection."""
        for database in self._opened:
            database.close()

    def passwd_file(self) -> Path:
        """Where Dovecot reads; asked before a credential is made, so that none is made in vain."""
        path = self.file.table(SaslSettings).passwd_file
        if not path.parent.is_dir():
            raise UserError(f"the folder of the passwd-file {path} does not exist; make it first.")
        return path


def read_password(from_standard_input: bool) -> tuple[str, bool]:
    """The password, and whether it was made here."""
    if not from_standard_input:
        # Digits and letters only: programs take what begins with "-" for an option.
        return random_source.token_hex(_PASSWORD_OCTETS), True
    try:
        password = sys.stdin.buffer.readline().decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise UserError("the password on standard input is not UTF-8.") from None
    if not password:
        raise UserError("no password came from standard input.")
    return password, False


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print lines under their heads, each column as wide as it must be; the last one is as long as it is."""
    lines = [tuple(head), *(tuple(row) for row in rows)]
    widths = [max(_cells(line[column]) for line in lines) for column in range(len(head) - 1)]
    for line in lines:
        padded = [text + " " * (width - _cells(text)) for text, width in zip(line, widths, strict=False)]
        click.echo("  ".join([*padded, line[-1]]).rstrip())


def _cells(text: str) -> int:
    """How many columns of a terminal it takes."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(bool(unicodedata.combining(character)) for character in text)
