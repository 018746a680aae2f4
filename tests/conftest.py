"""What tests of several components share: databases of each kind, empty or with the tables."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sendproof_core import schema_version
from sendproof_core.database import Database, open_database
from sendproof_testing.postgres import Cluster, running_cluster


@pytest.fixture(autouse=True)
def ordinary_umask() -> Iterator[None]:
    """Programs that are called here set theirs; the next test shall not have it."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """One private server for all tests of this process."""
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def postgres_url(postgres_cluster: Cluster) -> Iterator[str]:
    """A fresh, empty PostgreSQL database."""
    with postgres_cluster.empty_database() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh, empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/sendproof.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with all tables and no row, to copy: migrations take a third of a second."""
    path = tmp_path_factory.mktemp("template") / "sendproof.db"
    database = open_database(f"sqlite:///{path}")
    schema_version.upgrade(database)
    database.close()
    return path


@pytest.fixture
def sqlite_database(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    """A SQLite database with all tables, opened: ``sendproof.db`` in ``tmp_path``."""
    shutil.copy(sqlite_template, tmp_path / "sendproof.db")
    database = open_database(f"sqlite:///{tmp_path}/sendproof.db")
    yield database
    database.close()


@pytest.fixture
def either_database(empty_database_url: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database with all tables, once of each kind."""
    if empty_database_url.startswith("sqlite"):
        yield request.getfixturevalue("sqlite_database")
        return
    database = open_database(empty_database_url)
    schema_version.upgrade(database)
    yield database
    database.close()
