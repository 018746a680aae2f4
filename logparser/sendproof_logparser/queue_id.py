"""What a Postfix queue id says by itself: its shape, and for long ids the moment of birth. Pure.

Knows no log line; whether a word stands where a queue id stands is the grammar's matter.
"""

import datetime as dt
import re
from functools import lru_cache

# global/mail_queue.h: long ids are seconds (base 52, at least 6 digits), microseconds (base 52, exactly 4), "z", and
# the inode in base 51 (no "z"). Short ids are "%05X" microseconds and "%lX" inode: upper-case hexadecimal, and reused.
# Anonymised logs put other letters in, so any word with a digit will do, and words such as `warning` will not.
_QUEUE_ID = re.compile(r"[0-9A-F]{5,40}|(?=[A-Za-z]*[0-9])[0-9A-Za-z]{5,40}")
_BASE_52 = {character: value for value, character in enumerate("0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz")}
_SECOND_DIGITS = 6
_MICROSECOND_DIGITS = 4
# Long ids came with Postfix 2.9 (2012); what decodes to an earlier moment is no long id.
_FIRST_LONG_ID = dt.datetime(2011, 1, 1, tzinfo=dt.UTC)
_LAST_SECOND = 253_402_300_799  # the end of year 9999


@lru_cache(maxsize=4096)
def is_queue_id(word: str) -> bool:
    """Whether a word has the shape of a queue id."""
    return _QUEUE_ID.fullmatch(word) is not None


@lru_cache(maxsize=4096)
def birth(queue_id: str) -> dt.datetime | None:
    """When the queue file with that long id was made; None for a short id, which does not say."""
    head, separator, inode = queue_id.rpartition("z")
    if not separator or not inode or len(head) < _SECOND_DIGITS + _MICROSECOND_DIGITS:
        return None
    seconds = _number(head[:-_MICROSECOND_DIGITS])
    microseconds = _number(head[-_MICROSECOND_DIGITS:])
    if seconds is None or microseconds is None or microseconds >= 1_000_000 or seconds > _LAST_SECOND:
        return None
    born = dt.datetime.fromtimestamp(seconds, dt.UTC).replace(microsecond=microseconds)
    return born if born >= _FIRST_LONG_ID else None


def _number(digits: str) -> int | None:
    number = 0
    for digit in digits:
        value = _BASE_52.get(digit)
        if value is None:
            return None
        number = number * 52 + value
    return number
