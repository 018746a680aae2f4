"""What the tests of the milter share: a directory with one sender, on each kind of database."""

import contextlib
import functools
import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from sendproof_core import directory, schema_version
from sendproof_core.database import Database, open_database
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Plan
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.states import KeyState
from sendproof_testing import processes
from sendproof_testing.processes import Program
from sendproof_testing.submissions import NOW

RECIPIENTS_PER_DAY = 50
_KEEPER = re.compile(r"event=keeper-started pid=(\d+)")


def _fill(database: Database, secrets: SecretsStore) -> None:
    """The account max with the domains own.example and second.example, and the provider's relay.example."""
    secrets.create()
    schema_version.upgrade(database)
    with database.writing() as session:
        directory.add_plan(session, "personal", QuotaLimits(recipients_per_day=RECIPIENTS_PER_DAY))
        account = directory.add_account(
            session,
            login="max",
            password="a password for the site",
            plan_name="personal",
            time_zone="Europe/Vienna",
            tracking=True,
            notice_address=None,
            now=NOW,
        )
        directory.add_credential(session, account, login="max", label="laptop", secret="a password of max", now=NOW)
        for name, owner in (("own.example", account), ("second.example", account), ("relay.example", None)):
            domain = directory.add_domain(session, name, owner, NOW)
            directory.add_dkim_key(session, domain, selector="sp1", secrets=secrets, state=KeyState.ACTIVE, now=NOW)


@pytest.fixture(scope="session")
def filled_folder(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with secrets and a filled SQLite database, to copy from: migrations and keys take a second."""
    folder = tmp_path_factory.mktemp("filled")
    shutil.copy(sqlite_template, folder)
    database = open_database(f"sqlite:///{folder}/sendproof.db")
    _fill(database, SecretsStore(folder / "secrets"))
    database.close()
    return folder


@pytest.fixture
def secrets(filled_folder: Path, tmp_path: Path) -> SecretsStore:
    """The secrets that the keys in the directory are sealed with."""
    if not (tmp_path / "secrets").exists():
        shutil.copytree(filled_folder / "secrets", tmp_path / "secrets")
    return SecretsStore(tmp_path / "secrets")


@pytest.fixture
def sqlite_url(filled_folder: Path, tmp_path: Path) -> str:
    """A filled SQLite database."""
    shutil.copy(filled_folder / "sendproof.db", tmp_path / "sendproof.db")
    return f"sqlite:///{tmp_path}/sendproof.db"


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    """A filled SQLite database, opened."""
    database = open_database(sqlite_url)
    yield database
    database.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A filled database, once of each kind."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("sqlite_url"))
    url = str(request.getfixturevalue("postgres_url"))
    database = open_database(url)
    _fill(database, SecretsStore(tmp_path / "secrets"))
    database.close()
    return url


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Database]:
    """A filled database, opened, once of each kind."""
    database = open_database(ledger_url)
    yield database
    database.close()


@dataclass(frozen=True)
class RunningMilter:
    """The program as systemd starts it."""

    folder: Path
    program: Program

    @property
    def socket(self) -> Path:
        """Where Postfix would connect."""
        return self.folder / "m"

    def log(self) -> str:
        """What it wrote."""
        return self.program.log.read_text()

    def events(self) -> list[dict[str, Any]]:
        """Its journal."""
        journal = self.folder / "milter.journal"
        return [json.loads(line) for line in journal.read_bytes().splitlines()] if journal.exists() else []

    def workers(self) -> list[int]:
        """The pids of its worker processes."""
        keepers = self.keepers()
        pid = self.program.process.pid
        children = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return [child for child in children if child not in keepers]

    def keepers(self) -> list[int]:
        """The pids of the keepers that it had; the last one runs."""
        return [int(pid) for pid in _KEEPER.findall(self.log())]


def _write_settings(folder: Path, **of_milter: object) -> Path:
    """A settings file for a milter in this folder; more settings of its table as TOML."""
    more = "".join(f"{name} = {value}\n" for name, value in of_milter.items())
    path = folder / "sendproof.toml"
    path.write_text(
        f"""
[host]
name = "edge.relay.example"
[database]
url = "sqlite:///{folder}/sendproof.db"
[secrets]
directory = "{folder}/secrets"
[site]
url = "https://relay.example"
tracking_url = "https://t.relay.example"
[milter]
socket = "{folder}/m"
socket_group = "root"
journal = "{folder}/milter.journal"
snapshot = "{folder}/milter.snapshot"
{more}"""
    )
    return path


@contextlib.contextmanager
def running_milter(folder: Path, *, workers: int = 2, **of_milter: object) -> Iterator[RunningMilter]:
    """Start ``sendproof-milter`` in a folder that has a database and secrets."""
    config = _write_settings(folder, workers=workers, **of_milter)
    command = [sys.executable, "-c", "from sendproof_milter.cli import main; main()", "--config", str(config)]
    program = processes.start("milter", command, folder / "milter.log")
    try:
        processes.wait_for_unix(program, folder / "m", 30)
        running = RunningMilter(folder, program)
        # The socket is there before them.
        while not running.keepers() or len(running.workers()) < workers:
            time.sleep(0.01)
        yield running
    finally:
        program.end()


@pytest.fixture
def write_settings() -> Callable[..., Path]:
    """Writes the settings file of a milter in a folder."""
    return _write_settings


StartMilter = Callable[..., AbstractContextManager[RunningMilter]]


@pytest.fixture
def start_milter(sqlite_url: str, secrets: SecretsStore, tmp_path: Path) -> StartMilter:
    """Starts a milter of this test's own, with more settings as keyword arguments."""
    del sqlite_url, secrets
    return functools.partial(running_milter, tmp_path)


@pytest.fixture(scope="module")
def milter(filled_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMilter]:
    """One milter for all tests of a module; its plan is far above what they send. The account try is in test mode."""
    folder = tmp_path_factory.mktemp("m")
    shutil.copy(filled_folder / "sendproof.db", folder)
    shutil.copytree(filled_folder / "secrets", folder / "secrets")
    database = open_database(f"sqlite:///{folder}/sendproof.db")
    with database.writing() as session:
        session.execute(update(Plan).values(recipients_per_day=1_000_000))
        account = directory.add_account(
            session,
            login="try",
            password="a password for the site",
            plan_name="personal",
            time_zone="UTC",
            tracking=True,
            notice_address=None,
            now=NOW,
        )
        directory.change_account(session, account, test_mode=True)
        directory.add_credential(session, account, login="try", label="laptop", secret="a password of try", now=NOW)
        directory.add_domain(session, "try.example", account, NOW)
    database.close()
    with running_milter(folder, workers=1, verify_every=1, split="true") as running:
        yield running
