"""What the doctor's checks look at: one installation, by its settings file. Decides nothing.

Components do not know each other, so their tables are read as they stand in the file.
"""

import datetime as dt
import functools
import grp
import os
import pwd
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sendproof_core import schema_version
from sendproof_core.commands_context import Context
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.settings import DnsSettings, HostSettings, SettingsFile
from sendproof_postfix.doctor import CannotLook
from sendproof_postfix.doctor_postfix import PostfixConfiguration
from sendproof_postfix.settings import PostfixSettings

_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class MailWanted:
    """The doctor's own message. ``password`` None: a credential is made for ``account``, or the notices' is used."""

    to: str | None = None
    sender: str | None = None
    account: str | None = None
    login: str | None = None
    password: str | None = None
    wait_seconds: float = 60.0

    def __repr__(self) -> str:
        """Without the password, wherever it is shown."""
        return f"MailWanted(to={self.to!r}, account={self.account!r}, login={self.login!r})"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One machine with its settings. ``now``: the clock; ``service_user``: as whom our services run."""

    context: Context
    now: Callable[[], dt.datetime]
    service_user: str = "sendproof"
    config_directory: Path | None = None
    mail: MailWanted | None = None
    said: Callable[[str], None] = lambda _text: None

    @functools.cached_property
    def file(self) -> SettingsFile:
        """The settings, read once."""
        return self.context.file

    def has(self, table: str) -> bool:
        """Whether the settings have a table."""
        return isinstance(self.file.tables.get(table), dict)

    def setting(self, table: str, key: str) -> Any:
        """A setting of another component, as the file has it; None: absent."""
        found = self.file.tables.get(table)
        return found.get(key) if isinstance(found, dict) else None

    def text(self, table: str, key: str, default: str = "") -> str:
        """As `setting`, of what is text."""
        found = self.setting(table, key)
        return found if isinstance(found, str) else default

    def paths(self, table: str, key: str) -> tuple[Path, ...]:
        """As `setting`, of what is a path or a list of paths."""
        found = self.setting(table, key)
        texts = found if isinstance(found, list) else [found]
        return tuple(Path(text) for text in texts if isinstance(text, str) and text)

    @functools.cached_property
    def host(self) -> str:
        """``[host] name``."""
        return self.file.table(HostSettings).name

    @functools.cached_property
    def dns(self) -> DnsSettings:
        """``[dns]``."""
        return self.file.table(DnsSettings)

    @functools.cached_property
    def postfix(self) -> PostfixConfiguration:
        """The Postfix that our settings are in."""
        named = self.config_directory or self.file.table(PostfixSettings).config_directory
        if not (named / "main.cf").exists():
            raise CannotLook(
                f"there is no {named}/main.cf.",
                "Name Postfix's configuration directory with --config-dir, or in [postfix] config_directory.",
            )
        return PostfixConfiguration(named)

    @functools.cached_property
    def database(self) -> Database:
        """The database, with our schema.

        Raises:
            CannotLook: it cannot be read; the check `database` says why.
        """
        try:
            database = self.context.unchecked_database()
            schema_version.check(database)
        except UserError as error:
            raise CannotLook(f"the database cannot be read: {error}") from None
        return database


def user_may(user: str, permission: str, path: Path) -> bool | None:
    """Whether a user of this machine may read ("r"), write ("w") or enter ("x") a file; None: only root can ask.

    The kernel answers, so access lists and folders on the way count.
    """
    found = account(user)
    if found is None:
        return None
    if os.geteuid() not in (0, found.pw_uid):
        return None
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        groups = os.getgrouplist(user, found.pw_gid)
        identity = {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": groups}
    done = subprocess.run(
        ["/usr/bin/test", f"-{permission}", str(path)], check=False, timeout=_SECONDS, cwd="/", **identity
    )
    return done.returncode == 0


def account(name: str) -> pwd.struct_passwd | None:
    """A user of this machine."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def owner_and_mode(path: Path) -> str:
    """Such as ``root:adm 0640``: what stands in `ls -l`."""
    facts = path.stat()
    try:
        owner = pwd.getpwuid(facts.st_uid).pw_name
    except KeyError:
        owner = str(facts.st_uid)
    try:
        group = grp.getgrgid(facts.st_gid).gr_name
    except KeyError:
        group = str(facts.st_gid)
    return f"{owner}:{group} {facts.st_mode & 0o7777:04o}"
