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
_PAIRS = {one + other: 52 * _BASE_52[one] + _BASE_52[other] for one in _BASE_52 for other in _BASE_52}
_PAIR = 52 * 52
_SECOND = 1_000_000
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
    second = _second(head[:-_MICROSECOND_DIGITS])
    high, low = _PAIRS.get(head[-_MICROSECOND_DIGITS:-2]), _PAIRS.get(head[-2:])
    if second is None or high is None or low is None:
        return None
    microseconds = high * _PAIR + low
    return second.replace(microsecond=microseconds) if microseconds < _SECOND else None


@lru_cache(maxsize=1024)
def _second(digits: str) -> dt.datetime | None:
    """Many queue files are made within a second."""
    seconds = _number(digits)
    if seconds is None or seconds > _LAST_SECOND:
        return None
    second = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return second if second >= _FIRST_LONG_ID else None


def _number(digits: str) -> int | None:
    number = 0
    for digit in digits:
        value = _BASE_52.get(digit)
        if value is None:
            return None
        number = number * 52 + value
    return number
