"""Figures over time for the charts of the site: volume, outcomes, time to acceptance, what waits. Reads only.

Days are those of UTC, but for an account's own use, whose days are the account's. The logparser keeps the sums, a
moment behind the record (`sendproof_logparser.derive`).
"""

import bisect
import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Select, and_, func, select
from sqlalchemy.orm import Session

from sendproof_core import plans, remote_reply
from sendproof_core.addresses import address_key
from sendproof_core.remote_reply import Cause
from sendproof_core.schema import (
    AcceptanceTime,
    Account,
    Attempt,
    CredentialUse,
    DeliveryDay,
    QueueFile,
    QuotaUse,
    Recipient,
)
from sendproof_core.states import RecipientState, Span

_DAY = dt.timedelta(days=1)
# Of `schema.DeliveryDay`: all domains together.
_ALL = ""
_COUNTS = ("messages", "recipients", "delivered", "deferred", "bounced", "expired")
_DOMAIN_LENGTH = 255
# Of recipients that wait, so many are looked at.
_MOST_WAITING = 20_000
# Of values in one IN (...).
_AT_A_TIME = 2_000


@dataclass(frozen=True)
class Figures:
    """What was counted.

    ``messages``, ``recipients``: submitted. The others count recipients, each on the day it happened: taken over by the
    receiving server, put off for the first time, refused for good, given up after the queue lifetime.
    """

    messages: int = 0
    recipients: int = 0
    delivered: int = 0
    deferred: int = 0
    bounced: int = 0
    expired: int = 0


@dataclass(frozen=True)
class Day:
    """One day of all mail."""

    day: dt.date
    figures: Figures


@dataclass(frozen=True)
class ReceivingDomain:
    """One receiving domain. ``p50_seconds``, ``p95_seconds``: to acceptance; None: nothing was accepted."""

    domain: str
    figures: Figures
    p50_seconds: float | None
    p95_seconds: float | None


@dataclass(frozen=True)
class Waiting:
    """Recipients at one domain that wait for one reason. ``reply``: the newest, whole; ``oldest``: submitted then."""

    domain: str
    cause: Cause
    recipients: int
    oldest: dt.datetime
    newest_attempt_at: dt.datetime
    reply: str


@dataclass(frozen=True)
class AccountDay:
    """What an account sent on one of its days, as its plan counts."""

    day: dt.date
    messages: int
    recipients: int
    new_recipients: int


# Upper ends of the buckets in which times to acceptance are counted; the last has none.
_BOUNDS_SECONDS = (
    1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400, 172_800, 432_000,
)  # fmt: skip


def receiving_domain(address: str) -> str:
    """As it is counted; "-" where the address has none."""
    _, at, domain = address_key(address).rpartition("@")
    return domain[:_DOMAIN_LENGTH] if at and domain else "-"


def acceptance_bucket(seconds: float) -> int:
    """The number of the bucket that a time to acceptance falls in."""
    return bisect.bisect_left(_BOUNDS_SECONDS, seconds)


def percentile_seconds(buckets: Mapping[int, int], percent: float) -> float | None:
    """A percentile of what was counted in buckets, evenly spread in each; None: nothing was."""
    total = sum(buckets.values())
    if total <= 0:
        return None
    wanted = total * percent / 100
    for number, count in sorted(buckets.items()):
        if count > 0 and wanted <= count:
            low = _BOUNDS_SECONDS[number - 1] if number else 0
            high = _BOUNDS_SECONDS[number] if number < len(_BOUNDS_SECONDS) else low
            return low + (high - low) * wanted / count
        wanted -= count
    return float(_BOUNDS_SECONDS[-1])


def days(session: Session, since: dt.date, until: dt.date) -> tuple[Day, ...]:
    """Every day from ``since`` to ``until``, both included, oldest first; days without mail too."""
    rows = session.scalars(
        select(DeliveryDay).where(DeliveryDay.domain == _ALL, DeliveryDay.day >= since, DeliveryDay.day <= until)
    )
    counted = {row.day: Figures(**{name: getattr(row, name) for name in _COUNTS}) for row in rows}
    each = [since + number * _DAY for number in range((until - since).days + 1)]
    return tuple(Day(day, counted.get(day, Figures())) for day in each)


def domains(session: Session, since: dt.date, limit: int = 20) -> tuple[ReceivingDomain, ...]:
    """The receiving domains that were sent most since that day, most first."""
    recipients = func.sum(DeliveryDay.recipients)
    rows = session.execute(
        select(DeliveryDay.domain, *(func.sum(getattr(DeliveryDay, name)).label(name) for name in _COUNTS))
        .where(DeliveryDay.day >= since, DeliveryDay.domain != _ALL)
        .group_by(DeliveryDay.domain)
        .order_by(recipients.desc(), DeliveryDay.domain)
        .limit(limit)
    ).all()
    times = _acceptance_times(session, since, [row.domain for row in rows])
    return tuple(
        ReceivingDomain(
            row.domain,
            Figures(**{name: int(getattr(row, name)) for name in _COUNTS}),
            percentile_seconds(times[row.domain], 50),
            percentile_seconds(times[row.domain], 95),
        )
        for row in rows
    )


def acceptance_seconds(session: Session, since: dt.date) -> tuple[float | None, float | None]:
    """To acceptance, of all mail since that day: p50 and p95; None: nothing was accepted."""
    buckets = _acceptance_times(session, since, [_ALL])[_ALL]
    return percentile_seconds(buckets, 50), percentile_seconds(buckets, 95)


def _acceptance_times(session: Session, since: dt.date, names: Collection[str]) -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = {name: {} for name in names}
    rows = session.execute(
        select(AcceptanceTime.domain, AcceptanceTime.bucket, func.sum(AcceptanceTime.recipients))
        .where(AcceptanceTime.domain.in_(list(names)), AcceptanceTime.day >= since)
        .group_by(AcceptanceTime.domain, AcceptanceTime.bucket)
    )
    for domain, bucket, count in rows:
        found[domain][bucket] = int(count)
    return found


def deferred_now(session: Session, limit: int = 100) -> tuple[Waiting, ...]:
    """What waits for another attempt, by receiving domain and reason, most first.

    Looks at 20,000 recipients, those that were put off last: of more, the counts are too low.
    """
    rows = session.execute(
        select(
            Recipient.id, Recipient.queue_file_id, Recipient.address, Recipient.final_address,
            Recipient.suspended_because,
        )
        .where(Recipient.state == RecipientState.DEFERRED, Recipient.handed_on_at.is_(None))
        .order_by(Recipient.state_at.desc())
        .limit(_MOST_WAITING)
    ).all()  # fmt: skip
    # By id, a few at a time, and not joined: PostgreSQL looks into the days of those alone.
    born: dict[int, dt.datetime] = {}
    for some in _portions(sorted({row.queue_file_id for row in rows})):
        born.update({file.id: file.born_at for file in session.execute(_BIRTHS.where(QueueFile.id.in_(some)))})
    newest: dict[int, tuple[dt.datetime, str]] = {}
    for some in _portions(sorted(row.id for row in rows)):
        for recipient_id, at, reply in session.execute(_last_attempts(some)):
            newest[recipient_id] = (at, reply)
    piles: dict[tuple[str, Cause], _Pile] = {}
    for row in rows:
        born_at = born.get(row.queue_file_id)
        if born_at is None:  # removed by retention a moment ago
            continue
        at, reply = newest.get(row.id, (born_at, row.suspended_because or ""))
        domain = receiving_domain(row.final_address or row.address)
        piles.setdefault((domain, remote_reply.read(reply).cause), _Pile(born_at, at, reply)).add(born_at, at, reply)
    found = [
        Waiting(domain, cause, pile.recipients, pile.oldest, pile.newest_at, pile.reply)
        for (domain, cause), pile in piles.items()
    ]
    return tuple(sorted(found, key=lambda one: (-one.recipients, one.domain))[:limit])


_BIRTHS = select(QueueFile.id, QueueFile.born_at)


def _last_attempts(recipient_ids: Sequence[int]) -> Select[int, dt.datetime, str]:
    of_these = Attempt.recipient_id.in_(recipient_ids)
    last = (
        select(Attempt.recipient_id, func.max(Attempt.attempted_at).label("at"))
        .where(of_these)
        .group_by(Attempt.recipient_id)
        .subquery()
    )
    is_last = and_(last.c.recipient_id == Attempt.recipient_id, last.c.at == Attempt.attempted_at)
    return select(Attempt.recipient_id, Attempt.attempted_at, Attempt.text).join(last, is_last).where(of_these)


def _portions(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for begin in range(0, len(ids), _AT_A_TIME):
        yield ids[begin : begin + _AT_A_TIME]


@dataclass
class _Pile:
    oldest: dt.datetime
    newest_at: dt.datetime
    reply: str
    recipients: int = 0

    def add(self, born_at: dt.datetime, at: dt.datetime, reply: str) -> None:
        self.recipients += 1
        self.oldest = min(self.oldest, born_at)
        if at > self.newest_at:
            self.newest_at, self.reply = at, reply


def account_days(session: Session, account_id: int, since: dt.date) -> tuple[AccountDay, ...]:
    """An account's use by day, in its own time zone, oldest first; days without mail are left out."""
    zone_name = session.scalar(select(Account.time_zone).where(Account.id == account_id)) or "UTC"
    here = plans.zone(zone_name)
    used = (
        select(QuotaUse)
        .where(
            QuotaUse.account_id == account_id, QuotaUse.span == Span.DAY, QuotaUse.window_begins >= _begin(since) - _DAY
        )
        .order_by(QuotaUse.window_begins)
    )
    found = (
        # A day's first moment can be an hour off midnight where clocks change then; its middle is that day's.
        AccountDay(
            (row.window_begins + _DAY / 2).astimezone(here).date(), row.messages, row.recipients, row.new_recipients
        )
        for row in session.scalars(used)
    )
    return tuple(day for day in found if day.day >= since)


def last_used(session: Session, logins: Collection[str]) -> dict[str, dt.datetime]:
    """When a message was last let through by each of these logins; those that never sent are left out."""
    uses = select(CredentialUse).where(CredentialUse.login.in_(list(logins)))
    return {use.login: use.last_used_at for use in session.scalars(uses)}


def _begin(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)
