"""What the programs say that take mail in: smtpd, cleanup, pickup, qmqpd, postscreen. Pure.

Addresses, header text and SASL names in these texts come from clients and are hostile. Fields are therefore read from
the side where Postfix alone writes: from the right, because it cleans a client's HELO name (smtpd/smtpd.c,
NEUTER_CHARACTERS) and everything hostile stands left of that.
"""

import re

from sendproof_logparser.events import (
    IRRELEVANT,
    ClientLeft,
    ClientSeen,
    Disposed,
    Disposition,
    MessageIdSeen,
    PickedUp,
    SignInFailed,
    SubmissionRefused,
)
from sendproof_logparser.grammar_delivery import read_status_line
from sendproof_logparser.grammar_words import (
    ADDRESS,
    OFTEN_VERBOSE,
    PEER,
    QUEUE_ID,
    SEVERE,
    Reading,
    leftover,
    stands_for_queue_id,
)

# smtpd/smtpd.c, qmqpd/qmqpd.c: "%s: client=%s[, sasl_method=%s][, sasl_username=%s][, sasl_sender=%s]
# [, orig_queue_id=%s][, orig_client=%s]". A login may hold a comma, and sasl_sender is the client's to choose (AUTH= of
# MAIL FROM): after either, no orig_queue_id is believed.
_CLIENT = re.compile(
    rf"({QUEUE_ID}): client=([^,]*+)(?>(?:, sasl_method=[^,]*+)?)"
    r"(?>(?:, sasl_username=(.*+)|, sasl_sender=.*+|(, .*+))?)",
    re.ASCII | re.DOTALL,
)
_FIELD_AFTER_LOGIN = re.compile(r", [a-z_]++=")
_ORIGINAL_QUEUE_ID = re.compile(rf", orig_queue_id=({QUEUE_ID})(?>(?:, .*+)?)", re.ASCII | re.DOTALL)
# pickup/pickup.c: "%s: uid=%d from=<%s>[ orig_id=%s]"
_PICKED_UP = re.compile(rf"({QUEUE_ID}): uid=\d++ from={ADDRESS}(?>(?: orig_id=({QUEUE_ID}))?)", re.ASCII | re.DOTALL)
# smtpd/smtpd_check.c, smtpd/smtpd.c, cleanup/cleanup_message.c, cleanup/cleanup_milter.c, postscreen_smtpd.c:
# "%s: reject: %s from %s: %s; from=<%s> ...", "%s: milter-reject: ...", "%s: hold: header ..." and so on
_ACTION = re.compile(rf"(?>(?:({QUEUE_ID}): )?)([a-z][a-z_-]*+): (.++)", re.ASCII | re.DOTALL)
REFUSALS = ("reject", "milter-reject", "proxy-reject")
DISPOSITIONS = {
    "hold": Disposition.HELD,
    "milter-hold": Disposition.HELD,
    "discard": Disposition.DISCARDED,
    "milter-discard": Disposition.DISCARDED,
}
OTHER_ACTIONS = (
    "abort", "bcc", "delay", "filter", "ignore", "info", "milter-header-add", "milter-header-delete",
    "milter-header-discard", "milter-header-filter", "milter-header-hold", "milter-header-reject",
    "milter-header-replace", "milter-header-warn", "pass", "permit", "prepend", "proxy-accept", "redirect",
    "reject_warning", "replace", "strip", "trigger", "warn", "warning",
)  # fmt: skip
# "RCPT from name[address]: reply"; proxy_reject has no client (smtpd/smtpd.c); postscreen has [address]:port
_STAGE_AND_CLIENT = re.compile(
    rf"([A-Za-z-]{{1,40}}+(?>(?: content)?))(?>(?: \(\d++ bytes\))?)(?>(?: from ({PEER}(?>(?::\d++)?)))?): (.*+)",
    re.ASCII | re.DOTALL,
)
# cleanup/cleanup_message.c: "header %.200s from %s", the text being the sender's
_PART_AND_TEXT = re.compile(r"(header|body|content) (.*) from (\S++)", re.ASCII | re.DOTALL)
_PARTS = ("header ", "body ", "content ")
# A rejected RCPT or MAIL is one command's end; the message may go on.
STAGES_OF_THE_WHOLE_MESSAGE = ("END-OF-MESSAGE", "DATA", "BDAT", "DATA content", "BDAT content")
# What may follow the HELO name; only a text of our own administrator (cleanup) and a login that was accepted.
_AFTER_HELO = re.compile(r" helo=<[^<>\s]*+>(?>(?: sasl_username=<([^<>]*+)>)?)(?>(?:: ([^<>]*+))?)", re.DOTALL)
# smtpd/smtpd.c: SMTP, ESMTP, ESMTPS... by the standard's registry
_PROTOCOL_AT_END = re.compile(r" proto=[A-Za-z0-9]*+\Z", re.ASCII)
_PROTOCOL_LENGTH = 30
_QUOTED_AS_A_WHOLE = re.compile(ADDRESS, re.DOTALL)
# smtpd/smtpd_sasl_glue.c, with sasl_username= from Postfix 3.8 on; the reason is the server's, the name the client's
_SASL_FAILURE = re.compile(
    rf"warning: ({PEER}): SASL [\w-]{{1,100}}+ authentication (failed|aborted)(?>(?:: (.*+))?)", re.ASCII | re.DOTALL
)
# cleanup/cleanup_out.c: what a milter's edits have made longer than message_size_limit; the client is answered 552
_TOO_LARGE = re.compile(rf"warning: ({QUEUE_ID}): queue file size limit exceeded", re.ASCII)
# milter/milter8.c: a milter that is away, or goes away. What the client was answered has a line of its own.
MILTER_TROUBLES = ("warning: connect to Milter service ", "warning: milter ")
# smtpd/smtpd.c, smtpd_peer.c, smtpd_chat.c, tls/tls_server.c, tls/tls_misc.c, util/... of no one message
SMTPD_NOTES = (
    "lost connection after ",
    "timeout after ",
    "too many errors after ",
    "improper command pipelining after ",
    "SSL_accept error from ",
    "setting up TLS connection from ",
    "Anonymous TLS connection established from ",
    "Untrusted TLS connection established from ",
    "Trusted TLS connection established from ",
    "Verified TLS connection established from ",
    "warning: hostname ",
    "warning: non-SMTP command from ",
    "warning: Illegal address syntax from ",
    "warning: TLS library problem: ",
    "warning: Connection rate limit exceeded: ",
    "warning: Connection concurrency limit exceeded: ",
    "warning: Message delivery request rate limit exceeded: ",
    "warning: Recipient address rate limit exceeded: ",
    "warning: AUTH command rate limit exceeded: ",
    *MILTER_TROUBLES,
)
_LEFT = ClientLeft()
OFTEN_VERBOSE_IN_SMTPD = (*OFTEN_VERBOSE, "> ", "< ", "smtpd_", "xsasl_", "ctable_")


def read_smtpd(text: str) -> Reading:
    """Read a text of smtpd or qmqpd."""
    match = _CLIENT.fullmatch(text)
    if match is not None:
        return _client(match)
    if text.startswith(OFTEN_VERBOSE_IN_SMTPD):
        return IRRELEVANT
    # smtpd/smtpd.c. A new client has no login yet, also where the line of the last one's end is lost.
    if text.startswith(("disconnect from ", "connect from ")):
        return _LEFT
    if text.startswith(SMTPD_NOTES):
        return IRRELEVANT
    match = _SASL_FAILURE.fullmatch(text)
    if match is not None:
        return _sign_in_failed(match)
    return _action(text, whole_message=False) or leftover(text, read_smtpd)


def read_cleanup(text: str) -> Reading:
    """Read a text of cleanup."""
    queue_id, _, rest = text.partition(": ")
    # cleanup/cleanup_message.c: "%s: message-id=%s", "%s: resent-message-id=%s"; the value may be no msg-id at all
    if rest.startswith("message-id="):
        value = rest[11:]
        if stands_for_queue_id(queue_id):
            return MessageIdSeen(queue_id, value if value and value != "<>" else None)
    if rest.startswith("resent-message-id="):
        return IRRELEVANT
    if text.startswith(MILTER_TROUBLES):
        return IRRELEVANT
    match = _TOO_LARGE.fullmatch(text)
    if match is not None:
        return Disposed(match[1], Disposition.REJECTED)
    # what cleanup itself bounces: global/log_adhoc.c
    return read_status_line(text) or _action(text, whole_message=True) or leftover(text, read_cleanup)


def read_pickup(text: str) -> Reading:
    """Read a text of pickup."""
    match = _PICKED_UP.fullmatch(text)
    return PickedUp(match[1], match[2], match[3]) if match else leftover(text, read_pickup)


def read_postscreen(text: str) -> Reading:
    """Read a text of postscreen: refusals, and much that is of no message (CONNECT, PASS, PREGREET...)."""
    if text.startswith("NOQUEUE: reject: "):
        return _action(text, whole_message=False)
    return read_quiet(text)


def read_quiet(text: str) -> Reading:
    """Read a text of a program of which only warnings and worse matter."""
    return None if text.startswith(SEVERE) else IRRELEVANT


def _client(match: re.Match[str]) -> ClientSeen:
    queue_id, client, login, others = match.groups()
    if login is not None and ", " in login:
        login = _FIELD_AFTER_LOGIN.split(login, 1)[0]
    original = _ORIGINAL_QUEUE_ID.fullmatch(others) if others else None
    # A before-queue filter has the message: there is no queue file yet.
    return ClientSeen(queue_id if queue_id != "NOQUEUE" else None, client, login, original[1] if original else None)


def _sign_in_failed(match: re.Match[str]) -> SignInFailed:
    client, outcome, detail = match.groups()
    reason, _, login = (detail or outcome).partition(", sasl_username=")
    return SignInFailed(client, login if login not in {"", "(unavailable)"} else None, reason)


def _action(text: str, *, whole_message: bool) -> Reading:
    match = _ACTION.fullmatch(text)
    if match is None:
        return None
    word, action, rest = match.groups()
    queue_id = word if word != "NOQUEUE" else None
    if queue_id is not None and not stands_for_queue_id(queue_id):
        return None
    if action in REFUSALS:
        return _refused(queue_id, action, rest, whole_message=whole_message)
    if action in DISPOSITIONS:
        return Disposed(queue_id, DISPOSITIONS[action]) if queue_id is not None else IRRELEVANT
    return IRRELEVANT if action in OTHER_ACTIONS else None


def _refused(queue_id: str | None, by: str, rest: str, *, whole_message: bool) -> SubmissionRefused | None:
    head, sender, recipient, login, answer = _envelope(rest)
    match = _PART_AND_TEXT.fullmatch(head)
    if match is not None:
        return SubmissionRefused(queue_id, by, match[1], match[3], answer or "", sender, recipient, login, True)
    if sender is None:  # cut, or the sender's address is none
        head, _, _ = head.partition("; from=<")
    match = _STAGE_AND_CLIENT.fullmatch(head)
    if match is None:
        return None
    stage, client, reply = match.groups()
    whole_message = whole_message or stage in STAGES_OF_THE_WHOLE_MESSAGE
    return SubmissionRefused(queue_id, by, stage, client or "", reply, sender, recipient, login, whole_message)


def _envelope(rest: str) -> tuple[str, str | None, str | None, str | None, str | None]:
    """Take "...; from=<> to=<> proto= helo=<>[ sasl_username=<>][: answer]" off the end, from the right.

    postscreen has ", " between the fields. Returns what stands before, sender, recipient, login, answer.
    """
    head = rest
    login: str | None = None
    answer: str | None = None
    start = rest.rfind(" helo=<")
    match = _AFTER_HELO.fullmatch(rest, start) if start >= 0 else None
    if match is not None:
        login, answer = match.groups()
        head = rest[:start].removesuffix(",")
    elif _PROTOCOL_AT_END.search(rest, max(0, start - _PROTOCOL_LENGTH), max(0, start)) and rest.endswith(">"):
        head = rest[:start]  # a HELO name that was not cleaned: no login that stands behind it is believed
    elif rest.startswith(_PARTS):  # local mail: the recipient is the last field
        before, bracket, after = rest.rpartition(">: ")
        head, answer = (f"{before}>", after) if bracket else (rest, None)
    protocol = _PROTOCOL_AT_END.search(head, max(0, len(head) - _PROTOCOL_LENGTH))
    if protocol is not None:
        head = head[: protocol.start()].removesuffix(",")
    head, recipient = _address_at_end(head, " to=<")
    head, sender = _address_at_end(head, " from=<")
    return head.removesuffix(";"), sender, recipient, login, answer


def _address_at_end(text: str, field: str) -> tuple[str, str | None]:
    """Split "...FIELD address>" before the field.

    A quoted local part holds no bare quotation mark, so that its beginning is the last `<"` before its end.
    """
    closing = text.rfind('"')
    start = text.rfind(field)
    if start < closing:
        start = text.rfind(f'{field}"', 0, closing)
    match = _QUOTED_AS_A_WHOLE.fullmatch(text, start + len(field) - 1) if start >= 0 else None
    return (text[:start].removesuffix(","), match[1]) if match else (text, None)
