"""The database: schema, grants, ground."""

import contextlib
import datetime as dt
import os
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from sendproof_core import clock, schema_version
from sendproof_core.database import Database, open_database
from sendproof_core.database_url import Program
from sendproof_postfix import check_database
from sendproof_postfix.doctor import Finding, Severity
from sendproof_testing import doctor_subjects

VERDICTS = doctor_subjects.verdicts()


def look(folder: Path, user: str = "root") -> list[Finding]:
    return list(check_database.look(doctor_subjects.subject(folder, service_user=user), VERDICTS))


def test_a_database_with_our_schema_is_well(sqlite_database: Database, tmp_path: Path) -> None:
    sqlite_database.close()
    (tmp_path / "sendproof.db").chmod(0o600)
    (finding,) = look(tmp_path)
    assert finding.severity is Severity.OK
    assert schema_version.newest() in finding.said


def test_no_schema_and_an_old_one_are_errors_that_name_the_command(tmp_path: Path) -> None:
    (none,) = look(tmp_path)
    assert none.severity is Severity.ERROR
    assert "sendproof database upgrade" in none.said
    database = open_database(f"sqlite:///{tmp_path}/sendproof.db")
    schema_version.upgrade(database, "0001")
    database.close()
    (old,) = look(tmp_path)
    assert old.severity is Severity.ERROR
    assert "0001" in old.said


def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "sendproof.db").write_text("this is no database, whatever its name is")
    (finding,) = look(tmp_path)
    assert finding.severity is Severity.ERROR


def test_a_database_that_everybody_may_read_is_a_warning(sqlite_database: Database, tmp_path: Path) -> None:
    sqlite_database.close()
    (tmp_path / "sendproof.db").chmod(0o644)
    assert Severity.WARNING in doctor_subjects.severities(look(tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="asks in the name of another user")
def test_a_database_that_the_service_may_not_write_is_an_error(sqlite_database: Database, tmp_path: Path) -> None:
    sqlite_database.close()
    (tmp_path / "sendproof.db").chmod(0o600)
    findings = look(tmp_path, "nobody")
    assert any(one.severity is Severity.ERROR and "nobody may not write to" in one.said for one in findings)


def test_another_journal_mode_is_put_right_by_every_connection(sqlite_database: Database, tmp_path: Path) -> None:
    sqlite_database.close()
    path = tmp_path / "sendproof.db"
    path.chmod(0o600)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    assert doctor_subjects.severities(look(tmp_path)) == [Severity.OK]


@pytest.mark.parametrize(("kind", "severities"), [("nfs4", [Severity.ERROR]), ("ext4", []), (None, [])])
def test_sqlite_wants_a_local_disk(kind: str | None, severities: list[Severity]) -> None:
    found = check_database.judge_file_system(Path("/srv/x.db"), kind, VERDICTS)
    assert doctor_subjects.severities(found) == severities


@pytest.mark.parametrize(
    ("missing", "is_partitioned", "severity"),
    [
        ([], True, Severity.OK),
        ([14], True, Severity.NOTE),
        ([10, 11, 12], True, Severity.WARNING),
        ([], False, Severity.ERROR),
    ],
)
def test_days_have_their_partitions(missing: list[int], is_partitioned: bool, severity: Severity) -> None:
    assert check_database.judge_days(missing, is_partitioned=is_partitioned, verdicts=VERDICTS).severity is severity


def test_a_full_server_is_a_warning() -> None:
    assert not list(check_database.judge_connections(10, 100, VERDICTS))
    assert doctor_subjects.severities(check_database.judge_connections(90, 100, VERDICTS)) == [Severity.WARNING]


@pytest.mark.postgres
def test_on_postgresql_days_and_grants_are_looked_at(postgres_url: str, tmp_path: Path) -> None:
    now = clock.now()  # days are made ahead from the clock's
    subject = doctor_subjects.subject(tmp_path, now=lambda: now)
    path = tmp_path / "sendproof.toml"
    path.write_text(path.read_text().replace(f"sqlite:///{tmp_path}/sendproof.db", postgres_url))

    def said_of_days() -> list[Severity]:
        found = list(check_database.look(subject, VERDICTS))
        assert all("password" not in str(one) for one in found)
        return [one.severity for one in found if "partition" in one.said]

    def drop(day: dt.datetime) -> None:
        with database.writing() as session:
            for table in ("attempts", "recipients", "messages"):
                session.execute(text(f"DROP TABLE {table}_{day:%Y%m%d} CASCADE"))

    with contextlib.closing(open_database(postgres_url)) as database, contextlib.closing(subject.context):
        schema_version.upgrade(database)
        assert {one.severity for one in check_database.look(subject, VERDICTS)} == {Severity.OK}
        drop(now + dt.timedelta(days=5))
        assert said_of_days() == [Severity.NOTE]
        drop(now)
        assert said_of_days() == [Severity.ERROR]


@pytest.mark.postgres
def test_connections_of_other_roles_count(postgres_url: str) -> None:
    def used() -> int:
        with database.reading() as session:
            return check_database.connections(session)[0]

    with contextlib.closing(open_database(postgres_url)) as database, contextlib.ExitStack() as stack:
        before = used()
        for _ in range(5):
            other = stack.enter_context(contextlib.closing(open_database(postgres_url, Program.MILTER)))
            stack.enter_context(other.engine.connect()).execute(text("SELECT 1"))
        assert used() >= before + 5


@pytest.mark.postgres
def test_a_role_that_lacks_a_grant_is_named(postgres_url: str) -> None:
    database = open_database(postgres_url)
    schema_version.upgrade(database)
    try:
        with database.writing() as session:
            assert database.roles is not None
            milter = database.roles[Program.MILTER]
            assert check_database._lacking(session, database.roles) == []
            session.execute(text(f'REVOKE INSERT ON charges FROM "{milter}"'))
            assert check_database._lacking(session, database.roles) == [f"{milter} may not INSERT in charges"]
            assert check_database._lacking(session, {Program.WEB: "nobody_here"}) == ["there is no role nobody_here"]
            session.rollback()
    finally:
        database.close()
    assert check_database.judge_grants([], VERDICTS).severity is Severity.OK
    assert check_database.judge_grants(["x"], VERDICTS).severity is Severity.ERROR
