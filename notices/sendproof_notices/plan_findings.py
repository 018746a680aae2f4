"""What there is to tell of plans: limits that are used to 80 % or wholly, once for each window. Reads only."""

import datetime as dt
from collections.abc import Iterator

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from sendproof_core.plans import Windows, windows
from sendproof_core.schema import Account, NoticeItem, NoticePreferences, Plan, QuotaUse
from sendproof_core.states import Digest, NoticeKind, Span
from sendproof_notices.findings import Finding

EARLY_PERCENT, FULL_PERCENT = 80, 100
_AT_A_TIME = 500
# By span: the limit's name in `plans.QuotaLimits`, and what is counted against it.
LIMITS = {
    Span.HOUR: (("messages_per_hour", "messages"), ("recipients_per_hour", "recipients")),
    Span.DAY: (
        ("messages_per_day", "messages"),
        ("recipients_per_day", "recipients"),
        ("new_recipients_per_day", "new_recipients"),
    ),
    Span.MONTH: (("messages_per_month", "messages"), ("recipients_per_month", "recipients")),
}


def find(session: Session, from_address: str, now: dt.datetime) -> Iterator[Finding]:
    """The limits that are nearly or wholly used in the windows of ``now``, and of which nobody was told yet."""
    found = [
        finding
        for zone in session.scalars(select(Account.time_zone).distinct())
        for finding in _in_zone(session, zone, windows(now, zone), from_address.lower())
    ]
    for begin in range(0, len(found), _AT_A_TIME):
        some = found[begin : begin + _AT_A_TIME]
        # Whoever knows that it is full need not hear that it was nearly full: a charge was taken back.
        keys = [key for finding in some for key in (finding.key, _with_percent(finding.key, FULL_PERCENT))]
        known = set(session.scalars(select(NoticeItem.key).where(NoticeItem.key.in_(keys))))
        for finding in some:
            if not known & {finding.key, _with_percent(finding.key, FULL_PERCENT)}:
                yield finding


def _with_percent(key: str, percent: int) -> str:
    return f"{key.rpartition(':')[0]}:{percent}"


def _in_zone(session: Session, zone: str, now: Windows, own: str) -> Iterator[Finding]:
    for span, limits in LIMITS.items():
        window = getattr(now, span)
        query = (
            select(
                Account.id,
                Account.notice_address,
                func.coalesce(NoticePreferences.digest, Digest.NONE.value).label("digest"),
                *(getattr(Plan, name) for name, _ in limits),
                QuotaUse.messages,
                QuotaUse.recipients,
                QuotaUse.new_recipients,
            )
            .join(Plan, Plan.id == Account.plan_id)
            .join(
                QuotaUse,
                and_(
                    QuotaUse.account_id == Account.id,
                    QuotaUse.span == span,
                    QuotaUse.window_begins == window.begins,
                ),
            )
            .outerjoin(NoticePreferences, NoticePreferences.account_id == Account.id)
            .where(
                Account.time_zone == zone,
                func.lower(Account.notice_address).not_in(("", own)),
                func.coalesce(NoticePreferences.plan_use, True).is_(True),
                or_(*(_is_nearly_used(name, counted) for name, counted in limits)),
            )
            .order_by(Account.id)
        )
        for row in session.execute(query):
            for name, counted in limits:
                limit, used = getattr(row, name), getattr(row, counted)
                if not limit or used * 100 < limit * EARLY_PERCENT:
                    continue
                percent = FULL_PERCENT if used >= limit else EARLY_PERCENT
                yield Finding(
                    key=f"plan:{row.id}:{name}:{window.begins:%Y-%m-%dT%H:%M}:{percent}",
                    kind=NoticeKind.PLAN_USE,
                    account_id=row.id,
                    to_address=row.notice_address,
                    waits=percent < FULL_PERCENT and row.digest != Digest.NONE,
                    data={
                        "limit": name,
                        "span": span.value,
                        "used": used,
                        "allowed": limit,
                        "percent": percent,
                        "resets": window.ends.isoformat(),
                    },
                )


def _is_nearly_used(name: str, counted: str) -> ColumnElement[bool]:
    limit = getattr(Plan, name)
    return and_(limit > 0, getattr(QuotaUse, counted) * 100 >= limit * EARLY_PERCENT)
