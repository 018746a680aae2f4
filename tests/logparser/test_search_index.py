import datetime as dt
import uuid

from sqlalchemy import func, select, text

from sendproof_core import search_entries, search_terms
from sendproof_core.database import Database
from sendproof_core.schema import SearchEntry
from sendproof_core.search_query import Phrase, SearchQuery
from sendproof_core.search_terms import Document, Field
from sendproof_logparser.search_index import Indexed, Known, SearchIndex

AT = dt.datetime(2026, 11, 22, 13, tzinfo=dt.UTC)


def indexed(key: uuid.UUID | int, subject: str, *, at: dt.datetime = AT, counted: object = None) -> Indexed:
    document = Document()
    document.add_account(7)
    document.add_text(Field.SUBJECT, subject)
    is_message = isinstance(key, uuid.UUID)
    return Indexed(
        key if isinstance(key, uuid.UUID) else None, None if is_message else int(key), at, document,
        [] if counted is None else [counted],
    )  # fmt: skip


def put(database: Database, *everything: Indexed) -> None:
    with database.writing() as session:
        index = SearchIndex(session)
        keys = [one.key for one in everything]
        messages = [key for key in keys if isinstance(key, uuid.UUID)]
        index.put(everything, index.known(messages, [key for key in keys if isinstance(key, int)]))


def found(database: Database, word: str) -> list[uuid.UUID | int]:
    wanted = search_terms.wanted(SearchQuery(words=(Phrase(word),)))
    assert wanted
    with database.reading() as session:
        numbers = search_entries.matching(session, wanted, 7, first=None, last=None, limit=50)
        entries = {one.id: one for one in session.scalars(select(SearchEntry).where(SearchEntry.id.in_(numbers)))}
        return [entries[number].message_id or entries[number].refusal_id or 0 for number in numbers]


def test_what_is_put_is_found_and_what_is_put_again_is_found_by_its_new_words(either_database: Database) -> None:
    one, other = uuid.UUID(int=1), 5
    put(either_database, indexed(one, "offer"), indexed(other, "offer refused", at=AT - dt.timedelta(hours=1)))
    assert found(either_database, "offer") == [one, other]
    put(either_database, indexed(one, "invoice", counted=["2026-11-22", "", "messages", 1]))
    assert (found(either_database, "offer"), found(either_database, "invoice")) == ([other], [one])
    with either_database.reading() as session:
        assert SearchIndex(session).known([one], []) == {
            one: Known(search_entries.number(AT, one), [["2026-11-22", "", "messages", 1]])
        }


def test_entries_that_would_like_one_number_get_the_next(either_database: Database) -> None:
    keys = [uuid.UUID(int=(number << 64) + 3) for number in range(1, 4)]
    put(either_database, indexed(keys[0], "offer"), indexed(keys[1], "offer"))
    put(either_database, indexed(keys[2], "offer"))
    assert set(found(either_database, "offer")) == set(keys)


def test_what_is_removed_is_not_found_any_more(either_database: Database) -> None:
    put(either_database, indexed(5, "offer"), indexed(6, "offer"))
    with either_database.writing() as session:
        index = SearchIndex(session)
        index.remove([known.number for known in index.known([], [5]).values()])
        index.remove([])
    assert found(either_database, "offer") == [6]
    with either_database.writing() as session:
        SearchIndex(session).clear()
    assert found(either_database, "offer") == []
    with either_database.reading() as session:
        assert session.scalar(select(func.count()).select_from(SearchEntry)) == 0
        assert session.scalar(text("SELECT count(*) FROM search_words")) == 0


def test_an_entry_knows_whether_its_number_is_of_a_moment() -> None:
    known = Known(search_entries.number(AT, 5) + 2, [])
    assert known.is_at(AT)
    assert not known.is_at(AT + dt.timedelta(seconds=1))
    assert not known.is_at(AT - dt.timedelta(seconds=1))
