"""Notices of the older outbox are kept by the migration, and told of no second time."""

import datetime as dt

from sqlalchemy import select, text

from sendproof_core import schema_version
from sendproof_core.database import Database
from sendproof_core.schema import Notice, NoticeItem
from sendproof_notices import findings, outbox
from sendproof_testing.notice_record import LEASE, OWN, recorder

_OLD = text(
    "INSERT INTO notices (recipient_id, kind, account_id, to_address, created_at, next_try_at, tries, sent_at,"
    " last_error) VALUES (:recipient_id, 'failed', 1, 'max@home.example', :at, :at, :tries, :sent_at, :error)"
)


def test_old_notices_keep_their_state_and_are_not_told_again(either_database: Database, now: dt.datetime) -> None:
    write = recorder(either_database)
    ids = [write() for _ in range(4)]
    schema_version.downgrade(either_database, "0005")
    at = now.isoformat(" ", "microseconds")[:26]
    with either_database.writing() as session:
        for recipient_id, tries, sent_at, error in (
            (ids[0], 1, at, None),
            (ids[1], 3, None, "away"),
            (ids[2], 125, None, "refused"),
        ):
            session.execute(
                _OLD, {"recipient_id": recipient_id, "at": at, "tries": tries, "sent_at": sent_at, "error": error}
            )
    schema_version.upgrade(either_database)
    with either_database.reading() as session:
        rows = session.execute(select(Notice.key, Notice.state, Notice.tries, Notice.message_id).order_by(Notice.id))
        found = [(row.key, row.state, row.tries, row.message_id is not None) for row in rows]
        assert found == [
            (f"recipient:{ids[0]}:failed", "sent", 1, True),
            (f"recipient:{ids[1]}:failed", "waiting", 3, True),
            (f"recipient:{ids[2]}:failed", "failed", 125, True),
        ]
        assert len(session.scalars(select(NoticeItem.notice_id)).all()) == 3
        new = list(findings.find(session, OWN, now, now - findings.NEWS))
    assert [one.recipient_id for one in new] == [ids[3]]
    with either_database.writing() as session:
        assert outbox.add(session, new, "relay.example", now) == 1
    with either_database.writing() as session:
        claimed = outbox.claim(session, "relay.example", LEASE, now)
    assert claimed is not None
    assert claimed.message_id_header.endswith("@relay.example>")


def test_going_back_keeps_what_the_older_outbox_knew(either_database: Database, now: dt.datetime) -> None:
    recipient_id = recorder(either_database)()
    with either_database.writing() as session:
        found = list(findings.find(session, OWN, now, now - findings.NEWS))
        outbox.add(session, found, "relay.example", now)
    schema_version.downgrade(either_database, "0005")
    with either_database.reading() as session:
        rows = [tuple(row) for row in session.execute(text("SELECT recipient_id, kind, tries FROM notices"))]
    assert rows == [(recipient_id, "failed", 0)]
