"""Correlation inside processes: what an smtp process was doing, and whose client an smtpd process has. Pure.

Events in, facts out: a *fact* is an event about a queue file, with the time, the process, and the delivery that a
status line came out of. What facts do to a queue file's recipients is `queue_file`'s matter; nothing is read or stored.

The dialogue belongs to a *delivery*: all lines of one smtp process from the greeting (or, on a reused connection, from
its MAIL FROM) to the next such start. Refused recipients' status lines stand in the middle of it, the others' near its
end, and QUIT or RSET after them.
"""

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

from sendproof_core.journal_records import Admitted, Copied, Opened, Refused, Withdrawn
from sendproof_logparser.events import (
    ClientLeft,
    ClientSeen,
    DialogueLine,
    Event,
    StatusLine,
    SubmissionRefused,
    TlsSession,
    Trouble,
)
from sendproof_logparser.process import Process

# A process that was silent for this long is not in a conversation any more (smtp_data_done_timeout is 600 s).
_IDLE = dt.timedelta(hours=1)
_NEVER = dt.datetime.min.replace(tzinfo=dt.UTC)
# A server's refusal counts as a trouble of the next delivery of the same queue file only if that follows at once.
_AT_ONCE = dt.timedelta(seconds=60)
# A server that never ends its replies must not fill the memory; smtp_destination_recipient_limit is 50.
_DIALOGUE_LINES = 2_000
_TROUBLES = 100
_SETTLED = 1_000
# util/msg_output.c: a longer text is none of Postfix's.
_TEXT = 2_000
_VERBS = frozenset(
    ("EHLO", "HELO", "LHLO", "STARTTLS", "AUTH", "XFORWARD", "XCLIENT", "MAIL", "RCPT", "DATA", "BDAT", ".", "RSET",
     "NOOP", "QUIT", "VRFY", "ETRN")
)  # fmt: skip
_HIDDEN = "[hidden]"
_BASE_64 = re.compile(r"[0-9A-Za-z+/=*]*")  # "*" cancels (RFC 4954 section 4)
_SPEAKS_SMTP = frozenset(("smtp", "lmtp"))
# global/verify.c: an address probe; no message was sent
_PROBES = frozenset(("deliverable", "undeliverable", "undeliverable-but-not-cached"))


class Conversation:
    """What one smtp process is doing; a *delivery* once a status line came out of it.

    A class with defaults: of most conversations few things are known, and one is made for every delivery.
    """

    peer = ""
    tls: str | None = None
    # Of the status lines so far; empty before the first.
    queue_id = ""
    relay = ""
    last_verb = ""
    mail_from_seen = False
    authenticating = False
    # Commands without a complete reply yet: with pipelining, replies come after QUIT was sent.
    unanswered = 0
    reply_continues = False
    # The first status line found something worth a delivery's row.
    is_delivery = False
    # Something was added since the delivery was last reported.
    unreported = False
    touched = False
    # Of the delivery, once it is stored.
    row_id: int | None = None

    def __init__(self, process: Process, at: dt.datetime, peer: str = "") -> None:
        self.process = process
        self.began_at = at
        self.changed_at = at
        self.peer = peer
        # Of each line: its time as RFC 3339, "C" or "S", its text
        self.dialogue: list[tuple[str, str, str]] = []
        # By recipient: when a status line came.
        self.settled: dict[str, dt.datetime] = {}
        # Of each: its time, its text, the queue id that it named or ""
        self.troubles: list[tuple[dt.datetime, str, str]] = []

    @property
    def has_substance(self) -> bool:
        """Whether it is worth a row of its own."""
        return bool(self.dialogue or self.troubles or self.tls)

    def to_plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        plain: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        plain["dialogue"] = self.dialogue
        plain["troubles"] = [(at.isoformat(), text, queue_id) for at, text, queue_id in self.troubles]
        plain["settled"] = {recipient: at.isoformat() for recipient, at in self.settled.items()}
        plain["began_at"], plain["changed_at"] = self.began_at.isoformat(), self.changed_at.isoformat()
        return plain

    @classmethod
    def from_plain(cls, process: Process, plain: dict[str, Any]) -> "Conversation":
        """The reverse."""
        conversation = cls(process, dt.datetime.fromisoformat(plain["began_at"]))
        conversation.changed_at = dt.datetime.fromisoformat(plain["changed_at"])
        conversation.dialogue = [(at, speaker, text) for at, speaker, text in plain["dialogue"]]
        conversation.troubles = [(dt.datetime.fromisoformat(at), text, of) for at, text, of in plain["troubles"]]
        settled = plain.get("settled", {})  # not in what 0002 left behind
        conversation.settled = {recipient: dt.datetime.fromisoformat(at) for recipient, at in settled.items()}
        for name in _PLAIN:
            setattr(conversation, name, plain[name])
        return conversation


_PLAIN = (
    "peer", "tls", "queue_id", "relay", "last_verb", "mail_from_seen", "authenticating", "unanswered",
    "reply_continues", "is_delivery", "unreported",
)  # fmt: skip

# The number of the line in its portion, when, by whom, what, and out of which delivery. A plain tuple: about one is
# made of every line of a large log.
Fact = tuple[int, dt.datetime, Process, Event, Conversation | None]
# What a journal says, with the number of its line.
Note = tuple[int, Admitted | Copied | Refused | Opened | Withdrawn]


class Conversations:
    """The conversations that processes are in; as large as the number of such processes."""

    def __init__(self) -> None:
        self._open: dict[Process, Conversation] = {}
        self._touched: list[Conversation] = []
        self._ended: list[Conversation] = []
        # Of each smtpd process whose client has signed in: the login, and when it was last named.
        self._logins: dict[Process, tuple[str, dt.datetime]] = {}
        self._logins_touched: set[Process] = set()
        # By host: clocks differ.
        self._newest: dict[str, dt.datetime] = {}
        self._stamped: dt.datetime | None = None
        self._stamp = ""
        # The one that the line before was of: lines of a process come in runs.
        self.last: Conversation | None = None

    def __len__(self) -> int:
        return len(self._open)

    def restore(self, process: Process, state: dict[str, Any], row_id: int | None) -> None:
        """Take up where `finish_batch` left it. ``row_id``: of the delivery, if it is stored."""
        changed_at = dt.datetime.fromisoformat(state["changed_at"])
        self._newest[process.host] = max(self._newest.get(process.host, changed_at), changed_at)
        if "login" in state:
            self._logins[process] = (state["login"], changed_at)
            return
        conversation = self._open[process] = Conversation.from_plain(process, state)
        conversation.row_id = row_id

    def login(self, process: Process) -> str | None:
        """Who has signed in to an smtpd process, as far as its lines say."""
        known = self._logins.get(process)
        return known[0] if known else None

    def learn_login(self, process: Process, login: str, at: dt.datetime) -> None:
        """An smtpd process named its client's login."""
        self._logins[process] = (login, at)
        self._logins_touched.add(process)

    def forget_login(self, process: Process) -> None:
        """The client left."""
        if self._logins.pop(process, None) is not None:
            self._logins_touched.add(process)

    def current(self, at: dt.datetime, process: Process) -> Conversation:
        """The conversation of the process that wrote a line; a new one if there is none."""
        conversation = self.last
        if conversation is not None and conversation.process is process and conversation.changed_at is at:
            return conversation
        conversation = self._open.get(process)
        if conversation is None:
            conversation = self._open[process] = Conversation(process, at)
        elif at is not conversation.changed_at:
            if not -_AT_ONCE <= at - conversation.changed_at <= _IDLE:  # idle, or an older file is read after a newer
                conversation = self.start(conversation, at, "")
                conversation.troubles = []
                conversation.changed_at = at
            if at > conversation.changed_at:
                conversation.changed_at = at
        if not conversation.touched:
            self._touch(conversation)
        self.last = conversation
        return conversation

    def start(self, old: Conversation, at: dt.datetime, peer: str) -> Conversation:
        """End a conversation and begin the next of its process, which inherits the troubles that led to it."""
        if old.unreported and old.is_delivery:
            self._ended.append(old)
        new = self._open[old.process] = Conversation(old.process, at, peer)
        new.changed_at = max(old.changed_at, at)
        if old.troubles:
            new.troubles = _inherited(old, at)
        self._touch(new)
        self.last = new
        return new

    def stamp(self, at: dt.datetime) -> str:
        """A moment as RFC 3339; most lines are of the same moment as the one before."""
        if at is not self._stamped:
            self._stamped, self._stamp = at, at.isoformat()
        return self._stamp

    def finish_batch(
        self, now: dt.datetime | None = None
    ) -> tuple[list[Conversation], dict[Process, Conversation | dict[str, Any] | None]]:
        """What a batch leaves behind: deliveries that have grown, and the state of each touched process.

        ``now``: a line that claims to be later makes nobody idle. A state is a conversation, the plain state of a
        client's login, or None where it ended.
        """
        grown = self._ended
        states: dict[Process, Conversation | dict[str, Any] | None] = {}
        for conversation in self._touched:
            conversation.touched = False
            host, changed_at = conversation.process.host, conversation.changed_at
            if changed_at > self._newest.get(host, _NEVER):
                self._newest[host] = changed_at
            if self._open.get(conversation.process) is not conversation:
                continue
            if conversation.unreported and conversation.is_delivery:
                grown.append(conversation)
            states[conversation.process] = conversation
        for conversation in grown:
            conversation.unreported = False
        for process in self._logins_touched:
            known = self._logins.get(process)
            states[process] = {"login": known[0], "changed_at": known[1].isoformat()} if known else None
        idle = {host: min(newest, now or newest) - _IDLE for host, newest in self._newest.items()}
        for process in [key for key, value in self._open.items() if value.changed_at < idle.get(key.host, _NEVER)]:
            del self._open[process]
            states[process] = None
        for process in [key for key, value in self._logins.items() if value[1] < idle.get(key.host, _NEVER)]:
            del self._logins[process]
            states[process] = None
        self._touched, self._ended, self._logins_touched, self.last = [], [], set(), None
        return grown, states

    def _touch(self, conversation: Conversation) -> None:
        conversation.touched = True
        self._touched.append(conversation)


def _client(
    conversations: Conversations, number: int, at: dt.datetime, process: Process, event: ClientSeen, facts: list[Fact]
) -> None:
    if event.login is not None:
        conversations.learn_login(process, event.login, at)
    if event.queue_id is not None:
        facts.append((number, at, process, event, None))


def _left(
    conversations: Conversations, _number: int, _at: dt.datetime, process: Process, _event: ClientLeft, _: list[Fact]
) -> None:
    conversations.forget_login(process)


def _refused(
    conversations: Conversations, number: int, at: dt.datetime, process: Process, event: SubmissionRefused,
    facts: list[Fact],
) -> None:  # fmt: skip
    # What the same process said before is better evidence: a HELO name can hold words that look like a login.
    if (login := conversations.login(process)) is not None:
        event = event._replace(login=login)
    if event.login is not None or event.whole_message or process.takes_submissions:
        facts.append((number, at, process, event, None))


def _status(
    conversations: Conversations, number: int, at: dt.datetime, process: Process, event: StatusLine, facts: list[Fact]
) -> None:
    is_probe = event.status in _PROBES
    if process.daemon not in _SPEAKS_SMTP:
        if not is_probe:
            facts.append((number, at, process, event, None))
        return
    conversation = conversations.current(at, process)
    if conversation.queue_id and not _shares(conversation, at, event):
        # No start was seen: dialogue lines are switched off, and the connection was reused or none was made.
        tls = conversation.tls if event.conn_use is not None and conversation.peer == event.relay else None
        conversation = conversations.start(conversation, at, event.relay)
        conversation.tls = tls
    if not conversation.queue_id:
        conversation.queue_id, conversation.relay = event.queue_id, event.relay
        if conversation.troubles:
            conversation.troubles = [item for item in conversation.troubles if item[2] in {"", event.queue_id}]
        conversation.is_delivery = conversation.unreported = conversation.has_substance and not is_probe
    if conversation.is_delivery and len(conversation.settled) < _SETTLED:
        conversation.settled[event.recipient] = at
    if not is_probe:
        facts.append((number, at, process, event, conversation if conversation.is_delivery else None))


def _trouble(
    conversations: Conversations, _number: int, at: dt.datetime, process: Process, event: Trouble, _: list[Fact]
) -> None:
    conversation = conversations.current(at, process)
    if conversation.queue_id and event.queue_id != conversation.queue_id:
        conversation = conversations.start(conversation, at, "")
    trouble = (at, event.text[:_TEXT], event.queue_id or "")
    # A log may hold each line twice.
    if len(conversation.troubles) < _TROUBLES and trouble not in conversation.troubles[-1:]:
        conversation.troubles.append(trouble)
        conversation.unreported = True


def _tls(
    conversations: Conversations, _number: int, at: dt.datetime, process: Process, event: TlsSession, _: list[Fact]
) -> None:
    conversation = conversations.current(at, process)
    if conversation.queue_id or conversation.peer not in {"", event.peer}:
        conversation = conversations.start(conversation, at, event.peer)
    conversation.peer = event.peer
    conversation.tls = event.text
    conversation.unreported = True


def _dialogue(
    conversations: Conversations, _number: int, at: dt.datetime, process: Process, event: DialogueLine, _: list[Fact]
) -> None:
    from_server, peer, text = event
    conversation = conversations.last
    if conversation is None or conversation.process is not process or conversation.changed_at is not at:
        conversation = conversations.current(at, process)
    if conversation.reply_continues and from_server and peer == conversation.peer and not conversation.authenticating:
        # In the middle of a reply, as most lines are.
        if text[3:4] != "-":
            conversation.reply_continues = False
            if conversation.unanswered:
                conversation.unanswered -= 1
    else:
        conversation = _of_line(conversations, conversation, at, event)
        text = _from_server(conversation, text) if from_server else _from_client(conversation, text)
    if len(conversation.dialogue) < _DIALOGUE_LINES:
        conversation.dialogue.append((conversations.stamp(at), "S" if from_server else "C", text[:_TEXT]))
        conversation.unreported = True


def _of_line(
    conversations: Conversations, conversation: Conversation, at: dt.datetime, event: DialogueLine
) -> Conversation:
    """The conversation that a line belongs to: the process's, or one that begins with it."""
    from_server, peer, text = event
    if peer != conversation.peer:
        starts, tls = bool(conversation.peer or conversation.queue_id), None
    elif from_server:
        starts, tls = _is_greeting(conversation, text), None
    else:
        starts, tls = _begins_reuse(conversation, text), conversation.tls
    if starts:
        conversation = conversations.start(conversation, at, peer)
        conversation.tls = tls
    elif not conversation.dialogue:
        conversation.began_at = at
    conversation.peer = peer
    return conversation


# What takes an event in; one of another kind is a fact as it is.
HANDLERS: dict[type, Callable[..., None]] = {
    DialogueLine: _dialogue,
    StatusLine: _status,
    Trouble: _trouble,
    TlsSession: _tls,
    ClientSeen: _client,
    ClientLeft: _left,
    SubmissionRefused: _refused,
}


def _shares(conversation: Conversation, at: dt.datetime, event: StatusLine) -> bool:
    """Whether a status line belongs to the conversation that others came out of.

    Who has a status line already comes again with the next attempt only; or with the same line, written twice.
    """
    if conversation.queue_id != event.queue_id or conversation.relay != event.relay:
        return False
    settled_at = conversation.settled.get(event.recipient)
    return settled_at is None or settled_at == at


def _begins_reuse(conversation: Conversation, text: str) -> bool:
    """Whether a command begins another transaction on the same connection; XFORWARD stands before MAIL FROM."""
    if not text.startswith(("MAIL FROM:", "XFORWARD ")):
        return False
    return bool(conversation.queue_id) or conversation.mail_from_seen


def _is_greeting(conversation: Conversation, text: str) -> bool:
    """Whether a server's line begins a new conversation rather than answering a command of this one."""
    if not conversation.dialogue:
        return bool(conversation.queue_id)  # the TLS line of a wrapped connection came first: it belongs to this one
    if conversation.reply_continues:
        return False
    if text.startswith("220"):
        return not (conversation.last_verb == "STARTTLS" and conversation.unanswered)
    # 554 or 421 as a greeting, after the old connection was ended. RFC 5321 section 4.2.3: 221 answers QUIT.
    # LMTP has one reply for each recipient after the final dot, so there replies are not counted.
    if conversation.last_verb != "QUIT" or text.startswith("221") or conversation.process.daemon == "lmtp":
        return False
    return conversation.unanswered == 0


def _from_server(conversation: Conversation, text: str) -> str:
    conversation.reply_continues = text[3:4] == "-"
    if not conversation.reply_continues and conversation.unanswered:
        conversation.unanswered -= 1
    if not conversation.authenticating:
        return text
    if text.startswith("334"):  # RFC 4954: a challenge
        return f"334 {_HIDDEN}"
    conversation.authenticating = conversation.reply_continues
    return text


def _from_client(conversation: Conversation, text: str) -> str:
    verb = text.split(" ", 1)[0].upper()
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


def _inherited(old: Conversation, at: dt.datetime) -> list[tuple[dt.datetime, str, str]]:
    if not old.queue_id:
        return old.troubles
    # Status lines were written already: only what other recipients of the same request met goes on.
    return [trouble for trouble in old.troubles if trouble[2] and at - trouble[0] <= _AT_ONCE]
