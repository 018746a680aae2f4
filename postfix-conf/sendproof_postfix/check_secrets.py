"""Whether what must be secret is there, and who may read it. Never reads a secret."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy

from sendproof_core.settings import DatabaseSettings, SaslSettings, SecretsSettings
from sendproof_postfix.doctor import Finding, Verdicts
from sendproof_postfix.doctor_subject import Subject, account, owner_and_mode

_NEEDED = {
    "milter": ("key-encryption.key",),
    "web": ("key-encryption.key", "site.key", "links.key"),
    "notices": ("links.key",),
}
_WITH_TOKENS = frozenset({"milter", "web"})
_TOKENS = "tokens-*.key"


@dataclass(frozen=True)
class Secret:
    """A file or folder. ``what``: for people."""

    what: str
    path: Path


def look(subject: Subject, verdicts: Verdicts) -> Iterator[Finding]:
    """Each file and folder."""
    folder = subject.file.table(SecretsSettings).directory
    if not folder.is_dir():
        yield verdicts.error(f"the folder of secrets {folder} is not there.", "Run `sendproof secrets create`.")
        return
    names = sorted(path.name for path in folder.iterdir())
    yield from judge_names(folder, names, [table for table in _NEEDED if subject.has(table)], verdicts)
    trusted = {0, *((found.pw_uid,) if (found := account(subject.service_user)) else ()), os.geteuid()}
    looked_at = 0
    trouble = False
    for secret in _secrets(subject, folder, names):
        try:
            facts = secret.path.stat()
        except FileNotFoundError:
            continue
        looked_at += 1
        for finding in judge(secret, facts, owner_and_mode(secret.path), trusted, verdicts):
            trouble = True
            yield finding
    if not trouble:
        yield verdicts.ok(f"secret files and folders that only those may read whom they are for: {looked_at}.")


def _secrets(subject: Subject, folder: Path, names: list[str]) -> Iterator[Secret]:
    yield Secret("the folder of secrets", folder)
    for name in names:
        yield Secret("the secret file", folder / name)
    if _password_in(subject.file.table(DatabaseSettings).url):
        yield Secret("the settings file, with the database's password,", subject.file.path)
    for path in _passfiles(subject.file.table(DatabaseSettings).url):
        yield Secret("the file of the database's passwords", path)
    if subject.has("sasl"):
        yield Secret("Dovecot's passwd-file", subject.file.table(SaslSettings).passwd_file)
    for path in subject.paths("notices", "password_file"):
        yield Secret("the notices' password file", path)


def judge_names(folder: Path, names: list[str], tables: list[str], verdicts: Verdicts) -> Iterator[Finding]:
    """Whether what the programs of this machine need is there."""
    needed = {name for table in tables for name in _NEEDED[table]}
    missing = sorted(needed - set(names))
    if _WITH_TOKENS & set(tables) and not any(Path(name).match(_TOKENS) for name in names):
        missing.append(_TOKENS.replace("*", "1"))
    if missing:
        yield verdicts.error(
            f"secret files that are not in {folder}: {', '.join(missing)}.",
            "Restore them from your backup, or copy them from another machine of this installation; only a new "
            "installation makes them (`sendproof secrets create`).",
        )


def judge(
    secret: Secret, facts: os.stat_result, shown: str, trusted: set[int], verdicts: Verdicts
) -> Iterator[Finding]:
    """Who may read it, and whose it is. ``trusted``: user ids."""
    is_folder = stat.S_ISDIR(facts.st_mode)
    if facts.st_mode & stat.S_IRWXO:
        yield verdicts.error(
            f"{secret.what} {secret.path} is open to everybody on this machine ({shown}).",
            f"`chmod o-rwx {secret.path}`, and think of what may have been read.",
        )
    elif facts.st_mode & stat.S_IWGRP and not is_folder:
        yield verdicts.warning(f"{secret.what} {secret.path} can be changed by its group ({shown}).", "Take that away.")
    if facts.st_uid not in trusted:
        yield verdicts.warning(
            f"{secret.what} {secret.path} belongs to a user who has nothing to do with it ({shown}).",
            "Change its owner.",
        )


def _password_in(url: str) -> bool:
    try:
        return sqlalchemy.engine.make_url(url).password is not None
    except (sqlalchemy.exc.ArgumentError, ValueError):
        return False


def _passfiles(url: str) -> Iterator[Path]:
    try:
        named = sqlalchemy.engine.make_url(url).query.get("passfile")
    except (sqlalchemy.exc.ArgumentError, ValueError):
        return
    if isinstance(named, str):
        yield Path(named)
