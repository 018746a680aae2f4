"""`sendproof database maintain`: says what it does; with --plan, what it would do."""

import contextlib
import datetime as dt
from pathlib import Path

import click.testing
import pytest
from sqlalchemy import func, select

from sendproof_core import clock, schema_version
from sendproof_core.commands_context import Context
from sendproof_core.commands_database_maintain import maintain
from sendproof_core.database import Database, open_database
from sendproof_core.errors import UserError
from sendproof_core.schema import Message
from sendproof_testing.dated_record import DatedRecord


def _run(config: Path, *arguments: str) -> str:
    with contextlib.closing(Context(config)) as context:
        done = click.testing.CliRunner().invoke(maintain, list(arguments), obj=context)
    if done.exception is not None:
        raise done.exception
    return done.output


def _count(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(Message)) or 0


@pytest.fixture
def two_messages(sqlite_database: Database) -> Database:
    """One of today, one of two years ago."""
    with sqlite_database.writing() as session:
        record = DatedRecord(session)
        for days in (0, 730):
            at = clock.now() - dt.timedelta(days=days)
            record.queue_file(at, message_id=record.message(at), ended_at=at)
    return sqlite_database


def test_a_plan_is_shown_then_done_then_there_is_nothing_to_do(config: Path, two_messages: Database) -> None:
    planned = _run(config, "--plan")
    assert "would delete 1 rows of messages" in planned
    assert _count(two_messages) == 2
    done = _run(config)
    assert "deleted 1 rows of messages" in done
    assert "deleted 1 rows of attempts" in done
    assert _count(two_messages) == 1
    assert "nothing to do" in _run(config)


def test_keep_days_of_none_keeps_everything(config: Path, two_messages: Database) -> None:
    config.write_text(config.read_text() + "[record]\nkeep_days = 0\n")
    assert "everything is kept" in _run(config)
    assert _count(two_messages) == 2


def test_a_wrong_number_of_days_is_said_so(config: Path, two_messages: Database) -> None:
    config.write_text(config.read_text() + "[record]\nkeep_days = -1\n")
    with pytest.raises(UserError, match=r"\[record\] keep_days must be between 0 and 36500"):
        _run(config)
    assert _count(two_messages) == 2


@pytest.mark.postgres
def test_on_a_clock_that_is_wrong_nothing_is_removed(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()
    config = tmp_path / "sendproof.toml"
    config.write_text(f'[database]\nurl = "{postgres_url}"\n')
    with contextlib.closing(open_database(postgres_url)) as database:
        schema_version.upgrade(database)
        with database.writing() as session:
            DatedRecord(session).message(now)
        monkeypatch.setattr(clock, "now", lambda: now + dt.timedelta(days=400))
        for arguments in ((), ("--plan",)):
            with pytest.raises(UserError, match="more than an hour apart; nothing was changed"):
                _run(config, *arguments)
        assert _count(database) == 1
