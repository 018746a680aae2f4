"""What Postfix's programs write to the log, as values: one text in, one event out. Pure.

Every rule names the Postfix 3.7 source file that writes the text. Patterns are anchored and linear: no text makes them
slow, and text that looks like a record inside an address or a reply is not taken for one. Nothing is correlated here
(`transcript` does), and the logger's prefix is not read here (`syslog_line` does).
"""

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from sendproof_logparser.queue_id import is_queue_id

_LARGEST_INTEGER = 2**31 - 1  # of an INTEGER column


class Disposition(enum.StrEnum):
    """What was done with a queue file as a whole."""

    HELD = "held"
    RELEASED = "released"
    EXPIRED = "expired"
    # by the queue manager: it is done with the file
    REMOVED = "removed"
    # by an administrator
    DELETED = "deleted"
    DISCARDED = "discarded"
    # by a filter, after the queue id was given: the client was told
    REJECTED = "rejected"


class Irrelevant(enum.Enum):
    """Texts that are understood and say nothing about a recipient."""

    IRRELEVANT = enum.auto()


IRRELEVANT = Irrelevant.IRRELEVANT


@dataclass(frozen=True, slots=True)
class StatusLine:
    """What became of one recipient in one attempt."""

    queue_id: str
    recipient: str
    original_recipient: str | None
    relay: str
    conn_use: int | None
    delay_seconds: float
    # before the queue manager, in it, connection set-up, transmission
    delays_seconds: tuple[float, float, float, float]
    dsn: str
    status: str
    # what stood in the parentheses, whole
    text: str


@dataclass(frozen=True, slots=True)
class ClientSeen:
    """smtpd opened a queue file. ``original_queue_id``: the one that it is a copy of (XFORWARD IDENT)."""

    queue_id: str
    client: str
    login: str | None
    original_queue_id: str | None


@dataclass(frozen=True, slots=True)
class PickedUp:
    """pickup opened a queue file: a local submission, or one that `postsuper -r` put back (``original_queue_id``)."""

    queue_id: str
    sender: str
    original_queue_id: str | None


@dataclass(frozen=True, slots=True)
class MessageIdSeen:
    """cleanup read the Message-ID header; None where the message has none."""

    queue_id: str
    message_id_header: str | None


@dataclass(frozen=True, slots=True)
class QueueActive:
    """The queue manager begins a round of deliveries."""

    queue_id: str
    sender: str
    size_bytes: int
    recipient_count: int


@dataclass(frozen=True, slots=True)
class Disposed:
    """Something was done with a queue file as a whole."""

    queue_id: str
    disposition: Disposition


@dataclass(frozen=True, slots=True)
class NotificationSent:
    """A notification about ``queue_id`` was queued as ``child_queue_id``."""

    queue_id: str
    child_queue_id: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """A server that did not take the mail while others remain to be tried."""

    queue_id: str | None
    text: str


@dataclass(frozen=True, slots=True)
class TlsSession:
    """An smtp process has TLS with ``peer``."""

    peer: str
    text: str


@dataclass(frozen=True, slots=True)
class DialogueLine:
    """One line of the SMTP conversation, as spoken: it may hold a secret."""

    from_server: bool
    peer: str
    text: str


Event = (
    StatusLine
    | ClientSeen
    | PickedUp
    | MessageIdSeen
    | QueueActive
    | Disposed
    | NotificationSent
    | Trouble
    | TlsSession
    | DialogueLine
)

# An address in its external form (global/info_log_addr_form.c): a quoted local part may hold anything, ">" included.
# There is deliberately no second, laxer pattern: a record that was cut inside a quoted address would let its text
# pass for fields.
_ADDRESS = r'<((?:"(?:[^"\\]|\\.)*+"|[^">])*+)>'
_SECONDS = r"(\d{1,12}(?:\.\d{1,9})?)"

# global/log_adhoc.c: "%s: to=<%s>[, orig_to=<%s>], relay=%s[, conn_use=%d], delay=%s, delays=%s/%s/%s/%s, dsn=%s,
# status=%s (%s)". Fields of later versions (3.11: tls=) stand before delay=. A text of 2,000 octets lost its ")".
_STATUS_LINE = re.compile(
    rf"to={_ADDRESS}(?:, orig_to={_ADDRESS})?, relay=([^,]*+)(?:, conn_use=(\d{{1,9}}))?"
    rf"(?:, (?!delay=)[a-z_]++=[^,]*+)*+, delay={_SECONDS}, delays={_SECONDS}/{_SECONDS}/{_SECONDS}/{_SECONDS}"
    r", dsn=(\d\.\d{1,3}\.\d{1,3}), status=([A-Za-z-]{1,30})(?: \((.*+))?",
    re.ASCII | re.DOTALL,
)
# global/opened.c: "%s: from=<%s>, size=%ld, nrcpt=%d (queue %s)"
_QUEUE_ACTIVE = re.compile(rf"from={_ADDRESS}, size=(\d{{1,18}}), nrcpt=(\d{{1,9}}) \(queue [a-z]++\)", re.ASCII)
# qmgr/qmgr_active.c: "%s: from=<%s>, status=%s, returned to sender", expired or force-expired
_QUEUE_EXPIRED = re.compile(rf"from={_ADDRESS}, status=(?:force-)?expired, returned to sender")
# pickup/pickup.c: "%s: uid=%d from=<%s>[ orig_id=%s]"
_PICKED_UP = re.compile(rf"uid=\d++ from={_ADDRESS}(?: orig_id=([0-9A-Za-z]{{5,40}}))?", re.ASCII)
# bounce/bounce_notify_service.c and its neighbours: "%s: sender non-delivery notification: %s"
_NOTIFICATION = re.compile(
    r"(?:sender|postmaster) (?:non-delivery|delay|delivery status) notification: ([0-9A-Za-z]{5,40})"
)
# tls/tls_misc.c tls_log_summary(): "%s TLS connection %s to %s[ to %s]: %s with cipher ..."
_TLS_TO = re.compile(r"\w++ TLS connection (?:established|reused) to (\S+): .++", re.ASCII)
# smtp/smtp_chat.c: "> %s: %s" and "< %s: %.100s", the peer as host[address]:port
_DIALOGUE = re.compile(r"([<>]) ([^\s\[]*+\[[^\]\s]*+\](?::\d++)?):(?: (.*+))?", re.ASCII | re.DOTALL)
# smtp/smtp_connect.c: "connect to %s[%s]:%d: %m"; verbose lines have no address (`connect to subsystem private/bounce`)
_CONNECT_TROUBLE = re.compile(r"connect to [^\s\[]*+\[[^\]]*+\](?::\d++)?: ", re.ASCII)
# smtp/smtp_proto.c, tls/tls_client.c: TLS that did not come about
_TLS_TROUBLE = ("SSL_connect error to ", "certificate verification failed for ")
# smtp/smtp_trouble.c: "%s: %s" with the reason, when another server is tried next; smtp_proto.c and smtp_sasl_glue.c
_SERVER_TROUBLE = (
    "host ",
    "lost connection with ",
    "conversation with ",
    "Cannot start TLS",
    "TLS is required",
    "Server certificate not ",
    "SASL authentication failed",
    "SMTPUTF8 is required",
    "Protocol error: ",
    "message size ",
    "local data error while talking to ",
)
_SMTP_NOTES = ("enabling PIX ", "breaking line ", "passing ", "mail for ", "skipping ")
# smtpd/smtpd_check.c, cleanup/cleanup_milter.c, cleanup/cleanup_message.c:
# first "%s: milter-reject: END-OF-MESSAGE from ...", or "%s: hold: header ..."
_FILTER_ACTION = re.compile(r"(?:milter-)?([a-z_]++): (\S++)", re.ASCII)
_FILTER_DISPOSITIONS = {
    "reject": Disposition.REJECTED,
    "hold": Disposition.HELD,
    "discard": Disposition.DISCARDED,
}
_OTHER_FILTER_ACTIONS = frozenset(
    ("reject_warning", "warn", "warning", "info", "filter", "redirect", "bcc", "permit", "pass", "delay", "prepend",
     "replace", "strip", "ignore")
)  # fmt: skip
# A rejected RCPT or MAIL is one command's end; the message may go on.
_STAGES_OF_THE_WHOLE_MESSAGE = frozenset(("END-OF-MESSAGE", "DATA", "END-OF-HEADERS", "header", "body", "content"))

# postsuper/postsuper.c: "%s: removed", and so on
_ADMIN_ACTIONS = {
    "removed": Disposition.DELETED,
    "placed on hold": Disposition.HELD,
    "released from hold": Disposition.RELEASED,
}

_SEVERE = ("warning: ", "error: ", "fatal: ", "panic: ")  # util/msg_output.c
_SMTPD_NOTES = (
    "connect from ", "disconnect from ", "lost connection after ", "timeout after ", "too many errors after ",
    "SSL_accept error from ", "proxy-accept: ", "proxy-reject: ", "improper command pipelining after ",
    "setting up TLS connection from ", "Anonymous TLS connection established from ",
    "Untrusted TLS connection established from ", "Trusted TLS connection established from ",
    "Verified TLS connection established from ", "warning: hostname ", "warning: non-SMTP command from ",
    "warning: Illegal address syntax from ", "warning: TLS library problem: ",
)  # fmt: skip
# cleanup/cleanup_out.c: what a milter's edits have made longer than message_size_limit; the client is answered 552
_TOO_LARGE = re.compile(r"warning: (\w++): queue file size limit exceeded", re.ASCII)
_SASL_FAILURE = re.compile(r"warning: [^\s\[]*+\[[^\]]*+\]: SASL [\w-]++ authentication (?:failed|aborted)", re.ASCII)
_SMTP_WARNINGS = ("warning: TLS library problem: ", "warning: host ", "warning: no MX host for ", "warning: numeric ")
# Programs of which only warnings and worse matter.
_QUIET = frozenset(
    ("anvil", "dnsblog", "flush", "master", "postfix-script", "postlog", "postlogd", "postscreen", "proxymap", "qmqpd",
     "scache", "showq", "sendmail", "spawn", "tlsmgr", "tlsproxy", "trivial-rewrite", "verify", "postdrop", "postqueue")
)  # fmt: skip
_DELIVERS = frozenset(("smtp", "lmtp", "local", "virtual", "pipe", "error", "retry", "discard"))
_SPEAKS_SMTP = frozenset(("smtp", "lmtp"))
_RECEIVES = frozenset(("smtpd", "cleanup", "pickup"))
_PROGRAMS = _QUIET | _DELIVERS | _RECEIVES | {"qmgr", "nqmgr", "bounce", "defer", "trace", "postsuper", "oqmgr"}


@lru_cache(maxsize=1024)
def instance_and_daemon(program: str) -> tuple[str, str] | None:
    """The Postfix instance and daemon of a tag: ``postfix/submission/smtpd`` is ("postfix", "smtpd").

    None for a program that is not of Postfix. `syslog_name` may be anything, so the daemon's name decides.
    """
    parts = program.strip("/").split("/")
    instance, daemon = parts[0], parts[-1]
    if daemon in _PROGRAMS and len(parts) > 1:
        return instance[:100], daemon
    if instance.startswith("postfix"):
        return instance[:100], daemon if len(parts) > 1 else "postfix-script"
    return None


def speaks_smtp(daemon: str) -> bool:
    """Whether the daemon has SMTP conversations with receiving servers."""
    return daemon in _SPEAKS_SMTP


def parse(daemon: str, text: str) -> Event | Irrelevant | None:
    """Read the text of a Postfix daemon's line; None if no rule knows it."""
    if daemon in _SPEAKS_SMTP and text[:2] in {"> ", "< "}:
        return _dialogue(text)
    word, colon, rest = text.partition(": ")
    if colon and is_queue_id(word):
        return _about_queue_file(daemon, word, rest)
    if word == "NOQUEUE":
        return IRRELEVANT
    if daemon == "cleanup" and (too_large := _TOO_LARGE.fullmatch(text)):
        return Disposed(too_large[1], Disposition.REJECTED)
    if text.startswith(_SEVERE):
        known = _SMTPD_NOTES if daemon in _RECEIVES else _SMTP_WARNINGS
        return IRRELEVANT if text.startswith(known) or _SASL_FAILURE.match(text) else None
    if daemon in _SPEAKS_SMTP:
        return _smtp_text(text)
    if daemon in _QUIET or _is_verbose(text):
        return IRRELEVANT
    return _other_text(daemon, text)


def may_be_kept(text: str) -> bool:
    """Whether a text that no rule knows may be stored: verbose lines of Postfix can hold passwords and TLS seeds.

    What is said in normal operation begins with a severity, a queue id or plain words; verbose lines begin with a
    function's name (``const char *myname``), an attribute, or are dialogue.
    """
    return not _is_verbose(text)


_VERBOSE = re.compile(r"[<>] |[a-z0-9]*+_[a-z0-9_]*+:|send attr |input attribute |(?:private|public)/|\S++ socket: ")


def _is_verbose(text: str) -> bool:
    return _VERBOSE.match(text) is not None


def _about_queue_file(daemon: str, queue_id: str, rest: str) -> Event | Irrelevant | None:
    if rest.startswith("to=<"):
        return _status_line(queue_id, rest)
    rule = _RULES.get(daemon)
    return rule(queue_id, rest) if rule else None


def _status_line(queue_id: str, rest: str) -> StatusLine | None:
    match = _STATUS_LINE.fullmatch(rest)
    if match is None:
        return None
    recipient, original, relay, conn_use, delay, before, inside, setup, transmission, dsn, status, text = match.groups()
    return StatusLine(
        queue_id=queue_id,
        recipient=recipient,
        original_recipient=original,
        relay=relay,
        conn_use=int(conn_use) if conn_use else None,
        delay_seconds=float(delay),
        delays_seconds=(float(before), float(inside), float(setup), float(transmission)),
        dsn=dsn,
        status=status,
        text=(text or "").removesuffix(")"),
    )


def _dialogue(text: str) -> DialogueLine | Irrelevant:
    match = _DIALOGUE.fullmatch(text)
    return DialogueLine(match[1] == "<", match[2], match[3] or "") if match else IRRELEVANT


def _smtp_text(text: str) -> Event | Irrelevant:
    """Text of smtp and lmtp without queue id or severity. What no rule knows is verbose output and never kept."""
    if _CONNECT_TROUBLE.match(text) or text.startswith(_TLS_TROUBLE):
        return Trouble(None, text)
    match = _TLS_TO.fullmatch(text)
    return TlsSession(match[1], text) if match else IRRELEVANT


def _other_text(daemon: str, text: str) -> Irrelevant | None:
    if daemon in _RECEIVES:
        return IRRELEVANT if text.startswith(_SMTPD_NOTES) else None
    if daemon == "postsuper":  # "Deleted: 2 messages"
        return IRRELEVANT
    return None


def _from_qmgr(queue_id: str, rest: str) -> Event | Irrelevant | None:
    if rest == "removed":  # qmgr/qmgr_active.c
        return Disposed(queue_id, Disposition.REMOVED)
    match = _QUEUE_ACTIVE.fullmatch(rest)
    if match is not None:
        return QueueActive(queue_id, match[1], min(int(match[2]), _LARGEST_INTEGER), int(match[3]))
    if _QUEUE_EXPIRED.fullmatch(rest):
        return Disposed(queue_id, Disposition.EXPIRED)
    return IRRELEVANT if rest.startswith("skipped, still being delivered") else None  # qmgr/qmgr_message.c


def _from_smtpd(queue_id: str, rest: str) -> Event | Irrelevant | None:
    if rest.startswith("client="):
        fields = _client_fields(rest)
        original = fields.get("orig_queue_id")
        return ClientSeen(
            queue_id=queue_id,
            client=fields["client"],
            login=fields.get("sasl_username"),
            original_queue_id=original if original and is_queue_id(original) else None,
        )
    return _filter_action(queue_id, rest)


_CLIENT_FIELDS = frozenset(
    ("client", "sasl_method", "sasl_username", "sasl_sender", "orig_queue_id", "orig_client")
)  # fmt: skip


def _client_fields(rest: str) -> dict[str, str]:
    # smtpd/smtpd.c: "%s: client=%s[, sasl_method=%s][, sasl_username=%s][, sasl_sender=%s][, orig_queue_id=%s]..."
    fields: dict[str, list[str]] = {}
    last: list[str] = []
    for part in rest.split(", "):
        name, equals, value = part.partition("=")
        if equals and name in _CLIENT_FIELDS and name not in fields:
            last = fields[name] = [value]
        else:  # a login may hold a comma
            last.append(part)
    return {name: ", ".join(parts) for name, parts in fields.items()}


def _from_cleanup(queue_id: str, rest: str) -> Event | Irrelevant | None:
    # cleanup/cleanup_message.c: "%s: message-id=%s", "%s: resent-message-id=%s"; the value may be no msg-id at all
    if rest.startswith("message-id="):
        value = rest.removeprefix("message-id=")
        return MessageIdSeen(queue_id, value if value not in {"", "<>"} else None)
    return IRRELEVANT if rest.startswith("resent-message-id=") else _filter_action(queue_id, rest)


def _filter_action(queue_id: str, rest: str) -> Event | Irrelevant | None:
    match = _FILTER_ACTION.match(rest)
    if match is None:
        return IRRELEVANT if rest.startswith("milter-header-") else None
    action, stage = match.groups()
    disposition = _FILTER_DISPOSITIONS.get(action)
    if disposition is Disposition.REJECTED and stage.rstrip(":") not in _STAGES_OF_THE_WHOLE_MESSAGE:
        return IRRELEVANT
    if disposition is not None:
        return Disposed(queue_id, disposition)
    return IRRELEVANT if action in _OTHER_FILTER_ACTIONS else None


def _from_pickup(queue_id: str, rest: str) -> Event | Irrelevant | None:
    match = _PICKED_UP.fullmatch(rest)
    return PickedUp(queue_id, match[1], match[2]) if match else None


def _from_bounce(queue_id: str, rest: str) -> Event | Irrelevant | None:
    match = _NOTIFICATION.fullmatch(rest)
    if match is not None:
        return NotificationSent(queue_id, match[1])
    return IRRELEVANT if rest.startswith("status=deferred (bounce failed)") else None  # global/bounce.c


def _from_smtp(queue_id: str, rest: str) -> Event | Irrelevant | None:
    if rest.startswith(_SERVER_TROUBLE):
        return Trouble(queue_id, rest)
    if rest.startswith((*_SMTP_NOTES, "status=deferred (bounce failed)")):
        return IRRELEVANT
    return None


def _from_postsuper(queue_id: str, rest: str) -> Event | Irrelevant | None:
    disposition = _ADMIN_ACTIONS.get(rest)
    if disposition is not None:
        return Disposed(queue_id, disposition)
    return IRRELEVANT if rest in {"requeued", "expired"} else None


def _from_local(_queue_id: str, rest: str) -> Irrelevant | None:
    return IRRELEVANT if rest.startswith("status=deferred (bounce failed)") else None


_RULES: dict[str, Callable[[str, str], Event | Irrelevant | None]] = {
    "qmgr": _from_qmgr,
    "oqmgr": _from_qmgr,
    "nqmgr": _from_qmgr,
    "smtpd": _from_smtpd,
    "cleanup": _from_cleanup,
    "pickup": _from_pickup,
    "bounce": _from_bounce,
    "defer": _from_bounce,
    "trace": _from_bounce,
    "smtp": _from_smtp,
    "lmtp": _from_smtp,
    "local": _from_local,
    "virtual": _from_local,
    "pipe": _from_local,
    "error": _from_local,
    "retry": _from_local,
    "postsuper": _from_postsuper,
}
