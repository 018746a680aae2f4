"""The states of recipients and keys, the spans of limits: words that tables, pages and code share."""

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
