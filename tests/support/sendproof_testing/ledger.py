"""The ledger beside the mail log: each accepted recipient is charged, and nothing else is. Uses no query of ours."""

import contextlib
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import text

from sendproof_core.database import Database
from sendproof_testing import mail
from sendproof_testing.installation import LOGIN
from sendproof_testing.sandbox import Sandbox

_SUBMITTED = re.compile(r"postfix/\w+/smtpd\[\d+\]: (\w+): client=.*sasl_username=(\S+)")
_QUEUED = re.compile(r"postfix/qmgr\[\d+\]: (\w+): from=<.*>, size=\d+, nrcpt=(\d+) \(queue active\)")


class Used(NamedTuple):
    """What was counted in one window."""

    messages: int
    recipients: int
    new_recipients: int


def accepted(maillog: Path, login: str = LOGIN) -> dict[str, int]:
    """Queue id -> how many recipients, of every message that Postfix took from this login."""
    words = maillog.read_text(encoding="utf-8", errors="replace")
    ours = {queue_id for queue_id, of_login in _SUBMITTED.findall(words) if of_login == login}
    return {queue_id: int(count) for queue_id, count in _QUEUED.findall(words) if queue_id in ours}


def charges(database: Database, account_id: int = 1) -> dict[str, int]:
    """Queue id -> recipients that were charged, all charges of one message added up."""
    query = text("SELECT queue_id, recipients FROM charges WHERE account_id = :account")
    found: Counter[str] = Counter()
    with database.reading() as session:
        for queue_id, recipients in session.execute(query, {"account": account_id}):
            found[queue_id] += recipients
    return dict(found)


def unsettled(database: Database, account_id: int = 1) -> int:
    """How many charges wait for the record's word."""
    query = text("SELECT count(*) FROM charges WHERE account_id = :account AND settled_at IS NULL")
    with database.reading() as session:
        return session.scalar(query, {"account": account_id}) or 0


def used(database: Database, account_id: int = 1) -> dict[str, Used]:
    """hour, day, month -> what the account has used; of several windows (a test over midnight) the sum."""
    query = text(
        "SELECT span, sum(messages), sum(recipients), sum(new_recipients) FROM quota_use"
        " WHERE account_id = :account GROUP BY span"
    )
    with database.reading() as session:
        return {span: Used(*map(int, counts)) for span, *counts in session.execute(query, {"account": account_id})}


def charged_recipients(database: Database, account_id: int = 1) -> int:
    """The sum over all charges; asserts that each window's use says the same."""
    total = sum(charges(database, account_id).values())
    counted = used(database, account_id)
    assert {counts.recipients for counts in counted.values()} <= {total}, counted
    return total


def settle(sandbox: Sandbox, login: str = LOGIN, account_id: int = 1, seconds: float = 30) -> dict[str, int]:
    """Wait until the charges are those that the mail log demands, and all confirmed; the charges."""
    database = sandbox.database()
    maillog = sandbox.installation.maillog

    def agrees() -> bool:
        return not unsettled(database, account_id) and charges(database, account_id) == accepted(maillog, login)

    try:
        with contextlib.suppress(AssertionError):  # what differs says more than that something does
            mail.wait_until(agrees, seconds, "charges as in the mail log")
        found, wanted = charges(database, account_id), accepted(maillog, login)
        assert found == wanted, {"too much": found.items() - wanted.items(), "missing": wanted.items() - found.items()}
        waiting = unsettled(database, account_id)
        assert waiting == 0, f"{waiting} charges are not confirmed"
        totals = len(found), sum(found.values())
        counted = used(database, account_id)
        assert {(count.messages, count.recipients) for count in counted.values()} <= {totals}, counted
        return found
    finally:
        database.close()
