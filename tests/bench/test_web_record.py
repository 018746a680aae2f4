"""A record that is made for measuring is one that the logparser could have written."""

import contextlib
import datetime as dt

import pytest
from bench import web_record
from sqlalchemy import func, inspect, select, text

from sendproof_core import message_search, partitions, record_days, schema_version, search_query, statistics
from sendproof_core.database import Database, open_database
from sendproof_core.schema import Account, Attempt, Message, Recipient

NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)


def test_it_holds_what_was_asked_for_and_is_found_by_its_words(sqlite_database: Database) -> None:
    indexes = {index["name"] for table in ("messages", "attempts") for index in
               inspect(sqlite_database.engine).get_indexes(table)}  # fmt: skip
    told: list[int] = []
    filled = web_record.fill(sqlite_database, 3_000, NOW, told.append)  # which checks its own sums
    assert told[-1] == filled.recipients
    assert 3_000 <= filled.recipients < 3_100
    with sqlite_database.reading() as session:
        here = select(func.count()).select_from(Recipient)
        assert session.scalar(here.where(Recipient.handed_on_at.is_(None))) == filled.recipients
        assert (session.scalar(here.where(Recipient.handed_on_at.is_not(None))) or 0) > 20
        assert (session.scalar(select(func.count()).select_from(Attempt)) or 0) >= filled.recipients * 0.99
        account_id = session.scalars(select(Account.id).where(Account.login == filled.login)).one()
        message = session.scalars(select(Message).where(Message.account_id == account_id).limit(1)).one()
        query = search_query.parse(f'subject:"{message.subject}"', dt.UTC, NOW)
        rows = message_search.find(session, account_id, query, limit=5).rows
        assert [row.message.id for row in rows if row.message] == [message.id]
        for status in ("delivered", "bounced", "refused"):
            query = search_query.parse(f"status:{status}", dt.UTC, NOW)
            assert message_search.find(session, None, query, limit=5).rows
        days = statistics.days(session, NOW.date() - dt.timedelta(days=365), NOW.date())
        assert sum(day.figures.recipients for day in days) == filled.recipients
    assert indexes <= {
        index["name"] for table in ("messages", "attempts") for index in
        inspect(sqlite_database.engine).get_indexes(table)
    }  # fmt: skip


@pytest.mark.postgres
def test_on_postgresql_every_row_lies_in_its_day(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_record, "_YEAR", dt.timedelta(days=20))
    with contextlib.closing(open_database(postgres_url)) as database:
        schema_version.upgrade(database)
        indexes = _indexes(database)
        web_record.fill(database, 400, NOW, lambda _: None)
        assert _indexes(database) == indexes
        with database.engine.connect() as connection:
            today = record_days.day_number(NOW)
            there = partitions.existing(connection)
            assert {one.day for one in there if one.table == "messages"} >= set(range(today - 20, today + 1))
            for one in there:
                if one.table != "opens" and (one.day is None or one.is_before):
                    assert connection.scalar(text(f"SELECT count(*) FROM {one.name}")) == 0  # noqa: S608 - our own names
            assert connection.scalar(text("SELECT nextval('queue_files_id_seq')")) < 1_000


def _indexes(database: Database) -> list[str]:
    """Of the tables that are in partitions, as they are defined."""
    found = (
        "SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class AS whole ON whole.oid = indrelid"
        " WHERE whole.relkind = 'p' AND indisvalid"
    )
    with database.engine.connect() as connection:
        return sorted(connection.scalars(text(found)))
