"""More of a real mail log: its lines again and again, as if the same traffic had come more often.

Each copy has its own queue ids, process ids and times; the copies follow each other. Reads and writes no file.
"""

import datetime as dt
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

# util/msg_logger.c: "%b %d %H:%M:%S host tag[pid]: text"
_LINE = re.compile(rb"(\w{3} [ \d]\d \d\d:\d\d:\d\d) (\S+ [^\s\[]+)\[(\d+)\]: (.*)")
# global/mail_queue.h: seconds (base 52, 6 digits), microseconds (base 52, 4 digits), "z", the inode (base 51).
_DIGITS = b"0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
_QUEUE_ID = re.compile(rb"\b([%b]{6})([%b]{4}z[%b]{4,12})\b" % (_DIGITS, _DIGITS, _DIGITS[:-1]))
_BASE = len(_DIGITS)
# A word that is a queue id only by its looks decodes to any time, not to one near the log's.
_NEAR_SECONDS = 86_400


def multiplied(
    original: Sequence[bytes], copies: int, written_at: dt.datetime, *, ends_at: dt.datetime | None = None
) -> Iterator[bytes]:
    """The lines of every copy, oldest first.

    Queue ids of receiving servers become others, too.

    Args:
        original: lines as postlogd writes them.
        copies: how many.
        written_at: about when the original was written, in the zone of its stamps.
        ends_at: about when the last copy ends, in the same zone; None: when the original did.
    """
    parts = [match.groups() for match in map(_LINE.fullmatch, original) if match]
    moments = [_moment(stamp, written_at.year) for stamp, *_ in (parts[0], parts[-1])]
    span_seconds = int((moments[1] - moments[0]).total_seconds()) + 1
    later_seconds = 0 if ends_at is None else int((ends_at.replace(tzinfo=dt.UTC) - moments[1]).total_seconds())
    pids = [int(pid) for _, _, pid, _ in parts]
    span_pids = max(pids) - min(pids) + 1
    for copy in range(copies):
        shift_seconds = later_seconds - (copies - 1 - copy) * span_seconds
        rename = _renamer(shift_seconds, int(written_at.timestamp()))
        for (stamp, program, _, text), pid in zip(parts, pids, strict=True):
            shifted = _shifted(stamp, written_at.year, shift_seconds)
            yield b"%b %b[%d]: %b" % (shifted, program, pid + copy * span_pids, _QUEUE_ID.sub(rename, text))


def _moment(stamp: bytes, year: int) -> dt.datetime:
    """Local time, called UTC: only differences count."""
    return dt.datetime.strptime(f"{year} {stamp.decode('ascii')} +0000", "%Y %b %d %H:%M:%S %z")


@lru_cache(maxsize=4096)
def _shifted(stamp: bytes, year: int, shift_seconds: int) -> bytes:
    moment = _moment(stamp, year) + dt.timedelta(seconds=shift_seconds)
    return moment.strftime("%b %e %H:%M:%S").encode("ascii")


def _renamer(shift_seconds: int, written_at: int) -> Callable[[re.Match[bytes]], bytes]:
    """What a queue id becomes in a copy: the id of a file that was born so much later."""

    def rename(found: re.Match[bytes]) -> bytes:
        seconds = 0
        for digit in found[1]:
            seconds = seconds * _BASE + _DIGITS.index(digit)
        if abs(seconds - written_at) > _NEAR_SECONDS:
            return found[0]
        seconds += shift_seconds
        digits = bytearray()
        for _ in range(6):
            seconds, digit = divmod(seconds, _BASE)
            digits.insert(0, _DIGITS[digit])
        return bytes(digits) + found[2]

    return rename
