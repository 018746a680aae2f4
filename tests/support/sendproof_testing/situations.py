"""The situations of tests/corpus/logs/situations: what stands in the files, and what a record says in their words.

Compares nothing and starts no reader. The language is described in that folder's README.md.
"""

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

from sendproof_core.schema import (
    Attempt,
    Delivery,
    LogGap,
    QueueFile,
    Recipient,
    Refusal,
    UnknownLine,
)
from sendproof_testing.record_reading import LOGS, NOW, Machine

FOLDER = LOGS / "situations"
_ONLY_FILE = "mail.log"

Said = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class LogLine:
    """One raw line; ``expected``: None where nothing stands above it."""

    raw: bytes
    expected: Said | None


@dataclasses.dataclass(frozen=True)
class Situation:
    """One file of the folder. ``files``: the lines of each log file in it, by name."""

    name: str
    files: dict[str, list[LogLine]]
    record: list[Said]
    setup: Said

    @property
    def now(self) -> dt.datetime:
        return dt.datetime.fromisoformat(self.setup["now"]) if "now" in self.setup else NOW

    @property
    def modified_at(self) -> dt.datetime:
        return dt.datetime.fromisoformat(self.setup["modified_at"]) if "modified_at" in self.setup else self.now

    @property
    def time_zone(self) -> str:
        return str(self.setup.get("time_zone", "UTC"))

    def prepare(self, machine: Machine) -> Machine:
        """Let the machine read the situation's files, which are not there yet."""
        folder = machine.maillog.parent
        machine.settings = dataclasses.replace(
            machine.settings,
            maillogs=tuple(folder / name for name in self.files),
            time_zone=self.time_zone,
            own_addresses=tuple(self.setup.get("own_addresses", ())),
            edges=tuple(self.setup.get("edges", ())),
        )
        return machine


def load(path: Path) -> Situation:
    """Read one file. It is octets: what other programs write is not always UTF-8."""
    files: dict[str, list[LogLine]] = {}
    record: list[Said] = []
    setup: Said = {}
    current, expected = _ONLY_FILE, None
    for raw in path.read_bytes().splitlines():
        if not raw.startswith(b"# "):
            files.setdefault(current, []).append(LogLine(raw, expected))
            expected = None
            continue
        word, _, rest = raw[2:].decode().partition(" ")
        match word:
            case "file:":
                current = rest
            case "setup:":
                setup = json.loads(rest)
            case "record:":
                record.append(json.loads(rest))
            case _ if word.startswith("{"):
                assert expected is None, f"two expectations above one line: {raw!r}"
                expected = json.loads(raw[2:])
            case _:
                pass  # words for the reader
    assert expected is None, f"an expectation above no line in {path.name}"
    return Situation(path.stem, files, record, setup)


def load_all() -> list[Situation]:
    return [load(path) for path in sorted(FOLDER.glob("*.txt"))]


def said_by(machine: Machine) -> list[Said]:
    """The whole record, and what follows from it, in the words of the situations, each fact once."""
    machine.derive()
    queue_files = sorted(machine.rows(QueueFile), key=lambda row: (row.queue_id, row.host, row.instance, row.born_at))
    recipients = machine.rows(Recipient)
    attempts, deliveries = machine.rows(Attempt), machine.rows(Delivery)
    said: list[Said] = []
    lives: dict[tuple[str, str, str], int] = {}
    for queue_file in queue_files:
        key = (queue_file.host, queue_file.instance, queue_file.queue_id)
        life = lives[key] = lives.get(key, 0) + 1
        of = {"host": queue_file.host, "instance": queue_file.instance, "life": life}
        own_recipients = [row for row in recipients if row.queue_file_id == queue_file.id]
        own_deliveries = sorted(
            (row for row in deliveries if row.queue_file_id == queue_file.id), key=lambda row: (row.began_at, row.id)
        )
        numbers = {row.id: number for number, row in enumerate(own_deliveries, 1)}
        said.append({"queue_file": queue_file.queue_id} | of | _queue_file(queue_file, own_recipients))
        for row in own_recipients:
            own_attempts = [attempt for attempt in attempts if attempt.recipient_id == row.id]
            said.append(
                {"recipient": row.address, "of": queue_file.queue_id} | of | _recipient(row, own_attempts, numbers)
            )
        said += [
            {"delivery": numbers[row.id], "of": queue_file.queue_id} | of | _delivery(row) for row in own_deliveries
        ]
    said += [{"refusal": _refusal(row)} for row in sorted(machine.rows(Refusal), key=lambda row: row.refused_at)]
    said += [{"gap": _gap(row)} for row in sorted(machine.rows(LogGap), key=lambda row: row.ends_at)]
    return said + [{"unknown": row.line} for row in machine.rows(UnknownLine)]


def _queue_file(row: Any, recipients: list[Any]) -> Said:
    return {
        "born_at": _moment(row.born_at),
        "sender": row.envelope_sender,
        "client": row.client,
        "login": row.login,
        "message_id": row.message_id_header,
        "size": row.size_bytes,
        "count": row.recipient_count,
        "parent": row.parent_queue_id,
        "parent_host": row.parent_host,
        "link": row.link_kind,
        "evidence": row.link_evidence,
        "disposition": row.disposition,
        "removed": row.removed_at is not None,
        "states": {recipient.address: recipient.state for recipient in recipients},
    }


def _recipient(row: Any, attempts: list[Any], numbers: dict[int, int]) -> Said:
    ordered = sorted(attempts, key=lambda attempt: (attempt.attempted_at, attempt.id))
    return {
        "final_address": row.final_address,
        "attempts": [
            [attempt.status, attempt.relay, attempt.text, numbers.get(attempt.delivery_id)] for attempt in ordered
        ],
        "at": [_moment(attempt.attempted_at) for attempt in ordered],
        "suspended": [row.suspensions, row.suspended_because],
    }


def _delivery(row: Any) -> Said:
    return {"tls": row.tls, "troubles": [text for _, text in row.troubles], "dialogue": len(row.dialogue)}


def _refusal(row: Any) -> Said:
    return {
        "source": row.source,
        "reason": row.reason,
        "login": row.login or None,
        "stage": row.stage,
        "client_address": row.client_address,
        "queue_id": row.queue_id,
        "reply": row.reply,
        "sender": row.envelope_sender,
        "recipients": list(row.recipients),
    }


def _gap(row: Any) -> Said:
    return {"lines": row.lines, "host": row.host, "text": row.text, "ends_at": _moment(row.ends_at)}


def _moment(at: dt.datetime) -> str:
    return at.isoformat()
