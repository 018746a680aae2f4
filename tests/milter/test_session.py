"""One SMTP session, as Postfix has it with the running program."""

import dataclasses
import itertools
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from miltertest import constants  # type: ignore[import-untyped] # no types of its own
from sqlalchemy import func, select

from sendproof_core import directory
from sendproof_core.database import open_database
from sendproof_core.schema import Charge, DkimKey, Domain
from sendproof_milter.edits import Edits
from sendproof_milter.message import Submission
from sendproof_milter.wire_safe import ChangedField
from sendproof_testing.milter_peer import Answer, MtaSession, mta_session
from sendproof_testing.submissions import as_queued, from_wire, submission, verdicts, with_fields

_TRACE = "X-Sendproof-Trace"
_PATIENCE_SECONDS = 20.0
_PLAIN = with_fields((b"Content-Type", b"text/plain"), body=b"Hello\r\n")


class _Milter(Protocol):
    folder: Path

    @property
    def socket(self) -> Path: ...
    def log(self) -> str: ...
    def events(self) -> list[dict[str, Any]]: ...
    def workers(self) -> list[int]: ...


@pytest.fixture
def session(milter: _Milter) -> Iterator[MtaSession]:
    with mta_session(milter.socket) as session:
        yield session


def _is_tried_again(answer: Answer) -> bool:
    return answer.reply.startswith("451 4.7.1 ") and answer.edits == ()


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _as_queued(message: Submission, answer: Answer) -> bytes:
    """The message with the edits carried out, as Postfix does."""
    assert {edit.index for edit in answer.edits if edit.kind == "insert"} <= {1}
    edits = Edits(
        changed=tuple(
            ChangedField(edit.name, edit.index, edit.value) for edit in answer.edits if edit.kind == "change"
        ),
        body=answer.new_body,
        inserted=tuple((edit.name, edit.value) for edit in answer.edits if edit.kind == "insert"),
    )
    return as_queued(message, edits)


def test_only_what_is_read_is_asked_for(session: MtaSession) -> None:
    skipped = constants.SMFIP_NOHELO | constants.SMFIP_NODATA | constants.SMFIP_NOEOH | constants.SMFIP_NOUNKNOWN
    silent = constants.SMFIP_NR_MAIL | constants.SMFIP_NR_RCPT | constants.SMFIP_NR_HDR | constants.SMFIP_NR_BODY
    assert session.protocol & skipped == skipped
    assert session.protocol & silent == silent
    assert (
        session.actions
        & ~(constants.SMFIF_ADDHDRS | constants.SMFIF_CHGHDRS | constants.SMFIF_CHGBODY | constants.SMFIF_SETSYMLIST)
        == 0
    )
    assert b"{auth_authen}" in session.macros_asked


def test_an_accepted_message_gets_a_pixel_a_trace_and_its_signatures_on_top(session: MtaSession) -> None:
    answer = session.deliver(submission())
    assert answer.verdict == "continue"
    assert [(edit.kind, edit.name, edit.index) for edit in answer.edits] == [
        ("replace", "", 0),
        ("insert", _TRACE, 1),
        ("insert", "DKIM-Signature", 1),
        ("insert", "DKIM-Signature", 1),
    ]
    assert b"</p>\r\n<img src=" in (answer.new_body or b"")
    assert "d=relay.example" in answer.edits[2].value
    assert "d=own.example" in answer.edits[3].value  # inserted last: it stands on top


def test_dkimpy_verifies_the_message_as_it_is_queued(session: MtaSession, milter: _Milter) -> None:
    answer = session.deliver(submission())
    assert verdicts(_as_queued(submission(), answer), _public_records(milter.folder)) == [True, True]


def test_what_a_server_on_the_way_would_change_is_changed_by_us_and_the_signatures_hold(
    session: MtaSession, milter: _Milter
) -> None:
    message = with_fields(
        (b"X-Sendproof-Track", b"no"),
        (b"subject", "Grüße".encode()),
        (b"X-Long", b"word " * 400),
        (b"X-Long", b"another " * 400),
        (b"Content-Type", b"text/plain; charset=utf-8"),
        (b"Content-Transfer-Encoding", b"8bit"),
        body="Grüße\r\n".encode() + b"x" * 2000 + b"\r\n",
    )
    answer = session.deliver(message)
    queued = _as_queued(message, answer)
    assert queued.isascii()
    assert max(map(len, queued.split(b"\r\n"))) <= 998
    assert [(edit.name, edit.index) for edit in answer.edits if edit.kind == "change"][:1] == [("X-Sendproof-Track", 1)]
    assert verdicts(queued, _public_records(milter.folder)) == [True, True]


def test_a_client_that_may_write_utf_8_in_header_fields_keeps_it(session: MtaSession, milter: _Milter) -> None:
    message = with_fields((b"Subject", "Grüße".encode()), smtputf8=True)
    answer = session.deliver(message)
    assert [edit for edit in answer.edits if edit.kind == "change"] == []
    assert verdicts(_as_queued(message, answer), _public_records(milter.folder)) == [True, True]
    answer = session.deliver(dataclasses.replace(message, smtputf8=False))
    assert [edit.name for edit in answer.edits if edit.kind == "change"] == ["Subject"]


def test_a_message_of_an_account_in_test_mode_is_thrown_away(session: MtaSession, milter: _Milter) -> None:
    queue_id = uuid.uuid4().hex
    message = with_fields((b"From", b"max@try.example"), login="try", envelope_sender="max@try.example")
    answer = session.deliver(dataclasses.replace(message, queue_id=queue_id))
    assert (answer.verdict, answer.edits) == ("discard", ())
    (event,) = [event for event in milter.events() if event["queue_id"] == queue_id]
    assert (event["event"], event["test_mode"], event["charged_recipients"]) == ("admitted", True, 0)
    assert _charges(milter.folder, queue_id) == 0


def test_a_message_to_several_comes_back_as_one_copy_for_each(session: MtaSession, milter: _Milter) -> None:
    recipients = ("anna@x.example", "ben+list@x.example", "carl@x.example")
    queue_id = uuid.uuid4().hex
    message = with_fields((b"X-Sendproof-Split", b"forged"), queue_id=queue_id, recipients=recipients)
    answer = session.deliver(message)
    assert [(edit.kind, edit.name, bool(edit.value)) for edit in answer.edits] == [
        ("change", "X-Sendproof-Split", False),
        ("insert", "X-Sendproof-Trace", True),
        ("insert", "X-Sendproof-Split", True),
        ("insert", "DKIM-Signature", True),
        ("insert", "DKIM-Signature", True),
    ]
    back = from_wire(_as_queued(message, answer), login="", daemon_name="resubmit", envelope_sender="max@own.example")
    records = _public_records(milter.folder)
    for number, (recipient, original) in enumerate(
        [("anna@x.example", "anna@x.example"), ("ben@elsewhere.example", "Ben+List@x.example"), ("carl@x.example", "")],
        1,
    ):
        copy = dataclasses.replace(
            back, queue_id=f"{queue_id}{number}", recipients=(recipient,), original_recipients=(original,)
        )
        answer = session.deliver(copy)
        assert answer.verdict == "continue"
        queued = _as_queued(copy, answer)
        assert b"X-Sendproof-Split" not in queued
        assert queued.count(b"<img src=") == 1
        assert verdicts(queued, records) == [True, True]
    events = [event for event in milter.events() if event["queue_id"].startswith(queue_id)]
    assert [event["event"] for event in events] == ["admitted", "copied", "copied", "copied"]
    assert [event["recipient_number"] for event in events[1:]] == [1, 2, 3]
    assert {event["parent_queue_id"] for event in events[1:]} == {queue_id}
    assert [_charges(milter.folder, event["queue_id"]) for event in events] == [1, 0, 0, 0]


def test_the_service_for_copies_takes_nothing_else(session: MtaSession) -> None:
    answer = session.deliver(submission(login="", daemon_name="resubmit"))
    assert answer.reply.startswith("550 5.7.1 This service takes copies from our own queue only")
    assert answer.edits == ()


def _charges(folder: Path, queue_id: str) -> int | None:
    database = open_database(f"sqlite:///{folder}/sendproof.db")
    with database.reading() as reading:
        found = reading.scalar(select(func.count()).where(Charge.queue_id == queue_id))
    database.close()
    return found


def _public_records(folder: Path) -> dict[bytes, bytes]:
    database = open_database(f"sqlite:///{folder}/sendproof.db")
    with database.reading() as session:
        rows = session.execute(select(DkimKey, Domain).join(Domain, Domain.id == DkimKey.domain_id))
        records = [directory.dkim_record(domain, key) for key, domain in rows]
    database.close()
    return {f"{record.name}.".encode(): "".join(record.strings).encode() for record in records}


def test_every_trace_field_that_a_client_brought_is_deleted(session: MtaSession) -> None:
    message = with_fields((b"X-Sendproof-Trace", b"spoofed"), (b"x-sendproof-TRACE", b"spoofed again"))
    answer = session.deliver(message)
    edits = [(edit.kind, edit.index, bool(edit.value)) for edit in answer.named(_TRACE)]
    assert edits == [("change", 2, False), ("change", 1, False), ("insert", 1, True)]
    assert b"spoofed" not in _as_queued(message, answer)


def test_mail_that_cannot_carry_a_pixel_keeps_its_body(session: MtaSession) -> None:
    answer = session.deliver(_PLAIN)
    assert (answer.verdict, answer.new_body) == ("continue", None)
    assert len(answer.named("DKIM-Signature")) == 2


def test_a_large_message_comes_in_pieces_and_goes_out_whole(session: MtaSession) -> None:
    body = b"<html><body>" + b"<p>a line of text</p>\r\n" * 10_000 + b"</body></html>\r\n"
    answer = session.deliver(submission(body=body))
    assert len(answer.new_body or b"") > len(body)
    assert (answer.new_body or b"").startswith(body[:200_000])


def test_the_journal_line_is_there_when_the_reply_is(session: MtaSession, milter: _Milter) -> None:
    queue_id = uuid.uuid4().hex
    session.deliver(submission(queue_id=queue_id))
    (event,) = [event for event in milter.events() if event["queue_id"] == queue_id]
    assert (event["event"], event["login"], event["client_address"]) == ("admitted", "max", "192.0.2.7")
    assert event["client_tls"] == "TLSv1.3 TLS_AES_256_GCM_SHA384"


# Postfix sends one copy however often a client names somebody, if it is in the same spelling but for its case. Each
# mention was charged; then 256 spellings of one mailbox were charged as one.
def test_each_copy_that_postfix_sends_is_charged_once(start_milter: Callable[..., Any]) -> None:
    named = ("Max@x.example", "max@X.example", '"max"@x.example', "max@x.example.", "eva@x.example")
    with start_milter(workers=1) as milter, mta_session(milter.socket) as session:
        assert session.deliver(submission(recipients=named)).verdict == "continue"
        assert milter.events()[-1]["recipients"] == [
            "Max@x.example",
            '"max"@x.example',
            "max@x.example.",
            "eva@x.example",
        ]
        assert milter.events()[-1]["charged_recipients"] == 4


# An address that is named with another ORCPT or NOTIFY is another copy to Postfix: seven mails were charged as one.
def test_as_many_copies_as_postfix_sends_are_charged(milter: _Milter) -> None:
    queue_id = uuid.uuid4().hex
    with mta_session(milter.socket) as session:
        session.connect()
        session.macros("M", {"{auth_authen}": "max", "{daemon_name}": "submission"})
        session.send("M", b"<max@own.example>\0")
        session.macros("R", {"i": queue_id})
        for parameters in (
            b"",
            b"ORCPT=rfc822;a@x.example\0",
            b"ORCPT=RFC822;A@x.example\0",
            b"ORCPT=rfc822;b@x.example\0",
            b"NOTIFY=NEVER\0",
            b"NOTIFY=SUCCESS,DELAY\0",
            b"NOTIFY=delay,success\0",
        ):
            session.send("R", b"<anna@x.example>\0" + parameters)
        message = submission(queue_id=queue_id)
        session.content(message)
        assert session.end(message).verdict == "continue"
    (event,) = (event for event in milter.events() if event["queue_id"] == queue_id)
    assert event["charged_recipients"] == 5


@given(st.lists(st.sampled_from([1, 16, 128, 4096]), min_size=1, max_size=8), st.binary(max_size=5000))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_how_a_body_is_cut_into_pieces_changes_nothing(milter: _Milter, sizes: list[int], body: bytes) -> None:
    body = body.replace(b"\n", b"\r\n") + b"\r\n"
    message = with_fields((b"X-Sendproof-Track", b"no"), body=body)
    with mta_session(milter.socket) as session:
        whole = session.deliver(message)
        session.begin(message)
        session.content(dataclasses.replace(message, body=b""))
        start = 0
        for size in itertools.cycle(sizes):
            if start >= len(body):
                break
            session.send("B", body[start : start + size])
            start += size
        assert session.end(message).new_body == whole.new_body


def test_a_header_of_too_many_fields_is_refused_and_not_held(milter: _Milter) -> None:
    message = submission(headers=((b"From", b"max@own.example"), *((b"a", b""),) * 50_000))
    with mta_session(milter.socket) as session:
        assert session.deliver(message).reply.startswith("552 5.3.4 The header of this message is too large")
        assert session.deliver(submission()).verdict == "continue"


def test_over_quota_is_told_with_the_limit_the_use_and_the_reset(start_milter: Callable[..., Any]) -> None:
    with start_milter(workers=1) as milter, mta_session(milter.socket) as session:
        assert (
            session.deliver(submission(recipients=tuple(f"r{number}@x.example" for number in range(49)))).verdict
            == "continue"
        )
        answer = session.deliver(submission(recipients=("a@x.example", "b@x.example")))
        said = "550 5.7.1 Plan limit reached: 50 recipients per day, 49 used, this message has 2; the count resets at "
        assert answer.reply.startswith(said)
        assert answer.edits == ()
        assert session.deliver(submission()).verdict == "continue"


def test_a_message_without_login_is_refused_on_a_submission_port(session: MtaSession) -> None:
    answer = session.deliver(submission(login=""))
    assert answer.reply.startswith("530 5.7.0 Sign in first")
    assert answer.edits == ()


def test_other_services_than_submission_pass_untouched(session: MtaSession) -> None:
    answer = session.deliver(submission(login="", daemon_name="smtpd"))
    assert (answer.verdict, answer.edits) == ("accept", ())


def test_a_percent_sign_in_a_reply_is_doubled_for_postfix(session: MtaSession) -> None:
    answer = session.deliver(submission(envelope_sender="50%off@bank.example"))
    assert answer.reply.startswith("550 5.7.1 <50%%off@bank.example> does not belong")


def test_messages_of_one_session_know_nothing_of_each_other(session: MtaSession, milter: _Milter) -> None:
    first, second = uuid.uuid4().hex, uuid.uuid4().hex
    spoiled = submission(queue_id=first, envelope_sender="boss@bank.example", recipients=("a@x.example",) * 3)
    assert session.deliver(spoiled).verdict == "reply"
    session.abort()  # Postfix sends it after every message
    assert session.deliver(submission(queue_id=second, login="", client_tls=None)).reply.startswith("530")
    session.abort()
    answer = session.deliver(_PLAIN)
    assert (answer.verdict, answer.new_body) == ("continue", None)
    (event,) = [event for event in milter.events() if event["queue_id"] == second]
    assert (event["login"], event["recipients"]) == ("", ["anna@example.net"])


def test_a_message_that_is_given_up_leaves_nothing_behind(session: MtaSession, milter: _Milter) -> None:
    queue_id = uuid.uuid4().hex
    session.begin(submission(queue_id=queue_id, recipients=("left@x.example",)))
    session.content(submission())
    session.abort()
    answer = session.deliver(with_fields((b"Content-Type", b"text/plain"), queue_id=queue_id))
    assert (answer.verdict, answer.new_body) == ("continue", None)
    (event,) = [event for event in milter.events() if event["queue_id"] == queue_id]
    assert (event["recipients"], event["size_bytes"]) == (["anna@example.net"], _size(queue_id))


def _size(queue_id: str) -> int:
    return with_fields((b"Content-Type", b"text/plain"), queue_id=queue_id).size_bytes


def test_a_client_that_is_gone_before_the_verdict_is_not_charged(milter: _Milter) -> None:
    queue_id = uuid.uuid4().hex
    message = submission(queue_id=queue_id)
    database = open_database(f"sqlite:///{milter.folder}/sendproof.db")
    with mta_session(milter.socket) as session:
        session.begin(message)
        session.content(message)
        session.macros(constants.SMFIC_BODYEOB, {"i": queue_id})
        with database.writing_connection():  # the charge waits until the client is gone
            session.send(constants.SMFIC_BODYEOB, answered=False)
            _until(session.all_was_read)
            session.close()
    _until(lambda: [event for event in milter.events() if event["queue_id"] == queue_id])

    database.close()
    _until(lambda: _charges(milter.folder, queue_id) == 0)


@pytest.mark.parametrize(
    "options",
    [
        {"protocol": constants.SMFI_V2_PROT},
        {"actions": constants.SMFI_V2_ACTS},
        {"protocol": constants.SMFI_V2_PROT, "actions": constants.SMFI_V2_ACTS},
    ],
)
def test_an_older_mta_that_wants_every_reply_is_served_too(milter: _Milter, options: dict[str, int]) -> None:
    with mta_session(milter.socket, **options) as session:
        assert session.deliver(submission()).verdict == "continue"
        assert session.deliver(submission(login="")).verdict == "reply"


@pytest.mark.parametrize(
    ("family", "address"), [("4", "192.0.2.7"), ("6", "2001:db8::7"), ("L", "/a/socket"), ("U", "")]
)
def test_clients_of_any_address_family_are_served(milter: _Milter, family: str, address: str) -> None:
    session = MtaSession(milter.socket)
    session.connect(address, family)
    assert session.deliver(submission(client_address=None)).verdict == "continue"
    session.close()


def test_a_login_that_is_no_utf_8_is_a_451_and_the_next_message_goes_through(session: MtaSession) -> None:
    assert _is_tried_again(session.deliver(submission(login="\udcff")))
    assert session.deliver(submission()).verdict == "continue"


def test_a_header_field_whose_name_is_not_ascii_is_a_451(session: MtaSession) -> None:
    assert _is_tried_again(session.deliver(with_fields(("Ü".encode(), b"x"))))
    assert session.deliver(submission()).verdict == "continue"


_TEXT = st.binary(max_size=40).map(lambda octets: octets.translate(None, b"\0"))
_ADDRESS = _TEXT.map(lambda octets: octets.decode("utf-8", "surrogateescape")) | st.just("max@own.example")
_NAME = st.sampled_from([b"From", b"Subject", b"Content-Type", b"Content-Transfer-Encoding", b"DKIM-Signature"]) | (
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":"), min_size=1, max_size=10).map(
        str.encode
    )
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    sender=_ADDRESS,
    recipients=st.lists(_ADDRESS, min_size=1, max_size=3).map(tuple),
    fields=st.lists(st.tuples(_NAME, _TEXT), max_size=5).map(tuple),
    body=st.binary(max_size=300),
)
def test_any_octets_are_answered_and_the_session_goes_on(
    milter: _Milter,
    sender: str,
    recipients: tuple[str, ...],
    fields: tuple[tuple[bytes, bytes], ...],
    body: bytes,
) -> None:
    workers = milter.workers()
    with mta_session(milter.socket) as session:
        hostile = with_fields(*fields, envelope_sender=sender, recipients=recipients, body=body)
        answer = session.deliver(hostile)
        assert answer.verdict in {"continue", "reply"}
        assert not _is_tried_again(answer)
        session.abort()
        assert session.deliver(_PLAIN).verdict == "continue"
    assert milter.workers() == workers


# libmilter lost its place in the session, and the MTA waited for five minutes.
def test_a_field_whose_name_is_no_text_is_passed_over(session: MtaSession, milter: _Milter) -> None:
    queue_id = uuid.uuid4().hex
    message = submission(queue_id=queue_id)
    odd = dataclasses.replace(message, headers=((b"X-\xff\xfe", b"1"), *message.headers, (b"\x80", b"2")))
    answer = session.deliver(odd)
    assert answer.verdict == "continue"
    assert verdicts(_as_queued(message, answer), _public_records(milter.folder)) == [True, True]
    assert session.deliver(submission()).verdict == "continue"
