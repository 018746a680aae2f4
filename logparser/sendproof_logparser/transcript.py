"""Correlation: which events belong together, as changes to the record. Pure: events in, changes out.

Owns the smtp processes: the conversation that each of them is in, the troubles before it, and which status lines share
it. What a change does to a queue file's recipients is `queue_file`'s matter; nothing is read or stored here.

The dialogue belongs to a *delivery*: all lines of one smtp process from the greeting (or, on a reused connection, from
its MAIL FROM) to the next such start. Refused recipients' status lines stand in the middle of it, the others' near its
end, and QUIT or RSET after them.
"""

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from sendproof_core.identity import QueueFileKey
from sendproof_core.journal_records import Admitted, Copied, Opened, Refused
from sendproof_logparser import grammar
from sendproof_logparser.grammar import DialogueLine, StatusLine, TlsSession, Trouble
from sendproof_logparser.syslog_line import SyslogLine

# A process that was silent for this long is not in a conversation any more (smtp_data_done_timeout is 600 s).
_IDLE = dt.timedelta(hours=1)
# A server's refusal counts as a trouble of the next delivery of the same queue file only if that follows at once.
_AT_ONCE = dt.timedelta(seconds=60)
# A server that never ends its replies must not fill the memory; smtp_destination_recipient_limit is 50.
_DIALOGUE_LINES = 2_000
_TROUBLES = 100
_VERBS = frozenset(
    ("EHLO", "HELO", "LHLO", "STARTTLS", "AUTH", "XFORWARD", "XCLIENT", "MAIL", "RCPT", "DATA", "BDAT", ".", "RSET",
     "NOOP", "QUIT", "VRFY", "ETRN")
)  # fmt: skip
_HIDDEN = "[hidden]"
_BASE_64 = re.compile(r"[0-9A-Za-z+/=*]*")  # "*" cancels (RFC 4954 section 4)


class ProcessKey(NamedTuple):
    """One process on one host; ``service`` is its whole tag, instance included."""

    host: str
    service: str
    pid: int


class DeliveryKey(NamedTuple):
    """One conversation of a process, as long as it is open."""

    process: ProcessKey
    number: int


@dataclass(frozen=True, slots=True)
class QueueFileFacts:
    """A queue file exists, and what one line says of it; None: the line does not say.

    ``begins``: such a line is the first, or among the first, of a queue file's life.
    """

    key: QueueFileKey
    at: dt.datetime
    begins: bool = True
    client: str | None = None
    login: str | None = None
    message_id_header: str | None = None
    envelope_sender: str | None = None
    size_bytes: int | None = None
    recipient_count: int | None = None
    parent_queue_id: str | None = None


@dataclass(frozen=True, slots=True)
class Attempted:
    """A delivery status line. ``delivery``: the conversation that it came out of, if there was one."""

    key: QueueFileKey
    at: dt.datetime
    service: str
    daemon: str
    status_line: StatusLine
    delivery: DeliveryKey | None


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """All that is known of a conversation so far; a later one with the same ``delivery`` replaces it."""

    delivery: DeliveryKey
    key: QueueFileKey
    began_at: dt.datetime
    tls: str | None
    dialogue: tuple[tuple[str, str, str], ...]
    troubles: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class QueueFileDisposed:
    """Something was done with a queue file as a whole."""

    key: QueueFileKey
    at: dt.datetime
    disposition: grammar.Disposition


Change = QueueFileFacts | Attempted | DeliveryState | QueueFileDisposed | Admitted | Copied | Refused | Opened


@dataclass(slots=True)
class _Conversation:
    """What one smtp process is doing."""

    number: int
    began_at: dt.datetime
    changed_at: dt.datetime
    peer: str = ""
    tls: str | None = None
    # Of each line: its time, "C" or "S", its text
    dialogue: list[list[str]] = field(default_factory=list)
    # Of each: its time, its text, the queue id that it named or ""
    troubles: list[list[str]] = field(default_factory=list)
    # Of the status lines so far; empty before the first.
    queue_id: str = ""
    relay: str = ""
    last_verb: str = ""
    mail_from_seen: bool = False
    authenticating: bool = False
    # Commands without a complete reply yet: with pipelining, replies come after QUIT was sent.
    unanswered: int = 0
    reply_continues: bool = False
    # The first status line found something worth a delivery's row.
    is_delivery: bool = False
    # Something was added since the last `DeliveryState`.
    unreported: bool = False

    @property
    def has_substance(self) -> bool:
        return bool(self.dialogue or self.troubles or self.tls)


class Conversations:
    """The conversations that smtp processes are in; as large as the number of such processes."""

    def __init__(self) -> None:
        self._open: dict[ProcessKey, _Conversation] = {}
        self._touched: set[ProcessKey] = set()
        self._newest = dt.datetime.min.replace(tzinfo=dt.UTC)

    def __len__(self) -> int:
        return len(self._open)

    def restore(self, process: ProcessKey, state: dict[str, Any]) -> None:
        """Take up a conversation where `finish_batch` left it."""
        times = {name: dt.datetime.fromisoformat(state[name]) for name in ("began_at", "changed_at")}
        self._open[process] = _Conversation(**(state | times))
        self._newest = max(self._newest, times["changed_at"])

    def current(self, line: SyslogLine, changes: list[Change]) -> tuple[ProcessKey, _Conversation]:
        """The conversation of the process that wrote a line; a new one if there is none."""
        process = ProcessKey(line.host, line.program[:100], line.pid)
        self._newest = max(self._newest, line.at)
        self._touched.add(process)
        conversation = self._open.get(process)
        if conversation is None:
            conversation = self._open[process] = _Conversation(1, line.at, line.at)
        elif line.at - conversation.changed_at > _IDLE:
            conversation = self.start(process, line.at, "", changes)
            conversation.troubles = []
        conversation.changed_at = max(conversation.changed_at, line.at)
        return process, conversation

    def start(self, process: ProcessKey, at: dt.datetime, peer: str, changes: list[Change]) -> _Conversation:
        """End the process's conversation and begin the next, which inherits the troubles that led to it."""
        old = self._open[process]
        if old.unreported and old.is_delivery:
            changes.append(_state(process, old))
        new = self._open[process] = _Conversation(old.number + 1, at, at, peer, troubles=_inherited(old, at))
        return new

    def finish_batch(self) -> tuple[list[Change], dict[ProcessKey, dict[str, Any] | None]]:
        """What a batch leaves behind: states not yet reported, and each touched conversation, None where it ended."""
        changes: list[Change] = []
        for process in self._touched:
            conversation = self._open[process]
            if conversation.unreported and conversation.is_delivery:
                changes.append(_state(process, conversation))
                conversation.unreported = False
        saved: dict[ProcessKey, dict[str, Any] | None] = {}
        for process in [key for key, value in self._open.items() if self._newest - value.changed_at > _IDLE]:
            del self._open[process]
            saved[process] = None
        for process in self._touched - saved.keys():
            saved[process] = _plain(self._open[process])
        self._touched = set()
        return changes, saved


def advance(conversations: Conversations, line: SyslogLine, event: grammar.Event) -> list[Change]:
    """Take one event in; return what it changes in the record, in order."""
    match event:
        case DialogueLine():
            return _dialogue(conversations, line, event)
        case StatusLine():
            return _status(conversations, line, event)
        case Trouble():
            return _trouble(conversations, line, event)
        case TlsSession():
            return _tls(conversations, line, event)
        case grammar.ClientSeen():
            return [QueueFileFacts(_key(line, event.queue_id), line.at, client=event.client, login=event.login)]
        case grammar.PickedUp():
            return [QueueFileFacts(_key(line, event.queue_id), line.at, envelope_sender=event.sender)]
        case grammar.MessageIdSeen():
            key = _key(line, event.queue_id)
            return [QueueFileFacts(key, line.at, message_id_header=event.message_id_header)]
        case grammar.QueueActive():
            return [
                QueueFileFacts(
                    _key(line, event.queue_id),
                    line.at,
                    envelope_sender=event.sender,
                    size_bytes=event.size_bytes,
                    recipient_count=event.recipient_count,
                )
            ]
        case grammar.NotificationSent():
            key = _key(line, event.child_queue_id)
            return [QueueFileFacts(key, line.at, begins=False, parent_queue_id=event.queue_id)]
        case grammar.Disposed():
            return [QueueFileDisposed(_key(line, event.queue_id), line.at, event.disposition)]


def _key(line: SyslogLine, queue_id: str) -> QueueFileKey:
    known = grammar.instance_and_daemon(line.program)
    return QueueFileKey(line.host, known[0] if known else "", queue_id)


def _status(conversations: Conversations, line: SyslogLine, event: StatusLine) -> list[Change]:
    known = grammar.instance_and_daemon(line.program)
    instance, daemon = known or ("", "")
    if event.status in {"deliverable", "undeliverable", "undeliverable-but-not-cached"}:
        return []  # global/verify.c: an address probe; no message was sent
    key = QueueFileKey(line.host, instance, event.queue_id)
    service = line.program[:100]
    if not grammar.speaks_smtp(daemon):
        return [Attempted(key, line.at, service, daemon, event, None)]
    changes: list[Change] = []
    process, conversation = conversations.current(line, changes)
    if conversation.queue_id and (conversation.queue_id, conversation.relay) != (event.queue_id, event.relay):
        # No start was seen: dialogue lines are switched off, and the connection was reused or none was made.
        tls = conversation.tls if conversation.peer == event.relay else None
        conversation = conversations.start(process, line.at, event.relay, changes)
        conversation.tls = tls
    if not conversation.queue_id:
        conversation.queue_id, conversation.relay = event.queue_id, event.relay
        conversation.troubles = [trouble for trouble in conversation.troubles if trouble[2] in {"", event.queue_id}]
        conversation.is_delivery = conversation.has_substance
        if conversation.is_delivery:
            changes.append(_state(process, conversation))
            conversation.unreported = False
    delivery = DeliveryKey(process, conversation.number) if conversation.is_delivery else None
    changes.append(Attempted(key, line.at, service, daemon, event, delivery))
    return changes


def _trouble(conversations: Conversations, line: SyslogLine, event: Trouble) -> list[Change]:
    changes: list[Change] = []
    process, conversation = conversations.current(line, changes)
    if conversation.queue_id and event.queue_id != conversation.queue_id:
        conversation = conversations.start(process, line.at, "", changes)
    if len(conversation.troubles) < _TROUBLES:
        conversation.troubles.append([line.at.isoformat(), event.text, event.queue_id or ""])
        conversation.unreported = True
    return changes


def _tls(conversations: Conversations, line: SyslogLine, event: TlsSession) -> list[Change]:
    changes: list[Change] = []
    process, conversation = conversations.current(line, changes)
    if conversation.queue_id or conversation.peer not in {"", event.peer}:
        conversation = conversations.start(process, line.at, event.peer, changes)
    conversation.peer = event.peer
    conversation.tls = event.text
    conversation.unreported = True
    return changes


def _dialogue(conversations: Conversations, line: SyslogLine, event: DialogueLine) -> list[Change]:
    changes: list[Change] = []
    process, conversation = conversations.current(line, changes)
    verb = "" if event.from_server else event.text.split(" ", 1)[0].upper()
    if event.peer != conversation.peer:
        starts, keeps_tls = bool(conversation.peer or conversation.queue_id), False
    elif event.from_server:
        starts, keeps_tls = _is_greeting(conversation, line.program, event.text), False
    else:
        starts, keeps_tls = _begins_reuse(conversation, event.text), True
    if starts:
        tls = conversation.tls if keeps_tls else None
        conversation = conversations.start(process, line.at, event.peer, changes)
        conversation.tls = tls
    elif not conversation.dialogue:
        conversation.began_at = line.at
    conversation.peer = event.peer
    text = _from_server(conversation, event.text) if event.from_server else _from_client(conversation, verb, event.text)
    if len(conversation.dialogue) < _DIALOGUE_LINES:
        conversation.dialogue.append([line.at.isoformat(), "S" if event.from_server else "C", text])
        conversation.unreported = True
    return changes


def _begins_reuse(conversation: _Conversation, text: str) -> bool:
    """Whether a command begins another transaction on the same connection; XFORWARD stands before MAIL FROM."""
    if not text.startswith(("MAIL FROM:", "XFORWARD ")):
        return False
    return bool(conversation.queue_id) or conversation.mail_from_seen


def _is_greeting(conversation: _Conversation, program: str, text: str) -> bool:
    """Whether a server's line begins a new conversation rather than answering a command of this one."""
    if not conversation.dialogue:
        return bool(conversation.queue_id)  # the TLS line of a wrapped connection came first: it belongs to this one
    if conversation.reply_continues:
        return False
    if text.startswith("220"):
        return not (conversation.last_verb == "STARTTLS" and conversation.unanswered)
    # 554 or 421 as a greeting, after the old connection was ended. RFC 5321 section 4.2.3: 221 answers QUIT.
    # LMTP has one reply for each recipient after the final dot, so there replies are not counted.
    if conversation.last_verb != "QUIT" or text.startswith("221") or program.endswith("/lmtp"):
        return False
    return conversation.unanswered == 0


def _from_server(conversation: _Conversation, text: str) -> str:
    conversation.reply_continues = text[3:4] == "-"
    if not conversation.reply_continues:
        conversation.unanswered = max(0, conversation.unanswered - 1)
    if not conversation.authenticating:
        return text
    if text.startswith("334"):  # RFC 4954: a challenge
        return f"334 {_HIDDEN}"
    conversation.authenticating = conversation.reply_continues
    return text


def _from_client(conversation: _Conversation, verb: str, text: str) -> str:
    if verb not in _VERBS or (conversation.authenticating and _BASE_64.fullmatch(text)):
        conversation.unanswered += 1
        return _HIDDEN  # RFC 4954: an answer to a challenge, or nothing that an SMTP client says in the open
    conversation.authenticating = verb == "AUTH"
    conversation.last_verb = verb
    if verb == "MAIL":
        conversation.mail_from_seen = True
    if verb != "QUIT":  # Postfix does not wait for its answer (smtp_skip_quit_response)
        conversation.unanswered += 1
    if verb == "AUTH":
        mechanism = text.split(" ", 2)[1] if " " in text else ""
        return f"AUTH {mechanism} {_HIDDEN}"
    return text


def _inherited(old: _Conversation, at: dt.datetime) -> list[list[str]]:
    if not old.queue_id:
        return old.troubles
    # Status lines were written already: only what other recipients of the same request met goes on.
    fresh: Iterable[list[str]] = (trouble for trouble in old.troubles if trouble[2])
    return [trouble for trouble in fresh if at - dt.datetime.fromisoformat(trouble[0]) <= _AT_ONCE]


def _state(process: ProcessKey, conversation: _Conversation) -> DeliveryState:
    known = grammar.instance_and_daemon(process.service)
    return DeliveryState(
        delivery=DeliveryKey(process, conversation.number),
        key=QueueFileKey(process.host, known[0] if known else "", conversation.queue_id),
        began_at=conversation.began_at,
        tls=conversation.tls,
        dialogue=tuple((at, speaker, text) for at, speaker, text in conversation.dialogue),
        troubles=tuple((at, text) for at, text, _ in conversation.troubles),
    )


def _plain(conversation: _Conversation) -> dict[str, Any]:
    plain = asdict(conversation)
    for name in ("began_at", "changed_at"):
        plain[name] = plain[name].isoformat()
    return plain
