"""An account sees its own notices, newest first, and nobody else's."""

import datetime as dt
import uuid

from sendproof_core import mail_requests, notice_list
from sendproof_core.database import Database
from sendproof_core.mail_requests import Letter
from sendproof_core.schema import MailRequest, Notice, NoticeItem
from sendproof_core.states import NoticeKind
from sendproof_testing.notice_record import add_account, recorder

NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)


def add(database: Database, account_id: int, key: str, recipient_ids: tuple[int, ...] = (), **values: object) -> int:
    usual = {
        "kind": "failed", "to_address": "max@home.example", "state": "sent", "created_at": NOW, "next_try_at": NOW,
        "tries": 1, "fence": 1,
    }  # fmt: skip
    with database.writing() as session:
        notice = Notice(**{"account_id": account_id, "key": key, **usual, **values})
        session.add(notice)
        session.flush()
        for recipient_id in recipient_ids:
            session.add(
                NoticeItem(
                    key=f"{key}:{recipient_id}",
                    account_id=account_id,
                    kind="failed",
                    message_id=notice.message_id,
                    recipient_id=recipient_id,
                    data={},
                    found_at=NOW,
                    notice_id=notice.id,
                )
            )
        return notice.id


def test_a_notice_names_its_message_and_the_first_recipients(either_database: Database) -> None:
    account_id = add_account(either_database, "max")
    write = recorder(either_database)
    ids = tuple(
        write(account_id=account_id, message_number=9, address=f"client{number}@example.net") for number in range(5)
    )
    add(either_database, account_id, "recipient:1:failed", ids, message_id=uuid.UUID(int=9))
    with either_database.reading() as session:
        (found,) = notice_list.list_notices(session, account_id, limit=10)
    assert (found.kind, found.subject, found.message_id) == (
        NoticeKind.FAILED, "Offer 2026-117", uuid.UUID(int=9),
    )  # fmt: skip
    assert found.recipients == ("client0@example.net", "client1@example.net", "client2@example.net")
    assert found.told == 5


def test_pages_follow_each_other_without_a_gap(sqlite_database: Database) -> None:
    account_id = add_account(sqlite_database, "max")
    ids = [add(sqlite_database, account_id, f"recipient:{number}:failed") for number in range(5)]
    with sqlite_database.reading() as session:
        first = notice_list.list_notices(session, account_id, limit=3)
        second = notice_list.list_notices(session, account_id, limit=3, before=first[-1].id)
    assert [one.id for one in (*first, *second)] == ids[::-1]


def test_nobody_sees_another_accounts_notices_or_messages(sqlite_database: Database) -> None:
    max_, eva = add_account(sqlite_database, "max"), add_account(sqlite_database, "eva")
    recorder(sqlite_database)(account_id=max_, message_number=9, subject="Only for max")
    add(sqlite_database, max_, "recipient:1:failed")
    add(sqlite_database, eva, "recipient:2:failed", message_id=uuid.UUID(int=9))
    with sqlite_database.reading() as session:
        (found,) = notice_list.list_notices(session, eva, limit=10)
    assert (found.message_id, found.subject) == (None, None)


def test_a_letter_says_which_and_when_it_is_tried_again(sqlite_database: Database) -> None:
    account_id = add_account(sqlite_database, "max")
    with sqlite_database.writing() as session:
        mail_requests.ask(session, Letter.PASSWORD_CHANGED, to_address="max@home.example", now=NOW)
        session.flush()
        request_id = session.query(MailRequest.id).scalar()
    add(
        sqlite_database, account_id, "letter:1", kind="letter", request_id=request_id, state="waiting",
        last_error="away",
    )  # fmt: skip
    with sqlite_database.reading() as session:
        (found,) = notice_list.list_notices(session, account_id, limit=10)
    assert (found.letter, found.next_try_at, found.reason) == ("password-changed", NOW, "away")


def test_what_waits_for_a_digest_is_counted(sqlite_database: Database) -> None:
    account_id = add_account(sqlite_database, "max")
    with sqlite_database.writing() as session:
        session.add(NoticeItem(key="a", account_id=account_id, kind="delivered", data={}, found_at=NOW, notice_id=None))
    with sqlite_database.reading() as session:
        assert notice_list.count_waiting_for_digest(session, account_id) == 1
        assert notice_list.count_waiting_for_digest(session, account_id + 1) == 0
