"""Names that Sendproof gives: the message id (UUIDv7), the key of a Postfix queue file, our transport for copies."""

import datetime as dt
import secrets
import uuid
from dataclasses import dataclass

# How the log tags the transport that makes a copy for each recipient (postfix-conf/master.cf.j2): syslog_name, daemon.
SPLIT_SERVICE = "/sendproof-split/smtp"


@dataclass(frozen=True, order=True)
class QueueFileKey:
    """Which queue file: queue ids are only unique on one host and Postfix instance."""

    host: str
    instance: str
    queue_id: str


def new_message_id(now: dt.datetime) -> uuid.UUID:
    """A UUIDv7 (RFC 9562 section 5.7): sorts by time, 74 random bits."""
    milliseconds = int(now.timestamp() * 1000) & (1 << 48) - 1
    random_bits = secrets.randbits(80)
    value = (
        milliseconds << 80 | 0x7 << 76 | (random_bits >> 68 & 0xFFF) << 64 | 0b10 << 62 | random_bits & (1 << 62) - 1
    )
    return uuid.UUID(int=value)
