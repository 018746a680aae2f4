"""The zone of time stamps that name none. Reads the machine's own zone, and no clock."""

import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sendproof_core.errors import UserError

_MACHINES_ZONE = Path("/etc/localtime")


def time_zone(name: str, named_by: str) -> dt.tzinfo:
    """The zone of that name; "": this machine's. ``named_by``: the setting or option, for the sentence of UserError."""
    if not name:
        try:
            with _MACHINES_ZONE.open("rb") as file:
                return ZoneInfo.from_file(file)
        except (OSError, ValueError):
            return dt.UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UserError(f"{named_by} names no time zone: {name!r}; it is one such as Europe/Berlin.") from None
