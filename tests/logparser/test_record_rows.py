import datetime as dt
import json
import uuid
from typing import Any

import pytest

from sendproof_core.journal_records import Refused
from sendproof_core.schema import (
    Attempt,
    Base,
    Delivery,
    LogGap,
    Message,
    Open,
    QueueFile,
    Recipient,
    Refusal,
    UnknownLine,
)
from sendproof_core.states import RecipientState
from sendproof_logparser import queue_file, record_rows
from sendproof_logparser.events import SignInFailed, StatusLine, SubmissionRefused
from sendproof_logparser.process import Process
from sendproof_logparser.queue_file import QueueFileCopy, RecipientCopy
from sendproof_logparser.record_rows import Rows
from sendproof_logparser.transcript import Conversation
from sendproof_testing.record_reading import NOW as MESSAGES_AT
from sendproof_testing.record_reading import admitted, copied

_NOW = dt.datetime(2026, 11, 22, 14, 3, 5, tzinfo=dt.UTC)
_SMTP = Process("relay.example", "postfix/smtp", 7, "postfix", "smtp")


class _Keeps:
    """Keeps moments and ids as text."""

    def moment(self, value: dt.datetime) -> str:
        return value.isoformat()

    def id(self, value: uuid.UUID) -> str:
        return value.hex


_ROWS = Rows(_Keeps())


def _named(columns: tuple[str, ...], row: tuple[Any, ...]) -> dict[str, Any]:
    names = (name.strip('"') for name in columns)  # a reserved word of SQL
    return dict(zip(names, row, strict=True))


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        (QueueFile, record_rows.QUEUE_FILE_COLUMNS),
        (Recipient, record_rows.RECIPIENT_COLUMNS),
        (Delivery, record_rows.DELIVERY_COLUMNS),
        (Attempt, record_rows.ATTEMPT_COLUMNS),
        (Message, record_rows.MESSAGE_COLUMNS),
        (Refusal, record_rows.REFUSAL_COLUMNS),
        (Open, record_rows.OPEN_COLUMNS),
        (UnknownLine, record_rows.UNKNOWN_LINE_COLUMNS),
        (LogGap, record_rows.GAP_COLUMNS),
    ],
)
def test_rows_have_every_column_of_their_table(table: type[Base], columns: tuple[str, ...]) -> None:
    """The number of a row is the database's to give where nothing refers to it."""
    assert len(set(columns)) == len(columns)
    others = {"parent_host"} if table is QueueFile else set()  # `relay_links` writes it, behind the reading
    written = {name.strip('"') for name in columns}
    assert written | {"id"} | others == set(table.__table__.columns.keys()) | {"id"}
    assert not written & others


def test_a_message_row_has_every_column_of_its_table() -> None:
    row = _named(record_rows.MESSAGE_COLUMNS, _ROWS.message(admitted("4F5C64474F", "a@example.net", "b@example.net")))
    assert set(row) == set(Message.__table__.columns.keys())
    assert (row["recipient_count"], row["charged_recipients"], row["subject"]) == (2, 2, "Offer")
    assert row["id"] == uuid.UUID(int=1).hex
    assert json.loads(row["signatures"]) == [{"domain": "own.example", "selector": "s1", "algorithm": "rsa-sha256"}]


def test_of_a_copy_the_message_takes_the_signatures() -> None:
    signatures, message_id = _ROWS.copied(copied(admitted("4F5C64474F", "a@example.net"), "4F5C644750", 1))
    assert [signature["selector"] for signature in json.loads(signatures)] == ["sp1"]
    assert message_id == uuid.UUID(int=1).hex


def test_a_queue_file_and_its_recipient_are_rows_as_they_are() -> None:
    life = QueueFileCopy("relay.example", "postfix", "4F5C64474F", _NOW, is_long=False)
    life.message_id, life.parent_queue_id, life.link_kind, life.link_evidence = uuid.UUID(int=1), "x", "copy", "journal"
    life.disposition, life.disposed_at, life.removed_at = "removed", _NOW, _NOW
    row = _named(record_rows.QUEUE_FILE_COLUMNS, _ROWS.queue_file(life, 5))
    for name, value in row.items():
        wanted = 5 if name == "id" else getattr(life, name)
        wanted = wanted.isoformat() if isinstance(wanted, dt.datetime) else wanted
        assert value == (wanted.hex if isinstance(wanted, uuid.UUID) else wanted)
    recipient = RecipientCopy(None, "a@example.net", "b@example.net", 1, RecipientState.QUEUED, _NOW)
    recipient.suspend(_NOW, "connection refused")
    row = _named(record_rows.RECIPIENT_COLUMNS, _ROWS.recipient(recipient, 5, 6))
    assert row == {
        "queue_file_id": 5, "address": "a@example.net", "final_address": "b@example.net", "number": 1,
        "state": "deferred", "state_at": _NOW.isoformat(), "handed_on_at": None, "suspended_at": _NOW.isoformat(),
        "suspended_because": "connection refused", "suspensions": 1, "id": 6,
    }  # fmt: skip
    assert type(row["state"]) is str  # the driver is slow with others


def test_an_attempt_s_row_has_the_receiving_server_s_queue_id_only_where_it_took_the_mail() -> None:
    recipient = RecipientCopy(6, "a@example.net", None, 1, RecipientState.QUEUED, _NOW)
    found = []
    for status in ("sent", "deferred"):
        line = StatusLine(
            "4F5C64474F", "a@example.net", None, "mx[192.0.2.1]:25", None, 3.5, (0, 0.25, 1, 2.25), "2.0.0", status,
            "250 2.0.0 Ok: queued as 5F5C64474F",
        )  # fmt: skip
        attempt = queue_file.Attempt(_NOW, _SMTP, line, recipient, None, 2**32 - 1)
        found.append(_named(record_rows.ATTEMPT_COLUMNS, _ROWS.attempt(attempt, 6, 7)))
    sent, deferred = found
    assert (sent["remote_queue_id"], deferred["remote_queue_id"]) == ("5F5C64474F", None)
    assert json.loads(sent["delays_seconds"]) == [0, 0.25, 1, 2.25]
    assert (sent["recipient_id"], sent["delivery_id"], sent["line_key"]) == (6, 7, 2**32 - 1)
    assert (sent["service"], sent["delay_seconds"]) == ("postfix/smtp", 3.5)


def test_a_delivery_s_row_has_what_was_said_and_what_went_wrong_before() -> None:
    conversation = Conversation(_SMTP, _NOW)
    conversation.dialogue = [(_NOW.isoformat(), "S", "220 mx \N{SNOWMAN}"), (_NOW.isoformat(), "C", 'EHLO "x"')]
    conversation.troubles = [(_NOW, "connect to mx0: refused", "4F5C64474F")]
    conversation.tls = "Trusted"
    row = _named(record_rows.DELIVERY_COLUMNS, _ROWS.delivery(conversation, 5, 6))
    assert json.loads(row["dialogue"]) == [list(line) for line in conversation.dialogue]
    assert json.loads(row["troubles"]) == [[_NOW.isoformat(), "connect to mx0: refused"]]
    assert (row["queue_file_id"], row["id"], row["pid"], row["tls"]) == (5, 6, 7, "Trusted")
    growth = _ROWS.delivery_growth(conversation, 6)
    assert _named(record_rows.DELIVERY_GROWS, growth) == {name: row[name] for name in record_rows.DELIVERY_GROWS}
    empty = _named(record_rows.DELIVERY_COLUMNS, _ROWS.delivery(Conversation(_SMTP, _NOW), 5, 6))
    assert (json.loads(empty["dialogue"]), json.loads(empty["troubles"])) == ([], [])


def _refusal(event: SubmissionRefused | SignInFailed, daemon: str = "smtpd") -> dict[str, Any]:
    refusal = queue_file.Refusal(_NOW, "relay.example", event, daemon, 77)
    return _named(record_rows.REFUSAL_COLUMNS, _ROWS.refusal(refusal, 3))


def test_who_says_so_why_and_at_what_moment_is_in_a_refusal_s_row() -> None:
    by_postfix = SubmissionRefused(
        "4F5C64474F", "proxy-reject", "END-OF-MESSAGE", "unknown[203.0.113.9]", "550 no", None, "a@example.net", None,
        True,
    )  # fmt: skip
    wanted = {
        "account_id": 3, "login": "", "refused_at": _NOW.isoformat(), "host": "relay.example", "line_key": 77,
        "queue_id": "4F5C64474F", "envelope_sender": "", "recipients": '["a@example.net"]', "subject": None,
        "reason": "proxy-reject", "reply": "550 no", "source": "postfix", "stage": "END-OF-MESSAGE",
        "client_address": "203.0.113.9",
    }  # fmt: skip
    assert _refusal(by_postfix) == wanted
    sign_in = _refusal(SignInFailed("203.0.113.9", "max", "Password mismatch"), "dovecot")
    assert sign_in == wanted | {
        "login": "max", "queue_id": None, "recipients": "[]", "reason": "sign-in", "reply": "Password mismatch",
        "source": "sign-in", "stage": "dovecot",
    }  # fmt: skip
    by_us = Refused(
        at=MESSAGES_AT, host="relay.example", queue_id="4F5C64474F", account_id=1, login="max",
        envelope_sender="max@own.example", recipients=("a@example.net",), subject="Offer", reason="quota",
        reply="452 no",
    )  # fmt: skip
    row = _named(record_rows.REFUSAL_COLUMNS, _ROWS.refused(by_us))
    assert (row["source"], row["reason"], row["account_id"], row["line_key"]) == ("milter", "quota", 1, None)


@pytest.mark.parametrize(
    ("client", "address"),
    [
        ("unknown[203.0.113.9]", "203.0.113.9"), ("mx[2001:db8::1]", "2001:db8::1"), ("203.0.113.9", "203.0.113.9"),
        ("[203.0.113.9]:40112", "203.0.113.9"), ("unknown[unknown]", "unknown"), ("", None), ("x[", None),
        ("x[" + "1" * 100 + "]", "1" * 64),
    ],
)  # fmt: skip
def test_a_client_s_address_is_what_stands_in_its_brackets(client: str, address: str | None) -> None:
    assert record_rows.address_of(client) == address


@pytest.mark.parametrize("text", ["x" * 200_000, "\N{SNOWMAN}" * 200_000])
def test_what_outsiders_choose_is_cut_to_what_a_column_takes(text: str) -> None:
    event = SubmissionRefused(None, "reject", text, f"x[{text}]", "no", None, None, text, False)
    row = _refusal(event)
    assert [len(row[name]) for name in ("login", "stage", "client_address")] == [100, 40, 64]
    gap = _ROWS.gap("relay.example", "s", None, _NOW, None, text, 1)
    assert len(_named(record_rows.GAP_COLUMNS, gap)["text"]) <= 100_000


def _unknown_line(raw: bytes, daemon: str | None = "smtpd") -> dict[str, Any]:
    return _named(
        record_rows.UNKNOWN_LINE_COLUMNS, _ROWS.unknown_line("relay.example:/var/log/mail.log", 7, raw, _NOW, daemon)
    )


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (b"Nov 22 04:45:19 relay postfix/smtpd[1]: odd words", "Nov 22 04:45:19 relay postfix/smtpd[1]: odd words"),
        (b"a\0b", "ab"),
        (b"\xff", "\N{REPLACEMENT CHARACTER}"),
        (b"x" * 10_000, "x" * 4_000),
    ],
)
def test_an_unknown_line_is_kept_as_far_as_a_database_takes_it(raw: bytes, kept: str) -> None:
    assert _unknown_line(raw) == {
        "source": "relay.example:/var/log/mail.log", "offset": 7, "read_at": _NOW.isoformat(), "line": kept,
        "daemon": "smtpd",
    }  # fmt: skip


def test_an_unknown_line_has_its_daemon_as_far_as_a_column_takes_it() -> None:
    assert _unknown_line(b"x", "d" * 300)["daemon"] == "d" * 100
    assert _unknown_line(b"x", None)["daemon"] is None
