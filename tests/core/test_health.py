import contextlib
import datetime as dt
import uuid
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import text
from sqlalchemy.orm import Session

from sendproof_core import clock, directory, health, partitions, schema_version
from sendproof_core.database import Database, open_database
from sendproof_core.health import Finding, Grade, Part
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Charge, DomainCheck, LogGap, ReadingPosition, UnknownLine

NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)
_HOUR = dt.timedelta(hours=1)


def _grades(database: Database, *certificates: Path, now: dt.datetime = NOW) -> dict[Finding, Grade]:
    found = health.read(database, certificates, now)
    return {reading.finding: reading.grade for reading in found.readings}


def _source(session: Session, name: str = "edge1:/var/log/mail.log", **values: Any) -> None:
    row = {
        "fingerprint": "f",
        "fingerprint_octets": 1,
        "inode": 1,
        "offset": 1,
        "lines_read": 1,
        "read_at": NOW,
        "read_up_to": NOW,
        **values,
    }
    session.add(ReadingPosition(source=name, **row))


def _charge(session: Session, account_id: int, number: int, charged: dt.datetime, settled: dt.datetime | None) -> None:
    session.add(
        Charge(
            message_id=uuid.UUID(int=number),
            account_id=account_id,
            host="edge1",
            queue_id=f"4q{number}",
            recipients=1,
            new_recipients=0,
            hour_begins=NOW,
            day_begins=NOW,
            month_begins=NOW,
            charged_at=charged,
            settled_at=settled,
        )
    )


def _certificate(path: Path, ends: dt.datetime) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - dt.timedelta(days=90))
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return path


def test_an_installation_that_has_read_nothing_says_so(either_database: Database) -> None:
    grades = _grades(either_database)
    grades.pop(Finding.DAY_MISSING, None)  # the days are made from the real date on
    assert grades == {
        Finding.MILTER_UNSEEN: Grade.UNSURE,
        Finding.NEVER_READ: Grade.BAD,
        Finding.DATABASE_WELL: Grade.GOOD,
        Finding.CERTIFICATES_NOT_NAMED: Grade.UNSURE,
        Finding.NOTICES_FLOW: Grade.GOOD,
    }


@pytest.mark.parametrize(
    ("behind", "finding", "grade"),
    [
        (dt.timedelta(seconds=60), Finding.READER_KEEPS_UP, Grade.GOOD),
        (dt.timedelta(seconds=61), Finding.READER_IS_LATE, Grade.WATCH),
        (dt.timedelta(minutes=16), Finding.READER_IS_LATE, Grade.BAD),
        (None, Finding.READER_UNKNOWN, Grade.UNSURE),
    ],
)
def test_a_reader_is_as_well_as_it_keeps_up(
    sqlite_database: Database, behind: dt.timedelta | None, finding: Finding, grade: Grade
) -> None:
    with sqlite_database.writing() as session:
        _source(session, read_up_to=None if behind is None else NOW - behind)
    assert _grades(sqlite_database)[finding] is grade


def test_an_import_is_no_reader(sqlite_database: Database) -> None:
    with sqlite_database.writing() as session:
        _source(session, "edge1:import:/old.log", read_up_to=None)
    assert Finding.NEVER_READ in _grades(sqlite_database)


def test_what_was_lost_or_not_understood_lately_is_to_be_watched(sqlite_database: Database) -> None:
    old, new = NOW - dt.timedelta(days=8), NOW - _HOUR
    with sqlite_database.writing() as session:
        for at in (old, new):
            session.add(LogGap(host="edge1", source="x", begins_at=None, ends_at=at, lines=1, text="lost", line_key=1))
            session.add(UnknownLine(source="x", offset=1, read_at=at, line="?", daemon=None))
    found = health.read(sqlite_database, (), NOW)
    counts = {one.finding: one.values["count"] for one in found.of(Part.READERS) if "count" in one.values}
    assert counts == {Finding.LINES_LOST: 1, Finding.LINES_NOT_UNDERSTOOD: 1}


def test_the_milter_is_judged_by_the_charges_of_each_host(either_database: Database) -> None:
    with either_database.writing() as session:
        directory.add_plan(session, "personal", QuotaLimits())
        account = directory.add_account(
            session,
            login="max",
            password_hash="x",
            plan_name="personal",
            time_zone="UTC",
            tracking=False,
            notice_address=None,
            now=NOW,
        )
        _source(session)
        _source(session, "edge1:/journal")
        _charge(session, account.id, 1, NOW - _HOUR, NOW - _HOUR)
        _charge(session, account.id, 2, NOW - _HOUR / 2, None)
    milter = {one.finding: one for one in health.read(either_database, (), NOW).of(Part.MILTER)}
    assert set(milter) == {Finding.MILTER_ADMITS}
    assert milter[Finding.MILTER_ADMITS].values["seconds"] == 3600
    later = {one.finding: one.grade for one in health.read(either_database, (), NOW + 50 * _HOUR).of(Part.MILTER)}
    assert later == {Finding.MILTER_IS_QUIET: Grade.UNSURE, Finding.CHARGES_OPEN: Grade.WATCH}


@pytest.mark.parametrize(
    ("left", "finding", "grade"),
    [
        (dt.timedelta(days=60), Finding.CERTIFICATE_GOOD, Grade.GOOD),
        (dt.timedelta(days=20), Finding.CERTIFICATE_ENDS, Grade.WATCH),
        (dt.timedelta(days=6), Finding.CERTIFICATE_ENDS, Grade.BAD),
        (dt.timedelta(seconds=-1), Finding.CERTIFICATE_ENDED, Grade.BAD),
    ],
)
def test_a_certificate_is_judged_by_the_days_it_has_left(
    tmp_path: Path, left: dt.timedelta, finding: Finding, grade: Grade
) -> None:
    reading = health.certificate(_certificate(tmp_path / "cert.pem", NOW + left), NOW)
    assert (reading.finding, reading.grade) == (finding, grade)
    assert reading.values["days"] == max(left.days, 0)


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAA==\n"])
def test_what_cannot_be_read_as_a_certificate_is_said(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "cert.pem"
    if content is not None:
        path.write_bytes(content)
    assert health.certificate(path, NOW).finding is Finding.CERTIFICATE_UNREADABLE
    assert health.certificate(tmp_path, NOW).finding is Finding.CERTIFICATE_UNREADABLE


def test_a_schema_that_is_not_this_program_s_is_bad(sqlite_database: Database) -> None:
    with sqlite_database.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    found = health.read(sqlite_database, (), NOW)
    (reading,) = found.of(Part.DATABASE)
    assert (reading.finding, reading.grade) == (Finding.SCHEMA_OLD, Grade.BAD)
    assert reading.values["wanted"] == schema_version.newest()


@pytest.mark.postgres
def test_a_day_without_a_partition_is_bad_as_soon_as_it_is_tomorrow(postgres_url: str) -> None:
    with contextlib.closing(open_database(postgres_url)) as database:
        schema_version.upgrade(database)
        today = clock.now()
        assert Finding.DAY_MISSING not in _grades(database, now=today)
        assert Finding.DAY_MISSING not in _grades(database, now=today + dt.timedelta(days=partitions.AHEAD_DAYS - 1))
        late = today + dt.timedelta(days=partitions.AHEAD_DAYS)
        assert _grades(database, now=late)[Finding.DAY_MISSING] is Grade.BAD
        with database.writing_connection() as connection:
            partitions.create_ahead(connection, late)
        assert Finding.DAY_MISSING not in _grades(database, now=late)


def test_the_database_says_what_it_is_and_how_large(either_database: Database) -> None:
    with either_database.reading() as session:
        facts = health.facts(session)
    assert facts.kind.lower() == either_database.engine.dialect.name
    assert facts.octets is not None
    assert facts.octets > 100_000
    assert facts.version[0].isdigit()


def test_domains_are_well_once_dns_was_looked_at(sqlite_database: Database) -> None:
    with sqlite_database.writing() as session:
        domain = directory.add_domain(session, "mail.example", None, NOW)
        session.add(DomainCheck(domain_id=domain.id, checked_at=NOW - _HOUR, result={}))
    assert _grades(sqlite_database)[Finding.DOMAINS_CHECKED] is Grade.GOOD
    later = health.read(sqlite_database, (), NOW + dt.timedelta(days=50))
    assert [one.finding for one in later.of(Part.DOMAINS)] == [Finding.DOMAIN_CHECKS_OLD]


def test_the_worst_finding_is_the_grade_and_the_bad_comes_first(sqlite_database: Database) -> None:
    with sqlite_database.writing() as session:
        _source(session, read_up_to=NOW - dt.timedelta(minutes=2))
        _source(session, "edge2:/log", read_up_to=NOW - _HOUR)
    found = health.read(sqlite_database, (), NOW)
    assert (found.grade, found.grade_of(Part.DATABASE)) == (Grade.BAD, Grade.GOOD)
    assert [trouble.grade for trouble in found.troubles] == [Grade.BAD, Grade.WATCH]
    assert health.worst([]) is Grade.GOOD
