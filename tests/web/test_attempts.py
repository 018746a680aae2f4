import concurrent.futures
import datetime as dt

from sqlalchemy import func, select

from sendproof_core.database import Database
from sendproof_core.schema import ThrottledFailure
from sendproof_web import throttle
from sendproof_web.attempts import Attempt, Attempts
from sendproof_web.throttle import Guard, Kind

NOW = dt.datetime(2026, 11, 22, 13, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
GUARD = Guard(Kind.SIGN_IN, ("max",), 3, HOUR, is_forgotten=True)
ATTEMPTS = Attempts(b"k" * 32)


def begin(database: Database, *guards: Guard, now: dt.datetime = NOW) -> Attempt | dt.timedelta:
    with database.writing() as session:
        return ATTEMPTS.begin(session, guards, now)


def kept(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(ThrottledFailure)) or 0


def test_an_attempt_that_is_not_said_to_succeed_has_failed(either_database: Database) -> None:
    for _ in range(3):
        assert isinstance(begin(either_database, GUARD), Attempt)
    assert begin(either_database, GUARD) == HOUR
    assert begin(either_database, GUARD, now=NOW + HOUR / 2) == HOUR / 2
    assert isinstance(begin(either_database, GUARD, now=NOW + HOUR), Attempt)


def test_success_takes_back_what_may_be_forgotten_and_the_attempt_itself(either_database: Database) -> None:
    lasting = Guard(Kind.SIGN_IN, ("everywhere",), 3, HOUR)
    begin(either_database, GUARD, lasting)
    attempt = begin(either_database, GUARD, lasting)
    assert isinstance(attempt, Attempt)
    with either_database.writing() as session:
        ATTEMPTS.succeeded(session, attempt)
    assert kept(either_database) == 1  # the first failure, where a guesser could make it be forgotten
    for _ in range(2):
        assert isinstance(begin(either_database, lasting), Attempt)
    assert begin(either_database, GUARD, lasting) == HOUR
    assert isinstance(begin(either_database, GUARD), Attempt)


def test_what_may_not_be_tried_is_not_counted_either(either_database: Database) -> None:
    for _ in range(6):
        begin(either_database, GUARD)
    assert kept(either_database) == 3


def test_an_old_failure_is_not_kept(either_database: Database) -> None:
    begin(either_database, GUARD)
    begin(either_database, Guard(Kind.CODE, ("x",), 3, HOUR), now=NOW + throttle.LONGEST_SPAN + HOUR)
    assert kept(either_database) == 1


def test_who_tried_is_not_readable(sqlite_database: Database) -> None:
    begin(sqlite_database, GUARD)
    with sqlite_database.reading() as session:
        (key,) = session.scalars(select(ThrottledFailure.key))
    assert key != Attempts(b"j" * 32)._hash(GUARD)
    assert b"max" not in key


def test_many_at_once_are_as_few_as_one_after_the_other(either_database: Database) -> None:
    """Two workers that count at the same moment must not both find room."""
    others = Guard(Kind.SIGN_IN, ("others",), 4, HOUR)
    guards = [(GUARD, others), (others, GUARD)] * 8
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda pair: begin(either_database, *pair), guards))
    assert sum(isinstance(answer, Attempt) for answer in answers) == GUARD.failures
