"""The part of a log line that the logger wrote: time, host, program, process. Pure.

Reads the forms of postlogd (``maillog_file``), of RFC 3164 and of RFC 3339 time stamps. Knows nothing of Postfix's own
text (`grammar` does), reads no clock and no file; RFC 5424, journald and containers' prefixes are not known here.
"""

import datetime as dt
import re
from functools import lru_cache
from typing import NamedTuple

from sendproof_logparser import queue_id

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}
_STAMP = len("Jan 02 15:04:05")
# Clocks differ between hosts and time zones are mistaken: a line may seem to come from the near future.
_AHEAD = dt.timedelta(days=1)
# 29 February needs up to eight years back (1900, 2100).
_YEARS_BACK = 8
_OLD = dt.timedelta(days=300)
_NEARLY_A_YEAR = dt.timedelta(days=363)
_ID_AT_LINE_START = re.compile(r"\]: ([0-9A-Za-z]{12,40}): ")
_LARGEST_PID = 2**31 - 1


class SyslogLine(NamedTuple):
    """One line taken apart. A tuple, not a dataclass: a million are made of each large log."""

    at: dt.datetime
    host: str
    # The whole tag, such as ``postfix/submission/smtpd``
    program: str
    # 0 where the logger wrote none
    pid: int
    text: str


def parse(line: str, zone: dt.tzinfo, newest: dt.datetime) -> SyslogLine | None:
    """Take a line apart; None if it has none of the known forms.

    Args:
        line: without its newline.
        zone: of time stamps that name none.
        newest: a stamp without a year means the last such day not after this moment (see `newest_time`).
    """
    if line[9:10] == ":":  # util/msg_logger.c: strftime "%b %d %H:%M:%S "; RFC 3164 has a blank for the day's zero
        at = _moment(line[:_STAMP], zone, newest)
        rest = line[_STAMP + 1 :]
    elif line[10:11] == "T":
        stamp, _, rest = line.partition(" ")
        at = _moment_rfc3339(stamp)
    else:
        return None
    if at is None:
        return None
    host, _, rest = rest.partition(" ")
    tag, colon, text = rest.partition(": ")
    if " " in tag:  # a logger that left out the colon after the tag: `postfix/smtpd[2717] 6CB5F45B78: client=...`
        tag, _, text = rest.partition(" ")
    elif not colon:
        tag = tag.removesuffix(":")
    if not host or not tag:
        return None
    program, bracket, number = tag.partition("[")
    number = number.removesuffix("]")
    pid = int(number) if bracket and number.isascii() and number.isdigit() and len(number) < 11 else 0
    return SyslogLine(at, host, program, pid if pid <= _LARGEST_PID else 0, text)


def newest_time(head: str, now: dt.datetime) -> dt.datetime:
    """The latest moment that a line of a file can be from, for `parse`.

    ``head`` is the file's beginning: where a long queue id in it was born long ago, the file is an old one, and its
    years are counted from that birth instead of from ``now``.
    """
    for match in _ID_AT_LINE_START.finditer(head):
        born = queue_id.birth(match[1])
        if born is not None:
            return born + _NEARLY_A_YEAR if born < now - _OLD else now
    return now


@lru_cache(maxsize=1024)
def _moment(stamp: str, zone: dt.tzinfo, newest: dt.datetime) -> dt.datetime | None:
    month = _MONTHS.get(stamp[:3])
    try:
        day, hour, minute = int(stamp[4:6]), int(stamp[7:9]), int(stamp[10:12])
        second = min(int(stamp[13:15]), 59)  # 60 is a leap second
    except ValueError:
        return None
    if month is None:
        return None
    for year in range(newest.year + 1, newest.year - _YEARS_BACK, -1):
        try:
            moment = dt.datetime(year, month, day, hour, minute, second, tzinfo=zone).astimezone(dt.UTC)
        except (ValueError, OverflowError):  # no 29 February in that year, or no such day at all
            continue
        if moment <= newest + _AHEAD:
            return moment
    return None


def _moment_rfc3339(stamp: str) -> dt.datetime | None:
    try:
        moment = dt.datetime.fromisoformat(stamp)
        return moment.astimezone(dt.UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
