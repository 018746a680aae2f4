"""Plans as values: which windows a moment falls in, which limit stands in a message's way, what a refusal says.

Decides; counts nothing itself.
"""

import datetime as dt
import operator
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from sendproof_core.states import Span


@dataclass(frozen=True)
class QuotaLimits:
    """What a plan allows. None: unlimited. Names as in `schema.Plan`."""

    messages_per_hour: int | None = None
    recipients_per_hour: int | None = None
    messages_per_day: int | None = None
    recipients_per_day: int | None = None
    messages_per_month: int | None = None
    recipients_per_month: int | None = None
    # Of one message, whatever was sent before
    recipients_per_message: int | None = None
    message_octets: int | None = None
    # Addresses that the account never mailed before
    new_recipients_per_day: int | None = None


@dataclass(frozen=True)
class Window:
    """A span in which use is counted: ``begins`` is part of it, ``ends`` is not. Aware, UTC."""

    begins: dt.datetime
    ends: dt.datetime


@dataclass(frozen=True)
class Windows:
    """The windows that one moment falls in."""

    hour: Window
    day: Window
    month: Window


class Use(NamedTuple):
    """What was counted in one window, or what one message adds to it."""

    messages: int = 0
    recipients: int = 0
    new_recipients: int = 0

    def plus(self, other: "Use") -> "Use":
        """Both together."""
        return Use(
            self.messages + other.messages,
            self.recipients + other.recipients,
            self.new_recipients + other.new_recipients,
        )


@dataclass(frozen=True)
class OverQuota:
    """A limit that would be exceeded.

    Attributes:
        name: as in `QuotaLimits`.
        limit: what the plan allows in one window.
        used: what the window holds already.
        asked: what the message would add.
        resets: when the window ends and the next begins at nothing.
    """

    name: str
    limit: int
    used: int
    asked: int
    resets: dt.datetime

    @property
    def never_fits(self) -> bool:
        """Whether the message alone exceeds the limit, so that waiting does not help."""
        return self.asked > self.limit

    @property
    def is_temporary(self) -> bool:
        """Whether the same message, sent again by itself within hours, as mail servers do, may be let through."""
        return _LIMIT[self.name].span is Span.HOUR and not self.never_fits

    @property
    def code(self) -> int:
        """The SMTP reply code."""
        return 452 if self.is_temporary else 550

    @property
    def dsn(self) -> str:
        """The enhanced status code (RFC 3463)."""
        return "4.7.1" if self.is_temporary else "5.7.1"

    def reply_text(self, time_zone: str) -> str:
        """What the sender reads; printable ASCII, one line, the reset in the account's own time zone."""
        limit = _LIMIT[self.name]
        resets = self.resets.astimezone(zone(time_zone)).strftime("%Y-%m-%d %H:%M %Z")
        alone = " alone" if self.never_fits else ""
        return (
            f"Plan limit reached: {self.limit} {limit.noun} per {limit.span}, {self.used} used, "
            f"this message{alone} {limit.verb} {self.asked}; the count resets at {resets}"
        )


def over_quota(limits: QuotaLimits, windows: Windows, used: dict[Span, Use], asked: Use) -> OverQuota | None:
    """The limit that stands in a message's way; None: it may go.

    Where several do, the one that would refuse the longest is named: first one that the message alone exceeds, which
    waiting does not help, then the one that resets last (a day beats an hour). The limits of a single message
    (``recipients_per_message``, ``message_octets``) are not looked at: nothing has to be counted for them.
    """
    found = None
    for kind in _LIMITS:
        limit: int | None = getattr(limits, kind.name)
        if limit is None:
            continue
        share, before = kind.part(asked), kind.part(used[kind.span])
        # What adds nothing passes: a plan that became smaller stops no message to old acquaintances.
        if share and before + share > limit:
            window: Window = getattr(windows, kind.span)
            over = OverQuota(kind.name, limit, before, share, window.ends)
            if found is None or (over.never_fits, over.resets) > (found.never_fits, found.resets):
                found = over
    return found


def zone(name: str) -> dt.tzinfo:
    """The time zone of that name; UTC if the machine does not know it (a zone was renamed, tzdata is old)."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return dt.UTC


def windows(now: dt.datetime, time_zone: str) -> Windows:
    """The hour in UTC; the calendar day (23 to 25 hours) and month of ``now`` in the account's time zone.

    Each window begins where the one before it ends, also where clocks are changed at midnight.
    """
    known = _latest.get(time_zone)
    if known is not None and all(window.begins <= now < window.ends for window in (known.hour, known.day, known.month)):
        return known
    here = zone(time_zone)
    hour = now.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)
    found = Windows(Window(hour, hour + dt.timedelta(hours=1)), _day(now, here), _month(now, here))
    if len(_latest) >= _ZONES_KEPT:
        _latest.clear()
    _latest[time_zone] = found
    return found


def _day(now: dt.datetime, here: dt.tzinfo) -> Window:
    # The local date may be a day off: St. John's put its clock back from 00:01 to 23:01 until 2011.
    today = now.astimezone(here).date()
    begins, ends = _midnight(today, here), _midnight(today + _DAY, here)
    while now < begins:
        today -= _DAY
        begins, ends = _midnight(today, here), begins
    while now >= ends:
        today += _DAY
        begins, ends = ends, _midnight(today + _DAY, here)
    return Window(begins, ends)


def _month(now: dt.datetime, here: dt.tzinfo) -> Window:
    first = now.astimezone(here).date().replace(day=1)
    begins, ends = _midnight(first, here), _midnight(_next_month(first), here)
    if now < begins:
        before = (first - _DAY).replace(day=1)
        return Window(_midnight(before, here), begins)
    if now >= ends:
        after = _next_month(first)
        return Window(ends, _midnight(_next_month(after), here))
    return Window(begins, ends)


def _midnight(day: dt.date, here: dt.tzinfo) -> dt.datetime:
    """The first moment of a day: of a midnight that comes twice the first, of one that is left out the change."""
    return dt.datetime.combine(day, dt.time(), here).astimezone(dt.UTC)


def _next_month(first: dt.date) -> dt.date:
    return (first + dt.timedelta(days=31)).replace(day=1)


_DAY = dt.timedelta(days=1)
# The last answer for each zone: nearly always the next one, which takes ten times as long to work out.
_ZONES_KEPT = 1_000
_latest: dict[str, Windows] = {}


@dataclass(frozen=True)
class _Limit:
    """One of `QuotaLimits` that is counted in windows: where its numbers are, and its words."""

    name: str
    span: Span
    part: Callable[[Use], int]
    noun: str
    verb: str


_MESSAGES = (operator.attrgetter("messages"), "messages", "counts")
_RECIPIENTS = (operator.attrgetter("recipients"), "recipients", "has")
_NEW_RECIPIENTS = (operator.attrgetter("new_recipients"), "new recipients", "has")
_LIMITS = (
    _Limit("recipients_per_hour", Span.HOUR, *_RECIPIENTS),
    _Limit("messages_per_hour", Span.HOUR, *_MESSAGES),
    _Limit("recipients_per_day", Span.DAY, *_RECIPIENTS),
    _Limit("messages_per_day", Span.DAY, *_MESSAGES),
    _Limit("new_recipients_per_day", Span.DAY, *_NEW_RECIPIENTS),
    _Limit("recipients_per_month", Span.MONTH, *_RECIPIENTS),
    _Limit("messages_per_month", Span.MONTH, *_MESSAGES),
)
_LIMIT = {limit.name: limit for limit in _LIMITS}
