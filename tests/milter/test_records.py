import dataclasses
import hashlib
import uuid
from typing import Any

import pytest

from sendproof_core.journal_records import Admitted, Copied, Refused, SignatureRecord, Withdrawn, from_line, to_line
from sendproof_milter import records
from sendproof_milter.message import Submission
from sendproof_milter.split_stamp import Stamp
from sendproof_milter.work import Reason, Refusal, Site, Work
from sendproof_testing.submissions import NOW, sender, submission

_SITE = Site("edge.relay.example", "https://t.relay.example", 1, {1: b"k" * 32})
_ID = uuid.UUID("019ab000-0000-7000-8000-000000000001")
_SIGNATURES = (SignatureRecord("own.example", "sp1", "rsa-sha256"),)
_STAMP = Stamp(_ID, 1, "4Zparent", NOW, (), b"", 0)
_REFUSAL = Refusal(Reason.OVER_QUOTA, 550, "5.7.1", "no", "recipients_per_day")
_HOSTILE = submission(
    login="\x1b",
    envelope_sender="\udcff\x07@own.example",
    recipients=("\x1b[2J@x.example", "\udcfe\n@x.example"),
    headers=((b"Subject", b"\x1b[31m\xff"), (b"Message-ID", b"<\x07\xff>")),
)


def _work(message: Submission | None = None, **changes: Any) -> Work:
    work = Work(
        message or submission(recipients=("a@x.example", "b@x.example")),
        _ID,
        sender(),
        charged_recipients=2,
        pixel="inserted",
        new_body=b"new\r\n",
        wire_edits=("8-bit-header",),
        signatures=_SIGNATURES,
    )
    return dataclasses.replace(work, **changes)


def test_the_line_of_a_message_has_the_whole_decision() -> None:
    work = _work()
    record = records.of_passed(work, _SITE)
    assert record == Admitted(
        at=NOW,
        host="edge.relay.example",
        queue_id="4Zabc123",
        message_id=_ID,
        account_id=1,
        login="max",
        credential_label="laptop",
        envelope_sender="max@own.example",
        recipients=("a@x.example", "b@x.example"),
        message_id_header="<1@own.example>",
        subject="Offer",
        size_bytes=work.submission.size_bytes,  # as the client sent it, which its plan limits
        client_address="192.0.2.7",
        client_tls="TLSv1.3 TLS_AES_256_GCM_SHA384",
        signatures=_SIGNATURES,
        body_sha256=hashlib.sha256(b"new\r\n").hexdigest(),
        pixel="inserted",
        charged_recipients=2,
        wire_edits=("8-bit-header",),
        split=False,
        test_mode=False,
    )
    assert from_line(to_line(record)) == record


def test_the_line_says_whether_copies_are_made_and_whether_it_was_only_tried() -> None:
    split = records.of_passed(_work(split=True), _SITE)
    tried = records.of_passed(_work(sender=sender(test_mode=True)), _SITE)
    assert isinstance(split, Admitted)
    assert isinstance(tried, Admitted)
    assert (split.split, split.test_mode) == (True, False)
    assert (tried.split, tried.test_mode) == (False, True)


def test_the_line_of_a_copy_names_its_parent_its_recipient_and_the_number_of_that() -> None:
    work = _work(submission(login="", queue_id="4Zcopy", recipients=("b@x.example",)), stamp=_STAMP, recipient_number=2)
    record = records.of_passed(work, _SITE)
    assert record == Copied(
        at=NOW,
        host="edge.relay.example",
        queue_id="4Zcopy",
        parent_queue_id="4Zparent",
        message_id=_ID,
        recipient="b@x.example",
        recipient_number=2,
        signatures=_SIGNATURES,
        body_sha256=hashlib.sha256(b"new\r\n").hexdigest(),
        pixel="inserted",
        wire_edits=("8-bit-header",),
    )
    assert from_line(to_line(record)) == record


def test_the_line_of_a_refusal_has_the_reply_and_who_was_refused() -> None:
    record = records.refused(_work(), _REFUSAL, _SITE)
    assert (record.account_id, record.login, record.reason) == (1, "max", "over-quota")
    assert (record.queue_id, record.subject, record.recipients) == ("4Zabc123", "Offer", ("a@x.example", "b@x.example"))
    assert record.reply == "550 5.7.1 no"
    assert from_line(to_line(record)) == record


def test_who_is_nobody_has_no_account_in_the_journal() -> None:
    record = records.refused(_work(submission(queue_id=""), sender=None), _REFUSAL, _SITE)
    assert (record.account_id, record.queue_id) == (None, None)
    assert from_line(to_line(record)) == record


def test_the_line_that_takes_a_message_back_names_it() -> None:
    record = records.withdrawn(_work(), _SITE)
    assert record == Withdrawn(at=NOW, host="edge.relay.example", queue_id="4Zabc123", message_id=_ID)
    assert from_line(to_line(record)) == record


@pytest.mark.parametrize(
    "record",
    [
        records.of_passed(_work(_HOSTILE), _SITE),
        records.of_passed(_work(_HOSTILE, stamp=_STAMP), _SITE),
        records.refused(_work(_HOSTILE), _REFUSAL, _SITE),
    ],
    ids=["admitted", "copied", "refused"],
)
def test_hostile_text_stands_in_the_journal_as_printable_text(record: Admitted | Copied | Refused) -> None:
    texts = [
        text
        for value in dataclasses.asdict(record).values()
        for text in (value if isinstance(value, tuple) else [value])
    ]
    assert all(text.isprintable() for text in texts if isinstance(text, str))
    assert from_line(to_line(record)) == record


def test_a_message_to_nobody_has_a_line_as_well() -> None:
    copied = records.of_passed(_work(submission(recipients=()), stamp=_STAMP), _SITE)
    assert isinstance(copied, Copied)
    assert copied.recipient == ""
