import datetime as dt

import pytest

from sendproof_core import unknown_lines
from sendproof_core.database import Database
from sendproof_core.schema import UnknownLine

NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)


@pytest.fixture
def database(either_database: Database) -> Database:
    with either_database.writing() as session:
        for number, daemon in enumerate(("smtpd", None, "smtpd", "qmgr", "smtpd")):
            at = NOW + dt.timedelta(minutes=number)
            session.add(
                UnknownLine(source="edge1:/log", offset=number, read_at=at, line=f"line {number}", daemon=daemon)
            )
            session.flush()
    return either_database


def test_lines_are_counted_by_daemon_with_the_newest_as_example(database: Database) -> None:
    with database.reading() as session:
        kinds = unknown_lines.kinds(session)
    assert [(kind.daemon, kind.count, kind.example) for kind in kinds] == [
        ("smtpd", 3, "line 4"),
        ("other", 1, "line 1"),
        ("qmgr", 1, "line 3"),
    ]
    assert kinds[0].newest_at == NOW + dt.timedelta(minutes=4)


def test_pages_are_newest_first(database: Database) -> None:
    with database.reading() as session:
        page = unknown_lines.find(session, "smtpd", limit=2)
        assert [line.offset for line in page.lines] == [4, 2]
        rest = unknown_lines.find(session, "smtpd", below=page.next, limit=2)
        assert ([line.offset for line in rest.lines], rest.next) == ([0], None)
        assert [line.offset for line in unknown_lines.find(session, unknown_lines.OTHERS).lines] == [1]
        assert unknown_lines.find(session, "nobody").lines == ()


def test_a_download_is_in_the_order_of_the_log(database: Database) -> None:
    with database.reading() as session:
        assert [line.offset for line in unknown_lines.download(session)] == [0, 1, 2, 3, 4]


def test_nothing_was_not_understood(either_database: Database) -> None:
    with either_database.reading() as session:
        assert unknown_lines.kinds(session) == ()
