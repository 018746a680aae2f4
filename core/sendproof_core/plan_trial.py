"""What other limits of a plan would have meant in the last days: how often its accounts were above them. Reads only.

From the ledger (what was used in each hour, day and month) and, for the limits of one message, from the record. Use
stops at the limits that were in force then: a wider limit is above all of it, however much more was wanted. What was
refused for the plan's sake is counted beside it.
"""

import dataclasses
import datetime as dt
from dataclasses import dataclass

from sqlalchemy import ColumnElement, distinct, func, select
from sqlalchemy.orm import Session

from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Account, Message, Plan, QuotaUse, Refusal
from sendproof_core.states import Span

DAYS = 30
# A month that began before the days that are looked at is part of them all the same.
_LONGEST_MONTH = dt.timedelta(days=31)
_LOGINS_SHOWN = 5
# As the milter's journal names it that a limit of the plan stood in a message's way.
_REASONS = ("over-quota", "too-many-recipients", "too-large")
_OF_WINDOWS = {
    "messages": QuotaUse.messages,
    "recipients": QuotaUse.recipients,
    "new_recipients": QuotaUse.new_recipients,
}
_OF_MESSAGES = {"recipients_per_message": Message.recipient_count, "message_octets": Message.size_bytes}


@dataclass(frozen=True)
class LimitTrial:
    """One limit that is to be changed. ``before``, ``after``: None is no limit.

    Attributes:
        name: as in `QuotaLimits`.
        over: in how many windows (or messages) more was used than ``after`` allows.
        accounts: of how many accounts.
        logins: of them those that used most, first.
        most: the most that was used in one window (or message), by any account of the plan.
    """

    name: str
    before: int | None
    after: int | None
    over: int
    accounts: int
    logins: tuple[str, ...]
    most: int

    @property
    def is_tighter(self) -> bool:
        """Whether less is allowed than before."""
        return self.after is not None and (self.before is None or self.after < self.before)

    @property
    def is_of_messages(self) -> bool:
        """Whether messages are counted, not windows."""
        return self.name in _OF_MESSAGES


@dataclass(frozen=True)
class PlanTrial:
    """What a change would have meant. ``limits``: only those that differ, in the order of `QuotaLimits`."""

    since: dt.datetime
    until: dt.datetime
    # That have the plan now.
    accounts: int
    # Messages that were refused because the plan's limits, as they were then, stood in their way.
    refused: int
    limits: tuple[LimitTrial, ...]


def run(session: Session, plan: Plan, before: QuotaLimits, after: QuotaLimits, now: dt.datetime) -> PlanTrial:
    """Look at what the plan's accounts used in the last `DAYS`."""
    since = now - dt.timedelta(days=DAYS)
    has_plan = Account.plan_id == plan.id
    refused = (
        select(func.count())
        .select_from(Refusal)
        .join(Account, Account.id == Refusal.account_id)
        .where(has_plan, Refusal.reason.in_(_REASONS), Refusal.refused_at >= since)
    )
    old, new = dataclasses.asdict(before), dataclasses.asdict(after)
    return PlanTrial(
        since=since,
        until=now,
        accounts=session.scalar(select(func.count()).select_from(Account).where(has_plan)) or 0,
        refused=session.scalar(refused) or 0,
        limits=tuple(_try(session, plan, name, old[name], new[name], since) for name in new if old[name] != new[name]),
    )


def _try(
    session: Session, plan: Plan, name: str, before: int | None, after: int | None, since: dt.datetime
) -> LimitTrial:
    used, where = _used(name, since)
    of_plan = [Account.plan_id == plan.id, *where]
    most = session.scalar(select(func.max(used)).select_from(Account).where(*of_plan)) or 0
    if after is None or most <= after:
        return LimitTrial(name, before, after, 0, 0, (), most)
    over = [*of_plan, used > after]
    counted = select(func.count(), func.count(distinct(Account.id))).select_from(Account).where(*over)
    times, accounts = session.execute(counted).one()
    by_login = select(Account.login).where(*over).group_by(Account.login)
    logins = session.scalars(by_login.order_by(func.max(used).desc(), Account.login).limit(_LOGINS_SHOWN))
    return LimitTrial(name, before, after, times, accounts, tuple(logins), most)


def _used(name: str, since: dt.datetime) -> tuple[ColumnElement[int], list[ColumnElement[bool]]]:
    """Where the limit's numbers are, and which rows are of the time and of an account."""
    if name in _OF_MESSAGES:
        return _OF_MESSAGES[name].expression, [Message.account_id == Account.id, Message.submitted_at >= since]
    part, _, span = name.rpartition("_per_")
    begins = since - _LONGEST_MONTH if span == Span.MONTH else since
    rows = [
        QuotaUse.account_id == Account.id,
        QuotaUse.span == Span(span).value,
        QuotaUse.window_begins >= begins,
    ]
    return _OF_WINDOWS[part].expression, rows
