"""PostgreSQL's backups: a dump is read back, restored into an empty database only, and its password is nowhere."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from sendproof_core import backups, database_url, dumps, schema_version
from sendproof_core.database import Database, open_database
from sendproof_core.database_url import Program
from sendproof_core.errors import UserError
from sendproof_core.schema import Plan
from sendproof_testing.postgres import Cluster

pytestmark = pytest.mark.postgres


def quiet(_done: int, _total: int | None, _what: str) -> None: ...


@pytest.fixture
def filled(postgres_url: str) -> Iterator[Database]:
    """With the tables, and a plan in them."""
    database = open_database(postgres_url)
    schema_version.upgrade(database)
    with database.writing() as session:
        session.add(Plan(name="a", recipients_per_day=1))
    yield database
    database.close()


@pytest.fixture
def empty_url(postgres_cluster: Cluster) -> Iterator[str]:
    with postgres_cluster.empty_database() as url:
        yield url


def back_up(url: str, database: Database, file: Path) -> None:
    dumps.back_up(database_url.parse(url, Program.OPERATOR), database, file, quiet)


def restore(url: str, file: Path) -> str:
    with closing(open_database(url)) as database:
        return dumps.restore(database_url.parse(url, Program.OPERATOR), database, file, quiet)


def plans(url: str, program: Program) -> list[str]:
    with closing(open_database(url, program)) as database, database.reading() as session:
        return [str(name) for name in session.execute(text("SELECT name FROM plans ORDER BY name")).scalars()]


def test_a_dump_fills_an_empty_database_and_each_role_has_what_is_its(
    postgres_url: str, filled: Database, empty_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "dump"
    back_up(postgres_url, filled, file)
    assert [path.name for path in tmp_path.iterdir()] == ["dump"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert backups.kind_of(file) == backups.POSTGRESQL
    assert restore(empty_url, file) == schema_version.newest()
    assert plans(empty_url, Program.MILTER) == ["a"]
    with closing(open_database(empty_url, Program.MILTER)) as milter, milter.reading() as session:
        assert not session.scalar(text("SELECT has_table_privilege('plans', 'INSERT')"))
    with pytest.raises(UserError, match=r"is not empty; make a new one .*--owner=sendproof_operator"):
        restore(empty_url, file)


def test_the_password_is_in_no_list_of_processes(postgres_url: str, filled: Database, tmp_path: Path) -> None:
    password = str(make_url(postgres_url).password)
    seen: list[str] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            for name in ("cmdline", "environ"):
                for path in Path("/proc").glob(f"[0-9]*/{name}"):
                    try:
                        words = path.read_bytes()
                    except OSError:
                        continue
                    if b"pg_dump" in words:
                        seen.append(words.decode(errors="replace"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        while not seen:
            (tmp_path / "dump").unlink(missing_ok=True)
            back_up(postgres_url, filled, tmp_path / "dump")
    finally:
        over.set()
        watcher.join()
    assert password not in "".join(seen)


@pytest.mark.parametrize("damage", ["cut", "scribbled", "no tables", "newer"])
def test_a_dump_that_is_no_good_is_refused_and_the_database_stays_empty(
    postgres_url: str, filled: Database, empty_url: str, tmp_path: Path, damage: str
) -> None:
    file = tmp_path / "dump"
    if damage in ("no tables", "newer"):
        with filled.writing_connection() as connection:
            words = {
                "no tables": "DROP TABLE alembic_version",
                "newer": "UPDATE alembic_version SET version_num='9999'",
            }
            connection.execute(text(words[damage]))
        with pytest.raises(UserError, match=r"no tables of Sendproof|schema 9999, newer"):
            back_up(postgres_url, filled, file)
        assert list(tmp_path.iterdir()) == []
        return
    back_up(postgres_url, filled, file)
    content = file.read_bytes()
    middle = len(content) // 2
    file.write_bytes(content[:middle] + (b"" if damage == "cut" else b"\xa5" * 200 + content[middle + 200 :]))
    with pytest.raises(UserError, match=r"is damaged|no tables of Sendproof"):
        restore(empty_url, file)
    with closing(open_database(empty_url)) as database, database.reading() as session:
        assert session.scalar(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")) == 0


def test_a_server_that_is_away_is_said_so_and_leaves_no_file(tmp_path: Path) -> None:
    url = "postgresql://nobody:secret@127.0.0.1:9/none"
    with closing(open_database(url)) as database, pytest.raises(UserError, match="cannot be reached") as caught:
        back_up(url, database, tmp_path / "dump")
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_programs_are_there() -> None:
    for name in ("pg_dump", "pg_restore"):
        said = subprocess.run([dumps.program(name), "--version"], capture_output=True, text=True, check=True).stdout
        assert said.startswith(name)
    with pytest.raises(UserError, match="pg_nothing is missing; install the Debian package postgresql-client"):
        dumps.program("pg_nothing")


def test_of_several_versions_the_servers_own_makes_and_restores_a_dump(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in (9, 15, 17):
        made = tmp_path / str(version) / "bin" / "pg_restore"
        made.parent.mkdir(parents=True)
        made.touch()
    monkeypatch.setattr(dumps, "_INSTALLED", tmp_path)
    chosen = [dumps.program("pg_restore", server).parent.parent.name for server in (15, 16, 18)]
    assert chosen == ["15", "17", "17"]
    assert dumps.program("pg_restore").parent.parent.name == "17"
