"""Golden texts: ``golden/NAME.txt`` is what a terminal shows."""

import datetime as dt
import re
import uuid
import zoneinfo
from pathlib import Path

import pytest

from sendproof_core import schema_version, transcript_queries, transcript_story
from sendproof_core.database import Database, open_database
from sendproof_core.queue_times import QueueTimes
from sendproof_core.transcript_story import Story
from sendproof_core.transcript_text import render
from sendproof_testing import sample_record

GOLDEN = Path(__file__).parent / "golden"
NOW = sample_record.SENT_AT + dt.timedelta(minutes=8)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Database:
    made = open_database(f"sqlite:///{tmp_path_factory.mktemp('record')}/sendproof.db")
    schema_version.upgrade(made)
    with made.writing() as session:
        sample_record.fill(session)
    return made


def stories(database: Database, message_id: uuid.UUID) -> tuple[Story, ...]:
    with database.reading() as session:
        transcript = transcript_queries.load_transcript(session, message_id)
    assert transcript is not None
    return transcript_story.tell_all(transcript, QueueTimes(), zoneinfo.ZoneInfo("Europe/Vienna"), NOW)


@pytest.mark.parametrize(
    ("name", "message_id", "number"),
    [
        ("accepted-after-greylisting", sample_record.OFFER_ID, 0),
        ("accepted-by-the-second-server", sample_record.OFFER_ID, 1),
        ("bounced-in-several-lines", sample_record.OFFER_ID, 2),
        ("deferred-unreachable", sample_record.OFFER_ID, 3),
        ("unknown", sample_record.UNKNOWN_ID, 0),
        ("hostile", sample_record.HOSTILE_ID, 0),
        ("accepted-behind-a-filter", sample_record.HANDED_ON_ID, 0),
        ("bounced-behind-an-alias", sample_record.HANDED_ON_ID, 2),
        ("deferred-while-the-server-rests", sample_record.HANDED_ON_ID, 3),
        ("accepted-after-a-requeue", sample_record.HANDED_ON_ID, 4),
    ],
)
def test_a_transcript_reads_as_it_should(database: Database, name: str, message_id: uuid.UUID, number: int) -> None:
    text = render(stories(database, message_id)[number], width=110)
    assert text == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [20, 60, 80, 200])
def test_no_line_is_wider_than_asked_for(database: Database, width: int) -> None:
    for story in stories(database, sample_record.OFFER_ID):
        assert max(len(line) for line in render(story, width=width).splitlines()) <= max(width, 60)


def test_nothing_that_a_terminal_would_obey_passes(database: Database) -> None:
    for story in stories(database, sample_record.HOSTILE_ID):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", render(story))
