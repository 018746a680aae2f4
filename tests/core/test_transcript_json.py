import datetime as dt
import json
from typing import Any

import pytest

from sendproof_core import transcript_json, transcript_queries
from sendproof_core.database import Database
from sendproof_core.queue_times import QueueTimes
from sendproof_testing import sample_record

NOW = sample_record.SENT_AT + dt.timedelta(minutes=8)


@pytest.fixture
def filled(sqlite_database: Database) -> Database:
    with sqlite_database.writing() as session:
        sample_record.fill(session)
    return sqlite_database


def told(database: Database, name: str) -> Any:
    with database.reading() as session:
        named = transcript_queries.find(session, name)
        found = transcript_queries.load_transcript(session, named[0].id) if named else None
    assert found is not None
    return json.loads(transcript_json.to_text(transcript_json.transcript(found, QueueTimes(), NOW)))


def test_a_transcript_is_one_object_with_all_that_is_known(filled: Database) -> None:
    whole = told(filled, "4dDmPz6NfkzXyz")
    assert whole["message"]["submitted_at"] == "2026-11-22T13:03:05.214000Z"
    anna, _, carl, dora = whole["recipients"]
    assert (anna["state"], len(anna["attempts"])) == ("delivered", 2)
    put_off, took = anna["attempts"]
    assert (put_off["reply"]["cause"], put_off["reply"]["fault"]) == ("greylisted", "their server")
    assert put_off["receipt"] is None
    assert took["receipt"] == {
        "text": "250 2.0.0 Ok: queued as 4dDn2K1zQqz9sM2",
        "code": 250,
        "enhanced_code": "2.0.0",
        "lines": ["250 2.0.0 Ok: queued as 4dDn2K1zQqz9sM2"],
        "remote_queue_id": "4dDn2K1zQqz9sM2",
        "receiver": "Postfix",
    }
    assert took["dialogue"][0] == {
        "at": "2026-11-22T13:18:40.950000Z", "from": "server", "text": "220 mx1.example.net ESMTP Postfix",
    }  # fmt: skip
    assert len(carl["attempts"][0]["reply"]["lines"]) == 4
    assert dora["next_attempt_at"] == "2026-11-22T13:14:05.214000Z"
    assert dora["gives_up_at"] > dora["next_attempt_at"]
    assert anna["next_attempt_at"] is None


def test_hops_suspensions_and_gaps_are_in_it(filled: Database) -> None:
    whole = told(filled, "4dDlForward3")
    assert whole["recipients"][0]["hops"] == [
        {
            "at": "2026-11-22T12:03:06.714000Z",
            "kind": "filter",
            "from_queue_id": "4dDlHandedOn1",
            "queue_id": "4dDlFiltered2",
            "host": None,
            "evidence": "orig_queue_id",
        }
    ]
    assert whole["recipients"][3]["suspended"]["times"] == 4
    assert told(filled, "4dDmPz8xxx")["message"]["gaps"][0]["lines"] == 4112


def test_hostile_text_cannot_reach_a_terminal(filled: Database) -> None:
    with filled.reading() as session:
        found = transcript_queries.load_transcript(session, sample_record.HOSTILE_ID)
    assert found is not None
    text = transcript_json.to_text(transcript_json.transcript(found, QueueTimes(), NOW))
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text)["message"]["subject"] == sample_record.HOSTILE


def test_what_the_mail_log_does_not_say_is_null(filled: Database) -> None:
    with filled.writing() as session:
        sample_record.fill_from_the_log(session)
    whole = told(filled, "OLD1")
    unknown = {name for name, value in whole["message"].items() if value is None}
    assert unknown == {
        "id", "credential", "subject", "client_tls", "signatures", "pixel", "wire_edits", "test_mode", "origin",
    }  # fmt: skip
    assert (whole["message"]["host"], whole["message"]["queue_id"]) == ("edge1", "OLD1")
    assert [recipient["opens"] for recipient in whole["recipients"]] == [None, None]
    assert told(filled, "OLD3")["message"]["origin"] == {"queue_id": "OLD2", "kind": "non-delivery"}
