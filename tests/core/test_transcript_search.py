import datetime as dt

import pytest

from sendproof_core import transcript_search
from sendproof_core.database import Database
from sendproof_core.states import RecipientState
from sendproof_core.transcript_search import Wanted
from sendproof_testing import sample_record


@pytest.fixture
def filled(sqlite_database: Database) -> Database:
    with sqlite_database.writing() as session:
        sample_record.fill(session)
    return sqlite_database


def found(database: Database, wanted: Wanted, *, limit: int = 50, account_id: int | None = None) -> list[str | None]:
    """The subjects of what was found."""
    with database.reading() as session:
        return [line.subject for line in transcript_search.search(session, wanted, limit=limit, account_id=account_id)]


def test_everything_is_found_newest_first_and_no_more_than_asked_for(filled: Database) -> None:
    everything = found(filled, Wanted())
    assert everything[-2:] == ["Minutes of the meeting", sample_record.HOSTILE]
    assert set(everything[:2]) == {"Offer 2026-117", "Not for max"}
    assert found(filled, Wanted(), limit=2) == everything[:2]


CASES = [
    (Wanted(words=("offer",)), ["Offer 2026-117"]),
    (Wanted(words=("offer", "117")), ["Offer 2026-117"]),
    (Wanted(words=("offer", "minutes")), []),
    (Wanted(words=("4dDlForward3",)), ["Plans for the team"]),
    (Wanted(words=("team@OWN",)), ["Plans for the team"]),
    (Wanted(to="victim@"), [sample_record.HOSTILE]),
    (Wanted(subject="meeting"), ["Minutes of the meeting"]),
    (Wanted(sender="max@own", subject="plans"), ["Plans for the team"]),
    (Wanted(sender="nobody"), []),
    (Wanted(state=RecipientState.UNKNOWN), ["Minutes of the meeting"]),
    (Wanted(state=RecipientState.DEFERRED), ["Offer 2026-117", "Plans for the team"]),
    (Wanted(after=sample_record.SENT_AT, to="anna"), ["Offer 2026-117"]),
    (Wanted(before=sample_record.SENT_AT - dt.timedelta(hours=2, minutes=30)), [sample_record.HOSTILE]),
    (Wanted(words=("%",)), []),
    (Wanted(words=("Offer_2026",)), []),
]


def test_what_is_asked_for_is_found(either_database: Database) -> None:
    with either_database.writing() as session:
        sample_record.fill(session)
    assert [found(either_database, wanted) for wanted, _ in CASES] == [subjects for _, subjects in CASES]


def test_a_search_by_state_looks_behind_the_hops(filled: Database) -> None:
    assert found(filled, Wanted(state=RecipientState.QUEUED)) == ["Not for max"]


def test_one_accounts_search_finds_nothing_of_anothers(filled: Database) -> None:
    for wanted in (Wanted(words=("zoe", "Not for max")), Wanted(words=("4dDmPz9eve",)), Wanted(subject="Not for max")):
        assert found(filled, wanted, account_id=1) == []
    assert found(filled, Wanted(), account_id=2) == ["Not for max"]


OLD_CASES = [
    (Wanted(words=("olga",)), ["OLD1"]),
    (Wanted(words=("OLD2",)), ["OLD1"]),
    (Wanted(words=("old.example", "anna")), ["OLD1"]),
    (Wanted(sender="root@"), ["OLD1"]),
    (Wanted(to="zoe@", before=sample_record.SENT_AT - dt.timedelta(days=8, hours=12)), ["OLD1", "OLD9"]),
    (Wanted(to="zoe@", after=sample_record.SENT_AT - dt.timedelta(days=8, hours=12)), ["4dDmPz9eve"]),
    (Wanted(state=RecipientState.UNKNOWN), ["4dDmPz8xxx", "OLD1"]),
    (Wanted(subject="o", sender="old.example"), []),
    (Wanted(words=("OLD3",)), []),
]


def test_mail_that_no_journal_speaks_of_is_found_among_the_messages_without_its_notifications(
    either_database: Database,
) -> None:
    with either_database.writing() as session:
        sample_record.fill(session)
        sample_record.fill_from_the_log(session)

    def ids(wanted: Wanted, limit: int = 50, account_id: int | None = None) -> list[str | None]:
        with either_database.reading() as session:
            lines = transcript_search.search(session, wanted, limit=limit, account_id=account_id)
        assert [line.submitted_at for line in lines] == sorted((line.submitted_at for line in lines), reverse=True)
        return [line.queue_id for line in lines]

    assert [ids(wanted) for wanted, _ in OLD_CASES] == [queue_ids for _, queue_ids in OLD_CASES]
    everything = ids(Wanted())
    assert everything[5:] == ["OLD1", "OLD1", "OLD1", "OLD9"]
    assert ids(Wanted(), limit=6) == everything[:6]
    for account_id in (1, 2):
        for wanted in (Wanted(), *(wanted for wanted, _ in OLD_CASES)):
            assert not set(ids(wanted, account_id=account_id)) & {"OLD1", "OLD2", "OLD3", "OLD9"}
