"""When a digest is due: at the full hour, or in the morning, of the account's own clock. Pure."""

import datetime as dt

from sendproof_core.states import Digest

MORNING = 7


def latest_boundary(digest: Digest, now: dt.datetime, zone: dt.tzinfo) -> dt.datetime:
    """What was found before this moment is due. Without a digest that is everything."""
    here = now.astimezone(zone)
    match digest:
        case Digest.NONE:
            return now
        case Digest.HOURLY:
            # In elapsed time: where the clock is put back, an hour comes twice.
            past = dt.timedelta(minutes=here.minute, seconds=here.second, microseconds=here.microsecond)
            return now.astimezone(dt.UTC) - past
        case Digest.DAILY:
            morning = _morning(here.date(), zone)
            return morning if morning <= now else _morning(here.date() - dt.timedelta(days=1), zone)


def _morning(day: dt.date, zone: dt.tzinfo) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(MORNING), zone).astimezone(dt.UTC)
