import datetime as dt
import uuid
from typing import Any

import pytest
import sqlalchemy.exc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from sendproof_core.database import Database
from sendproof_core.schema import Base, Open, Plan, QueueFile, Recipient, Refusal
from sendproof_core.states import KeyState, RecipientState

_NOW = dt.datetime(2026, 11, 22, 13, 3, 5, 123456, tzinfo=dt.UTC)
_ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))


@pytest.fixture
def database(either_database: Database) -> Database:
    return either_database


def _open(**values: Any) -> Open:
    ordinary: dict[str, Any] = {
        "message_id": uuid.UUID(int=7),
        "recipient_number": 1,
        "opened_at": _NOW,
        "grade": "person",
        "user_agent": "Mozilla",
    }
    return Open(**{**ordinary, **values})


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.datetimes(dt.datetime(1, 1, 3), dt.datetime(9999, 12, 29), timezones=_ZONES))  # noqa: DTZ001
def test_a_moment_comes_back_aware_and_in_utc(database: Database, moment: dt.datetime) -> None:
    with database.writing() as session:
        session.execute(delete(Open))
        session.add(_open(opened_at=moment))
    with database.reading() as session:
        found = session.scalars(select(Open.opened_at)).one()
    assert found == moment
    assert found.utcoffset() == dt.timedelta()


def test_moments_are_compared_as_moments(database: Database) -> None:
    vienna = dt.timezone(dt.timedelta(hours=1))
    with database.writing() as session:
        session.add(_open())
    with database.reading() as session:
        assert len(session.scalars(select(Open).where(Open.opened_at == _NOW.astimezone(vienna))).all()) == 1
        assert session.scalars(select(Open).where(Open.opened_at > _NOW.astimezone(vienna))).all() == []


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    with pytest.raises(sqlalchemy.exc.StatementError, match="must be aware"), database.writing() as session:
        session.add(_open(opened_at=_NOW.replace(tzinfo=None)))


def test_ids_and_lists_come_back_as_they_went(database: Database) -> None:
    with database.writing() as session:
        session.add(_open())
        session.add(
            Refusal(
                account_id=None,
                login="max",
                refused_at=_NOW,
                host="edge",
                queue_id=None,
                envelope_sender="max@own.example",
                recipients=["anna@example.net", "Grüße 👩\u200d🔬"],
                subject=None,
                reason="over-quota",
                reply="550",
            )
        )
    with database.reading() as session:
        assert session.scalars(select(Open.message_id)).one() == uuid.UUID(int=7)
        assert session.scalars(select(Refusal.recipients)).one() == ["anna@example.net", "Grüße 👩\u200d🔬"]


def _recipient(session: Any, **values: Any) -> None:
    queue_file = QueueFile(host="edge", instance="postfix", queue_id="4Z", born_at=_NOW)
    session.add(queue_file)
    session.flush()
    ordinary = {"queue_file_id": queue_file.id, "address": "a@x", "state": "queued", "state_at": _NOW}
    session.add(Recipient(**{**ordinary, **values}))
    session.flush()


def test_every_state_that_we_know_can_be_stored_and_no_other(database: Database) -> None:
    with database.writing() as session:
        for state in RecipientState:
            _recipient(session, state=state.value)
            session.execute(delete(Recipient))
            session.execute(delete(QueueFile))
    with pytest.raises(sqlalchemy.exc.IntegrityError), database.writing() as session:
        _recipient(session, state="lost")


def test_a_recipient_belongs_to_a_queue_file_that_exists(database: Database) -> None:
    with pytest.raises(sqlalchemy.exc.IntegrityError), database.writing() as session:
        _recipient(session, queue_file_id=4711)


def test_only_active_keys_sign_and_the_states_are_in_their_order() -> None:
    assert [state.value for state in KeyState] == ["pending", "active", "retiring", "retired"]


def test_a_plan_of_a_name_is_there_once(database: Database) -> None:
    with pytest.raises(sqlalchemy.exc.IntegrityError), database.writing() as session:
        session.add_all([Plan(name="a", recipients_per_day=1), Plan(name="a", recipients_per_day=2)])


def test_every_constraint_has_a_name_that_a_migration_can_drop() -> None:
    for table in Base.metadata.tables.values():
        assert all(constraint.name for constraint in table.constraints), table.name
