import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core import search_terms
from sendproof_core.search_query import Phrase, SearchQuery
from sendproof_core.search_terms import Document, Field


def document() -> Document:
    made = Document()
    made.add_account(7)
    made.add_statuses(("delivered", "opened"))
    made.add_text(Field.SUBJECT, "Übergrößen-Angebot 2026/117 für Café")
    made.add_addresses(Field.SENDER, ("max@own.example",))
    made.add_addresses(Field.RECIPIENT, ("Anna.Berg@example.net", "ben@mail.example.org"))
    made.add_names(("<abc.1@own.example>", "4dDmPz6NfkzXyz", None))
    made.add_text(Field.REPLY, "250 2.0.0 Ok: queued as 4dDn2K1zQqz9sM2")
    return made


def fits(**query: object) -> bool:
    wanted = search_terms.wanted(SearchQuery(**query))  # type: ignore[arg-type] # what a test asks for
    assert wanted is not None
    return wanted.fits(document())


def words(*texts: str) -> dict[str, object]:
    return {"words": tuple(Phrase(text) for text in texts)}


def test_words_are_letters_and_digits_without_case_and_accents() -> None:
    assert search_terms.words("Übergrößen-Angebot 2026/117, CAFÉ_x!") == [
        "ubergroßen".replace("ß", "ss"), "angebot", "2026", "117", "cafe", "x",
    ]  # fmt: skip
    assert search_terms.words("İstanbul") == search_terms.words("istanbul")
    assert search_terms.words("東京タワー abc") == ["東", "京", "タ", "ワ", "ー", "abc"]
    assert search_terms.words("%_'\"*") == []
    assert search_terms.words("\u3097\u30fb") == []  # among the signs, and none


@given(st.text())
def test_words_of_words_are_themselves_and_hold_nothing_that_a_database_would_read(text: str) -> None:
    found = search_terms.words(text)
    assert search_terms.words(" ".join(found)) == found
    assert all(word.isalnum() for word in found)


@pytest.mark.parametrize(
    "text",
    [
        "angebot", "ubergrossen", "CAFE", "2026", "117", "anna", "anna.berg", "example.net",
        "Anna.Berg@Example.NET", "example.org", "mail.example", "max@own.example", "4dDmPz6NfkzXyz", "4ddmpz6nfkzxyz",
        "<abc.1@own.example>", "abc.1@own.example", "queued as", "4dDn2K1zQqz9sM2",
    ],
)  # fmt: skip
def test_everything_that_is_there_is_found(text: str) -> None:
    assert fits(**words(text))


@pytest.mark.parametrize(
    "text", ["angebo", "anna.example", "net ben", "117 max", "%", "an_a", "nna", "example.com", "berg@example.net"]
)
def test_parts_of_words_and_what_stands_in_two_places_are_not_found(text: str) -> None:
    wanted = search_terms.wanted(SearchQuery(**words(text)))  # type: ignore[arg-type] # as above
    assert wanted is None or not wanted.fits(document())


def test_all_that_is_asked_for_must_hold_each_in_its_place() -> None:
    assert fits(**words("angebot", "anna"))
    assert not fits(**words("angebot", "zoe"))
    assert fits(to=(Phrase("anna"),), sender=(Phrase("max"),), subject=(Phrase("cafe"),), reply=(Phrase("ok"),))
    assert not fits(to=(Phrase("max"),))
    assert not fits(sender=(Phrase("anna"),))
    assert fits(ids=("abc.1@own.example",))
    assert not fits(ids=("anna",))
    assert fits(statuses=frozenset(("bounced", "opened")))
    assert not fits(statuses=frozenset(("bounced",)))


def test_a_beginning_is_found_if_it_is_asked_for() -> None:
    assert fits(words=(Phrase("ange", is_prefix=True),))
    assert fits(to=(Phrase("anna.b", is_prefix=True),))
    assert not fits(to=(Phrase("anna.x", is_prefix=True),))


def test_widened_words_may_go_on_unless_they_are_short_or_quoted() -> None:
    def widened(phrase: Phrase) -> bool:
        wanted = search_terms.wanted(SearchQuery(words=(phrase,)), widened=True)
        assert wanted is not None
        return wanted.fits(document())

    assert widened(Phrase("angeb"))
    assert not widened(Phrase("an"))
    assert not widened(Phrase("angeb", is_quoted=True))
    assert search_terms.can_be_widened(SearchQuery(to=(Phrase("angeb"),)))
    assert not search_terms.can_be_widened(SearchQuery(words=(Phrase("an"),), ids=("angebot",)))


def test_who_asks_for_no_word_asks_for_everything() -> None:
    assert search_terms.wanted(SearchQuery()) is None


def test_a_message_to_very_many_stays_within_the_databases_bounds() -> None:
    made = Document()
    made.add_addresses(Field.RECIPIENT, (f"person{number}@example.net" for number in range(20_000)))
    written = made.for_postgresql()
    assert len(written) < 1_000_000
    positions = [[int(one) for one in part.rpartition(":")[2].split(",")] for part in written.split()]
    assert max(map(len, positions)) == 255
    assert max(map(max, positions)) == 16_383
    last = search_terms.wanted(SearchQuery(to=(Phrase("person4999@example.net"),)))
    assert last
    assert last.fits(made)
