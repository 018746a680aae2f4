"""Whether what must be secret is there, and who may read it. Never reads a secret."""

import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy

from sendproof_core.settings import DatabaseSettings, SaslSettings, SecretsSettings
from sendproof_postfix.doctor import CannotLook, Finding, Verdicts
from sendproof_postfix.doctor_postfix import run
from sendproof_postfix.doctor_subject import Subject, account, owner_and_mode, user_may

_NEEDED = {
    "milter": ("key-encryption.key",),
    "web": ("key-encryption.key", "site.key", "links.key"),
    "notices": ("links.key",),
}
_WITH_TOKENS = frozenset({"milter", "web"})
_TOKENS = "tokens-*.key"
# systemd.exec(5); a service reads such a file before the one in the folder.
_GIVEN = re.compile(r"^\s*(?:Load|Set)Credential(?:Encrypted)?\s*=\s*([^\s:]+)", re.MULTILINE)


@dataclass(frozen=True)
class Secret:
    """A file or folder. ``what``: for people. ``is_read``: by a service of this machine."""

    what: str
    path: Path
    is_read: bool = False


def look(subject: Subject, verdicts: Verdicts) -> Iterator[Finding]:
    """Each file and folder."""
    folder = subject.file.table(SecretsSettings).directory
    if not folder.is_dir():
        yield verdicts.error(f"the folder of secrets {folder} is not there.", "Run `sendproof secrets create`.")
        return
    names = sorted(path.name for path in folder.iterdir())
    given = {table: given_by_systemd(_cat(table)) for table in _NEEDED if subject.has(table)}
    yield from judge_names(folder, names, given, verdicts)
    trusted = {0, *((found.pw_uid,) if (found := account(subject.service_user)) else ()), os.geteuid()}
    looked_at = 0
    trouble = False
    for secret in _secrets(subject, folder, names, read_names(names, given)):
        try:
            facts = secret.path.stat()
        except FileNotFoundError:
            continue
        looked_at += 1
        for finding in judge(secret, facts, owner_and_mode(secret.path), trusted, verdicts):
            trouble = True
            yield finding
        if secret.is_read and user_may(subject.service_user, "r", secret.path) is False:
            trouble = True
            yield judge_unread(secret, subject.service_user, owner_and_mode(secret.path), verdicts)
    if not trouble:
        yield verdicts.ok(f"secret files and folders that only those may read whom they are for: {looked_at}.")


def _secrets(subject: Subject, folder: Path, names: list[str], read: Collection[str]) -> Iterator[Secret]:
    yield Secret("the folder of secrets", folder)
    for name in names:
        yield Secret("the secret file", folder / name, name in read)
    if _password_in(subject.file.table(DatabaseSettings).url):
        yield Secret("the settings file, with the database's password,", subject.file.path)
    for path in _passfiles(subject.file.table(DatabaseSettings).url):
        yield Secret("the file of the database's passwords", path, is_read=True)
    if subject.has("sasl"):
        yield Secret("Dovecot's passwd-file", subject.file.table(SaslSettings).passwd_file)
    for path in subject.paths("notices", "password_file"):
        yield Secret("the notices' password file", path, is_read=True)


def _cat(table: str) -> str:
    try:
        return run("systemctl", "cat", f"sendproof-{table}.service").stdout
    except CannotLook:
        return ""


def given_by_systemd(unit: str) -> frozenset[str]:
    """Names of the files that systemd gives a service. ``unit``: what `systemctl cat` prints of it."""
    return frozenset(_GIVEN.findall(unit))


def read_names(names: Collection[str], given: Mapping[str, frozenset[str]]) -> set[str]:
    """The files of the folder that programs of this machine read. ``given``: by table, what systemd gives instead."""
    found: set[str] = set()
    for table, others in given.items():
        tokens = [name for name in names if table in _WITH_TOKENS and Path(name).match(_TOKENS)]
        found |= {*_NEEDED[table], *tokens} - others
    return found & set(names)


def judge_names(
    folder: Path, names: list[str], given: Mapping[str, frozenset[str]], verdicts: Verdicts
) -> Iterator[Finding]:
    """Whether what the programs of this machine need is there. ``given``: as in `read_names`."""
    missing = sorted({name for table in given for name in _NEEDED[table] if name not in {*names, *given[table]}})
    if any(not any(Path(name).match(_TOKENS) for name in (*names, *given[table])) for table in _WITH_TOKENS & {*given}):
        missing.append(_TOKENS.replace("*", "1"))
    if missing:
        yield verdicts.error(
            f"secret files that are not in {folder}: {', '.join(missing)}.",
            "Restore them from your backup, or copy them from another machine of this installation; only a new "
            "installation makes them (`sendproof secrets create`).",
        )


def judge_unread(secret: Secret, user: str, shown: str, verdicts: Verdicts) -> Finding:
    """What a service needs and may not have."""
    return verdicts.error(
        f"{user} may not read {secret.what} {secret.path} ({shown}).",
        f"`chown {user} {secret.path}`, and let {user} enter the folders on the way.",
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
