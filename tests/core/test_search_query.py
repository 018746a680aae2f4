import datetime as dt
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core import search_query
from sendproof_core.search_query import STATUSES, Phrase, ProblemKind, SearchQuery

VIENNA = zoneinfo.ZoneInfo("Europe/Vienna")
NOW = dt.datetime(2026, 11, 22, 13, 0, tzinfo=dt.UTC)


def parse(text: str) -> SearchQuery:
    return search_query.parse(text, VIENNA, NOW)


def texts(phrases: tuple[Phrase, ...]) -> list[str]:
    return [phrase.text for phrase in phrases]


def problems(text: str) -> list[tuple[ProblemKind, str]]:
    return [(problem.kind, problem.part) for problem in parse(text).problems]


def test_words_and_quoted_phrases_are_looked_for_everywhere() -> None:
    query = parse('offer "minutes of the meeting" 2026-117')
    assert texts(query.words) == ["offer", "minutes of the meeting", "2026-117"]
    assert [phrase.is_quoted for phrase in query.words] == [False, True, False]
    assert query.problems == ()


def test_keys_say_where_a_word_stands() -> None:
    query = parse('to:anna@example.net FROM:max subject:"new offer" reply:greylisted id:4dDmPz6NfkzXyz')
    assert (texts(query.to), texts(query.sender)) == (["anna@example.net"], ["max"])
    assert (texts(query.subject), texts(query.reply)) == (["new offer"], ["greylisted"])
    assert query.ids == ("4dDmPz6NfkzXyz",)
    assert query.words == ()


def test_a_star_at_the_end_stands_for_how_a_word_goes_on_but_not_within_quotes() -> None:
    assert parse("ann*").words == (Phrase("ann", is_prefix=True),)
    assert parse('to:ann* "ann*"') == SearchQuery(
        to=(Phrase("ann", is_prefix=True),), words=(Phrase("ann*", is_quoted=True),)
    )


def test_several_statuses_are_any_of_them() -> None:
    assert parse("status:deferred status:BOUNCED,refused").statuses == {"deferred", "bounced", "refused"}
    assert all(parse(f"status:{status}").problems == () for status in STATUSES)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20", "2026-11-19T23:00"),
        ("20.11.2026", "2026-11-19T23:00"),
        ("2026-11-20T14:00", "2026-11-20T13:00"),
        ("2026-11-20t14:00z", "2026-11-20T14:00"),
        ("today", "2026-11-21T23:00"),
        ("gestern", "2026-11-20T23:00"),
        ("7d", "2026-11-15T13:00"),
        ("12h", "2026-11-22T01:00"),
        ("2w", "2026-11-08T13:00"),
    ],
)
def test_dates_are_days_of_the_readers_zone(text: str, moment: str) -> None:
    expected = dt.datetime.fromisoformat(moment).replace(tzinfo=dt.UTC)
    assert parse(f"after:{text}").after == expected
    assert parse(f"before:{text}").before == expected


def test_of_several_dates_the_narrowest_counts() -> None:
    query = parse("after:2026-11-01 after:2026-11-05 before:2026-11-20 before:2026-11-10")
    assert query.after == dt.datetime(2026, 11, 4, 23, tzinfo=dt.UTC)
    assert query.before == dt.datetime(2026, 11, 9, 23, tzinfo=dt.UTC)


def test_what_cannot_be_understood_is_said_and_the_rest_counts() -> None:
    query = parse("foo:bar status:gone after:soon to: --- offer")
    assert [problem.kind for problem in query.problems] == [
        ProblemKind.NO_SUCH_KEY,
        ProblemKind.NO_SUCH_STATUS,
        ProblemKind.NO_DATE,
        ProblemKind.NO_VALUE,
        ProblemKind.NO_WORD,
    ]
    assert [problem.part for problem in query.problems] == ["foo:", "gone", "soon", "to:", "---"]
    assert query.problems[0].sentence == "There is no “foo:”; it was looked for as words."
    assert texts(query.words) == ["foo:bar", "offer"]
    assert (query.statuses, query.after, query.to) == (frozenset(), None, ())


def test_what_looks_like_a_key_and_is_none_is_a_word() -> None:
    assert problems("Re: Offer 12:30 https://example.net/x <id@host>") == []
    assert texts(parse("Re: Offer").words) == ["Re:", "Offer"]
    assert texts(parse("https://example.net/x").words) == ["https://example.net/x"]


def test_a_time_that_cannot_be_is_said() -> None:
    assert problems("after:2026-11-20 before:2026-11-20") == [(ProblemKind.NEVER, "")]
    for text in ("0001-01-01", "9999-12-31", "99.99.2026", "9999w9", "9999m9"):
        assert problems(f"before:{text}") == [(ProblemKind.NO_DATE, text)]


def test_too_long_a_search_is_cut_and_said() -> None:
    assert problems("word " * 200)[0] == (ProblemKind.TOO_MUCH, "")
    query = parse(" ".join(f"w{number}" for number in range(50)))
    assert len(query.words) == 20
    assert query.problems[0].kind is ProblemKind.TOO_MUCH


def test_an_open_quote_reaches_to_the_end() -> None:
    assert texts(parse('subject:"new offer').subject) == ["new offer"]


@given(st.text(max_size=600))
def test_nothing_that_is_typed_fails(text: str) -> None:
    query = parse(text)
    for phrase in (*query.words, *query.to, *query.sender, *query.subject, *query.reply):
        assert any(character.isalnum() for character in phrase.text)
    for problem in query.problems:
        assert problem.sentence


@given(st.lists(st.sampled_from(["to:", "from:", "status:", "after:", '"', "x", " ", "*", ":", "id:", "deferred"])))
def test_nothing_that_is_put_together_of_its_own_signs_fails(parts: list[str]) -> None:
    parse("".join(parts))
