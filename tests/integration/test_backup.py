"""A backup made while mail flows is one moment, can be restored, and the record catches up from the logs."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from sendproof_core.database import Database, open_database
from sendproof_core.schema import Attempt, Delivery, Message, QueueFile, Recipient, Refusal
from sendproof_testing import mail, oracle
from sendproof_testing.installation import Options
from sendproof_testing.postgres import Cluster
from sendproof_testing.sandbox import Sandbox, running
from sendproof_testing.steady_clients import sending

pytestmark = [pytest.mark.integration]

_BEFORE, _AFTER = 6, 4
# What a half transaction would leave: a charge that its windows do not have, a message whose recipients are not all
# there, a recipient in a state that no attempt gave it.
_CHARGED = "SELECT account_id, day_begins, sum(recipients), count(*) FROM charges GROUP BY account_id, day_begins"
_USED = "SELECT account_id, window_begins, recipients, messages FROM quota_use WHERE span = 'day' AND messages > 0"
_HALF_ADMITTED = """
SELECT count(*) FROM messages JOIN queue_files ON queue_files.message_id = messages.id
AND queue_files.parent_queue_id IS NULL WHERE messages.recipient_count <>
(SELECT count(*) FROM recipients WHERE recipients.queue_file_id = queue_files.id)
"""
_NEVER_TRIED = """
SELECT count(*) FROM recipients WHERE state IN ('delivered', 'bounced') AND handed_on_at IS NULL
AND NOT EXISTS (SELECT 1 FROM attempts WHERE attempts.recipient_id = recipients.id)
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str | None, str]]:
    """Of the database in use (None: the sandbox's own), and of an empty one."""
    if request.param == "sqlite":
        yield None, f"sqlite:///{tmp_path}/restored.db"
        return
    cluster: Cluster = request.getfixturevalue("postgres_cluster")
    with cluster.empty_database() as first, cluster.empty_database() as second:
        yield first, second


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def settings_for(sandbox: Sandbox, url: str) -> Path:
    """The sandbox's, with another database."""
    made = sandbox.installation
    path = made.home / "restored.toml"
    path.touch(mode=0o600)
    path.write_text(made.config.read_text().replace(f'url = "{made.database_url}"', f'url = "{url}"', 1))
    return path


def test_a_backup_under_load_can_be_restored_and_catches_up(
    own_folder: Path, tmp_path: Path, urls: tuple[str | None, str]
) -> None:
    in_use, empty = urls
    file = tmp_path / "sendproof.backup"
    with running(own_folder, Options(database_url=in_use, notice_address=None)) as sandbox, ExitStack() as stack:
        with sending(sandbox) as clients:
            clients.wait_for_more(_BEFORE)
            said = run(*sandbox.command("database", "backup", str(file)))
            clients.wait_for_more(_AFTER)
        assert "NOT in it" in said
        assert str(sandbox.installation.home / "secrets") in said
        assert file.stat().st_mode & 0o777 == 0o600
        config = settings_for(sandbox, empty)
        program = sandbox.command()[0]
        restore = (program, "--config", str(config), "database", "restore", "--verify", str(file))
        assert "the database is whole" in run(*restore)
        again = subprocess.run(restore, capture_output=True, text=True, check=False)
        assert again.returncode == 2
        assert "is not empty" in again.stderr

        original = stack.enter_context(closing(sandbox.database()))
        restored = stack.enter_context(closing(open_database(empty)))
        assert rows(restored, _CHARGED) == rows(restored, _USED)
        assert rows(restored, _HALF_ADMITTED) == {(0,)}
        assert rows(restored, _NEVER_TRIED) == {(0,)}
        early = oracle.attempts_in_record(restored)

        logged = mail.wait_until(lambda: _complete(sandbox, original), 60, "the record as the log")
        assert early != logged, "the backup was made after all had happened"
        run(str(Path(program).with_name("sendproof-logparser")), "--config", str(config), "--once")
        assert oracle.attempts_in_record(restored) == logged
        assert oracle.states_in_record(restored) == oracle.states_in_record(original)
        assert counts(restored) == counts(original)


def rows(database: Database, query: str) -> set[tuple[object, ...]]:
    with database.reading() as session:
        return {tuple(row) for row in session.execute(text(query))}


def counts(database: Database) -> dict[str, int]:
    """How many rows the record's tables have."""
    tables = (Message, QueueFile, Recipient, Attempt, Delivery, Refusal)
    with database.reading() as session:
        return {table.__tablename__: session.scalar(select(func.count()).select_from(table)) or 0 for table in tables}


def _complete(sandbox: Sandbox, database: Database) -> oracle.Attempts | None:
    """All attempts, once nothing is under way any more."""
    logged = oracle.attempts_in_log(sandbox.installation.maillog)
    states = oracle.states_in_record(database)
    is_over = states and set(states.values()) <= {"delivered", "bounced"} | {"queued"}
    return logged if is_over and oracle.attempts_in_record(database) == logged else None
