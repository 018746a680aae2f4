"""Plans as values: which window a moment falls in, and what a refusal says. Decides; counts nothing itself."""

import datetime as dt
import zoneinfo
from dataclasses import dataclass


@dataclass(frozen=True)
class QuotaLimits:
    """What a plan allows. None: unlimited."""

    recipients_per_day: int | None


@dataclass(frozen=True)
class Window:
    """A span in which use is counted: ``begins`` is part of it, ``ends`` is not. Aware, UTC."""

    begins: dt.datetime
    ends: dt.datetime


@dataclass(frozen=True)
class OverQuota:
    """A limit that would be exceeded. ``used``: recipients already counted in the window."""

    limit: int
    used: int
    asked: int
    resets: dt.datetime

    def reply_text(self, time_zone: str) -> str:
        """What the sender reads; ASCII, one line, the reset in the account's own time zone."""
        resets = self.resets.astimezone(zone(time_zone)).strftime("%Y-%m-%d %H:%M %Z")
        return (
            f"Plan limit reached: {self.limit} recipients per day, {self.used} used, "
            f"this message has {self.asked}; the count resets at {resets}"
        )


def zone(name: str) -> dt.tzinfo:
    """The time zone of that name; UTC if the machine does not know it (a zone was renamed, tzdata is old)."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return dt.UTC


def day_window(now: dt.datetime, time_zone: str) -> Window:
    """The calendar day of ``now`` in the account's time zone (23 to 25 hours long)."""
    here = zone(time_zone)
    today = now.astimezone(here).date()
    begins = dt.datetime.combine(today, dt.time(), here)
    ends = dt.datetime.combine(today + dt.timedelta(days=1), dt.time(), here)
    return Window(begins.astimezone(dt.UTC), ends.astimezone(dt.UTC))
