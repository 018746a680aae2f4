"""`sendproof notices`: the operator sees what could not be sent, and has it sent again."""

import datetime as dt
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click.testing
import pytest
from sqlalchemy import select

from sendproof_core import clock
from sendproof_core.commands_context import Context
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.schema import Notice
from sendproof_core.states import NoticeKind
from sendproof_notices import outbox
from sendproof_notices.commands_notices import notices
from sendproof_notices.findings import Finding
from sendproof_testing.notice_record import LEASE

Command = Callable[..., str]


@pytest.fixture
def sendproof(tmp_path: Path, database: Database) -> Command:
    del database  # the commands open it themselves
    config = tmp_path / "sendproof.toml"
    config.write_text(f'[database]\nurl = "sqlite:///{tmp_path}/sendproof.db"\n', encoding="utf-8")

    def run(*arguments: str) -> str:
        context = Context(config)
        done = click.testing.CliRunner().invoke(notices, list(arguments), obj=context)
        context.close()
        if done.exception is not None:
            raise done.exception
        return done.output

    return run


def add(database: Database, number: int, *, tries: int = 0, error: str | None = None) -> None:
    now = clock.now() - dt.timedelta(hours=2)
    one = Finding(
        f"recipient:{number}:failed", NoticeKind.FAILED, 1, "max@home.example", False, uuid.UUID(int=number), number
    )
    with database.writing() as session:
        outbox.add(session, [one], "relay.example", now)
    if error is not None:
        with database.writing() as session:
            claimed = outbox.claim(session, "relay.example", LEASE, now)
            assert claimed is not None
            session.scalars(select(Notice).where(Notice.id == claimed.notice_id)).one().tries = tries
        with database.writing() as session:
            outbox.mark_failed(session, replace(claimed, tries=tries), error, now)


def test_status_counts_and_shows_what_could_not_be_sent(sendproof: Command, database: Database) -> None:
    add(database, 1, tries=125, error="550 No\x1b[31m such user")
    add(database, 2)
    said = sendproof("status")
    assert "notices that wait: 1\n" in said
    assert "given up: 1\n" in said
    assert "is sendproof-notices running?" in said
    assert "550 No\\x1b[31m such user" in said


def test_an_empty_outbox_complains_of_nothing(sendproof: Command) -> None:
    said = sendproof("status")
    assert "notices that wait: 0\n" in said
    assert "running?" not in said


def test_what_was_given_up_is_sent_again(sendproof: Command, database: Database) -> None:
    add(database, 1, tries=125, error="refused")
    add(database, 2, tries=125, error="refused")
    assert sendproof("retry", "1") == "to be sent again: 1\n"
    assert sendproof("retry", "--all") == "to be sent again: 1\n"
    with database.reading() as session:
        assert set(session.scalars(select(Notice.state))) == {"waiting"}


@pytest.mark.parametrize("arguments", [(), ("1", "--all"), ("7",)])
def test_retry_wants_one_that_there_is_or_all(sendproof: Command, arguments: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=r"sendproof notices status|is none that was given up"):
        sendproof("retry", *arguments)
