"""Where Postfix's log goes, whether the logparser is told so and may read it, and what is thrown away on the way.

Reads the configuration of Postfix, journald and rsyslog; what it does not understand is said, and is no error.
"""

import datetime as dt
import enum
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sendproof_core import wording
from sendproof_postfix import check_log_limits
from sendproof_postfix.check_log_limits import Limit
from sendproof_postfix.doctor import CannotLook, Finding, Verdicts
from sendproof_postfix.doctor_postfix import PostfixConfiguration, run
from sendproof_postfix.doctor_subject import Subject, account, owner_and_mode, user_may

_INCLUDE = re.compile(
    r'^\s*\$IncludeConfig\s+(\S+)|^\s*include\s*\(.*?file\s*=\s*"([^"]+)"', re.MULTILINE | re.IGNORECASE
)
_DEPTH = 4
_LARGEST = 1_000_000
_QUIET = dt.timedelta(days=1)
_AHEAD = dt.timedelta(minutes=2)
_SECONDS = 10.0
# The lines that one message with one recipient leaves, its conversation included.
_LINES_OF_A_MESSAGE = 60
# As a daemon of old, or where systemd starts it (its unit takes the journal's syslog socket).
_RSYSLOG_RUNS = ("run/rsyslogd.pid", "run/systemd/journal/syslog")


class Way(enum.StrEnum):
    """Who writes the mail log."""

    POSTFIX = "Postfix itself"
    RSYSLOG = "rsyslog"
    JOURNALD = "journald"
    UNKNOWN = "nobody that the doctor knows"


@dataclass(frozen=True)
class LogFacts:
    """How the log comes about. ``files``: where it ends; ``by_journal``: journald sees each line first."""

    way: Way
    files: tuple[Path, ...] = ()
    by_journal: bool = False
    rsyslog: str = ""


@dataclass(frozen=True)
class Readers:
    """What ``[logparser]`` says."""

    maillogs: tuple[Path, ...]
    journald: bool


def look_at_source(subject: Subject, verdicts: Verdicts) -> Iterator[Finding]:
    """Where the log goes, and who may read it."""
    readers = _readers(subject)
    facts = gather(subject.postfix)
    yield from judge_source(facts, readers, verdicts)
    if facts.way is Way.POSTFIX and not any(service.command == "postlogd" for service in subject.postfix.services):
        yield verdicts.error(
            "maillog_file is set, and master.cf has no service postlog: nothing is logged.",
            'Add "postlog unix-dgram n - n - 1 postlogd" to master.cf.',
        )
    user, now = subject.service_user, subject.now()
    if account(user) is None:
        yield verdicts.note(
            f"there is no user {user} here: who may read the log was not looked at.",
            "Name the user of the services with --service-user.",
        )
    for path in readers.maillogs:
        yield _file(path, user, now, verdicts)
    if readers.journald:
        yield _journal(user, subject.text("logparser", "journald_directory"), verdicts)


def look_at_limits(subject: Subject, verdicts: Verdicts) -> Iterator[Finding]:
    """Whether lines are thrown away when there are many."""
    _readers(subject)
    facts = gather(subject.postfix)
    units = unit_settings(subject.postfix.value("multi_instance_name"), _cat_unit) if facts.by_journal else ""
    journald = _cat_journald() if facts.by_journal else ""
    yield judge_limits(facts, journald, units, verdicts)


def _readers(subject: Subject) -> Readers:
    if not subject.has("logparser"):
        raise CannotLook("the settings have no [logparser]: this machine reads no logs.")
    return Readers(subject.paths("logparser", "maillogs"), subject.setting("logparser", "journald") is True)


def judge_source(facts: LogFacts, readers: Readers, verdicts: Verdicts) -> Iterator[Finding]:
    """Whether the logparser reads what is written."""
    if not readers.maillogs and not readers.journald:
        target = f'maillogs = ["{facts.files[0]}"]' if facts.files else "journald = true"
        yield verdicts.error("[logparser] names no mail log.", f"Set {target} there and restart sendproof-logparser.")
        return
    read = [path for path in readers.maillogs if path in facts.files]
    if read:
        yield verdicts.ok(f"{facts.way.value} writes {_named(read)}, which the logparser reads.")
    elif readers.journald and facts.by_journal:
        yield verdicts.ok("journald has Postfix's lines, and the logparser reads it.")
    elif facts.files:
        yield _elsewhere(facts, readers, verdicts)
    elif facts.way is Way.JOURNALD:
        yield verdicts.error(
            "Postfix logs to journald only, and the logparser reads files.",
            "Set [logparser] journald = true, or let Postfix write a file (maillog_file).",
        )
    else:
        yield verdicts.note(
            f"where Postfix's lines end could not be found out; the logparser reads {_sources(readers)}.",
            "Look whether that is where your system log puts the facility mail.",
        )


def _elsewhere(facts: LogFacts, readers: Readers, verdicts: Verdicts) -> Finding:
    said = f"{facts.way.value} writes {_named(facts.files)}, and the logparser reads {_sources(readers)}."
    remedy = f'Set [logparser] maillogs = ["{facts.files[0]}"] and restart sendproof-logparser.'
    if facts.way is Way.POSTFIX:
        return verdicts.error(said, remedy)
    # rsyslog can be configured in ways that nobody can foresee.
    return verdicts.warning(said, remedy)


def _sources(readers: Readers) -> str:
    return " and ".join([*map(str, readers.maillogs), *(["journald"] if readers.journald else [])])


def _named(paths: Sequence[Path]) -> str:
    return " and ".join(map(str, paths))


def _file(path: Path, user: str, now: dt.datetime, verdicts: Verdicts) -> Finding:
    try:
        changed_at = dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)
    except FileNotFoundError:
        return verdicts.error(
            f"{path} does not exist.", "Let Postfix or rsyslog write it; a file that had no line yet appears with one."
        )
    if user_may(user, "r", path) is False:
        return verdicts.error(
            f"{user} may not read {path} ({owner_and_mode(path)}).",
            f"Let it: `usermod -aG adm {user}` where the group is adm, then restart sendproof-logparser.",
        )
    if user_may(user, "r", path.parent) is False:
        return verdicts.warning(
            f"{user} may not list {path.parent}: what was rotated away before it was read is not found.",
            f"Let {user} read that folder.",
        )
    return judge_age(path, now - changed_at, verdicts)


def judge_age(path: Path, age: dt.timedelta, verdicts: Verdicts) -> Finding:
    """How old the last line of a log is."""
    if age < -_AHEAD:
        return verdicts.warning(
            f"{path} was written to in the future, {wording.duration(-age.total_seconds())} from now.",
            "Look at this machine's clock.",
        )
    words = wording.duration(max(age.total_seconds(), 0))
    if age > _QUIET:
        return verdicts.note(f"nothing was written to {path} for {words}.", "Fine, if no mail came or went.")
    return verdicts.ok(f"{path} can be read; something was written to it {words} ago.")


def _journal(user: str, directory: str, verdicts: Verdicts) -> Finding:
    command = ["/usr/bin/journalctl", "--lines=1", "--quiet", "--no-pager", "--facility=mail", "--output=short-unix"]
    command += ["--directory", directory] if directory else []
    found, identity = account(user), {}
    if found is not None and os.geteuid() == 0:
        groups = os.getgrouplist(user, found.pw_gid)
        identity = {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": groups}
    return judge_journal(user, _ran(command, identity), verdicts)


def judge_journal(user: str, said: tuple[int, str, str], verdicts: Verdicts) -> Finding:
    """What journalctl gave to the service's user: status, output, errors."""
    status, lines, errors = said
    if status != 0 or "not seeing messages" in errors or "insufficient permissions" in errors:
        return verdicts.error(
            f"{user} may not read the system journal.",
            f"`usermod -aG systemd-journal {user}`, then restart sendproof-logparser.",
        )
    if not lines.strip():
        return verdicts.note("the system journal has no line of the mail facility yet.", "Fine, if no mail came.")
    return verdicts.ok("the system journal can be read, and has lines of the mail facility.")


def gather(postfix: PostfixConfiguration, root: Path = Path("/")) -> LogFacts:
    """Look where Postfix's lines go. ``root``: where the system's own files are."""
    own = postfix.value("maillog_file")
    if own:
        return LogFacts(Way.POSTFIX, (Path(own),))
    socket = root / "dev/log"
    by_journal = "systemd/journal" in os.path.realpath(socket)
    text = _with_includes(root / "etc/rsyslog.conf", root)
    if text and (any((root / path).exists() for path in _RSYSLOG_RUNS) or not by_journal):
        files = tuple(Path(name) for name in check_log_limits.rsyslog_mail_files(text))
        return LogFacts(Way.RSYSLOG, files, by_journal, text)
    return LogFacts(Way.JOURNALD if by_journal else Way.UNKNOWN, (), by_journal)


def judge_limits(facts: LogFacts, journald: str, units: str, verdicts: Verdicts) -> Finding:
    """What is thrown away. ``journald``: journald.conf with its drop-ins; ``units``: Postfix's unit with its own."""
    if facts.way is Way.POSTFIX:
        return verdicts.ok("Postfix writes its log itself: nothing is thrown away on the way.")
    limits = check_log_limits.rsyslog_limits(facts.rsyslog)
    if facts.by_journal and not _is_unlimited(units):
        limit = check_log_limits.journald_limit(journald)
        limits |= {"journald": limit} if limit is not None else {}
    tightest = check_log_limits.worst(limits.values())
    if tightest is None:
        if facts.way is Way.UNKNOWN:
            return verdicts.note("whether lines of the log are thrown away could not be found out.")
        return verdicts.ok("no limit throws lines of the log away.")
    name = next(name for name, limit in limits.items() if limit is tightest)
    return _limited(name, tightest, verdicts)


def _limited(name: str, limit: Limit, verdicts: Verdicts) -> Finding:
    messages = limit.lines_each_second / _LINES_OF_A_MESSAGE
    said = (
        f"{name} throws away what is more than {limit.lines:,} lines in {limit.seconds:g} seconds: above about "
        f"{messages:.1f} messages a second, transcripts will have gaps."
    )
    remedy = {
        "journald": "Set LogRateLimitIntervalSec=0 for postfix@-.service (`systemctl edit postfix@-.service`), or let "
        "Postfix write its log itself (maillog_file).",
        "imjournal": 'Set Ratelimit.Interval="0" for imjournal in /etc/rsyslog.conf.',
        "imuxsock": 'Set SysSock.RateLimit.Interval="0" for imuxsock in /etc/rsyslog.conf.',
    }[name]
    if limit.lines_each_second < check_log_limits.ORDINARY_LINES_EACH_SECOND:
        return verdicts.warning(said, remedy)
    return verdicts.note(said, remedy)


def _is_unlimited(units: str) -> bool:
    """Whether Postfix's unit is free of journald's limit (systemd.exec(5)): the last word counts."""
    found = re.findall(r"^\s*LogRateLimitInterval(?:Sec)?\s*=\s*(\S*)\s*$", units, re.MULTILINE)
    return bool(found) and check_log_limits.span_seconds(found[-1]) == 0


def _with_includes(path: Path, root: Path, depth: int = _DEPTH) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_LARGEST)
    except OSError:
        return ""
    if depth:
        for found in _INCLUDE.finditer(text):
            for included in sorted(root.glob((found[1] or found[2]).lstrip("/"))):
                text += "\n" + _with_includes(included, root, depth - 1)
    return text


def _cat_journald() -> str:
    try:
        return run("systemd-analyze", "cat-config", "systemd/journald.conf", seconds=_SECONDS).stdout
    except CannotLook:
        return ""


def unit_settings(instance: str, cat: Callable[[str], str]) -> str:
    """The unit that runs an instance of Postfix (``multi_instance_name``), with its drop-ins; empty: none is known.

    ``cat``: what `systemctl cat` prints of a unit.
    """
    # Debian 12 runs each instance in a unit of its own; the limits of the one that starts them all say nothing.
    return cat(f"postfix@{instance or '-'}.service") or cat("postfix.service")


def _cat_unit(name: str) -> str:
    try:
        return run("systemctl", "cat", name, seconds=_SECONDS).stdout
    except CannotLook:
        return ""


def _ran(command: list[str], identity: dict[str, Any]) -> tuple[int, str, str]:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_SECONDS,
            cwd="/",
            **identity,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotLook(f"journalctl cannot be run ({type(error).__name__}).") from None
    return done.returncode, done.stdout, done.stderr
