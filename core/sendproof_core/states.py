"""The states of recipients and keys, the spans of limits, ...: words that tables, pages and code share."""

import enum


class RecipientState(enum.StrEnum):
    """What is known of one recipient. `UNKNOWN` where the evidence ends: never a guess."""

    QUEUED = "queued"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    HELD = "held"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


class KeyState(enum.StrEnum):
    """Where a DKIM key is in its rotation. Only active keys sign."""

    PENDING = "pending"
    ACTIVE = "active"
    RETIRING = "retiring"
    RETIRED = "retired"


class Span(enum.StrEnum):
    """How long a window is in which use is counted."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


class LinkPurpose(enum.StrEnum):
    """What a link that the site mailed is good for."""

    SIGN_UP = "sign-up"
    INVITATION = "invitation"
    ADDRESS = "address"
    SENDER_ADDRESS = "sender-address"
    RESET = "reset"


class Digest(enum.StrEnum):
    """How an account's notices come: one by one, or gathered."""

    NONE = "none"
    HOURLY = "hourly"
    DAILY = "daily"


class NoticeKind(enum.StrEnum):
    """What a notice is about. `LETTER`: what the site wants mailed; `DIGEST`: several of the others in one."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    FAILED = "failed"
    OPENED = "opened"
    PLAN_USE = "plan-use"
    LETTER = "letter"
    DIGEST = "digest"


class NoticeState(enum.StrEnum):
    """Where a notice is on its way out."""

    WAITING = "waiting"
    # A daemon is sending it, or ended in the middle of that: then the record says what became of it.
    CLAIMED = "claimed"
    SENT = "sent"
    # Given up after the last try.
    FAILED = "failed"
    # No longer true, or of no use any more, when its turn came.
    WITHDRAWN = "withdrawn"
