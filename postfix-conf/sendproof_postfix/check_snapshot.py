"""Whether the milter keeps its copy of the directory fresh, for when the database is away. Does not read it."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

from sendproof_core import wording
from sendproof_postfix.doctor import CannotLook, Finding, Verdicts
from sendproof_postfix.doctor_subject import Subject, owner_and_mode

# The defaults of the milter's own settings.
_DEFAULT = Path("/var/lib/sendproof/milter-directory.snapshot")
_EVERY_SECONDS = 60.0
_MISSED = 5
_SHORTEST = dt.timedelta(minutes=2)
_SQLITE = b"SQLite format 3\0"
_REMEDY = "Look what sendproof-milter logged (event=keeper-failed)."


def look(subject: Subject, verdicts: Verdicts) -> Iterator[Finding]:
    """Its age, and that it is one."""
    if not subject.has("milter"):
        raise CannotLook("the settings have no [milter]: this machine has none.")
    path = next(iter(subject.paths("milter", "snapshot")), _DEFAULT)
    every = subject.setting("milter", "keeper_seconds")
    try:
        facts = path.stat()
        with path.open("rb") as file:
            is_snapshot = file.read(len(_SQLITE)) == _SQLITE
    except FileNotFoundError:
        yield verdicts.error(f"the snapshot of the directory {path} is not there.", _REMEDY)
        return
    if not is_snapshot:
        yield verdicts.error(
            f"{path} is no snapshot of the directory.", f"Remove it; the milter writes a new one. {_REMEDY}"
        )
        return
    if facts.st_mode & 0o077:
        yield verdicts.warning(
            f"others than the milter may read {path} ({owner_and_mode(path)}).", f"`chmod 0600 {path}`."
        )
    age = subject.now() - dt.datetime.fromtimestamp(facts.st_mtime, dt.UTC)
    yield judge_age(age, float(every) if isinstance(every, int | float) else _EVERY_SECONDS, verdicts)


def judge_age(age: dt.timedelta, every_seconds: float, verdicts: Verdicts) -> Finding:
    """How old it is; the milter writes one ``every_seconds``."""
    words = wording.duration(max(age.total_seconds(), 0.0))
    if age > max(dt.timedelta(seconds=every_seconds * _MISSED), _SHORTEST):
        return verdicts.warning(
            f"the snapshot of the directory is {words} old: while the database is away, newer changes do not count.",
            _REMEDY,
        )
    return verdicts.ok(f"the snapshot of the directory is {words} old.")
