import base64
import datetime as dt
import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, insert, select, update

from sendproof_core import message_search, search_query
from sendproof_core.database import Database, open_database
from sendproof_core.message_search import Page, Row
from sendproof_core.schema import Message, QueueFile, Recipient, RecordChange, Refusal
from sendproof_testing import sample_record

NOW = sample_record.SENT_AT + dt.timedelta(hours=1)
MAX, EVE = 1, 2


@pytest.fixture
def filled(sqlite_database: Database) -> Database:
    with sqlite_database.writing() as session:
        sample_record.fill(session, older_messages=12)
    return sqlite_database


def page(
    database: Database, text: str = "", *, account_id: int | None = MAX, limit: int = 50, cursor: str | None = None
) -> Page:
    query = search_query.parse(text, dt.UTC, NOW)
    with database.reading() as session:
        return message_search.find(session, account_id, query, limit=limit, cursor=cursor)


def name(row: Row) -> str:
    if row.refusal is not None:
        return "refused"
    assert row.message is not None
    return row.message.subject or ""


def found(database: Database, text: str, account_id: int | None = MAX) -> list[str]:
    return [name(row) for row in page(database, text, account_id=account_id).rows]


def test_the_list_is_newest_first_of_messages_and_refusals_and_of_one_account(filled: Database) -> None:
    rows = page(filled).rows
    assert [row.at for row in rows] == sorted((row.at for row in rows), reverse=True)
    assert found(filled, "")[:4] == ["Offer 2026-117", "refused", "Plans for the team", "Minutes of the meeting"]
    assert found(filled, "", EVE) == ["Not for max"]
    assert {*found(filled, ""), "Not for max"} == set(found(filled, "", None))
    assert page(filled, account_id=None).total == len(found(filled, "", None))


CASES = {
    "offer": ["Offer 2026-117"],
    "OFFER 117": ["Offer 2026-117"],
    "offer minutes": [],
    '"2026-117"': ["Offer 2026-117"],
    '"117 2026"': [],
    "anna@example.net subject:offer": ["Offer 2026-117"],
    "to:ben@example.org": ["Offer 2026-117", "Minutes of the meeting"],
    "to:ben": ["Offer 2026-117", "Plans for the team", "Minutes of the meeting"],
    "to:max@own.example": [],
    "subject:meeting": ["Minutes of the meeting"],
    "from:max@own.example plans": ["Plans for the team"],
    "4dDmPz6NfkzXyz": ["Offer 2026-117"],
    "id:4dDmPz6NfkzXyz": ["Offer 2026-117"],
    "4dDlForward3": ["Plans for the team"],
    "id:4dDn2K1zQqz9sM2": ["Offer 2026-117"],
    "id:019ab000-0000-7000-8000-000000000001": ["Offer 2026-117"],
    "reply:greylisted": ["Offer 2026-117"],
    'reply:"does not exist"': ["Offer 2026-117", "Plans for the team"],
    "status:opened": ["Offer 2026-117"],
    "status:refused": ["refused"],
    "status:unknown": ["Minutes of the meeting"],
    "status:deferred": ["Offer 2026-117", "Plans for the team"],
    "status:deferred,unknown": ["Offer 2026-117", "Plans for the team", "Minutes of the meeting"],
    "status:deferred offer": ["Offer 2026-117"],
    "status:expired": [],
    "after:2026-11-22T13:00": ["Offer 2026-117"],
    "invoice before:2026-11-21T12:50": ["Invoice 898", "Invoice 897"],
    "to:nobody@example.net": [],
    "%": None,
    "' OR 1=1 --": None,
    'NEAR( "': [],
    "offer AND NOT *": None,
}


def test_what_is_asked_for_is_found_on_both_databases(either_database: Database) -> None:
    with either_database.writing() as session:
        sample_record.fill(session, older_messages=4)
    got = {text: found(either_database, text) for text in CASES}
    assert {text: got[text] for text, subjects in CASES.items() if subjects is not None} == {
        text: subjects for text, subjects in CASES.items() if subjects is not None
    }


def test_the_words_of_one_account_find_nothing_of_anothers(either_database: Database) -> None:
    with either_database.writing() as session:
        sample_record.fill(session)
    for text in ("zoe", "to:zoe@example.org", "not for max", "4dDmPz9eve", "id:4dDmPz9eve", "status:queued zoe", "no*"):
        assert "Not for max" not in found(either_database, text, MAX)
        assert found(either_database, text, EVE) == ["Not for max"]


@pytest.mark.parametrize("text", ["", "invoice", "status:delivered", "after:2026-11-01"])
def test_all_pages_together_are_the_list_forwards_and_back(filled: Database, text: str) -> None:
    whole = [name(row) for row in page(filled, text).rows]
    assert len(whole) > 8
    pages, cursor = [], None
    while True:
        shown = page(filled, text, limit=4, cursor=cursor)
        pages.append(shown)
        if shown.next is None:
            break
        cursor = shown.next
    assert [name(row) for shown in pages for row in shown.rows] == whole
    assert (pages[0].previous, pages[-1].next) == (None, None)
    back = [pages[-1]]
    while back[0].previous is not None:
        back.insert(0, page(filled, text, limit=4, cursor=back[0].previous))
    assert [name(row) for shown in back for row in shown.rows] == whole
    assert {shown.total for shown in pages} == {len(whole)}


def test_what_was_sent_at_one_moment_is_parted_by_pages_and_lost_by_none(filled: Database) -> None:
    with filled.writing() as session:
        session.execute(update(Message).values(submitted_at=sample_record.SENT_AT))
        session.execute(update(Refusal).values(refused_at=sample_record.SENT_AT))
        sample_record.derive_all(session)
    for text in ("", "own.example"):
        seen: list[object] = []
        cursor = None
        while True:
            shown = page(filled, text, limit=3, cursor=cursor)
            seen += [row.message.id if row.message else row.refusal for row in shown.rows]
            if shown.next is None:
                break
            cursor = shown.next
        assert len(seen) == len(set(seen)) == page(filled, text).total


def test_a_cursor_stays_good_while_new_mail_comes(filled: Database) -> None:
    second = page(filled, "invoice", limit=4)
    with filled.writing() as session:
        newest = session.get_one(Message, sample_record.OFFER_ID)
        session.execute(insert(RecordChange).values(message_id=newest.id))
        newest.subject = "Invoice 1"
    shown = page(filled, "invoice", limit=4, cursor=second.next)
    assert [name(row) for row in shown.rows] == ["Invoice 896", "Invoice 895", "Invoice 894", "Invoice 893"]


BAD = ["", "x", "ü", "e30", "W10", base64.urlsafe_b64encode(b"[" * 5000).decode()]
BAD += [
    base64.urlsafe_b64encode(json.dumps(plain).encode()).decode()
    for plain in (
        ["t", "soon", 1, str(uuid.UUID(int=1)), 0], ["t", "2026-11-22T00:00:00", 1, str(uuid.UUID(int=1)), 0],
        ["t", "2026-11-22T00:00:00+00:00", 0, str(1 << 64), 0], ["t", "2026-11-22T00:00:00+00:00", 0, "²", 0],
        ["t", "9999-12-31T23:59:00+00:00", 0, "1", 0], ["w", 1 << 64, 0, 0], ["w", -1, 0, 0], ["w", None, 0, 0],
        {"t": 1}, None,
    )
]  # fmt: skip


@pytest.mark.parametrize("cursor", BAD)
@pytest.mark.parametrize("text", ["", "offer"])
def test_a_cursor_that_is_none_of_ours_is_refused(filled: Database, cursor: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"no .* list|no moment|no number|Invalid|invalid|badly formed"):
        page(filled, text, cursor=cursor)


def test_a_cursor_of_another_kind_of_list_is_refused(filled: Database) -> None:
    everything, invoices = page(filled, limit=2).next, page(filled, "invoice", limit=2).next
    with pytest.raises(ValueError, match="no cursor of this list"):
        page(filled, "invoice", cursor=everything)
    with pytest.raises(ValueError, match="no cursor of this list"):
        page(filled, "", cursor=invoices)


def test_what_has_no_such_word_is_looked_for_by_how_words_begin_and_that_is_said(filled: Database) -> None:
    shown = page(filled, "invoi", limit=5)
    assert (shown.widened, len(shown.rows), shown.total) == (True, 5, 12)
    following = page(filled, "invoi", limit=5, cursor=shown.next)
    assert following.widened
    assert name(following.rows[0]) == "Invoice 895"
    assert page(filled, "invoice").widened is False
    assert found(filled, '"invoi"') == []
    nothing = page(filled, "xyzzyx")
    assert (nothing.widened, nothing.rows, nothing.total, nothing.next) == (False, (), 0, None)


def test_what_the_index_does_not_know_yet_is_found_as_it_is(filled: Database) -> None:
    with filled.writing() as session:
        file = session.scalars(select(QueueFile).where(QueueFile.message_id == sample_record.UNKNOWN_ID)).one()
        session.execute(update(Message).where(Message.id == sample_record.UNKNOWN_ID).values(subject="Protocol"))
        session.execute(update(Recipient).where(Recipient.queue_file_id == file.id).values(state="bounced"))
        session.execute(insert(RecordChange).values(queue_file_id=file.id))
        new = Message(
            **{
                **{column.key: getattr(session.get_one(Message, sample_record.OFFER_ID), column.key)
                   for column in Message.__table__.columns},
                "id": uuid.UUID(int=77), "subject": "Quite new", "submitted_at": NOW,
            }
        )  # fmt: skip
        session.add(new)
        session.execute(insert(RecordChange).values(message_id=uuid.UUID(int=77)))
    assert found(filled, "minutes") == []
    assert found(filled, "protocol") == ["Protocol"]
    assert "Protocol" in found(filled, "status:bounced")
    assert found(filled, "status:unknown") == []
    assert found(filled, "new") == ["Quite new"]
    assert found(filled, "new", EVE) == []
    assert found(filled, "new before:2026-11-22T14:00") == []


def test_by_its_exact_name_a_message_is_found_that_the_index_does_not_know_at_all(filled: Database) -> None:
    with filled.writing() as session:
        session.execute(
            update(Message).where(Message.id == sample_record.OFFER_ID).values(message_id_header="<quite@new>")
        )
    assert found(filled, "quite@new") == ["Offer 2026-117"]
    assert found(filled, "id:<quite@new>") == ["Offer 2026-117"]
    assert found(filled, "id:<quite@new>", EVE) == []
    assert found(filled, "id:<quite@new> before:2026-11-01") == []


def test_how_messages_stand_now_is_told_of_ones_own_only(filled: Database) -> None:
    ids = [sample_record.OFFER_ID, sample_record.FOREIGN_ID, uuid.UUID(int=5)]
    with filled.reading() as session:
        assert set(message_search.states_of(session, MAX, ids)) == {sample_record.OFFER_ID}
        assert set(message_search.states_of(session, None, ids)) == {sample_record.OFFER_ID, sample_record.FOREIGN_ID}
        assert message_search.states_of(session, MAX, []) == {}


def test_a_page_takes_the_same_few_queries_however_many_messages_it_shows(filled: Database) -> None:
    def queries(text: str, limit: int) -> int:
        count = 0

        def one_more(*_: object) -> None:
            nonlocal count
            count += 1

        event.listen(filled.engine, "before_cursor_execute", one_more)
        page(filled, text, limit=limit)
        event.remove(filled.engine, "before_cursor_execute", one_more)
        return count

    for text in ("", "invoice", "own.example"):
        assert queries(text, 12) <= queries(text, 1) + 2 <= 15


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=60))
def test_no_search_fails_whatever_is_typed(shared: Database, text: str) -> None:
    page(shared, text)


@pytest.fixture(scope="module")
def shared(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder = tmp_path_factory.mktemp("search")
    shutil.copy(sqlite_template, folder / "sendproof.db")
    database = open_database(f"sqlite:///{folder}/sendproof.db")
    with database.writing() as session:
        sample_record.fill(session)
    yield database
    database.close()
