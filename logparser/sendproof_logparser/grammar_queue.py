"""What is said of queue files as a whole: by the queue manager, bounce and its neighbours, postsuper. Pure."""

import re

from sendproof_logparser.events import Disposed, Disposition, NotificationSent, QueueActive
from sendproof_logparser.grammar_delivery import read_status_line
from sendproof_logparser.grammar_words import (
    ADDRESS,
    LARGEST_INTEGER,
    NOT_LOGGED,
    QUEUE_ID,
    Reading,
    Rule,
    first_match,
    irrelevant,
    leftover,
)

_REMOVED = Disposition.REMOVED
# global/opened.c: "%s: from=<%s>, size=%ld, nrcpt=%d (queue %s)"
_QUEUE_ACTIVE = re.compile(
    rf"({QUEUE_ID}): from={ADDRESS}, size=(\d{{1,18}}+), nrcpt=(\d{{1,9}}+)"
    r"(?>(?:, [a-z_]++=[^,(]*+)*) \(queue [a-z]++\)",
    re.ASCII | re.DOTALL,
)
# qmgr/qmgr_message.c, bounce/bounce_notify_service.c; a status line says it, too
DOUBLE_BOUNCE_DISCARDED = Rule(
    "double bounce discarded",
    re.compile(rf"warning: {QUEUE_ID}: undeliverable postmaster notification discarded"),
    irrelevant,
)
QMGR_RULES = (
    # qmgr/qmgr_active.c: "%s: from=<%s>, status=%s, returned to sender", expired or force-expired
    Rule(
        "expired",
        re.compile(rf"({QUEUE_ID}): from={ADDRESS}, status=(?>(?:force-)?)expired, returned to sender", re.DOTALL),
        lambda match: Disposed(match[1], Disposition.EXPIRED),
    ),
    # qmgr/qmgr_message.c
    Rule("skipped", re.compile(rf"{QUEUE_ID}: skipped, still being delivered"), irrelevant),
    # qmgr/qmgr_active.c: nothing is delivered from the corrupt queue unless an administrator puts the file back
    Rule(
        "corrupt",
        re.compile(rf'warning: saving corrupt file "({QUEUE_ID})" from queue "[a-z]++" to queue "corrupt"'),
        lambda match: Disposed(match[1], Disposition.HELD),
    ),
    DOUBLE_BOUNCE_DISCARDED,
    NOT_LOGGED,
)

BOUNCE_RULES = (
    # bounce/bounce_notify_service.c, bounce_warn_service.c, bounce_trace_service.c, bounce_one_service.c:
    # "%s: sender non-delivery notification: %s" and its like
    Rule(
        "sender notification",
        re.compile(rf"({QUEUE_ID}): sender (non-delivery|delay|delivery status) notification: ({QUEUE_ID})"),
        lambda match: NotificationSent(match[1], match[3], match[2]),
    ),
    # the same, to the postmaster
    Rule(
        "postmaster notification",
        re.compile(rf"({QUEUE_ID}): postmaster (?:non-delivery|delay) notification: ({QUEUE_ID})"),
        lambda match: NotificationSent(match[1], match[2], "postmaster"),
    ),
    DOUBLE_BOUNCE_DISCARDED,
    NOT_LOGGED,
)

# postsuper/postsuper.c: "%s: removed", and so on. Once "expired" the file is tried again, and returned only if that
# fails: the queue manager says so.
POSTSUPER_RULES = (
    Rule(
        "deleted",
        re.compile(rf"({QUEUE_ID}): removed"),
        lambda match: Disposed(match[1], Disposition.DELETED),
    ),
    Rule(
        "held",
        re.compile(rf"({QUEUE_ID}): placed on hold"),
        lambda match: Disposed(match[1], Disposition.HELD),
    ),
    Rule(
        "released",
        re.compile(rf"({QUEUE_ID}): released from hold"),
        lambda match: Disposed(match[1], Disposition.RELEASED),
    ),
    Rule(
        "requeued",
        re.compile(rf"({QUEUE_ID}): requeued"),
        lambda match: Disposed(match[1], Disposition.REQUEUED),
    ),
    Rule("made to expire", re.compile(rf"{QUEUE_ID}: expired"), irrelevant),
    # "Deleted: %d message%s", and the others at its end; the repairs of `postsuper -s`
    Rule(
        "summary",
        re.compile(r"[A-Z][a-z]++(?: [a-z]++){0,4}: \d++ messages?+", re.ASCII),
        irrelevant,
    ),
)


def read_qmgr(text: str) -> Reading:
    """Read a text of the queue manager."""
    if text.endswith(": removed"):  # qmgr/qmgr_active.c
        queue_id = text[:-9]
        if queue_id.isalnum() and queue_id.isascii():
            # once for every message: without the named tuple's own __new__, which is half the cost
            return tuple.__new__(Disposed, (queue_id, _REMOVED))
    match = _QUEUE_ACTIVE.fullmatch(text)
    if match is not None:
        queue_id, sender, size, recipients = match.groups()
        size_bytes = int(size)
        if size_bytes > LARGEST_INTEGER:
            size_bytes = LARGEST_INTEGER
        return QueueActive(queue_id, sender, size_bytes, int(recipients))
    # global/log_adhoc.c, for what the queue manager decides without a delivery agent
    return read_status_line(text) or first_match(QMGR_RULES, text) or leftover(text, read_qmgr)


def read_bounce(text: str) -> Reading:
    """Read a text of bounce, defer or trace."""
    return first_match(BOUNCE_RULES, text) or read_status_line(text) or leftover(text, read_bounce)


def read_postsuper(text: str) -> Reading:
    """Read a text of postsuper."""
    return first_match(POSTSUPER_RULES, text) or leftover(text, read_postsuper)
