"""The list by entries is the list: the same pages, whatever was sent when, and whatever is derived already."""

import contextlib
import datetime as dt
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert
from sqlalchemy.orm import Session

from sendproof_core import entry_list, message_search, schema_version, search_query
from sendproof_core.database import Database, open_database
from sendproof_core.identity import new_message_id
from sendproof_core.message_search import Row
from sendproof_core.schema import Message, RecordChange, Refusal, SearchEntry
from sendproof_testing import sample_record
from sendproof_testing.postgres import Cluster

NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)
_SENT = {
    "login": "max",
    "credential_label": "laptop",
    "envelope_sender": "max@own.example",
    "size_bytes": 1,
    "recipient_count": 1,
    "signatures": [],
    "pixel": "inserted",
}
_REFUSED = {
    "login": "max", "host": "edge1", "envelope_sender": "max@own.example", "recipients": [], "reason": "over quota",
    "reply": "452 4.7.1 no", "source": "milter",
}  # fmt: skip
_Key = tuple[dt.datetime, int, uuid.UUID | int]


@pytest.fixture(scope="module")
def postgresql(postgres_cluster: Cluster) -> Iterator[Database]:
    with postgres_cluster.empty_database() as url, contextlib.closing(open_database(url)) as database:
        schema_version.upgrade(database)
        yield database


def _add(session: Session, at: dt.datetime, account_id: int, *, is_message: bool) -> _Key:
    """A row with its note."""
    if is_message:
        message = Message(id=new_message_id(at), account_id=account_id, submitted_at=at, **_SENT)
        session.add(message)
        session.execute(insert(RecordChange).values(message_id=message.id))
        return at, 1, message.id
    refusal = Refusal(account_id=account_id, refused_at=at, **_REFUSED)
    session.add(refusal)
    session.flush()
    session.execute(insert(RecordChange).values(refusal_id=refusal.id))
    return at, 0, refusal.id


def _key(row: Row) -> _Key:
    if row.message is not None:
        assert isinstance(row.message.id, uuid.UUID)
        return row.at, 1, row.message.id
    assert row.refusal is not None
    return row.at, 0, row.refusal.id


# Few moments, so that many rows have the same: within milliseconds, and over months.
_moments = st.builds(
    lambda days, microseconds: NOW - dt.timedelta(days=days, microseconds=microseconds),
    st.sampled_from([0, 0, 0, 1, 8, 40, 200]),
    st.integers(0, 4_000),
)
_rows = st.lists(st.tuples(_moments, st.sampled_from([1, 1, 2]), st.booleans()), max_size=25)


@pytest.mark.postgres
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    derived=_rows,
    late=_rows,
    account_id=st.sampled_from([1, None]),
    days=st.sampled_from([None, 1, 30]),
    most_late=st.sampled_from([200, 3]),
    spare=st.sampled_from([0, 10]),
    limit=st.integers(1, 7),
)
def test_the_pages_are_those_of_the_record_itself(
    postgresql: Database,
    monkeypatch: pytest.MonkeyPatch,
    *,
    derived: list[tuple[dt.datetime, int, bool]],
    late: list[tuple[dt.datetime, int, bool]],
    account_id: int | None,
    days: int | None,
    most_late: int,
    spare: int,
    limit: int,
) -> None:
    monkeypatch.setattr(entry_list, "_MOST_LATE", most_late)
    monkeypatch.setattr(entry_list, "_SPARE", spare)
    after = None if days is None else (NOW - dt.timedelta(days=days)).date()
    query = search_query.parse("" if after is None else f"after:{after}", dt.UTC, NOW)
    expected: list[_Key] = []
    with postgresql.writing() as session:
        for table in (Message, Refusal, RecordChange):
            session.execute(delete(table))
        for rows in (derived, late):
            sample_record.derive_all(session)
            for at, owner, is_message in rows:
                key = _add(session, at, owner, is_message=is_message)
                if account_id in (None, owner) and (query.after is None or at >= query.after):
                    expected.append(key)
    expected.sort(reverse=True)
    shown: list[list[_Key]] = []
    with postgresql.reading() as session:
        cursor = None
        while True:
            page = message_search.find(session, account_id, query, limit=limit, cursor=cursor)
            assert page.total == len(expected)
            shown.append([_key(row) for row in page.rows])
            if page.next is None:
                break
            cursor = page.next
        assert [key for keys in shown for key in keys] == expected
        for keys in reversed(shown[:-1]):
            assert page.previous is not None
            page = message_search.find(session, account_id, query, limit=limit, cursor=page.previous)
            assert [_key(row) for row in page.rows] == keys
        assert page.previous is None


def test_an_entry_whose_row_is_gone_is_passed_over(either_database: Database) -> None:
    with either_database.writing() as session:
        kept = _add(session, NOW, 1, is_message=True)
        _add(session, NOW, 1, is_message=False)
        sample_record.derive_all(session)
        session.execute(delete(Refusal))
        entries = entry_list.open_list(session, 1)
        assert entries is not None
        heads = entries.heads(None, None, lambda _: True, 5, oldest_first=False)
        assert [head.id for head in heads or ()] == [kept[2]]
        assert len(entry_list.load(session, list(entry_list.indexed(session, [kept[2]], []).values()))) == 1  # type: ignore[list-item]


def test_a_row_that_is_not_derived_yet_is_there_and_counted_once(either_database: Database) -> None:
    with either_database.writing() as session:
        _add(session, NOW, 1, is_message=True)
        sample_record.derive_all(session)
        new = _add(session, NOW - dt.timedelta(hours=1), 1, is_message=False)
        entries = entry_list.open_list(session, 1)
        assert entries is not None
        assert new[2] in {head.id for head in entries.heads(None, None, lambda _: True, 5, oldest_first=True) or ()}
        assert entries.count(None, None, lambda _: True, 9) == 2
        assert entries.count(None, NOW, lambda head: entry_list.moment(head) < NOW, 9) == 1


def test_while_much_is_to_be_derived_it_knows_no_answer(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry_list, "_MOST_LATE", 1)
    with sqlite_database.writing() as session:
        _add(session, NOW, 1, is_message=True)
        assert entry_list.open_list(session, 1) is not None
        _add(session, NOW, 1, is_message=True)
        assert entry_list.open_list(session, 1) is None
        assert session.query(SearchEntry).count() == 0
