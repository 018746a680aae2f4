"""When a line was written whose time stamp leaves out the year, the zone, or both. Pure.

What a stamp leaves out follows from the line before it, from the birth of the queue file that the line speaks of (long
queue ids carry a clock: `queue_id.birth`), and from the time of the file. Reads no lines: `syslog_line` does.
"""

import datetime as dt
from typing import NamedTuple

# Clocks differ between hosts and time zones are mistaken: a line may seem to come from the near future.
_AHEAD = dt.timedelta(days=1)
# Logs of several hosts may stand one after the other; a log without any line for ten months is rarer than that.
YEAR_SLACK = dt.timedelta(days=60)
# In the hour that is repeated in autumn, lines are out of order by less than this.
_HOUR_SLACK = dt.timedelta(minutes=5)
# Postfix cuts the fraction of the second off, and takes the queue file's time a little before it writes the line.
_BIRTH_SLACK = dt.timedelta(seconds=2)
# 29 February is up to eight years away (1900, 2100).
_YEARS_TO_LEAP_DAY = 8
# All offsets of today's zones are multiples of this, and between these.
_OFFSET_STEP = dt.timedelta(minutes=15)
_LARGEST_OFFSET = dt.timedelta(hours=14)


class Local(NamedTuple):
    """A time of day as a clock on a wall showed it. ``year``: None where the stamp has none."""

    year: int | None
    month: int
    day: int
    hour: int
    minute: int
    second: int
    microsecond: int = 0


class Clues(NamedTuple):
    """What is known of the moment beforehand.

    ``reference``: the moment of the line before, None at the beginning of a log. ``latest``: no line is from much
    later. ``born``: of the queue file that the line speaks of. ``is_birth``: the line was written when it was made.
    """

    reference: dt.datetime | None
    latest: dt.datetime
    born: dt.datetime | None = None
    is_birth: bool = False


def place(local: Local, zone: dt.tzinfo, clues: Clues) -> dt.datetime | None:
    """The moment (UTC) that a stamp means; None if there is no such day or time."""
    candidates = [
        moments for year in _years(local, clues) if (moments := _moments(local._replace(year=year), zone)) is not None
    ]
    if not candidates:
        return None
    earlier, later = _in_its_year(candidates, clues)
    return earlier if earlier >= later else _of_the_repeated_hour(earlier, later, clues)


def begins_plain_hour(local: Local, zone: dt.tzinfo) -> bool:
    """Whether each stamp of that hour (and day, and year) means one moment, and all have the same offset."""
    first = _moments(local._replace(minute=0, second=0, microsecond=0), zone)
    last = _moments(local._replace(minute=59, second=59, microsecond=0), zone)
    if first is None or last is None:
        return False
    return first[0] == first[1] and last[0] == last[1] and last[0] - first[0] == dt.timedelta(seconds=3599)


def zone_at_birth(local: Local, zone: dt.tzinfo, born: dt.datetime) -> dt.tzinfo | None:
    """The zone of a stamp that was written when a queue file was born; None if no zone explains it.

    ``zone`` itself, if that is right.
    """
    if local.year is None:
        years = (born.year - 1, born.year, born.year + 1)
        found = [zone_at_birth(local._replace(year=year), zone, born) for year in years]
        return next((candidate for candidate in found if candidate is not None), None)
    if any(_is_at_birth(moment, born) for moment in _moments(local, zone) or ()):
        return zone
    moments = _moments(local, dt.UTC)
    if moments is None:
        return None
    offset = _OFFSET_STEP * round((moments[0] - born) / _OFFSET_STEP)
    if abs(offset) > _LARGEST_OFFSET or not _is_at_birth(moments[0] - offset, born):
        return None
    return dt.timezone(offset)


def _years(local: Local, clues: Clues) -> list[int]:
    """The years that a stamp may be of, in order."""
    if local.year is not None:
        return [local.year]
    reach = _YEARS_TO_LEAP_DAY if (local.month, local.day) == (2, 29) else 1
    near = {moment.year for moment in (clues.reference, clues.latest, clues.born) if moment is not None}
    return sorted({year + step for year in near for step in range(-reach, reach + 1)})


def _moments(local: Local, zone: dt.tzinfo) -> tuple[dt.datetime, dt.datetime] | None:
    """What a stamp with a year means, before and after the clock is put back: most often the same moment twice."""
    try:
        moment = dt.datetime(*local, tzinfo=zone)  # type: ignore[arg-type]  # a year is there
        return moment.astimezone(dt.UTC), moment.replace(fold=1).astimezone(dt.UTC)
    except (ValueError, OverflowError):  # no 29 February in that year, or no such day at all
        return None


def _in_its_year(candidates: list[tuple[dt.datetime, dt.datetime]], clues: Clues) -> tuple[dt.datetime, dt.datetime]:
    """The right one of the same stamp in several years (in order)."""
    if clues.born is not None and clues.is_birth:
        born = clues.born
        return min(candidates, key=lambda moments: abs(moments[0] - born))
    not_later = [moments for moments in candidates if moments[0] <= clues.latest + _AHEAD]
    bounds = []
    if clues.reference is not None:
        bounds.append(clues.reference - YEAR_SLACK)
    if clues.born is not None:
        bounds.append(clues.born - _AHEAD)
    if bounds:
        earliest = max(bounds)
        for moments in not_later:
            if moments[0] >= earliest:
                return moments
    return not_later[-1] if not_later else candidates[0]


def _of_the_repeated_hour(earlier: dt.datetime, later: dt.datetime, clues: Clues) -> dt.datetime:
    if clues.born is not None:
        if earlier < clues.born - _BIRTH_SLACK:
            return later
        if clues.is_birth:
            return min(earlier, later, key=lambda moment: abs(moment - clues.born))  # type: ignore[operator]
    if clues.reference is not None and earlier < clues.reference - _HOUR_SLACK:
        return later
    return earlier


def _is_at_birth(moment: dt.datetime, born: dt.datetime) -> bool:
    return abs(moment - born) <= _BIRTH_SLACK
