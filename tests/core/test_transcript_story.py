import dataclasses
import datetime as dt
import uuid

import pytest

from sendproof_core.links import LinkEvidence, LinkKind
from sendproof_core.queue_times import QueueTimes
from sendproof_core.states import RecipientState
from sendproof_core.transcript_story import EntryKind, Story, Tone, about, state_label, tell
from sendproof_core.transcripts import AttemptView, GapView, HopView, MessageView, OpenView, RecipientView
from sendproof_milter.pixel import NoPixel
from sendproof_milter.wire_safe import WireEdit

SENT_AT = dt.datetime(2026, 11, 22, 13, 3, 5, 214_000, dt.UTC)
GREYLISTED = "host mx[192.0.2.25] said: 450 4.2.0 <anna@example.net>: Greylisted (in reply to RCPT TO command)"
MESSAGE = MessageView(
    id=uuid.UUID("019ab000-0000-7000-8000-000000000001"),
    account_id=1,
    login="max",
    credential_label="Thunderbird",
    submitted_at=SENT_AT,
    envelope_sender="max@own.example",
    message_id_header=None,
    subject=None,
    size_bytes=337,
    client_address=None,
    client_tls=None,
    signatures=(),
    pixel="not-html",
    host="edge1",
    queue_id="4dDm",
    queued_at=SENT_AT,
)


def attempt(
    reply: str, after_seconds: float = 1.0, status: str = "deferred", relay: str = "mx.example.net[192.0.2.25]:25"
) -> AttemptView:
    at = SENT_AT + dt.timedelta(seconds=after_seconds)
    return AttemptView(at, status, "4.0.0", relay, after_seconds, (), reply, None, None, (), ())


def story(
    state: RecipientState,
    *attempts: AttemptView,
    opens: tuple[OpenView, ...] = (),
    now_seconds: float = 60,
    message: MessageView = MESSAGE,
) -> Story:
    state_at = SENT_AT + dt.timedelta(days=5)
    recipient = RecipientView(1, "anna@example.net", None, state, state_at, attempts, opens)
    return tell(message, recipient, QueueTimes(), dt.UTC, SENT_AT + dt.timedelta(seconds=now_seconds))


def test_every_state_has_its_word_and_its_tone() -> None:
    assert [state_label(state).text for state in RecipientState] == [
        "QUEUED",
        "DEFERRED",
        "ACCEPTED",
        "BOUNCED",
        "EXPIRED",
        "ON HOLD",
        "CANCELLED",
        "UNKNOWN",
    ]
    assert state_label(RecipientState.UNKNOWN).tone is Tone.UNSURE


def test_test_mode_is_said_and_nobody_is_blamed() -> None:
    told = story(RecipientState.CANCELLED, message=dataclasses.replace(MESSAGE, test_mode=True))
    assert told.label.text == "TEST"
    assert "test mode" in told.answer[0]
    assert told.timeline[-1].detail == ("test mode",)


def test_a_copy_and_what_was_made_safe_stand_on_the_way_in() -> None:
    message = dataclasses.replace(MESSAGE, wire_edits=("8-bit-parts", "long-header-lines"))
    copy = HopView(SENT_AT, LinkKind.COPY, "4dDm", "4dDn", None)
    recipient = RecipientView(1, "a@example.net", None, RecipientState.QUEUED, SENT_AT, (), (), (copy,))
    told = tell(message, recipient, QueueTimes(), dt.UTC, SENT_AT)
    entries = {entry.label: entry.detail for entry in told.timeline}
    assert entries["prepared"] == ("8-bit text encoded; long header lines folded",)
    assert entries["copied"] == ("4dDn, a copy for this recipient alone",)
    assert "queue id 4dDm, then 4dDn" in told.evidence


def test_every_wire_edit_of_the_milter_has_its_words() -> None:
    for edit in WireEdit:
        told = story(RecipientState.QUEUED, message=dataclasses.replace(MESSAGE, wire_edits=(edit.value,)))
        (prepared,) = (entry.detail for entry in told.timeline if entry.label == "prepared")
        assert prepared != (edit.value,)


def test_every_reason_for_no_pixel_has_its_words() -> None:
    for reason in NoPixel:
        told = story(RecipientState.QUEUED, message=dataclasses.replace(MESSAGE, pixel=reason.value))
        assert not any(reason.value in detail for entry in told.timeline for detail in entry.detail if "-" in reason)


@pytest.mark.parametrize("state", RecipientState)
def test_every_state_has_a_story_even_without_an_attempt(state: RecipientState) -> None:
    told = story(state)
    assert told.answer
    assert told.proof
    assert told.timeline


def test_delivered_without_its_evidence_is_not_claimed() -> None:
    assert story(RecipientState.DELIVERED).answer[0] == "We do not know what became of it."


def test_unknown_says_where_the_evidence_ends_and_does_not_guess() -> None:
    assert story(RecipientState.UNKNOWN).answer == (
        "We do not know what became of it.",
        "It was queued at 13:03:05 as 4dDm; after that the mail log of edge1 says nothing of it.",
        "We do not guess.",
    )
    assert "from 13:03:06" in story(RecipientState.UNKNOWN, attempt(GREYLISTED)).answer[1]
    lost = dataclasses.replace(MESSAGE, queue_id=None, queued_at=None, host=None)
    assert (
        story(RecipientState.UNKNOWN, message=lost).answer[1]
        == "We let it through, and the mail log never spoke of it."
    )


def test_greylisting_is_named_with_the_next_attempt_and_the_end() -> None:
    told = story(RecipientState.DEFERRED, attempt(GREYLISTED))
    assert told.answer == (
        "Not yet: mx.example.net has greylisted it, that is, it asks every new sender to come back once.",
        "We try again at about 13:08, and give up on 27 Nov at about 13:03.",
    )
    assert told.advice == "Nothing is wrong, and you need not do anything."
    assert told.timeline[-1].detail == ("13:08 (about), giving up on 27 Nov at about 13:03",)


def test_a_retry_that_does_not_come_is_admitted() -> None:
    told = story(RecipientState.DEFERRED, attempt(GREYLISTED), now_seconds=1000)
    assert told.answer[1] == "The next attempt was due at about 13:08; the mail log of edge1 has not spoken of it yet."


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (
            "connect to mx[192.0.2.25]:25: Connection refused",
            "no mail server of example.net can be reached at the moment.",
        ),
        (
            "host mx[192.0.2.25] said: 450 4.2.0 <a@b>: not now (in reply to RCPT TO command)",
            "mx.example.net has put it off, most likely greylisted it: many servers ask a new sender "
            "to come back once.",
        ),
        ("host mx[192.0.2.25] said: 452 4.2.2 full", "mx.example.net says that the recipient's mailbox is full."),
        ("host mx[192.0.2.25] said: 451 4.3.0 trouble here", "mx.example.net has trouble of its own at the moment."),
        ("host mx[192.0.2.25] said: 451 4.0.0 not now", "mx.example.net has put it off."),
        (
            "Host or domain name not found. Name service error for name=example.net type=MX: Host not found, try again",
            "the mail servers of example.net cannot be found in DNS at the moment.",
        ),
        ("lost connection with mx[192.0.2.25] while sending RCPT TO", "the connection with mx.example.net broke off."),
    ],
)
def test_a_delay_is_explained_by_its_reason(reply: str, answer: str) -> None:
    assert story(RecipientState.DEFERRED, attempt(reply)).answer[0] == f"Not yet: {answer}"


def test_acceptance_takes_as_long_as_postfix_measured() -> None:
    at_once = attempt("250 2.0.0 Ok", after_seconds=-0.2, status="sent")  # the log's clock counts whole seconds
    told = story(RecipientState.DELIVERED, dataclasses.replace(at_once, delay_seconds=0.12))
    assert told.answer == (
        "mx.example.net took the message at 13:03:05, 0.12 s after you sent it, without encryption.",
    )


def test_delivery_on_our_own_server_is_no_acceptance_by_another() -> None:
    told = story(RecipientState.DELIVERED, attempt("delivered to mailbox", status="sent", relay="local"))
    assert told.answer[0] == "It was delivered on our own server at 13:03:06: delivered to mailbox."


def test_a_refusal_that_no_server_spoke_is_ours() -> None:
    told = story(RecipientState.BOUNCED, attempt("mail for example.net loops back to myself", 1, "bounced", "none"))
    assert told.answer == ("It could not be delivered: we gave up at 13:03:06.", "The recipient did not get it.")
    assert told.words == ("mail for example.net loops back to myself",)


def test_an_expired_message_says_how_often_it_was_tried() -> None:
    reply = "connect to mx[192.0.2.25]:25: Connection timed out"
    resting = attempt(f"delivery temporarily suspended: {reply}", 400)
    told = story(RecipientState.EXPIRED, attempt(reply), resting, attempt(reply, 800))
    assert told.answer[0] == "It could not be delivered: we gave up on 27 Nov at 13:03:05 after 2 attempts."
    labels = [entry.label for entry in told.timeline]
    assert labels == [
        "submitted",
        "not signed",
        "queued",
        "attempt 1",
        "deferred",
        "not tried",
        "attempt 2",
        "deferred",
        "gave up",
    ]


def test_an_open_never_counts_as_proof_and_a_machine_never_as_a_person() -> None:
    sent = attempt("250 2.0.0 Ok", status="sent")
    opens = tuple(
        OpenView(SENT_AT + dt.timedelta(minutes=minute), grade, "agent GoogleImageProxy", shared=False)
        for minute, grade in enumerate(("person", "proxy", "machine", "strange"), start=1)
    )
    told = story(RecipientState.DELIVERED, sent, opens=opens)
    words = [entry.detail[0] for entry in told.timeline if entry.kind is EntryKind.OPENED]
    assert words == [
        "by a mail reader: someone probably looked at it. Never proof.",
        "by a mail proxy (Gmail): a person probably looked at it. Never proof.",
        "by a machine, such as a filter or a prefetch: it says nothing about a person.",
        "by we do not know what. Never proof.",
    ]


def test_a_shared_picture_is_not_held_for_a_recipient_who_has_no_copy() -> None:
    opens = (OpenView(SENT_AT, "person", "", shared=True),)
    assert not [e for e in story(RecipientState.BOUNCED, opens=opens).timeline if e.kind is EntryKind.OPENED]


def test_who_opened_is_told_where_the_account_keeps_it() -> None:
    known = OpenView(SENT_AT, "person", "Thunder\x1bbird", shared=False, client_address="192.0.2.9")
    told = story(RecipientState.DELIVERED, attempt("250 Ok", status="sent"), opens=(known,))
    (opened,) = [entry for entry in told.timeline if entry.kind is EntryKind.OPENED]
    assert opened.detail[1].startswith("From 192.0.2.9, which says it is")
    assert "\x1b" not in opened.detail[1]


def test_many_opens_are_summed_up() -> None:
    opens = tuple(OpenView(SENT_AT + dt.timedelta(minutes=n), "machine", "", shared=False) for n in range(40))
    told = story(RecipientState.DELIVERED, attempt("250 Ok", status="sent"), opens=opens)
    assert told.timeline[-1].detail == ("32 more times; this was the last",)
    assert len(told.timeline) < 20


def test_a_message_without_a_subject_is_named_all_the_same() -> None:
    assert (
        about(MESSAGE, dt.UTC)
        == '(no subject) · sent 22 Nov 2026 13:03:05 UTC by max@own.example (login max, "Thunderbird")'
    )


def test_the_reason_for_no_picture_is_told() -> None:
    assert story(RecipientState.QUEUED).timeline[1].detail == ("no opened alert: plain text cannot carry a picture",)


def test_other_servers_that_failed_are_named_and_the_last_ones_reason_once() -> None:
    first, last = (f"connect to mx{number}[192.0.2.{number}]:25: Connection refused" for number in (1, 2))
    tried = dataclasses.replace(attempt(last, relay="none"), troubles=(first, last))
    told = [entry.detail for entry in story(RecipientState.DEFERRED, tried).timeline][3:6]
    assert told == [("no server of example.net was reached",), (first,), (last,)]


def suspended(after_seconds: float, times: int = 1, *attempts: AttemptView) -> RecipientView:
    at = SENT_AT + dt.timedelta(seconds=after_seconds)
    return RecipientView(
        1, "anna@example.net", None, RecipientState.DEFERRED, at, attempts, (),
        suspended_at=at, suspended_because="connect to mx[192.0.2.25]:25: Connection refused", suspensions=times,
    )  # fmt: skip


def test_who_was_only_let_rest_was_not_tried_and_has_a_next_attempt() -> None:
    told = tell(MESSAGE, suspended(400, 2), QueueTimes(), dt.UTC, SENT_AT + dt.timedelta(seconds=401))
    assert told.label.text == "DEFERRED"
    assert told.answer == (
        "Not yet: no mail server of example.net can be reached at the moment.",
        "It was not tried itself so far: our server lets that one rest for a while.",
        "We try again at about 13:16, and give up on 27 Nov at about 13:03.",
    )
    assert [entry.label for entry in told.timeline][-2:] == ["not tried", "next attempt"]
    assert not any(entry.label.startswith("attempt") for entry in told.timeline)


def test_the_next_attempt_counts_from_what_came_last() -> None:
    now = SENT_AT + dt.timedelta(seconds=1300)
    later = tell(MESSAGE, suspended(1200, 1, attempt(GREYLISTED)), QueueTimes(), dt.UTC, now)
    assert "We try again at about 13:43" in later.answer[-1]
    assert "greylisted" in later.answer[0]
    earlier = tell(MESSAGE, suspended(400, 1, attempt(GREYLISTED, 1200)), QueueTimes(), dt.UTC, now)
    assert len(earlier.answer) == 2
    assert "We try again at about 13:43" in earlier.answer[-1]


def test_the_end_of_a_message_counts_from_the_queue_file_that_holds_it() -> None:
    recipient = dataclasses.replace(suspended(90_000), queued_at=SENT_AT + dt.timedelta(days=1))
    told = tell(MESSAGE, recipient, QueueTimes(), dt.UTC, SENT_AT + dt.timedelta(seconds=90_001))
    assert "give up on 28 Nov" in told.answer[-1]


def test_a_copy_s_time_counts_from_the_submission() -> None:
    copied_at = SENT_AT + dt.timedelta(seconds=60)
    sent = dataclasses.replace(attempt("250 2.0.0 Ok", 60.5, "sent"), delay_seconds=1.5)
    recipient = RecipientView(
        1, "anna@example.net", None, RecipientState.DELIVERED, sent.at, (sent,), (), queued_at=copied_at
    )
    told = tell(MESSAGE, recipient, QueueTimes(), dt.UTC, SENT_AT + dt.timedelta(seconds=99))
    assert "1 min 2 s after you sent it" in told.answer[0]


def gap(begin_seconds: float | None, end_seconds: float, lines: int | None = 4112) -> GapView:
    begin = SENT_AT + dt.timedelta(seconds=begin_seconds) if begin_seconds is not None else None
    return GapView("edge1", "edge1:/log", begin, SENT_AT + dt.timedelta(seconds=end_seconds), lines, "lost")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (gap(1, 167), "has a gap from 13:03:06 to 13:05:52 (the system log dropped 4,112 lines)."),
        (gap(None, 167, None), "has a gap before 13:05:52 (the system log dropped lines)."),
        (gap(-700, -600), "says nothing of it."),
    ],
)
def test_a_gap_is_named_where_the_evidence_may_have_been_lost_in_it(found: GapView, said: str) -> None:
    told = story(RecipientState.UNKNOWN, now_seconds=900, message=dataclasses.replace(MESSAGE, gaps=(found,)))
    assert told.answer[1].endswith(said)
    assert "What followed is missing" in told.evidence


def test_the_evidence_says_whether_something_is_missing() -> None:
    sent = attempt("250 2.0.0 Ok", status="sent")
    assert "Nothing is missing. " in story(RecipientState.DELIVERED, sent).evidence
    with_gap = dataclasses.replace(MESSAGE, gaps=(gap(10, 20, 1),))
    assert "Lines may be missing: the mail log of edge1 has a gap from 13:03:15 to 13:03:25 (" in (
        story(RecipientState.DELIVERED, sent, message=with_gap).evidence
    )
    assert "Nothing is missing so far." in story(RecipientState.DEFERRED, attempt(GREYLISTED)).evidence
    assert "The attempt that was due is missing." in (
        story(RecipientState.DEFERRED, attempt(GREYLISTED), now_seconds=5000).evidence
    )


@pytest.mark.parametrize("kind", [LinkKind.FILTER, LinkKind.FORWARD, LinkKind.REQUEUE, LinkKind.RELAY])
def test_a_hop_stands_in_the_timeline_with_what_shows_it_and_is_no_delivery(kind: LinkKind) -> None:
    hop = HopView(SENT_AT + dt.timedelta(seconds=2), kind, "4dDm", "4dDnext", LinkEvidence.QUEUED_AS)
    recipient = RecipientView(1, "anna@example.net", None, RecipientState.QUEUED, SENT_AT, (), (), (hop,))
    told = tell(MESSAGE, recipient, QueueTimes(), dt.UTC, SENT_AT + dt.timedelta(seconds=9))
    (entry,) = (entry for entry in told.timeline if entry.kind is EntryKind.HANDED_ON)
    assert "4dDnext" in entry.detail[0]
    assert entry.detail[1] == 'shown by the reply "queued as" in the mail log'
    assert told.answer == (
        "Not yet: it went on in our queue at 13:03:07 as 4dDnext, and nothing is known of an attempt since.",
    )
    assert told.label.text == "QUEUED"


@pytest.mark.parametrize(("host", "server"), [("edge2", "our server edge2"), (None, "another of our servers")])
def test_what_another_edge_took_over_is_named_with_that_edge_where_it_is_known(host: str | None, server: str) -> None:
    hop = HopView(SENT_AT, LinkKind.RELAY, "4dDm", "4dDnext", LinkEvidence.RELAYED_AS, host=host)
    recipient = RecipientView(1, "anna@example.net", None, RecipientState.UNKNOWN, SENT_AT, (), (), (hop,))
    told = tell(MESSAGE, recipient, QueueTimes(), dt.UTC, SENT_AT)
    (entry,) = (entry for entry in told.timeline if entry.kind is EntryKind.HANDED_ON)
    assert (entry.label, entry.detail[0]) == ("relayed", f"to {server}, as 4dDnext")
    assert f"after that the mail log of {host or 'edge1'} says nothing of it." in told.answer[1]


def test_every_way_that_mail_goes_on_has_its_words() -> None:
    for evidence in set(LinkEvidence) - {LinkEvidence.NOTIFICATION}:
        hop = HopView(SENT_AT, LinkKind.FILTER, "4dDm", "4dDnext", evidence)
        recipient = RecipientView(1, "anna@example.net", None, RecipientState.QUEUED, SENT_AT, (), (), (hop,))
        told = tell(MESSAGE, recipient, QueueTimes(), dt.UTC, SENT_AT)
        assert any(detail.startswith("shown by") for entry in told.timeline for detail in entry.detail)


def test_an_acceptance_has_its_receipt_whole() -> None:
    told = story(RecipientState.DELIVERED, attempt("250-2.0.0 one 250 2.0.0 Ok: queued as 1310930001DB", status="sent"))
    assert told.receipt == ("250-2.0.0 one", "250 2.0.0 Ok: queued as 1310930001DB")
    assert (told.receiver, told.reference) == ("Postfix", "1310930001DB")
    assert story(RecipientState.DELIVERED, attempt("delivered to mailbox", status="sent")).receipt == ()
