"""The schema changes while mail flows and the milter is killed before and after: nothing is lost or free."""

from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from sendproof_core import schema_version
from sendproof_testing import ledger, mail, oracle
from sendproof_testing.installation import ACCEPT, Options
from sendproof_testing.sandbox import Sandbox, running
from sendproof_testing.sending import send_until_accepted
from sendproof_testing.steady_clients import sending

pytestmark = [pytest.mark.integration]

_BEFORE = "0006"
_MESSAGE = b"From: %s\r\nTo: you@example.net\r\nSubject: %s\r\n\r\nHello\r\n"


def kill(sandbox: Sandbox, name: str) -> None:
    program = sandbox.programs[name]
    program.process.kill()
    program.process.wait()
    sandbox.restart(name)


def test_mail_flows_while_the_schema_is_brought_up_to_date(own_folder: Path, empty_database_url: str) -> None:
    url = None if empty_database_url.startswith("sqlite") else empty_database_url
    with running(own_folder, Options(database_url=url, schema=_BEFORE, keeper_seconds=1)) as sandbox:
        reader = sandbox.programs["logparser"].log
        mail.wait_until(lambda: "event=waiting-for-schema" in reader.read_text(), 20, "a logparser that waits")
        with sending(sandbox) as clients:
            clients.wait_for_more(2)
            kill(sandbox, "milter")
            clients.wait_for_more(2)
            _upgrade(sandbox)
            clients.wait_for_more(2)
            kill(sandbox, "milter")
            for name in ("web", "notices"):
                sandbox.restart(name)
            clients.wait_for_more(2)
            sent = clients.end()
        assert sandbox.programs["logparser"].running
        mail.wait_until(lambda: "event=schema-is-there" in reader.read_text(), 20, "a logparser that goes on")
        _make_newer(sandbox)
        kill(sandbox, "milter")
        content = _MESSAGE % (sandbox.installation.login.address.encode(), b"last")
        send_until_accepted(sandbox, [f"last@{ACCEPT}"], content)
        _check_all(sandbox, [*sent, f"last@{ACCEPT}"])


def _upgrade(sandbox: Sandbox) -> None:
    with closing(sandbox.database()) as database:
        assert schema_version.upgrade(database)
        schema_version.check(database)


def _make_newer(sandbox: Sandbox) -> None:
    """As an update of another machine's would, that changed nothing which this one's programs know."""
    with closing(sandbox.database()) as database, database.writing_connection() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))
        connection.execute(text("UPDATE schema_compatibility SET oldest_program = '0007'"))


def _check_all(sandbox: Sandbox, sent: list[str]) -> None:
    maillog = sandbox.installation.maillog
    with closing(sandbox.database()) as database:
        mail.wait_until(
            lambda: (record := oracle.attempts_in_record(database)) and record == oracle.attempts_in_log(maillog),
            60,
            "the record as the log",
        )
    for address in sent:
        assert len(mail.received_by(sandbox.installation.mail_folder, address)) == 1, address
    ledger.settle(sandbox, seconds=60)
