"""What an account has used of its plan in the windows of this moment, and who is at a limit. Reads only.

The ledger is the milter's; windows are derived from the time as the milter derives them.
"""

import dataclasses
import datetime as dt
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from sendproof_core import directory, plans
from sendproof_core.plans import Use, Window
from sendproof_core.schema import Account, Plan, QuotaUse
from sendproof_core.states import Span

# From here on a limit is near.
NEAR = 0.8
# Of windows: the longest month, and a day for the zones.
_LONGEST = dt.timedelta(days=32)


@dataclass(frozen=True)
class LimitUse:
    """One limit that is counted in windows. ``name`` as in `QuotaLimits`; ``limit`` None: there is none."""

    name: str
    span: Span
    used: int
    limit: int | None
    resets: dt.datetime

    @property
    def share(self) -> float:
        """1.0: the limit is reached; without a limit 0."""
        return self.used / self.limit if self.limit else 0.0


@dataclass(frozen=True)
class AtLimit:
    """An account that is near a limit of its plan, or at it; the limit that is used most."""

    account_id: int
    login: str
    use: LimitUse


def read(session: Session, account: Account, now: dt.datetime) -> tuple[LimitUse, ...]:
    """Every limit that is counted in windows, in the order of `QuotaLimits`, those that the plan does not set, too."""
    plan = session.get_one(Plan, account.plan_id)
    windows = plans.windows(now, account.time_zone)
    by_span: dict[Span, Window] = {Span.HOUR: windows.hour, Span.DAY: windows.day, Span.MONTH: windows.month}
    rows = session.scalars(
        select(QuotaUse).where(
            QuotaUse.account_id == account.id,
            or_(*(_is(span, window.begins) for span, window in by_span.items())),
        )
    )
    used = {Span(row.span): Use(row.messages, row.recipients, row.new_recipients) for row in rows}
    found = []
    for name, limit in dataclasses.asdict(directory.plan_limits(plan)).items():
        part, _, span_name = name.rpartition("_per_")
        if span_name in set(Span):
            span = Span(span_name)
            found.append(LimitUse(name, span, getattr(used.get(span, Use()), part), limit, by_span[span].ends))
    return tuple(found)


def near_limits(session: Session, now: dt.datetime, limit: int = 10) -> tuple[AtLimit, ...]:
    """Accounts that have used `NEAR` of a limit or more, those that have used most of it first; at most ``limit``."""
    over = [
        and_(QuotaUse.span == span.value, column >= NEAR * plan_limit)
        for span in Span
        for column, plan_limit in _pairs(span)
    ]
    # A window that may be this moment's; which one is, the account's time zone says.
    lately = or_(
        and_(QuotaUse.span == Span.HOUR.value, QuotaUse.window_begins > now - dt.timedelta(hours=1)),
        and_(QuotaUse.span == Span.DAY.value, QuotaUse.window_begins > now - dt.timedelta(hours=26)),
        and_(QuotaUse.span == Span.MONTH.value, QuotaUse.window_begins > now - _LONGEST),
    )
    accounts = session.scalars(
        select(Account)
        .join(Plan, Plan.id == Account.plan_id)
        .where(
            select(QuotaUse.account_id).where(QuotaUse.account_id == Account.id, lately, or_(*over)).exists(),
        )
    )
    found: list[AtLimit] = []
    for account in accounts:
        most = max(read(session, account, now), key=lambda use: use.share, default=None)
        if most is not None and most.share >= NEAR:
            found.append(AtLimit(account.id, account.login, most))
    return tuple(sorted(found, key=lambda one: (-one.use.share, one.login))[:limit])


def _is(span: Span, begins: dt.datetime) -> ColumnElement[bool]:
    return and_(QuotaUse.span == span.value, QuotaUse.window_begins == begins)


def _pairs(span: Span) -> list[tuple[ColumnElement[int], ColumnElement[int | None]]]:
    """What is counted in windows of that length, and the plan's limit for it."""
    pairs = []
    for part, column in (
        ("messages", QuotaUse.messages),
        ("recipients", QuotaUse.recipients),
        ("new_recipients", QuotaUse.new_recipients),
    ):
        limit = getattr(Plan, f"{part}_per_{span.value}", None)
        if limit is not None:
            pairs.append((column.expression, limit.expression))
    return pairs
