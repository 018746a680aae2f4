"""What is typed into the search box, as a value. Pure: asks no database, and never fails.

Words and "quoted phrases" are looked for everywhere, ``key:value`` in one place; all of them must hold. What cannot be
understood is told as a `Problem` and the rest still counts. Nothing is special but the keys, quotes, and a ``*`` at
the end of a word: it stands for how the word goes on.
"""

import datetime as dt
import enum
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from sendproof_core.states import RecipientState

# A search that names more is a text that was pasted.
_MOST_PARTS = 20
_LONGEST = 500  # characters of the whole text
REFUSED = "refused"
OPENED = "opened"
STATUSES = (*(state.value for state in RecipientState), REFUSED, OPENED)
KEYS = ("to", "from", "subject", "status", "before", "after", "id", "reply")


class ProblemKind(enum.Enum):
    """What is wrong with a part of the search, as a sentence about ``{part}``."""

    NO_SUCH_KEY = "There is no “{part}”; it was looked for as words."
    NO_SUCH_STATUS = "There is no status “{part}”; it was left out."
    NO_DATE = "“{part}” is no date; write one as 2026-11-22, today, yesterday or 7d. It was left out."
    NO_VALUE = "Nothing stands behind “{part}”; it was left out."
    NO_WORD = "“{part}” holds no letter and no digit; it was left out."
    TOO_MUCH = "The search is too long; its end was left out."
    NEVER = "Nothing can be both after and before these dates."


@dataclass(frozen=True)
class Problem:
    """A part of the search that was left out or taken otherwise."""

    kind: ProblemKind
    part: str = ""

    @property
    def sentence(self) -> str:
        """In English."""
        return self.kind.value.format(part=self.part)


@dataclass(frozen=True)
class Phrase:
    """Words that stand beside each other. ``is_prefix``: the last may go on. ``is_quoted``: meant just so."""

    text: str
    is_prefix: bool = False
    is_quoted: bool = False


@dataclass(frozen=True)
class SearchQuery:
    """What to look for; everything that is given must hold, but of ``statuses`` any.

    ``words`` may occur anywhere; ``to``, ``sender``, ``subject``, ``reply`` there. ``ids``: names of any kind (queue
    id, Message-ID, our id, the receiving server's queue id). ``statuses``: of `STATUSES`. ``after`` is part of the
    time, ``before`` is not.
    """

    words: tuple[Phrase, ...] = ()
    to: tuple[Phrase, ...] = ()
    sender: tuple[Phrase, ...] = ()
    subject: tuple[Phrase, ...] = ()
    reply: tuple[Phrase, ...] = ()
    ids: tuple[str, ...] = ()
    statuses: frozenset[str] = frozenset()
    before: dt.datetime | None = None
    after: dt.datetime | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def is_for_everything(self) -> bool:
        """Whether nothing but perhaps a time is asked for."""
        return not (self.has_texts or self.statuses)

    @property
    def has_texts(self) -> bool:
        """Whether it asks for any word."""
        return bool(self.words or self.to or self.sender or self.subject or self.reply or self.ids)


def parse(text: str, zone: dt.tzinfo, now: dt.datetime) -> SearchQuery:
    """Read what was typed. ``zone``: whose days are meant; ``now``: what "today" and "7d" count from."""
    reading = _Reading(zone, now)
    if len(text) > _LONGEST:
        reading.problems.append(Problem(ProblemKind.TOO_MUCH))
        text = text[:_LONGEST]
    for number, part in enumerate(_PART.finditer(text)):
        if number == _MOST_PARTS:
            reading.problems.append(Problem(ProblemKind.TOO_MUCH))
            break
        reading.take(part)
    return reading.query()


# key:"some words", key:word, "some words", word; a quote that is never closed reaches to the end.
_PART = re.compile(
    r"""(?P<empty>[^\W\d_]+:)(?=\s|$)|(?:(?P<key>[^\W\d_]+):(?!//))?(?:"(?P<quoted>[^"]*)(?:"|$)|(?P<bare>[^\s"]+))"""
)
_RELATIVE = re.compile(r"(\d{1,4})([hdwm])")
_UNITS = {
    "h": dt.timedelta(hours=1),
    "d": dt.timedelta(days=1),
    "w": dt.timedelta(weeks=1),
    "m": dt.timedelta(days=30),
}
_DAYS_AGO = {"today": 0, "yesterday": 1, "heute": 0, "gestern": 1}
_WITH_DOTS = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})")


@dataclass
class _Reading:
    zone: dt.tzinfo
    now: dt.datetime
    phrases: dict[str, list[Phrase]] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    statuses: set[str] = field(default_factory=set)
    before: dt.datetime | None = None
    after: dt.datetime | None = None
    problems: list[Problem] = field(default_factory=list)

    def take(self, part: re.Match[str]) -> None:
        if part["empty"] is not None:
            return self._without_value(part["empty"])
        quoted = part["quoted"]
        value = (quoted if quoted is not None else part["bare"]).strip()
        key = (part["key"] or "").lower()
        if not key:
            return self._words("words", value, is_quoted=quoted is not None)
        if not value:
            return self._without_value(f"{part['key']}:")
        takes = _TAKES.get(key)
        if takes is not None:
            return takes(self, value)
        if key not in _PLACES:
            if value.strip(":"):
                self.problems.append(Problem(ProblemKind.NO_SUCH_KEY, f"{part['key']}:"))
            return self._words("words", part[0], is_quoted=False)
        return self._words(_PLACES[key], value, is_quoted=quoted is not None)

    def _without_value(self, part: str) -> None:
        """``Re:`` is a word; ``to:`` is not done yet."""
        if part[:-1].lower() in KEYS:
            self.problems.append(Problem(ProblemKind.NO_VALUE, part))
        else:
            self._words("words", part, is_quoted=False)

    def _words(self, place: str, value: str, *, is_quoted: bool) -> None:
        is_prefix = not is_quoted and value.endswith("*")
        if not any(character.isalnum() for character in value):
            if value:
                self.problems.append(Problem(ProblemKind.NO_WORD, value))
            return
        text = value.rstrip("*") if is_prefix else value
        self.phrases.setdefault(place, []).append(Phrase(text, is_prefix, is_quoted))

    def take_id(self, value: str) -> None:
        self.ids.append(value)

    def take_status(self, value: str) -> None:
        for one in filter(None, value.lower().split(",")):
            if one in STATUSES:
                self.statuses.add(one)
            else:
                self.problems.append(Problem(ProblemKind.NO_SUCH_STATUS, one))

    def take_before(self, value: str) -> None:
        moment = self._moment(value)
        if moment is not None:
            self.before = moment if self.before is None else min(moment, self.before)

    def take_after(self, value: str) -> None:
        moment = self._moment(value)
        if moment is not None:
            self.after = moment if self.after is None else max(moment, self.after)

    def _moment(self, value: str) -> dt.datetime | None:
        moment = _moment(value.lower(), self.zone, self.now)
        if moment is None:
            self.problems.append(Problem(ProblemKind.NO_DATE, value))
        return moment

    def query(self) -> SearchQuery:
        if self.before is not None and self.after is not None and self.after >= self.before:
            self.problems.append(Problem(ProblemKind.NEVER))
        return SearchQuery(
            **{place: tuple(phrases) for place, phrases in self.phrases.items()},
            ids=tuple(self.ids),
            statuses=frozenset(self.statuses),
            before=self.before,
            after=self.after,
            problems=tuple(dict.fromkeys(self.problems)),
        )


_PLACES = {"to": "to", "from": "sender", "subject": "subject", "reply": "reply"}
_TAKES: dict[str, Callable[[_Reading, str], None]] = {
    "id": _Reading.take_id,
    "status": _Reading.take_status,
    "before": _Reading.take_before,
    "after": _Reading.take_after,
}


def _moment(value: str, zone: dt.tzinfo, now: dt.datetime) -> dt.datetime | None:
    """A day is its begin in ``zone``; a time without a zone is of ``zone``. Aware, UTC."""
    today = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    try:
        if value in _DAYS_AGO:
            return _utc(today - dt.timedelta(days=_DAYS_AGO[value]))
        if relative := _RELATIVE.fullmatch(value):
            return _utc(now - int(relative[1]) * _UNITS[relative[2]])
        if dotted := _WITH_DOTS.fullmatch(value):
            return _utc(dt.datetime(int(dotted[3]), int(dotted[2]), int(dotted[1]), tzinfo=zone))
        moment = dt.datetime.fromisoformat(value.upper())
        return _utc(moment if moment.tzinfo is not None else moment.replace(tzinfo=zone))
    except (ValueError, OverflowError):
        return None


def _utc(moment: dt.datetime) -> dt.datetime | None:
    """None: no database keeps it."""
    moment = moment.astimezone(dt.UTC)
    return moment if 1970 <= moment.year < 9999 else None
