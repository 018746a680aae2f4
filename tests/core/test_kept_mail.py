"""What retention must leave: the rules one by one. `test_retention` has them all against a plain model."""

import datetime as dt

import pytest

from sendproof_core import clock, record_days
from sendproof_core.database import Database
from sendproof_core.kept_mail import Kept, find_kept
from sendproof_testing.dated_record import DatedRecord

_LIMIT = record_days.day_number(clock.now()) - 10
_BEGIN = record_days.begin_of(_LIMIT)
_HOUR = dt.timedelta(hours=1)


@pytest.mark.parametrize(("ended_after_hours", "is_kept"), [(-1, False), (0, True), (1, True), (None, True)])
def test_a_conversation_is_kept_while_it_lasts(
    either_database: Database, ended_after_hours: int | None, is_kept: bool
) -> None:
    ended_at = None if ended_after_hours is None else _BEGIN + ended_after_hours * _HOUR
    with either_database.writing() as session:
        record = DatedRecord(session)
        message_id = record.message(_BEGIN - 2 * _HOUR)
        file = record.queue_file(_BEGIN - 2 * _HOUR, message_id=message_id, ended_at=ended_at)
        expected = Kept(frozenset({file.id}), frozenset({message_id})) if is_kept else Kept(frozenset(), frozenset())
        assert find_kept(session.connection(), _LIMIT) == expected


def test_a_copy_that_lives_keeps_the_message_its_other_copies_and_what_came_out_of_them(
    either_database: Database,
) -> None:
    past = _BEGIN - _HOUR
    with either_database.writing() as session:
        record = DatedRecord(session)
        message_id = record.message(past)
        first = record.queue_file(past, message_id=message_id, ended_at=past)
        copy = record.queue_file(past, message_id=message_id, ended_at=past, parent=first)
        lives = record.queue_file(past, message_id=message_id, ended_at=None, parent=first)
        bounce = record.queue_file(past, ended_at=past, parent=copy)
        relayed = record.queue_file(past, ended_at=past, parent=copy, host="edge2")
        record.queue_file(past, ended_at=past)
        kept = find_kept(session.connection(), _LIMIT)
        assert kept.files == {first.id, copy.id, lives.id, bounce.id, relayed.id}
        assert kept.messages == {message_id}


def test_of_two_hosts_with_the_same_queue_id_only_the_right_one_is_kept(either_database: Database) -> None:
    past = _BEGIN - _HOUR
    with either_database.writing() as session:
        record = DatedRecord(session)
        parent = record.queue_file(past, ended_at=past)
        namesake = record.queue_file(past, ended_at=past, host="edge2")
        namesake.queue_id = parent.queue_id
        child = record.queue_file(past, ended_at=None, parent=parent)
        session.flush()
        assert find_kept(session.connection(), _LIMIT).files == {parent.id, child.id}
