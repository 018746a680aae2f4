"""A transcript as one JSON object: what `sendproof transcript show --format json` prints (docs/commands.md). Pure.

Times are RFC 3339 in UTC. Texts are as they were said, also where they are hostile: JSON escapes what a terminal would
obey. Holds no secret: AUTH is redacted before anything is stored.
"""

import datetime as dt
import json
from typing import Any

from sendproof_core import remote_reply
from sendproof_core.queue_times import QueueTimes
from sendproof_core.receipt import Receipt
from sendproof_core.states import RecipientState
from sendproof_core.transcript_answer import Case, answer
from sendproof_core.transcript_story import evidence
from sendproof_core.transcripts import (
    AttemptView,
    GapView,
    HopView,
    MessageSummary,
    MessageView,
    OpenView,
    OriginView,
    RecipientView,
    Transcript,
)

Object = dict[str, Any]


def to_text(value: Object) -> str:
    """On one line, in ASCII: no text in it can reach a terminal as anything but letters."""
    return json.dumps(value, ensure_ascii=True, separators=(", ", ": "))


def transcript(found: Transcript, queue_times: QueueTimes, now: dt.datetime) -> Object:
    """The whole transcript, recipient by recipient."""
    return {
        "message": _message(found.message),
        "recipients": [
            _recipient(Case(found.message, recipient, queue_times, dt.UTC, now)) for recipient in found.recipients
        ],
    }


# Of the account, or of what only the sender is told.
_NOT_FOR_OUTSIDERS = ("login", "credential", "client_address", "client_tls", "pixel", "wire_edits", "test_mode")


def hand_over(redacted: Transcript, queue_times: QueueTimes, now: dt.datetime) -> Object:
    """For the recipient's IT department. ``redacted``: by `redaction`; what an outsider is not told, is not there."""
    message = _message(redacted.message)
    cases = (Case(redacted.message, view, queue_times, dt.UTC, now, to_outsider=True) for view in redacted.recipients)
    return {
        "message": {name: value for name, value in message.items() if name not in _NOT_FOR_OUTSIDERS},
        "recipients": [{name: value for name, value in _recipient(case).items() if name != "opens"} for case in cases],
    }


def summary(line: MessageSummary) -> Object:
    """A line of a search."""
    return {
        "id": str(line.id) if line.is_admitted else None,
        "host": line.host,
        "queue_id": line.queue_id,
        "submitted_at": moment(line.submitted_at),
        "subject": line.subject,
        "recipients": [{"address": address, "state": state.value} for address, state in line.recipients],
        "opened": line.opened if line.is_admitted else None,
        "test_mode": line.test_mode if line.is_admitted else None,
    }


def moment(value: dt.datetime | None) -> str | None:
    """RFC 3339 with microseconds, ``2026-11-22T13:03:05.214000Z``."""
    return f"{value.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%S.%f}Z" if value else None


def _message(message: MessageView) -> Object:
    """What nothing says is null."""
    signatures = [
        {"domain": domain, "selector": selector, "algorithm": algorithm}
        for domain, selector, algorithm in message.signatures
    ]
    return {
        "id": str(message.id) if message.is_admitted else None,
        "login": message.login,
        "credential": message.credential_label,
        "submitted_at": moment(message.submitted_at),
        "envelope_sender": message.envelope_sender,
        "message_id": message.message_id_header,
        "subject": message.subject,
        "size_octets": message.size_bytes,
        "client_address": message.client_address,
        "client_tls": message.client_tls,
        "signatures": signatures if message.is_admitted else None,
        "pixel": message.pixel,
        "wire_edits": list(message.wire_edits) if message.is_admitted else None,
        "test_mode": message.test_mode if message.is_admitted else None,
        "host": message.host,
        "queue_id": message.queue_id,
        "queued_at": moment(message.queued_at),
        "origin": _origin(message.origin) if message.origin else None,
        "gaps": [_gap(gap) for gap in message.gaps],
    }


def _origin(origin: OriginView) -> Object:
    return {"queue_id": origin.queue_id, "kind": origin.kind.value}


def _recipient(case: Case) -> Object:
    recipient = case.recipient
    is_waiting = recipient.state is RecipientState.DEFERRED and case.next_attempt is not None
    return {
        "address": recipient.address,
        "final_address": recipient.final_address,
        "state": recipient.state.value,
        "state_at": moment(recipient.state_at),
        "answer": list(answer(case).sentences),
        "hops": [_hop(hop) for hop in recipient.hops],
        "suspended": _suspended(recipient),
        "next_attempt_at": moment(case.next_attempt) if is_waiting else None,
        "gives_up_at": moment(case.queue_times.gives_up(case.born)) if is_waiting else None,
        "attempts": [_attempt(attempt) for attempt in recipient.attempts],
        "opens": [_open(view) for view in recipient.opens] if case.message.is_admitted else None,
        "evidence": evidence(case),
    }


def _suspended(recipient: RecipientView) -> Object | None:
    if recipient.suspended_at is None:
        return None
    because = recipient.suspended_because
    return {"at": moment(recipient.suspended_at), "because": because, "times": recipient.suspensions}


def _open(view: OpenView) -> Object:
    return {
        "at": moment(view.at),
        "grade": view.grade,
        "user_agent": view.user_agent,
        "client_address": view.client_address,
        "shared": view.shared,
    }


def _hop(hop: HopView) -> Object:
    return {
        "at": moment(hop.at),
        "kind": hop.kind.value,
        "from_queue_id": hop.from_queue_id,
        "queue_id": hop.queue_id,
        "host": hop.host,
        "evidence": hop.evidence,
    }


def _attempt(attempt: AttemptView) -> Object:
    reply = remote_reply.read(attempt.reply)
    return {
        "at": moment(attempt.at),
        "queue_id": attempt.queue_id,
        "host": attempt.host,
        "service": attempt.service,
        "status": attempt.status,
        "dsn": attempt.dsn,
        "relay": attempt.relay,
        "delay_seconds": attempt.delay_seconds,
        "delays_seconds": list(attempt.delays_seconds),
        "tls": attempt.tls,
        "reply": {
            "text": attempt.reply,
            "code": reply.code,
            "enhanced_code": reply.enhanced_code,
            "lines": list(reply.lines),
            "in_reply_to": reply.stage,
            "cause": reply.cause.value,
            "fault": reply.fault.value if reply.fault else None,
        },
        "receipt": _receipt(attempt.receipt),
        "troubles": list(attempt.troubles),
        "dialogue": [
            {"at": moment(line.at), "from": "server" if line.from_server else "client", "text": line.text}
            for line in attempt.dialogue
        ],
    }


def _receipt(receipt: Receipt | None) -> Object | None:
    if receipt is None:
        return None
    return {
        "text": receipt.text,
        "code": receipt.code,
        "enhanced_code": receipt.enhanced_code,
        "lines": list(receipt.lines),
        "remote_queue_id": receipt.remote_queue_id,
        "receiver": receipt.receiver.value if receipt.receiver else None,
    }


def _gap(gap: GapView) -> Object:
    return {
        "host": gap.host,
        "source": gap.source,
        "begins_at": moment(gap.begins_at),
        "ends_at": moment(gap.ends_at),
        "lines": gap.lines,
        "text": gap.text,
    }
