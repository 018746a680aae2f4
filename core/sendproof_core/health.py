"""How well each part is: milter, readers, database, certificates, notices, domains. Reads only.

For the provider's page and `sendproof status`: what is found, and how bad it is. `health_words` says it in sentences.
Asks no other machine: what the parts leave in the database tells how they are.
"""

import datetime as dt
import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from sqlalchemy import Select, func, select, text
from sqlalchemy.orm import Session

from sendproof_core import log_health, outbox_health, partitions, record_days, schema_version
from sendproof_core.database import Database
from sendproof_core.log_health import LogHealth, SourceHealth
from sendproof_core.schema import Charge, Domain, DomainCheck, LogGap, UnknownLine

# A logparser that runs says at least every ten seconds that it has read everything.
LATE_SECONDS = 60
_VERY_LATE_SECONDS = 900
# The milter settles a charge when the record shows the message's queue file: minutes after it at the most.
_SETTLED_WITHIN = dt.timedelta(hours=1)
_QUIET_AFTER = dt.timedelta(days=2)
_LATELY = dt.timedelta(days=7)
# Let's Encrypt renews 30 days before the end: whoever sees fewer than 21 has a renewal that does not work.
_RENEW_DAYS = 21
_LAST_DAYS = 7
_LARGEST_CERTIFICATE = 1_000_000
# From here on PostgreSQL is the better place.
_LARGE_SQLITE_OCTETS = 20 * 1024**3
_CHECK_IS_OLD_AFTER = dt.timedelta(days=40)


class Grade(enum.StrEnum):
    """How bad it is. The names are those of the pills."""

    GOOD = "good"
    WATCH = "waiting"
    BAD = "bad"
    UNSURE = "unsure"


class Part(enum.StrEnum):
    """Of what a finding speaks."""

    MILTER = "milter"
    READERS = "readers"
    DATABASE = "database"
    CERTIFICATES = "certificates"
    NOTICES = "notices"
    DOMAINS = "domains"


class Finding(enum.StrEnum):
    """What was found; `health_words.WORDS` has a sentence and advice for each."""

    MILTER_ADMITS = "milter admits"
    MILTER_IS_QUIET = "milter is quiet"
    MILTER_UNSEEN = "milter unseen"
    CHARGES_OPEN = "charges open"
    NEVER_READ = "never read"
    READER_KEEPS_UP = "reader keeps up"
    READER_IS_LATE = "reader is late"
    READER_UNKNOWN = "reader unknown"
    LINES_LOST = "lines lost"
    LINES_NOT_UNDERSTOOD = "lines not understood"
    MESSAGES_UNHEARD = "messages unheard of"
    DATABASE_WELL = "database well"
    DATABASE_LARGE = "database large"
    SCHEMA_OLD = "schema old"
    DAY_MISSING = "day missing"
    CERTIFICATE_GOOD = "certificate good"
    CERTIFICATE_ENDS = "certificate ends"
    CERTIFICATE_ENDED = "certificate ended"
    CERTIFICATE_UNREADABLE = "certificate unreadable"
    CERTIFICATES_NOT_NAMED = "certificates not named"
    NOTICES_FLOW = "notices flow"
    NOTICES_LATE = "notices late"
    NOTICES_FAILED = "notices failed"
    DOMAINS_CHECKED = "domains checked"
    DOMAINS_UNPROVED = "domains unproved"
    DOMAIN_CHECKS_OLD = "domain checks old"


@dataclass(frozen=True)
class Reading:
    """One finding. ``values``: what its sentence names; moments are aware, sizes in octets, times in seconds."""

    part: Part
    finding: Finding
    grade: Grade
    values: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Health:
    """All findings, part by part, and the facts behind those about the logs."""

    readings: tuple[Reading, ...]
    logs: LogHealth

    def of(self, part: Part) -> tuple[Reading, ...]:
        """The findings about one part."""
        return tuple(reading for reading in self.readings if reading.part is part)

    def grade_of(self, part: Part) -> Grade:
        """The worst of a part."""
        return worst([reading.grade for reading in self.of(part)])

    @property
    def grade(self) -> Grade:
        """The worst of all."""
        return worst([reading.grade for reading in self.readings])

    @property
    def troubles(self) -> tuple[Reading, ...]:
        """What needs somebody, the worst first."""
        wanted = [reading for reading in self.readings if reading.grade in (Grade.BAD, Grade.WATCH)]
        return tuple(sorted(wanted, key=lambda reading: reading.grade is not Grade.BAD))


@dataclass(frozen=True)
class DatabaseFacts:
    """What the database is. ``octets``: its size; None where it does not say."""

    kind: str
    version: str
    octets: int | None
    schema: str | None


def read(database: Database, certificates: Sequence[Path], now: dt.datetime, newest: int = 5) -> Health:
    """Look at everything; ``newest``: how long the lists about the logs may be."""
    with database.reading() as session:
        logs = log_health.read(session, now, newest)
        readings = [
            *_milter(session, logs, now),
            *_readers(session, logs, now),
            *_database(facts(session)),
            *_days(session, now),
            *_notices(session, now),
            *_domains(session, now),
        ]
    readings += [certificate(path, now) for path in certificates]
    if not certificates:
        readings.append(Reading(Part.CERTIFICATES, Finding.CERTIFICATES_NOT_NAMED, Grade.UNSURE))
    order = list(Part)
    return Health(tuple(sorted(readings, key=lambda reading: order.index(reading.part))), logs)


def worst(grades: Sequence[Grade]) -> Grade:
    """Bad, else to be watched, else unsure, else good."""
    for grade in (Grade.BAD, Grade.WATCH, Grade.UNSURE):
        if grade in grades:
            return grade
    return Grade.GOOD


def facts(session: Session) -> DatabaseFacts:
    """Kind, version, size and schema of the database."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    if is_sqlite:
        version = str(session.scalar(text("SELECT sqlite_version()")))
        pages, octets = (session.scalar(text(f"PRAGMA {name}")) for name in ("page_count", "page_size"))
        size = int(pages or 0) * int(octets or 0)
    else:
        version = str(session.scalar(text("SHOW server_version"))).partition(" ")[0]
        size = int(session.scalar(text("SELECT pg_database_size(current_database())")) or 0)
    schema = session.scalar(text("SELECT version_num FROM alembic_version"))
    return DatabaseFacts("SQLite" if is_sqlite else "PostgreSQL", version, size, schema and str(schema))


def certificate(path: Path, now: dt.datetime) -> Reading:
    """How long the certificate in a PEM file is good (the first, where it is a chain)."""
    values: dict[str, object] = {"file": str(path)}
    try:
        with path.open("rb") as file:
            ends = x509.load_pem_x509_certificate(file.read(_LARGEST_CERTIFICATE)).not_valid_after_utc
    except (OSError, ValueError):
        return Reading(Part.CERTIFICATES, Finding.CERTIFICATE_UNREADABLE, Grade.UNSURE, values)
    days = (ends - now).days
    values |= {"at": ends, "days": max(days, 0)}
    if ends <= now:
        return Reading(Part.CERTIFICATES, Finding.CERTIFICATE_ENDED, Grade.BAD, values)
    if days < _RENEW_DAYS:
        grade = Grade.BAD if days < _LAST_DAYS else Grade.WATCH
        return Reading(Part.CERTIFICATES, Finding.CERTIFICATE_ENDS, grade, values)
    return Reading(Part.CERTIFICATES, Finding.CERTIFICATE_GOOD, Grade.GOOD, values)


def _milter(session: Session, logs: LogHealth, now: dt.datetime) -> Iterator[Reading]:
    """Of each host that reads logs: when a message of its milter was last seen in the queue."""
    seen = False
    for host in sorted({source.host for source in logs.sources if not source.is_import}):
        last = session.scalar(select(func.max(Charge.settled_at)).where(Charge.host == host))
        if last is not None:
            seen = True
            quiet = now - last > _QUIET_AFTER
            yield Reading(
                Part.MILTER,
                Finding.MILTER_IS_QUIET if quiet else Finding.MILTER_ADMITS,
                Grade.UNSURE if quiet else Grade.GOOD,
                {"host": host, "seconds": (now - last).total_seconds(), "at": last},
            )
        waiting = select(func.count()).where(Charge.host == host, Charge.settled_at.is_(None))
        count = session.scalar(waiting.where(Charge.charged_at < now - _SETTLED_WITHIN)) or 0
        if count:
            seen = True
            yield Reading(Part.MILTER, Finding.CHARGES_OPEN, Grade.WATCH, {"host": host, "count": count})
    if not seen:
        yield Reading(Part.MILTER, Finding.MILTER_UNSEEN, Grade.UNSURE)


def _readers(session: Session, logs: LogHealth, now: dt.datetime) -> Iterator[Reading]:
    followed = [source for source in logs.sources if not source.is_import]
    if not followed:
        yield Reading(Part.READERS, Finding.NEVER_READ, Grade.BAD)
    for source in followed:
        yield _reader(source)
    lost = _count(session, select(func.count()).select_from(LogGap).where(LogGap.ends_at >= now - _LATELY))
    if lost:
        yield Reading(Part.READERS, Finding.LINES_LOST, Grade.WATCH, {"count": lost})
    unknown = _count(session, select(func.count()).select_from(UnknownLine).where(UnknownLine.read_at >= now - _LATELY))
    if unknown:
        yield Reading(Part.READERS, Finding.LINES_NOT_UNDERSTOOD, Grade.WATCH, {"count": unknown})
    if logs.unheard_count:
        yield Reading(Part.READERS, Finding.MESSAGES_UNHEARD, Grade.WATCH, {"count": logs.unheard_count})


def _reader(source: SourceHealth) -> Reading:
    values: dict[str, object] = {"source": source.name, "host": source.host}
    if source.behind_seconds is None:
        return Reading(Part.READERS, Finding.READER_UNKNOWN, Grade.UNSURE, values)
    values["seconds"] = source.behind_seconds
    if source.behind_seconds <= LATE_SECONDS:
        return Reading(Part.READERS, Finding.READER_KEEPS_UP, Grade.GOOD, values)
    grade = Grade.BAD if source.behind_seconds > _VERY_LATE_SECONDS else Grade.WATCH
    return Reading(Part.READERS, Finding.READER_IS_LATE, grade, values)


def _database(found: DatabaseFacts) -> Iterator[Reading]:
    values: dict[str, object] = {
        "kind": found.kind,
        "version": found.version,
        "octets": found.octets or 0,
        "schema": found.schema or "",
    }
    if (found.schema or "") < schema_version.newest():  # a newer one is for the programs to judge
        wanted = {**values, "wanted": schema_version.newest()}
        yield Reading(Part.DATABASE, Finding.SCHEMA_OLD, Grade.BAD, wanted)
    elif found.kind == "SQLite" and (found.octets or 0) > _LARGE_SQLITE_OCTETS:
        yield Reading(Part.DATABASE, Finding.DATABASE_LARGE, Grade.WATCH, values)
    else:
        yield Reading(Part.DATABASE, Finding.DATABASE_WELL, Grade.GOOD, values)


def _days(session: Session, now: dt.datetime) -> Iterator[Reading]:
    missing = partitions.missing_days(partitions.existing(session.connection()), now)
    tomorrow = record_days.day_number(now) + 1
    if missing and missing[0] <= tomorrow:
        values: dict[str, object] = {"day": record_days.date_of(missing[0]).isoformat()}
        yield Reading(Part.DATABASE, Finding.DAY_MISSING, Grade.BAD, values)


def _notices(session: Session, now: dt.datetime) -> Iterator[Reading]:
    outbox = outbox_health.read(session, now, newest=1)
    if outbox.due_since is not None and outbox.is_late(now):
        seconds = (now - outbox.due_since).total_seconds()
        yield Reading(Part.NOTICES, Finding.NOTICES_LATE, Grade.BAD, {"count": outbox.waiting, "seconds": seconds})
    else:
        values: dict[str, object] = {"count": outbox.waiting, "sent": outbox.sent_last_day}
        yield Reading(Part.NOTICES, Finding.NOTICES_FLOW, Grade.GOOD, values)
    if outbox.failed:
        yield Reading(Part.NOTICES, Finding.NOTICES_FAILED, Grade.WATCH, {"count": outbox.failed})


def _domains(session: Session, now: dt.datetime) -> Iterator[Reading]:
    total = _count(session, select(func.count()).select_from(Domain))
    unproved = _count(session, select(func.count()).select_from(Domain).where(Domain.proved_at.is_(None)))
    if unproved:
        yield Reading(Part.DOMAINS, Finding.DOMAINS_UNPROVED, Grade.GOOD, {"count": unproved, "total": total})
    if not total:
        return
    last = session.scalar(select(func.max(DomainCheck.checked_at)))
    values: dict[str, object] = {"count": total}
    if last is None or now - last > _CHECK_IS_OLD_AFTER:
        yield Reading(Part.DOMAINS, Finding.DOMAIN_CHECKS_OLD, Grade.UNSURE, values)
    else:
        seconds = (now - last).total_seconds()
        yield Reading(Part.DOMAINS, Finding.DOMAINS_CHECKED, Grade.GOOD, {**values, "at": last, "seconds": seconds})


def _count(session: Session, query: Select[int]) -> int:
    return session.scalar(query) or 0
