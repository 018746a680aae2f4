"""The words that messages are found by: of what is stored, and of what is asked for. Pure; stores and asks nothing.

Both databases are given the same words, made here, so that both find the same: letters and digits, without case and
accents. A word is kept with a letter in front that says where it stands (`Field`); beside the words stand `exact` ones
for whole addresses and names. Words that are asked for as a phrase must stand beside each other, in one place.
"""

import enum
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sendproof_core.addresses import address_key
from sendproof_core.search_query import Phrase, SearchQuery

_LONGEST_WORD = 64
_LONGEST_TEXT = 4_000
_MOST_TEXTS = 5_000
# PostgreSQL's bounds (its section 11.5): the highest position, and of one word the most.
_LAST_POSITION = 16_383
_MOST_POSITIONS = 255
# Between two texts of one field, so that no phrase reaches over.
_BREAK = "0"
# Writing without spaces: each sign is a word, and a phrase finds any part.
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"(?!\W)[{_IDEOGRAPHS}]|[^\W_{_IDEOGRAPHS}]+")
_ASCII_WORD = re.compile("[a-z0-9]+")
_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+")


class Field(enum.StrEnum):
    """Where a word stands; its letter."""

    SUBJECT = "s"
    SENDER = "f"
    RECIPIENT = "t"
    NAME = "i"
    REPLY = "r"


_EVERYWHERE = tuple(Field)


def words(text: str) -> list[str]:
    """The words of a text."""
    text = text[:_LONGEST_TEXT]
    if text.isascii():  # nearly always, and ten times as fast
        return [word[:_LONGEST_WORD] for word in _ASCII_WORD.findall(text.lower())]
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    return [word[:_LONGEST_WORD] for word in _WORD.findall(plain)]


def _exact(kind: str, text: str) -> str:
    return kind + hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _whole_address(place: Field, address: str) -> str:
    return _exact(f"a{place}", address_key(address))


def _whole_name(name: str) -> str:
    return _exact("k", name.strip().removeprefix("<").removesuffix(">").casefold())


def account_word(account_id: int) -> str:
    """Stands in everything of an account."""
    return f"c{account_id}"


def status_word(status: str) -> str:
    """Stands in what has that status (`search_query.STATUSES`)."""
    return f"z{status}"


@dataclass
class Document:
    """The words of one message or refusal, in order."""

    words: list[str] = field(default_factory=list)

    def add_text(self, place: Field, text: str | None) -> None:
        """Words that stand somewhere."""
        if text:
            self.words += [f"{place}{word}" for word in words(text)]
            self.words.append(_BREAK)

    def add_addresses(self, place: Field, addresses: Iterable[str]) -> None:
        """Addresses, each once."""
        for address in list(dict.fromkeys(addresses))[:_MOST_TEXTS]:
            if address:
                self.words.append(_whole_address(place, address))
                self.words += [f"{place}{word}" for word in words(address)]

    def add_names(self, names: Iterable[str | None]) -> None:
        """Queue ids, Message-IDs and the like, each once."""
        for name in list(dict.fromkeys(names))[:_MOST_TEXTS]:
            if name:
                self.words.append(_whole_name(name))
                self.words += [f"{Field.NAME}{word}" for word in words(name)]

    def add_account(self, account_id: int | None) -> None:
        """Whose it is."""
        if account_id is not None:
            self.words.append(account_word(account_id))

    def add_statuses(self, statuses: Iterable[str]) -> None:
        """Each that one of its recipients has."""
        self.words += sorted({status_word(status) for status in statuses})

    def for_sqlite(self) -> str:
        """As FTS5 takes it."""
        return " ".join(self.words)

    def for_postgresql(self) -> str:
        """As a tsvector is written: ``'word':1,2``."""
        found: dict[str, list[int]] = {}
        for position, word in enumerate(self.words, start=1):
            if word == _BREAK:
                continue
            positions = found.setdefault(word, [])
            if len(positions) < _MOST_POSITIONS:
                positions.append(min(position, _LAST_POSITION))
        return " ".join(f"'{word}':{','.join(map(str, positions))}" for word, positions in found.items())


@dataclass(frozen=True)
class Alternative:
    """Words beside each other. ``is_prefix``: the last may go on."""

    words: tuple[str, ...]
    is_prefix: bool = False

    def stands_in(self, document: Sequence[str]) -> bool:
        """Whether they do in a document's words."""
        first, rest = self.words[0], self.words[1:]
        if self.is_prefix and not rest:
            return any(word.startswith(first) for word in document)
        return any(self._stands_at(position, document) for position, word in enumerate(document) if word == first)

    def _stands_at(self, position: int, document: Sequence[str]) -> bool:
        here = document[position : position + len(self.words)]
        if len(here) < len(self.words):
            return False
        last = here[-1].startswith(self.words[-1]) if self.is_prefix else here[-1] == self.words[-1]
        return last and tuple(here[:-1]) == self.words[:-1]


@dataclass(frozen=True)
class Wanted:
    """What is asked for: of each clause one alternative."""

    clauses: tuple[tuple[Alternative, ...], ...]

    def fits(self, document: Document) -> bool:
        """Whether a document is what is asked for."""
        return all(any(one.stands_in(document.words) for one in clause) for clause in self.clauses)

    def of_account(self, account_id: int) -> "Wanted":
        """The same, of that account's only."""
        return Wanted((*self.clauses, (Alternative((account_word(account_id),)),)))

    def for_sqlite(self) -> str:
        """As FTS5's MATCH takes it: words hold nothing but letters and digits."""
        return " AND ".join(
            "(" + " OR ".join(f'"{" ".join(one.words)}"{" *" if one.is_prefix else ""}' for one in clause) + ")"
            for clause in self.clauses
        )

    def for_postgresql(self) -> str:
        """As a tsquery is written."""
        return " & ".join("(" + " | ".join(_tsquery(one) for one in clause) + ")" for clause in self.clauses)


def _tsquery(one: Alternative) -> str:
    return "(" + " <-> ".join(f"'{word}'" for word in one.words) + (":*)" if one.is_prefix else ")")


def wanted(query: SearchQuery, *, widened: bool = False) -> Wanted | None:
    """What a query asks for, but for the time; None: it asks for nothing that has words.

    ``widened``: words that are long enough may go on.
    """
    clauses = [tuple(_alternatives(phrase, places, widened=widened)) for phrase, places in _phrases(query)]
    clauses += [tuple(_of_name(name)) for name in query.ids]
    if query.statuses:
        clauses.append(tuple(Alternative((status_word(status),)) for status in sorted(query.statuses)))
    clauses = [clause for clause in clauses if clause]
    return Wanted(tuple(clauses)) if clauses else None


def can_be_widened(query: SearchQuery) -> bool:
    """Whether there is a word that may go on."""
    return any(_may_go_on(phrase) for phrase, _ in _phrases(query))


# What goes on from fewer signs is nearly everything.
_SHORTEST_BEGINNING = 3


def _may_go_on(phrase: Phrase) -> bool:
    found = words(phrase.text)
    return not phrase.is_quoted and not phrase.is_prefix and bool(found) and len(found[-1]) >= _SHORTEST_BEGINNING


def _phrases(query: SearchQuery) -> Iterator[tuple[Phrase, tuple[Field, ...]]]:
    for phrases, places in (
        (query.words, _EVERYWHERE),
        (query.to, (Field.RECIPIENT,)),
        (query.sender, (Field.SENDER,)),
        (query.subject, (Field.SUBJECT,)),
        (query.reply, (Field.REPLY,)),
    ):
        for phrase in phrases:
            yield phrase, places


def _alternatives(phrase: Phrase, places: tuple[Field, ...], *, widened: bool) -> Iterator[Alternative]:
    found = words(phrase.text)
    if not found:
        return
    goes_on = phrase.is_prefix or (widened and _may_go_on(phrase))
    is_address = not goes_on and _ADDRESS.fullmatch(phrase.text) is not None
    for place in places:
        if is_address and place in (Field.RECIPIENT, Field.SENDER):
            yield Alternative((_whole_address(place, phrase.text.removeprefix("<").removesuffix(">")),))
        else:
            yield Alternative(tuple(f"{place}{word}" for word in found), goes_on)
    if places is _EVERYWHERE and not goes_on and not phrase.text.count(" "):
        yield Alternative((_whole_name(phrase.text),))


def _of_name(name: str) -> Iterator[Alternative]:
    yield Alternative((_whole_name(name),))
    if found := words(name):
        yield Alternative(tuple(f"{Field.NAME}{word}" for word in found))
