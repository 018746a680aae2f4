"""What one message adds to the statistics. Pure; `derive` keeps the sums.

A message is counted anew whenever more is known of it: what it added before is taken out, and what it adds now put in.
So it counts once, however often and in whatever order its lines are read.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from sendproof_core.states import RecipientState
from sendproof_core.statistics import acceptance_bucket, receiving_domain
from sendproof_core.transcripts import Outline, RecipientView

# The columns of `schema.DeliveryDay`; beside them, a count for each bucket of `acceptance_times`.
COLUMNS = ("messages", "recipients", "delivered", "deferred", "bounced", "expired")
_ALL = ""


class Place(NamedTuple):
    """Where something is counted. ``what``: one of `COLUMNS`, or a bucket's number."""

    day: dt.date
    domain: str
    what: str | int


Counted = Counter[Place]
_NAMES = {
    RecipientState.DELIVERED: "delivered",
    RecipientState.BOUNCED: "bounced",
    RecipientState.EXPIRED: "expired",
}


def contribution(outline: Outline) -> Counted:
    """What the message adds. Mail in test mode is thrown away, and adds nothing."""
    counted: Counted = Counter()
    message = outline.message
    if message.test_mode:
        return counted
    submitted = message.submitted_at.date()
    counted[Place(submitted, _ALL, "messages")] += 1
    for domain in {_domain(recipient) for recipient in outline.recipients}:
        counted[Place(submitted, domain, "messages")] += 1
    for recipient in outline.recipients:
        for day, what in _happened(recipient, message.submitted_at):
            counted[Place(day, _domain(recipient), what)] += 1
            counted[Place(day, _ALL, what)] += 1
    return counted


def _happened(recipient: RecipientView, submitted_at: dt.datetime) -> Iterable[tuple[dt.date, str | int]]:
    yield submitted_at.date(), "recipients"
    deferred = next((attempt for attempt in recipient.attempts if attempt.status == "deferred"), None)
    if deferred is not None:
        yield deferred.at.date(), "deferred"
    name = _NAMES.get(recipient.state)
    if name is not None:
        yield recipient.state_at.date(), name
    if recipient.state is RecipientState.DELIVERED:
        yield recipient.state_at.date(), acceptance_bucket(_seconds(recipient, submitted_at))


def _seconds(recipient: RecipientView, submitted_at: dt.datetime) -> float:
    """From submission to acceptance: Postfix's own count, from when the queue file that was delivered was born."""
    attempt = next((attempt for attempt in reversed(recipient.attempts) if attempt.status == "sent"), None)
    if attempt is None:
        return max((recipient.state_at - submitted_at).total_seconds(), 0.0)
    before = (recipient.queued_at - submitted_at).total_seconds() if recipient.queued_at is not None else 0.0
    return max(before, 0.0) + attempt.delay_seconds


def _domain(recipient: RecipientView) -> str:
    """Of the server that is to take it: where an alias leads."""
    return receiving_domain(recipient.final_address or recipient.address)


def to_plain(counted: Counted) -> list[Any]:
    """For `schema.SearchEntry.counted`. What all domains have together is their sum."""
    return [[place.day.isoformat(), place.domain, place.what, count] for place, count in sorted_items(counted)]


def of_plain(plain: list[Any]) -> Counted:
    """The reverse."""
    return Counter({Place(dt.date.fromisoformat(day), domain, what): count for day, domain, what, count in plain})


def sorted_items(counted: Counted) -> list[tuple[Place, int]]:
    """Always in the same order, so that no two writers wait for each other's rows."""
    return sorted(counted.items(), key=lambda item: (item[0].day, item[0].domain, str(item[0].what)))
