"""The ledger and the record beside the mail logs of several edges. Uses no query and no parser of ours.

For mail of one envelope sender that takes no copies: each of its queue files is one message that a client handed in.
"""

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path

from sendproof_core.database import Database
from sendproof_testing import ledger, mail, oracle

_PATIENCE_SECONDS = 90.0
_FINAL = {"sent", "bounced"}


def queued(maillogs: Iterable[Path], sender: str) -> dict[str, int]:
    """Queue id -> how many recipients, of every message with this envelope sender that a queue manager took."""
    ours = re.compile(
        rf"postfix/qmgr\[\d+\]: (\w+): from=<{re.escape(sender)}>, size=\d+, nrcpt=(\d+) \(queue active\)"
    )
    return {
        queue_id: int(count)
        for maillog in maillogs
        for queue_id, count in ours.findall(maillog.read_text(encoding="utf-8", errors="replace"))
    }


def settle(
    database: Database, maillogs: Iterable[Path], sender: str, account_id: int, seconds: float = _PATIENCE_SECONDS
) -> dict[str, int]:
    """Wait until the charges are those that the mail logs demand, and all confirmed; the charges.

    Raises:
        AssertionError: they are not, with what differs.
    """
    maillogs = list(maillogs)

    def agrees() -> bool:
        found = ledger.charges(database, account_id)
        return not ledger.unsettled(database, account_id) and found == queued(maillogs, sender)

    with contextlib.suppress(AssertionError):  # what differs says more than that something does
        mail.wait_until(agrees, seconds, "charges as in the mail logs")
    found, wanted = ledger.charges(database, account_id), queued(maillogs, sender)
    assert found == wanted, {"too much": found.items() - wanted.items(), "missing": wanted.items() - found.items()}
    assert ledger.unsettled(database, account_id) == 0
    assert ledger.charged_recipients(database, account_id) == sum(found.values())
    return found


def record_equals_logs(
    database: Database, maillogs: Iterable[Path], seconds: float = _PATIENCE_SECONDS
) -> dict[tuple[str, str], str]:
    """Wait until every recipient is final and the record says what the logs say, line by line; the states.

    Raises:
        AssertionError: it does not, with what differs.
    """
    maillogs = list(maillogs)
    logged: oracle.Attempts = {}
    recorded: oracle.Attempts = {}

    def agrees() -> bool:
        nonlocal logged, recorded
        logged, recorded = oracle.attempts_in_log(*maillogs), oracle.attempts_in_record(database)
        return logged == recorded and all(statuses[-1] in _FINAL for statuses in logged.values())

    with contextlib.suppress(AssertionError):
        mail.wait_until(agrees, seconds, "the record as the logs")
    differing = {key: (logged.get(key), recorded.get(key)) for key in logged.keys() | recorded.keys()}
    differing = {key: both for key, both in differing.items() if both[0] != both[1]}
    assert not differing, differing
    waiting = {key: statuses for key, statuses in logged.items() if statuses[-1] not in _FINAL}
    assert not waiting, waiting
    states = oracle.states_in_record(database)
    expected = oracle.expected_states(logged)
    assert {key: states.get(key) for key in expected} == expected
    return states
