"""What a mail log says of every recipient, line by line, and where the record says something else.

Shares no parser with us: each line is read from its right end, where Postfix writes what it knows (global/log_adhoc.c).
Good for logs of one machine with long queue ids and ordinary local parts. What a journal says is not looked at.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

from sqlalchemy import text

from sendproof_core.database import Database

_LINE = re.compile(rb"(\w{3} [ \d]\d [\d:]{8}) \S+ (postfix\S*)\[\d+\]: ([0-9A-Za-z]{10,20}): (.*)")
_STATUS = re.compile(
    rb"to=<(.*?)>, (?:orig_to=<.*?>, )?relay=.*, (?:conn_use=\d+, )?delay=[\d.]+, delays=[\d./]+,"
    rb" dsn=([245]\.\d+\.\d+), status=(\w+) \((.*)\)"
)
_SUSPENDED = b"delivery temporarily suspended: "
# What is "sent" there came back to us as a copy for that recipient, whose own status lines count.
_COPYING = "sendproof-split/smtp"
_STATE = {"sent": "delivered", "bounced": "bounced", "deferred": "deferred"}
_FINAL = frozenset(("delivered", "bounced", "expired", "cancelled", "handed on"))
# What the record may say of a recipient whose mail goes on in a copy: nothing final.
_HANDED_ON = frozenset(("queued", "unknown"))
_MOST_SHOWN = 12

Key = tuple[str, str]
T = TypeVar("T")


class Said(NamedTuple):
    """What one status line says."""

    service: str
    dsn: str
    status: str
    text: str


class LogOracle:
    """What the lines say that it was given, in their order."""

    def __init__(self) -> None:
        self.lines = 0
        self.attempts: dict[Key, list[Said]] = {}
        self.suspensions: Counter[Key] = Counter()
        self.queue_ids: set[str] = set()
        # None: the log does not say enough to know it.
        self.states: dict[Key, str | None] = {}
        self._recipients: dict[str, set[Key]] = {}

    def take(self, lines: Iterable[bytes]) -> None:
        """Go on with these lines."""
        for line in lines:
            self.lines += 1
            found = _LINE.fullmatch(line)
            if found:
                self._take(found[2].decode(), found[3].decode(), found[4])

    def differences(self, database: Database) -> list[str]:
        """Where the record says something else: a few of them, in words. Empty: it is equal."""
        record = _Record(database)
        found = [
            *_unlike("attempts", self.attempts, record.attempts),
            *_unlike("suspensions", dict(self.suspensions), record.suspensions),
            *_unlike("state", *self._known(record.states)),
            *_unlike("queue files", dict.fromkeys(self.queue_ids, 1), dict(record.queue_ids)),
        ]
        if record.recipient_rows != len(self.states):
            found.append(f"recipients: {len(self.states)} in the log, {record.recipient_rows} rows")
        return found

    def _take(self, service: str, queue_id: str, said: bytes) -> None:
        daemon = service.rpartition("/")[2]
        self.queue_ids.add(queue_id)
        status = _STATUS.fullmatch(said)
        if status:
            self._take_status(service, queue_id, status)
        elif b", status=expired, returned to sender" in said:
            self._end_all(queue_id, "expired")
        elif daemon == "postsuper" and said == b"removed":
            self._end_all(queue_id, "cancelled")
        elif daemon == "postsuper" and said == b"placed on hold":
            self._end_all(queue_id, "held")
        elif daemon == "postsuper":
            self._end_all(queue_id, None)

    def _take_status(self, service: str, queue_id: str, found: re.Match[bytes]) -> None:
        address, dsn, status, words = (part.decode("utf-8", "replace") for part in found.groups())
        key = (queue_id, address)
        self._recipients.setdefault(queue_id, set()).add(key)
        if found[4].startswith(_SUSPENDED):
            self.suspensions[key] += 1
            self.states[key] = "deferred"
            return
        self.attempts.setdefault(key, []).append(Said(service, dsn, status, words))
        is_copied = service.endswith(_COPYING) and status == "sent"
        self.states[key] = "handed on" if is_copied else _STATE[status]

    def _end_all(self, queue_id: str, state: str | None) -> None:
        for key in self._recipients.get(queue_id, ()):
            if self.states[key] not in _FINAL:
                self.states[key] = state

    def _known(self, recorded: dict[Key, str]) -> tuple[dict[Key, str], dict[Key, str]]:
        known = {key: state for key, state in self.states.items() if state is not None}
        comparable = {
            key: "handed on" if state in _HANDED_ON and known.get(key) == "handed on" else state
            for key, state in recorded.items()
            if self.states.get(key, state) is not None
        }
        return known, comparable


class _Record:
    """The same, from the record."""

    def __init__(self, database: Database) -> None:
        recipients = text(
            "SELECT recipients.id, queue_id, COALESCE(final_address, address) AS address, state, suspensions"
            " FROM recipients JOIN queue_files ON queue_files.id = recipients.queue_file_id"
        )
        attempts = text("SELECT recipient_id, service, dsn, status, text FROM attempts ORDER BY id")
        with database.reading() as session:
            rows = session.execute(recipients).all()
            said = session.execute(attempts).all()
            self.queue_ids = Counter(session.execute(text("SELECT queue_id FROM queue_files")).scalars())
        keys = {row.id: (row.queue_id, row.address) for row in rows}
        self.recipient_rows = len(rows)
        self.states: dict[Key, str] = {keys[row.id]: row.state for row in rows}
        self.suspensions = {keys[row.id]: row.suspensions for row in rows if row.suspensions}
        self.attempts: dict[Key, list[Said]] = {}
        for recipient_id, *words in said:
            self.attempts.setdefault(keys[recipient_id], []).append(Said(*words))


def _unlike(what: str, logged: Mapping[T, object], recorded: Mapping[T, object]) -> list[str]:
    if logged == recorded:
        return []
    keys = [key for key in {**logged, **recorded} if logged.get(key) != recorded.get(key)]
    shown = [f"{what} of {key}: log {logged.get(key)}, record {recorded.get(key)}" for key in keys[:_MOST_SHOWN]]
    return [f"{what}: {len(keys)} differ", *shown]
