import datetime as dt

from sqlalchemy import select
from sqlalchemy.orm import Session

from sendproof_core import transcript_queries
from sendproof_core.database import Database
from sendproof_core.schema import Account
from sendproof_testing import sample_record


def filled(database: Database) -> tuple[int, int]:
    """The two accounts of the sample record."""
    with database.writing() as session:
        sample_record.fill(session)
    with database.reading() as session:
        ids = {account.login: account.id for account in session.scalars(select(Account))}
    return ids["max"], ids["eve"]


def test_a_transcript_has_its_recipients_in_the_order_of_rcpt_to(either_database: Database) -> None:
    filled(either_database)
    with either_database.reading() as session:
        found = transcript_queries.load_transcript(session, sample_record.OFFER_ID)
    assert found is not None
    assert found.message.subject
    assert len(found.recipients) >= 4
    assert all(attempt.at.tzinfo is not None for recipient in found.recipients for attempt in recipient.attempts)


def test_another_accounts_message_is_as_if_it_did_not_exist(either_database: Database) -> None:
    mine, theirs = filled(either_database)
    with either_database.reading() as session:
        assert transcript_queries.load_transcript(session, sample_record.FOREIGN_ID, theirs) is not None
        assert transcript_queries.load_transcript(session, sample_record.FOREIGN_ID, mine) is None
        assert transcript_queries.find_message(session, str(sample_record.FOREIGN_ID), mine) is None


def test_a_message_is_found_by_each_of_its_names(either_database: Database) -> None:
    mine, _ = filled(either_database)

    def find(session: Session, text: str) -> object:
        return transcript_queries.find_message(session, text, mine)

    with either_database.reading() as session:
        offer = transcript_queries.load_transcript(session, sample_record.OFFER_ID)
        assert offer
        assert offer.message.queue_id
        assert offer.message.message_id_header
        for name in (
            str(offer.message.id),
            offer.message.queue_id,
            offer.message.message_id_header,
            offer.message.message_id_header.strip("<>"),
        ):
            assert find(session, name) == offer.message.id
        assert find(session, "no such name") is None
        assert find(session, "") is None


def test_the_list_is_newest_first_and_goes_on_from_a_moment(either_database: Database) -> None:
    mine, _ = filled(either_database)
    with either_database.reading() as session:
        everything = transcript_queries.list_messages(session, mine, limit=100)
        first = transcript_queries.list_messages(session, mine, limit=1)
        rest = transcript_queries.list_messages(session, mine, limit=100, before=first[0].submitted_at)
        assert transcript_queries.count_messages(session, mine) == len(everything)
    times = [summary.submitted_at for summary in everything]
    assert times == sorted(times, reverse=True)
    assert [*first, *rest] == list(everything)
    assert sample_record.FOREIGN_ID not in {summary.id for summary in everything}


def test_refusals_are_newest_first(either_database: Database) -> None:
    mine, _ = filled(either_database)
    with either_database.reading() as session:
        refusals = transcript_queries.list_refusals(session, mine, limit=100)
        older = transcript_queries.list_refusals(
            session, mine, limit=100, before=dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
        )
    assert refusals
    assert [view.at for view in refusals] == sorted((view.at for view in refusals), reverse=True)
    assert older == ()
