"""Whether the database answers, has our schema, lets each program write what is its own, and stands on good ground."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from sendproof_core import grants, health, health_words, partitions, record_days, schema_version
from sendproof_core.database import Database
from sendproof_core.database_url import Program
from sendproof_core.errors import UserError
from sendproof_core.health import Part
from sendproof_postfix.check_record import SEVERITIES
from sendproof_postfix.doctor import Finding, Verdicts, first_line
from sendproof_postfix.doctor_subject import Subject, owner_and_mode, user_may

# On these, locks of SQLite's do not hold, or memory that processes share is not the same (sqlite.org/wal.html).
_REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "fuse.glusterfs"})
_FULL_POOL = 0.8
_MOUNTS = Path("/proc/self/mounts")


def look(subject: Subject, verdicts: Verdicts) -> Iterator[Finding]:
    """All of it."""
    database = subject.context.unchecked_database()
    try:
        schema_version.check(database)
    except UserError as error:
        yield verdicts.error(str(error), "Every program needs it: the milter answers 451 meanwhile.")
        return
    for reading in health.read(database, (), subject.now()).of(Part.DATABASE):
        said, advice = health_words.sentence(reading), health_words.advice(reading)
        yield Finding(verdicts.check, SEVERITIES[reading.grade], said, advice)
    if database.engine.dialect.name == "sqlite":
        yield from _sqlite(database, subject.service_user, verdicts)
    else:
        yield from _postgresql(database, subject, verdicts)


def _postgresql(database: Database, subject: Subject, verdicts: Verdicts) -> Iterator[Finding]:
    now = subject.now()
    with database.engine.connect() as connection:
        there = partitions.existing(connection)
        missing = partitions.missing_days(there, now)
        # Of today and tomorrow, `health` has spoken.
        if not missing or missing[0] > record_days.day_number(now) + 1:
            yield judge_days(missing, is_partitioned=bool(there), verdicts=verdicts)
    with database.reading() as session:
        yield from judge_connections(*connections(session), verdicts)
        if database.roles is not None:
            yield judge_grants(_lacking(session, database.roles), verdicts)
    if database.roles is not None:
        for program in Program:
            if program is not Program.OPERATOR and subject.has(program.value):
                yield from _signs_in(program, subject, verdicts)


def judge_days(missing: Sequence[int], *, is_partitioned: bool, verdicts: Verdicts) -> Finding:
    """Whether today and the days ahead have their partitions. ``missing``: numbers of days, the first one first."""
    remedy = "Run `sendproof database maintain`, and look whether its timer runs (sendproof-maintain.timer)."
    if not is_partitioned:
        return verdicts.error("the record has no day partitions.", "Run `sendproof database upgrade`.")
    if not missing:
        return verdicts.ok("today and the next two weeks have their day partitions.")
    said = f"days without a partition, of today and the next two weeks: {len(missing)}."
    return verdicts.warning(said, remedy) if len(missing) > 1 else verdicts.note(said, remedy)


def connections(session: Session) -> tuple[int, int]:
    """How many connections PostgreSQL has, of all roles, and how many it can have."""
    # pg_stat_activity hides from a role what the connections of others are.
    used = session.scalar(text("SELECT coalesce(sum(numbackends), 0)::int FROM pg_stat_database"))
    return int(used), int(session.scalar(text("SELECT current_setting('max_connections')::int")))


def judge_connections(used: int, most: int, verdicts: Verdicts) -> Iterator[Finding]:
    """How full the server is."""
    if used >= most * _FULL_POOL:
        yield verdicts.warning(
            f"{used} of PostgreSQL's {most} connections are in use.",
            "Raise max_connections, put PgBouncer before it, or let the programs have fewer threads.",
        )


def judge_grants(lacking: Sequence[str], verdicts: Verdicts) -> Finding:
    """Whether each role has its grants. ``lacking``: what is missing, in words."""
    if lacking:
        return verdicts.error(
            f"roles of PostgreSQL lack grants: {len(lacking)}.", "Run `sendproof database roles`.", lacking[:10]
        )
    return verdicts.ok("each program's role may read and write what is its own.")


def _lacking(session: Session, roles: Mapping[Program, str]) -> list[str]:
    known = set(session.scalars(text("SELECT rolname FROM pg_roles")))
    words: list[str] = []
    for program, role in roles.items():
        if program is Program.OPERATOR:
            continue
        if role not in known:
            words.append(f"there is no role {role}")
            continue
        for table, access in grants.TABLES.items():
            wanted = "INSERT" if program in access.writers else "SELECT" if program in access.readers else None
            if wanted is None:
                continue
            has = text(
                "SELECT to_regclass(:name) IS NULL"
                " OR has_table_privilege(CAST(:role AS name), to_regclass(:name), :right)"
            )
            if not session.scalar(has, {"name": table, "role": role, "right": wanted}):
                words.append(f"{role} may not {wanted} in {table}")
    return words


def _signs_in(program: Program, subject: Subject, verdicts: Verdicts) -> Iterator[Finding]:
    try:
        with contextlib.closing(subject.context.unchecked_database(program)) as database, database.reading() as session:
            session.execute(text("SELECT 1"))
    except OperationalError as error:
        yield verdicts.error(
            f"sendproof-{program.value} cannot sign in to PostgreSQL ({first_line(error)}).",
            "Look at the role's password, the passfile in [database] url, and pg_hba.conf.",
        )


def _sqlite(database: Database, user: str, verdicts: Verdicts) -> Iterator[Finding]:
    path = Path(database.engine.url.database or "").absolute()
    with database.reading() as session:
        mode = str(session.scalar(text("PRAGMA journal_mode")))
    if mode.lower() != "wal":
        yield verdicts.error(
            f"the SQLite file is in journal mode {mode}, not WAL: readers and the writer stop each other.",
            "Look whether the file system lets SQLite share memory, and who changed the mode.",
        )
    yield from judge_file_system(path, _file_system(path), verdicts)
    if path.stat().st_mode & 0o007:
        yield verdicts.warning(
            f"everybody on this machine may read {path} ({owner_and_mode(path)}).", f"`chmod o-rwx {path}`."
        )
    # The files beside it that WAL needs are made in its folder, by whoever comes first.
    for wanted, place in (("w", path), ("w", path.parent)):
        if user_may(user, wanted, place) is False:
            yield verdicts.error(
                f"{user} may not write to {place} ({owner_and_mode(place)}).", f"`chown {user} {place}`."
            )
    for beside in (path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        if beside.exists() and user_may(user, "w", beside) is False:
            yield verdicts.error(
                f"{user} may not write to {beside} ({owner_and_mode(beside)}): another user's command made it.",
                f"`chown {user} {beside}`; run commands that write as {user}.",
            )


def judge_file_system(path: Path, kind: str | None, verdicts: Verdicts) -> Iterator[Finding]:
    """On what kind of file system an SQLite file is."""
    if kind in _REMOTE:
        yield verdicts.error(
            f"{path} is on {kind}: SQLite loses data when several processes write there.",
            "Move it to a local disk, or use PostgreSQL.",
        )


def _file_system(path: Path) -> str | None:
    real, longest, kind = os.path.realpath(path), "", None
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        words = line.split()
        if len(words) < 3:
            continue
        point = words[1].replace("\\040", " ")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(longest):
            longest, kind = point, words[2]
    return kind
