"""What the delivery agents say: status lines, and how it went with the servers. Pure.

smtp and lmtp with ``-v`` or debug_peer_list write nearly all lines of a log: what repeats is remembered.
"""

import re

from sendproof_logparser.events import (
    IRRELEVANT,
    DialogueLine,
    Event,
    Irrelevant,
    StatusLine,
    TlsSession,
    Trouble,
)
from sendproof_logparser.grammar_words import (
    ADDRESS,
    NOT_LOGGED,
    PEER,
    QUEUE_ID,
    REPEATED_BEGINNING,
    SEVERE,
    Reading,
    first_match,
    leftover,
    stands_for_queue_id,
)

_SECONDS = r"(\d{1,12}+(?>(?:\.\d{1,9}+)?))"
# Fields of later versions (tls=) stand before delay= or after delays=.
_LATER_FIELDS = r"(?>(?:, (?!delay=|dsn=)[a-z_]++=[^,]*+)*)"
# global/log_adhoc.c: "%s: to=<%s>[, orig_to=<%s>], relay=%s[, conn_use=%d], delay=%s, delays=%s/%s/%s/%s, dsn=%s,
# status=%s (%s)". A text of 2,000 octets (util/msg_logger.c) lost its ")".
STATUS_LINE = re.compile(
    rf"({QUEUE_ID}): to={ADDRESS}(?>(?:, orig_to={ADDRESS})?), relay=([^,]*+)"
    rf"(?>(?:, conn_use=(\d{{1,9}}+))?){_LATER_FIELDS}"
    rf", delay={_SECONDS}, delays={_SECONDS}/{_SECONDS}/{_SECONDS}/{_SECONDS}{_LATER_FIELDS}"
    r", dsn=(\d\.\d{1,3}+\.\d{1,3}+), status=([A-Za-z-]{1,30}+)(?>(?: \((.*+))?)",
    re.ASCII | re.DOTALL,
)
# smtp/smtp_chat.c: "> %s: %s" and "< %s: %.100s", the peer as host[address]:port
_DIALOGUE = re.compile(rf"([<>]) ({PEER}(?>(?::\d++)?)):(?>(?: (.*+))?)", re.ASCII | re.DOTALL)
# tls/tls_misc.c tls_log_summary(): "%s TLS connection %s to %s[ to %s]: %s with cipher ..."
_TLS_TO = re.compile(rf"\w++ TLS connection (?:established|reused) to ({PEER}(?>(?::\d++)?))[^:]*+: .++", re.ASCII)
# smtp/smtp_connect.c: "connect to %s[%s]:%d: %m"; verbose lines have no address (`connect to subsystem private/bounce`)
_CONNECT_TROUBLE = re.compile(rf"connect to {PEER}(?>(?::\d++)?): .*+", re.ASCII | re.DOTALL)
# smtp/smtp_proto.c, tls/tls_client.c: TLS that did not come about
TLS_TROUBLE = ("SSL_connect error to ", "certificate verification failed for ")
# tls/tls_client.c, tls/tls_dane.c: "%s: Matched ...", "%s: certificate verification failed for ..."
_TLS_PEER_TROUBLE = re.compile(
    rf"{PEER}(?>(?::\d++)?): (?:certificate verification failed |re-using session with untrusted certificate|"
    r"(?:subject|certificate) (?:alternative )?name ).*+",
    re.ASCII | re.DOTALL,
)
# smtp/smtp_trouble.c: "%s: %s" with the reason, when another server is tried next; the reasons are from there,
# smtp_proto.c, smtp_connect.c, smtp_addr.c, smtp_tls_policy.c and smtp_sasl_glue.c
SERVER_TROUBLE = (
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
    "connect to ",
    "Host or domain name not found",
    "unable to look up host ",
    "unable to find primary relay for ",
    "mail for ",
    "server unavailable or unable to receive mail",
    "TLSA lookup error for ",
    "non DNSSEC destination",
)
# smtp/smtp_proto.c: "%s: host %s offers SMTPUTF8 support, but not 8BITMIME" is no trouble
_HOST_OFFERS = re.compile(rf"host {PEER}(?>(?::\d++)?) offers .*+", re.ASCII | re.DOTALL)
# smtp/smtp_proto.c, smtp_connect.c; global/bounce.c, global/defer.c: "%s: status=deferred (bounce failed)"
SMTP_NOTES = (
    "enabling PIX ",
    "breaking line ",
    "passing ",
    "skipping ",
    "disabling ",
    "status=deferred (",
)
# smtp/smtp_proto.c, smtp/smtp_addr.c, smtp/smtp_trouble.c, tls/tls_misc.c
SMTP_WARNINGS = (
    "warning: TLS library problem: ",
    "warning: host ",
    "warning: no MX host for ",
    "warning: numeric ",
)
_SMTP_WARNINGS_OF_A_SERVER = re.compile(
    rf"warning: {PEER}(?>(?::\d++)?): (?:cleartext fallback|fallback to ).*+", re.ASCII | re.DOTALL
)

# What may be remembered: a text, and the event that it made. Bounded by number and by length of the texts.
REMEMBERED_TEXTS = 4096
REMEMBERED_LENGTH = 300
_remembered: dict[str, Event] = {}
# Of the client's lines only these, which hold neither secret nor recipient.
_PLAIN_COMMANDS = frozenset(("STARTTLS", "DATA", ".", "QUIT", "RSET", "NOOP"))
_PLAIN_GREETINGS = ("EHLO ", "HELO ", "LHLO ")
# util/attr_scan_plain.c, attr_print_plain.c, attr_scan0.c, name_mask.c, match_list.c; smtp/smtp_connect.c,
# smtp_proto.c: the beginnings of nearly all verbose lines. The others are known by no rule, and not kept either.
VERBOSE_BEGINNINGS = (
    "send attr ",
    "input attribute ",
    "private/",
    "name_mask: ",
    "smtp_",
    "server features: ",
    "Using ESMTP ",
)


def read_status_line(text: str) -> StatusLine | None:
    """Read a status line, of whichever daemon; None if it is none."""
    match = STATUS_LINE.fullmatch(text)
    if match is None:
        return None
    queue_id, recipient, original, relay, conn_use, delay, before, inside, setup, transmission, dsn, status, reason = (
        match.groups()
    )
    delays = (float(before), float(inside), float(setup), float(transmission))
    uses = int(conn_use) if conn_use else None
    said = reason.removesuffix(")") if reason else ""
    return StatusLine(queue_id, recipient, original, relay, uses, float(delay), delays, dsn, status, said)


def read_smtp(text: str) -> Reading:
    """Read a text of smtp or lmtp."""
    if text.startswith(("<", ">")):
        return _remembered.get(text) or _dialogue(text)
    status_line = read_status_line(text) if ": to=<" in text else None
    if status_line is not None:
        return status_line
    if text.startswith(VERBOSE_BEGINNINGS):
        return IRRELEVANT
    return _remembered.get(text) or _other_text(text)


def read_agent(text: str) -> Reading:
    """Read a text of local, virtual, pipe, error, retry or discard, or of a daemon that is not known."""
    return read_status_line(text) or first_match((NOT_LOGGED,), text) or leftover(text, read_agent)


def _dialogue(text: str) -> DialogueLine | Irrelevant:
    match = _DIALOGUE.fullmatch(text)
    if match is None:
        return IRRELEVANT
    side, peer, said = match.groups()
    event = DialogueLine(side == "<", peer, said or "")
    if side == "<" or event.text in _PLAIN_COMMANDS or event.text.startswith(_PLAIN_GREETINGS):
        _remember(text, event)
    return event


def _other_text(text: str) -> Reading:
    """What has neither dialogue nor recipient. No text without severity or queue id is unknown: it may be verbose."""
    word, _, rest = text.partition(": ")
    if rest and stands_for_queue_id(word):
        if rest.startswith(SERVER_TROUBLE):
            return IRRELEVANT if _HOST_OFFERS.fullmatch(rest) else Trouble(word, rest)
        return IRRELEVANT if rest.startswith(SMTP_NOTES) else None
    if text.startswith(SEVERE):
        return IRRELEVANT if text.startswith(SMTP_WARNINGS) or _SMTP_WARNINGS_OF_A_SERVER.fullmatch(text) else None
    if text.startswith(REPEATED_BEGINNING):
        return leftover(text, read_smtp)
    match = _TLS_TO.fullmatch(text)
    if match is not None:
        event = TlsSession(match[1], text)
        _remember(text, event)
        return event
    if text.startswith(TLS_TROUBLE) or _CONNECT_TROUBLE.fullmatch(text) or _TLS_PEER_TROUBLE.fullmatch(text):
        return Trouble(None, text)
    return IRRELEVANT


def _remember(text: str, event: Event) -> None:
    if len(text) <= REMEMBERED_LENGTH:
        if len(_remembered) >= REMEMBERED_TEXTS:
            _remembered.clear()
        _remembered[text] = event
