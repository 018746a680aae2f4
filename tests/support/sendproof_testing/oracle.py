"""What the mail log says, read without any of our parsers: the record must agree with it.

A right-anchored look at delivery status lines (Postfix global/log_adhoc.c), nothing else. Good for logs that the
sandbox's own Postfix wrote: no strange local parts, long queue ids. Recipients are those behind aliases.
"""

import re
from collections import defaultdict
from pathlib import Path

from sqlalchemy import text

from sendproof_core.database import Database

_STATUS = re.compile(r"postfix/(\S+)\[\d+\]: (\w+): to=<([^>]*)>, .*?, dsn=\S+, status=(sent|deferred|bounced) \(")
# What is "sent" there came back to us as a copy for that recipient, whose own status lines count.
_COPYING = "sendproof-split/smtp"
_LAST = {"sent": "delivered", "copied": "queued", "deferred": "deferred", "bounced": "bounced"}

# (queue id, recipient) -> the statuses of its attempts, in order
Attempts = dict[tuple[str, str], list[str]]


def attempts_in_log(*maillogs: Path) -> Attempts:
    """Every delivery status line of these files, in their order."""
    found: Attempts = defaultdict(list)
    for path in maillogs:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            match = _STATUS.search(line)
            if match:
                service, queue_id, recipient, status = match.groups()
                found[queue_id, _plain(recipient)].append(_plain_status(service, status))
    return dict(found)


def _plain_status(service: str, status: str) -> str:
    return "copied" if service.endswith(_COPYING) and status == "sent" else status


def _plain(address: str) -> str:
    """Postfix quotes a local part where the client did not, and the reverse."""
    return address.replace('"', "")


def queue_ids_in_log(maillog: Path) -> set[str]:
    """Every message that the queue manager took: what was really queued."""
    return set(re.findall(r": (\w+): from=<.*\(queue active\)", maillog.read_text(encoding="utf-8", errors="replace")))


def attempts_in_record(database: Database) -> Attempts:
    """The same, from the record."""
    query = text(
        "SELECT queue_files.queue_id, COALESCE(final_address, address), attempts.service, attempts.status FROM attempts"
        " JOIN recipients ON recipients.id = attempts.recipient_id"
        " JOIN queue_files ON queue_files.id = recipients.queue_file_id ORDER BY attempts.id"
    )
    found: Attempts = defaultdict(list)
    with database.reading() as session:
        for queue_id, recipient, service, status in session.execute(query):
            found[queue_id, _plain(recipient)].append(_plain_status(service, status))
    return dict(found)


def states_in_record(database: Database) -> dict[tuple[str, str], str]:
    """(queue id, recipient) -> state, for every recipient of the record."""
    query = text(
        "SELECT queue_files.queue_id, COALESCE(final_address, address), recipients.state FROM recipients"
        " JOIN queue_files ON queue_files.id = recipients.queue_file_id"
    )
    with database.reading() as session:
        return {(queue_id, _plain(recipient)): state for queue_id, recipient, state in session.execute(query)}


def expected_states(attempts: Attempts) -> dict[tuple[str, str], str]:
    """The state that follows from the last status line of each recipient."""
    return {key: _LAST[statuses[-1]] for key, statuses in attempts.items()}
