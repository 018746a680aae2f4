"""The life of a DKIM key, pending -> active -> retiring -> retired: names, waiting times, what to do next.

Pure; `directory` makes the changes.
"""

import datetime as dt
import itertools
import string
from collections.abc import Collection, Iterator

from sendproof_core.states import KeyState

# A message that the key signed may wait in our queue for 5 days (maximal_queue_lifetime), and then in others'.
RETIRING_FOR = dt.timedelta(days=14)
# M3AAWG DKIM Key Rotation Best Common Practices (2019): at least every six months.
_ROTATE_AFTER = dt.timedelta(days=182)


def fresh_selector(now: dt.datetime, taken: Collection[str]) -> str:
    """The first of sp202611a, sp202611b, ... that this domain never had."""
    return next(name for name in _selectors(now) if name not in taken)


def retire_from(since: dt.datetime) -> dt.datetime:
    """When a key that is retiring since then has no message under way any more."""
    return since + RETIRING_FOR


def next_step(state: KeyState, since: dt.datetime, now: dt.datetime, *, domain: str, selector: str) -> str:
    """What an operator does about the key, in one line."""
    match state:
        case KeyState.PENDING:
            return f"publish its record, then: sendproof domain activate {domain} {selector}"
        case KeyState.ACTIVE if now - since > _ROTATE_AFTER:
            return f"signs, for {(now - since).days} days: sendproof domain rotate {domain}"
        case KeyState.ACTIVE:
            return "signs"
        case KeyState.RETIRING if now < retire_from(since):
            return f"leave its record published until {retire_from(since):%Y-%m-%d}"
        case KeyState.RETIRING:
            return f"sendproof domain retire {domain} {selector}"
        case KeyState.RETIRED:
            return "publish its record with the empty p="


def _selectors(now: dt.datetime) -> Iterator[str]:
    for count in itertools.count(1):
        for letters in itertools.product(string.ascii_lowercase, repeat=count):
            yield f"sp{now:%Y%m}{''.join(letters)}"
