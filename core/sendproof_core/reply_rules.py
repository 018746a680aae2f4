"""The rules that say what a reply means (``reply_rules.toml``): read, checked and compiled once. Reads no log line.

Every phrase becomes a pattern in which each repetition is bounded: no reply takes longer than its length.
"""

import enum
import importlib.resources
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from sendproof_core.errors import UserError
from sendproof_core.reply_lines import ENHANCED, REPLY_CODE

_FILE = "reply_rules.toml"


class Cause(enum.StrEnum):
    """Why a recipient was put off or refused, as far as the words tell."""

    ACCEPTED = "accepted"
    GREYLISTED = "greylisted"
    PERHAPS_GREYLISTED = "perhaps greylisted"
    UNKNOWN_USER = "unknown user"
    MAILBOX_FULL = "mailbox full"
    MAILBOX_DISABLED = "mailbox disabled"
    TOO_LARGE = "too large"
    BLOCKED = "blocked"
    SENDER_REFUSED = "sender refused"
    # SPF, DKIM or DMARC
    AUTHENTICATION = "authentication"
    # the sending server's name in DNS
    OUR_NAME = "our name"
    SLOWED_DOWN = "slowed down"
    NOT_RESPONSIBLE = "not responsible"
    THEIR_TROUBLE = "their trouble"
    NO_SUCH_DOMAIN = "no such domain"
    UNREACHABLE = "unreachable"
    INTERRUPTED = "interrupted"
    NO_TLS = "no TLS"
    OUR_TROUBLE = "our trouble"
    OTHER = "other"


class Fault(enum.StrEnum):
    """Who can do something about it."""

    RECIPIENT_ADDRESS = "recipient address"
    THEIR_SERVER = "their server"
    OUR_SERVER = "our server"
    # the message, or the sender's domain
    SENDER = "sender"
    NETWORK = "network"


class Speaker(enum.StrEnum):
    """Whose words they are."""

    SERVER = "server"
    POSTFIX = "Postfix"


@dataclass(frozen=True)
class Phrases:
    """Phrases, any of which may stand anywhere. Of each: its longest word, without which it cannot, and its pattern."""

    each: tuple[tuple[str, re.Pattern[str]], ...]

    def stand_in(self, words: str, lower_words: str) -> bool:
        """Whether one is there; ``lower_words``: the same words in small letters."""
        return any(stem in lower_words and pattern.search(words) is not None for stem, pattern in self.each)


@dataclass(frozen=True)
class Rule:
    """One rule, compiled. ``None``: the rule does not ask for it."""

    cause: Cause
    fault: Fault
    speaker: Speaker | None
    reply_codes: frozenset[int] | None
    enhanced_codes: frozenset[str] | None
    words: Phrases | None
    without: Phrases | None
    example: str
    near_misses: tuple[str, ...]

    def fits(self, reply: "Reply") -> bool:
        """Whether everything that it asks for is there."""
        return (
            self.speaker in (None, reply.speaker)
            and (self.reply_codes is None or reply.code in self.reply_codes)
            and (self.enhanced_codes is None or reply.enhanced_code in self.enhanced_codes)
            and (self.words is None or self.words.stand_in(reply.words, reply.lower_words))
            and (self.without is None or not self.without.stand_in(reply.words, reply.lower_words))
        )


@dataclass(frozen=True)
class Reply:
    """What rules are asked about."""

    speaker: Speaker
    words: str
    lower_words: str
    code: int | None
    enhanced_code: str | None


def find(rules: Iterable[Rule], speaker: Speaker, words: str) -> Rule | None:
    """The first rule that fits a reply, or Postfix's own words."""
    found = REPLY_CODE.match(words)
    enhanced = found["enhanced"] if found else None
    if enhanced is None and (written := _ENHANCED_WRITTEN_OUT.search(words)):
        enhanced = written[1]
    reply = Reply(speaker, words, words.lower(), int(found["code"]) if found else None, enhanced)
    return next((rule for rule in rules if rule.fits(reply)), None)


@lru_cache(maxsize=1)
def shipped() -> tuple[Rule, ...]:
    """The rules that come with Sendproof."""
    return parse(importlib.resources.files("sendproof_core").joinpath(_FILE).read_text(encoding="utf-8"), _FILE)


def parse(text: str, name: str) -> tuple[Rule, ...]:
    """The rules in a file's ``text``.

    Raises:
        UserError: the file is no TOML, or a rule is not as it must be; with the file's ``name`` and the rule's number.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{name} is not valid TOML: {error}.") from error
    tables = document.get("rule")
    if set(document) != {"rule"} or not isinstance(tables, list) or not all(isinstance(item, dict) for item in tables):
        raise UserError(f"{name} must hold rules, each under [[rule]], and nothing else.")
    return tuple(_Table(f"{name}: rule {number}", table).rule() for number, table in enumerate(tables, start=1))


# qmail and others: "(#5.1.1)"
_ENHANCED_WRITTEN_OUT = re.compile(rf"#({ENHANCED})(?![\d.])")
_ENHANCED_WANTED = re.compile(r"([245x])(\.\d{1,3}\.\d{1,3})")
_CLASS_WANTED = re.compile(r"([245])xx")
_KEYS = frozenset(
    ("cause", "fault", "speaker", "reply_codes", "enhanced_codes", "words", "without", "example", "near_misses")
)
_GAP = "..."
_Word = TypeVar("_Word", bound=enum.StrEnum)


@dataclass(frozen=True)
class _Table:
    """One rule as it stands in the file. ``where``: for the sentence that says what is wrong with it."""

    where: str
    table: dict[str, Any]

    def rule(self) -> Rule:
        if unknown := sorted(set(self.table) - _KEYS):
            raise UserError(f"{self.where} has {unknown[0]!r}; a rule knows: {', '.join(sorted(_KEYS))}.")
        rule = Rule(
            cause=self._one_of(Cause, "cause"),
            fault=self._one_of(Fault, "fault"),
            speaker=self._one_of(Speaker, "speaker") if "speaker" in self.table else None,
            reply_codes=self._reply_codes(),
            enhanced_codes=self._enhanced_codes(),
            words=self._phrases("words"),
            without=self._phrases("without"),
            example=self._example(),
            near_misses=tuple(self._strings("near_misses") or ()),
        )
        if rule.reply_codes is None and rule.enhanced_codes is None and rule.words is None:
            raise UserError(f"{self.where} would fit every reply: it needs reply_codes, enhanced_codes or words.")
        return rule

    def _one_of(self, kind: type[_Word], key: str) -> _Word:
        try:
            return kind(str(self.table.get(key)))
        except ValueError:
            choices = ", ".join(kind)
            raise UserError(f"{self.where}: {key} must be one of {choices}, not {self.table.get(key)!r}.") from None

    def _example(self) -> str:
        example = self.table.get("example")
        if not isinstance(example, str) or not example:
            raise UserError(f"{self.where} lacks an example: a reply that it is for.")
        return example

    def _strings(self, key: str) -> list[str] | None:
        given = self.table.get(key)
        if given is None:
            return None
        if not isinstance(given, list) or not given or not all(isinstance(item, str) and item for item in given):
            raise UserError(f"{self.where}: {key} must be a list of texts, with one at least.")
        return given

    def _reply_codes(self) -> frozenset[int] | None:
        given = self.table.get("reply_codes")
        if given is None:
            return None
        codes: set[int] = set()
        for item in given if isinstance(given, list) and given else [None]:
            if isinstance(item, str) and (whole_class := _CLASS_WANTED.fullmatch(item)):
                codes.update(range(int(whole_class[1]) * 100, int(whole_class[1]) * 100 + 100))
            elif type(item) is int and 200 <= item <= 599:
                codes.add(item)
            else:
                raise UserError(f'{self.where}: reply_codes must be a list of such as 450 or "4xx", not {item!r}.')
        return frozenset(codes)

    def _enhanced_codes(self) -> frozenset[str] | None:
        given = self._strings("enhanced_codes")
        if given is None:
            return None
        codes: set[str] = set()
        for item in given:
            wanted = _ENHANCED_WANTED.fullmatch(item)
            if wanted is None:
                raise UserError(f'{self.where}: enhanced_codes must be such as "5.1.1" or "x.2.2", not {item!r}.')
            codes.update(f"{first}{wanted[2]}" for first in ("45" if wanted[1] == "x" else wanted[1]))
        return frozenset(codes)

    def _phrases(self, key: str) -> Phrases | None:
        given = self._strings(key)
        return None if given is None else Phrases(tuple(self._phrase(key, phrase) for phrase in given))

    def _phrase(self, key: str, phrase: str) -> tuple[str, re.Pattern[str]]:
        parts = [part.split() for part in phrase.split(_GAP)]
        if len(parts) > 2 or not all(parts):
            raise UserError(f"{self.where}: {key} has {phrase!r}; '...' may stand once, between words.")
        is_stem = parts[-1][-1].endswith("*")
        if is_stem:
            parts[-1][-1] = parts[-1][-1][:-1]
        if any("*" in word or not word for part in parts for word in part):
            raise UserError(
                f"{self.where}: {key} has {phrase!r}; '*' may stand at the end only, behind a word's begin."
            )
        pattern = ".{0,40}".join(r"[\s_-]{1,3}".join(map(re.escape, part)) for part in parts)
        whole = rf"(?<!\w){pattern}" + ("" if is_stem else r"(?!\w)")
        longest = max((word for part in parts for word in part), key=len)
        return longest.lower(), re.compile(whole, re.IGNORECASE | re.DOTALL)
