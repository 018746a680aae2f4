import datetime as dt
import uuid

import pytest
from sqlalchemy import text

from sendproof_core import search_entries, search_terms, transcript_queries
from sendproof_core.database import Database
from sendproof_core.schema import Refusal
from sendproof_core.search_query import Phrase, SearchQuery
from sendproof_core.search_terms import Wanted
from sendproof_testing import sample_record

AT = sample_record.SENT_AT


def wanted(word: str) -> Wanted:
    found = search_terms.wanted(SearchQuery(words=(Phrase(word),)))
    assert found
    return found


def test_numbers_grow_with_time_and_fit_into_eight_octets() -> None:
    one, other = uuid.UUID(int=(1 << 128) - 1), uuid.UUID(int=0)
    millisecond = dt.timedelta(milliseconds=1)
    assert search_entries.number(AT, one) < search_entries.number(AT + millisecond, other)
    assert search_entries.number(AT, one) != search_entries.number(AT, other)
    for year in (1, 1960, 2248, 9998):
        moment = dt.datetime(year, 1, 1, tzinfo=dt.UTC)
        assert 0 <= search_entries.number(moment, one) < 1 << 63
        assert 0 <= search_entries.first_number(moment) < 1 << 63


def test_a_number_tells_the_millisecond_it_is_of() -> None:
    at = AT.replace(microsecond=5_999)
    assert search_entries.moment(search_entries.number(at, (1 << 20) - 1)) == AT.replace(microsecond=5_000)
    assert search_entries.moment(search_entries.first_number(AT)) == AT


@pytest.mark.parametrize("microseconds", [0, 1, 999])
def test_a_moment_parts_the_entries_before_it_from_those_after_it(microseconds: int) -> None:
    moment = AT.replace(microsecond=5_000 + microseconds)
    first = search_entries.first_number(moment)
    assert search_entries.number(AT.replace(microsecond=4_999), (1 << 20) - 1) < first
    assert search_entries.number(AT.replace(microsecond=6_000), 0) >= first


def test_a_message_is_found_by_everything_that_is_known_of_it(sqlite_database: Database) -> None:
    with sqlite_database.writing() as session:
        sample_record.fill(session)
    with sqlite_database.reading() as session:
        (outline,) = transcript_queries.load_outlines(session, [sample_record.OFFER_ID])
        document = search_entries.document_of(outline)
        refusal = search_entries.document_of_refusal(session.query(Refusal).one())
    for word in (
        "Offer", "max@own.example", "anna@example.net", "4dDmPz6NfkzXyz", "4dDn2K1zQqz9sM2", "greylisted",
        "mx1.example.net", str(sample_record.OFFER_ID),
    ):  # fmt: skip
        assert wanted(word).fits(document), word
    assert not wanted("zoe").fits(document)
    assert {"zdelivered", "zdeferred", "zbounced", "zopened"} <= set(document.words)
    assert "zrefused" in refusal.words
    assert wanted("quarterly figures").fits(refusal)


def test_what_the_databases_find_is_what_fits(either_database: Database) -> None:
    """Both are asked with each word of every message, and answer as the words themselves say."""
    with either_database.writing() as session:
        sample_record.fill(session, older_messages=3)
    with either_database.reading() as session:
        ids = list(session.scalars(text("SELECT message_id FROM search_entries WHERE message_id IS NOT NULL")))
        outlines = transcript_queries.load_outlines(session, [uuid.UUID(str(one)) for one in ids])
        documents = {
            search_entries.number(outline.message.submitted_at, uuid.UUID(str(outline.message.id))):
            search_entries.document_of(outline) for outline in outlines
        }  # fmt: skip
        everything = sorted(
            {word[1:] for document in documents.values() for word in document.words if word[0] in "sfti"}
        )
        assert len(everything) > 50
        for word in everything:
            query = wanted(word)
            found = search_entries.matching(session, query, None, first=None, last=None, limit=100)
            fitting = {number for number, document in documents.items() if query.fits(document)}
            assert set(found) & documents.keys() == fitting, word
            assert list(found) == sorted(found, reverse=True)


def test_a_search_is_bounded_by_time_account_and_count(either_database: Database) -> None:
    with either_database.writing() as session:
        sample_record.fill(session, older_messages=5)
    with either_database.reading() as session:
        query = wanted("invoice")
        found = search_entries.matching(session, query, 1, first=None, last=None, limit=9)
        assert len(found) == 5
        assert search_entries.matching(session, query, 2, first=None, last=None, limit=9) == []
        assert search_entries.matching(session, query, 1, first=found[2], last=found[1], limit=9) == found[1:3]
        oldest = search_entries.matching(session, query, 1, first=None, last=None, limit=2, oldest_first=True)
        assert oldest == [found[4], found[3]]
