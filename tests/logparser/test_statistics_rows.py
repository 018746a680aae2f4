import dataclasses
import datetime as dt
import json

from sendproof_core.database import Database
from sendproof_core.states import RecipientState
from sendproof_core.transcript_queries import load_outlines
from sendproof_core.transcripts import Outline
from sendproof_logparser import statistics_rows
from sendproof_logparser.statistics_rows import Place
from sendproof_testing import sample_record

TODAY = sample_record.SENT_AT.date()


def offer(database: Database) -> Outline:
    with database.writing() as session:
        sample_record.fill(session)
    with database.reading() as session:
        (outline,) = load_outlines(session, [sample_record.OFFER_ID])
    return outline


def test_a_message_adds_each_recipient_once_by_what_became_of_it(sqlite_database: Database) -> None:
    counted = statistics_rows.contribution(offer(sqlite_database))
    assert counted[Place(TODAY, "", "messages")] == 1
    assert counted[Place(TODAY, "", "recipients")] == counted[Place(TODAY, "example.net", "recipients")] + sum(
        counted[Place(TODAY, domain, "recipients")] for domain in ("example.org", "example.com", "example.edu")
    )
    assert counted[Place(TODAY, "example.net", "delivered")] == 1
    assert counted[Place(TODAY, "example.net", "deferred")] == 1
    assert counted[Place(TODAY, "example.com", "bounced")] == 1
    # 936 s
    assert counted[Place(TODAY, "example.net", 11)] == 1


def test_mail_that_is_thrown_away_adds_nothing(sqlite_database: Database) -> None:
    outline = offer(sqlite_database)
    in_test_mode = dataclasses.replace(outline, message=dataclasses.replace(outline.message, test_mode=True))
    assert statistics_rows.contribution(in_test_mode) == {}


def test_the_time_to_acceptance_begins_with_the_submission_also_in_a_copy(sqlite_database: Database) -> None:
    outline = offer(sqlite_database)
    anna = outline.recipients[0]
    assert anna.state is RecipientState.DELIVERED
    copy = dataclasses.replace(anna, queued_at=outline.message.submitted_at + dt.timedelta(hours=2))
    counted = statistics_rows.contribution(dataclasses.replace(outline, recipients=(copy,)))
    # 7,200 s and 936 s
    assert counted[Place(TODAY, "example.net", 15)] == 1
    unlogged = dataclasses.replace(anna, attempts=())
    counted = statistics_rows.contribution(dataclasses.replace(outline, recipients=(unlogged,)))
    assert counted[Place(TODAY, "example.net", 11)] == 1


def test_an_address_without_a_domain_and_a_very_long_one_are_counted(sqlite_database: Database) -> None:
    outline = offer(sqlite_database)
    odd = [dataclasses.replace(outline.recipients[0], address=address, final_address=None)
           for address in ("postmaster", f"x@{'a' * 400}")]  # fmt: skip
    domains = {
        place.domain for place in statistics_rows.contribution(dataclasses.replace(outline, recipients=tuple(odd)))
    }
    assert domains == {"", "-", "a" * 255}


def test_what_was_counted_is_kept_as_it_is_and_taken_out_whole(sqlite_database: Database) -> None:
    counted = statistics_rows.contribution(offer(sqlite_database))
    plain = statistics_rows.to_plain(counted)
    assert statistics_rows.of_plain(json.loads(json.dumps(plain))) == counted
    back = statistics_rows.of_plain(plain)
    back.subtract(counted)
    assert not any(back.values())
