"""The receiving server's own queue id, out of its acknowledgement. Pure; reads no other reply."""

import re

# One pattern for each kind of receiver, tried in this order; each finds its words anywhere and is linear.
_SHAPES = (
    # Postfix smtpd.c: "250 2.0.0 Ok: queued as 4jXGhv3lVdzJPyT"; also many others' wording
    re.compile(r"\bqueued as ([0-9A-Za-z._-]{4,64})"),
    # Exchange and Microsoft 365: "<...> [InternalId=123, Hostname=...] ... Queued mail for delivery"
    re.compile(r"\[InternalId=(\d{1,30})[,\]]"),
    # Gmail says: "250 2.0.0 OK  1700000000 a1-2020a05678.12 - gsmtp"
    re.compile(r" ([0-9A-Za-z._-]{6,80}) - gsmtp\b"),
    # Exim smtp_in.c: "250 OK id=1rAbCd-000000001Ab-2Cde"
    re.compile(r"\bOK id=([0-9A-Za-z-]{10,40})"),
    # Sendmail srvrsmtp.c: "250 2.0.0 3AMEjIDu012345 Message accepted for delivery"
    re.compile(r"\b([0-9A-Za-z]{12,20}) Message accepted for delivery"),
)


def find(reply: str) -> str | None:
    """The id that the receiver's administrator can search for; None if the reply names none that we know."""
    for shape in _SHAPES:
        match = shape.search(reply)
        if match is not None:
            return match[1].rstrip(".")
    return None
