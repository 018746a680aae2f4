"""The pieces that the rules of the grammar share: queue ids, addresses, verbose lines, rules in tables. Pure.

Knows no daemon.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from sendproof_logparser.events import IRRELEVANT, Event, Irrelevant
from sendproof_logparser.queue_id import is_queue_id

Reading = Event | Irrelevant | None
Reader = Callable[[str], Reading]

# Where the rest of the pattern says that it is one, any word will do for a queue id: anonymised logs have odd ones.
# A group is never made possessive (`(...)*+`) but atomic (`(?>(...)*)`): Debian 12's Python has the former wrong.
QUEUE_ID = r"[0-9A-Za-z]{5,40}+"
# An address in its external form (global/info_log_addr_form.c, global/quote_822_local.c): the local part is quoted as
# a whole or not at all, and inside the quotes anything may stand, ">" included. There is deliberately no second, laxer
# pattern: a record that was cut inside a quoted address would let its text pass for fields.
ADDRESS = r'<((?>(?:@[^":>]*+:)?)(?>(?:"(?>(?:[^"\\]|\\.)*)")?)[^">]*+)>'
# name[address] of a client or server; the name was checked by Postfix (smtpd/smtpd_peer.c) or is "unknown"
PEER = r"[^\s\[]*+\[[^\]\s]*+\]"
SEVERE = ("warning: ", "error: ", "fatal: ", "panic: ")  # util/msg_output.c
LARGEST_INTEGER = 2**31 - 1  # of an INTEGER column

# util/msg.c, with -v or debug_peer_list: dialogue, a function's name (`const char *myname`), attributes
# (util/attr_*.c, between daemons), lists and tables.
_VERBOSE = re.compile(
    r"[<>] |send attr |input attribute |(?:private|public)/|[a-z0-9]*+_[a-z0-9_]*+:|\S++ socket: ", re.ASCII
)
# The beginnings of nearly all verbose lines, for speed.
OFTEN_VERBOSE = ("send attr ", "input attribute ", "private/", "public/", "name_mask: ", "match_")
REPEATED_BEGINNING = "message repeated "
_REPEATED = re.compile(r"message repeated \d++ times: \[ (.*)\]", re.ASCII | re.DOTALL)

_ASCII_DIGITS = frozenset("0123456789")


class Rule(NamedTuple):
    """One shape of text, for the whole text, and the event that it makes."""

    name: str
    pattern: re.Pattern[str]
    make: Callable[[re.Match[str]], Event | Irrelevant]


def first_match(rules: tuple[Rule, ...], text: str) -> Reading:
    """What the first rule that fits makes of a text; None if none fits."""
    for _, pattern, make in rules:
        match = pattern.fullmatch(text)
        if match is not None:
            return make(match)
    return None


def is_verbose(text: str) -> bool:
    """Whether a text is of the kind that Postfix writes with -v or debug_peer_list only."""
    return _VERBOSE.match(text) is not None


def leftover(text: str, read: Reader) -> Reading:
    """What to make of a text that none of a reader's rules knows.

    rsyslog writes "message repeated 2 times: [ ... ]" instead of the same text again ($RepeatedMsgReduction).
    """
    if text.startswith(REPEATED_BEGINNING):
        repeated = _REPEATED.fullmatch(text)
        return read(repeated[1]) if repeated and not repeated[1].startswith(REPEATED_BEGINNING) else None
    return IRRELEVANT if is_verbose(text) else None


def irrelevant(_match: re.Match[str]) -> Irrelevant:
    """For a rule whose text says nothing about a recipient."""
    return IRRELEVANT


def stands_for_queue_id(word: str) -> bool:
    """Whether a word at a text's beginning, before ``: ``, is a queue id. Faster than `is_queue_id` for new ones."""
    if word[:1] in _ASCII_DIGITS:
        return word.isalnum() and word.isascii() and 5 <= len(word) <= 40
    return is_queue_id(word)


# global/bounce.c, global/abounce.c, global/defer.c, by whichever daemon wanted a recipient written to those logs
NOT_LOGGED = Rule("not logged", re.compile(rf"{QUEUE_ID}: status=deferred \([a-z]++ failed\)"), irrelevant)
