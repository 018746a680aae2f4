"""The words of messages and refusals: rows of ``search_entries`` and ``search_words``. Decides no word.

What words something has is `sendproof_core.search_entries`'s matter; when they are written, `derive`'s.
"""

import datetime as dt
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.orm import Session

from sendproof_core import search_entries
from sendproof_core.schema import SearchEntry
from sendproof_core.search_terms import Document

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)
# Two messages within a millisecond whose ids end with the same 20 bits are rare; so many, there are none.
_STEPS = 4


@dataclass(frozen=True)
class Indexed:
    """A message or a refusal, with what it is found by and what it adds to the statistics."""

    message_id: uuid.UUID | None
    refusal_id: int | None
    at: dt.datetime
    document: Document
    counted: list[Any]

    @property
    def key(self) -> uuid.UUID | int:
        """The message's or the refusal's id."""
        return self.message_id if self.message_id is not None else self.refusal_id or 0


@dataclass(frozen=True)
class Known:
    """What an entry had at the last time."""

    number: int
    counted: list[Any]

    def is_at(self, at: dt.datetime) -> bool:
        """Whether its number is one of that moment: SQLite gives a row's id again once the row is gone."""
        return abs(self.number - search_entries.number(at, 0)) < search_entries.number(_EPOCH + _MILLISECOND, 0)


class SearchIndex:
    """The index of one database, in one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._is_sqlite = session.get_bind().dialect.name == "sqlite"

    def known(self, message_ids: Collection[uuid.UUID], refusal_ids: Collection[int]) -> dict[uuid.UUID | int, Known]:
        """By the message's or the refusal's id."""
        columns = (SearchEntry.id, SearchEntry.message_id, SearchEntry.refusal_id, SearchEntry.counted)
        found: dict[uuid.UUID | int, Known] = {}
        for condition in (
            SearchEntry.message_id.in_(list(message_ids)) if message_ids else None,
            SearchEntry.refusal_id.in_(list(refusal_ids)) if refusal_ids else None,
        ):
            if condition is not None:
                for row in self._session.execute(select(*columns).where(condition)):
                    found[row.message_id or row.refusal_id] = Known(row.id, row.counted)
        return found

    def put(self, everything: Collection[Indexed], known: dict[uuid.UUID | int, Known]) -> None:
        """Write entries, new or in place of what was ``known``."""
        new, changed, words = [], [], []
        taken = self._taken(everything)
        for one in everything:
            before = known.get(one.key)
            if before is not None:
                number = before.number
                if before.counted != one.counted:
                    changed.append({"id": number, "counted": one.counted})
            else:
                number = search_entries.number(one.at, one.key)
                while number in taken:
                    number += 1
                taken.add(number)
                new.append(
                    {
                        "id": number,
                        "message_id": one.message_id,
                        "refusal_id": one.refusal_id,
                        "counted": one.counted,
                    }
                )
            words.append((number, one))
        if new:
            self._session.execute(insert(SearchEntry), new)
        if changed:
            self._session.execute(update(SearchEntry), changed)
        self._write(words)

    def remove(self, numbers: Collection[int]) -> None:
        """Of what is there no more."""
        if not numbers:
            return
        self._session.execute(delete(SearchEntry).where(SearchEntry.id.in_(list(numbers))))
        column = "rowid" if self._is_sqlite else "entry_id"
        statement = text(f"DELETE FROM search_words WHERE {column} = :number")  # noqa: S608 - one of two names
        self._session.execute(statement, [{"number": number} for number in numbers])

    def clear(self) -> None:
        """Forget everything."""
        self._session.execute(delete(SearchEntry))
        if self._is_sqlite:
            self._session.execute(text("INSERT INTO search_words (search_words) VALUES ('delete-all')"))
        else:
            self._session.execute(text("DELETE FROM search_words"))

    def _taken(self, everything: Collection[Indexed]) -> set[int]:
        """Numbers that are given already, of those that new entries would like, and some after them."""
        wanted = [search_entries.number(one.at, one.key) for one in everything]
        beside = [number + step for number in wanted for step in range(_STEPS)]
        return set(self._session.scalars(select(SearchEntry.id).where(SearchEntry.id.in_(beside))))

    def _write(self, words: list[tuple[int, Indexed]]) -> None:
        if not words:
            return
        if self._is_sqlite:
            self._session.execute(
                text("INSERT OR REPLACE INTO search_words (rowid, words) VALUES (:number, :words)"),
                [{"number": number, "words": one.document.for_sqlite()} for number, one in words],
            )
            return
        self._session.execute(
            text(
                "INSERT INTO search_words (entry_id, words) VALUES (:number, CAST(:words AS tsvector))"
                " ON CONFLICT (entry_id) DO UPDATE SET words = excluded.words"
            ),
            [{"number": number, "words": one.document.for_postgresql()} for number, one in words],
        )
