import dataclasses
import datetime as dt
import zoneinfo

import pytest

from sendproof_core import remote_reply
from sendproof_core.evidence_guide import Addressee, Guide, Situation, guide
from sendproof_core.hostile_text import visible
from sendproof_core.queue_times import QueueTimes
from sendproof_core.remote_reply import Cause
from sendproof_core.states import RecipientState
from sendproof_core.transcript_answer import Case
from sendproof_core.transcripts import AttemptView, MessageView, OpenView, RecipientView
from sendproof_testing.transcript_values import AT, MESSAGE, attempt

LINK = "https://mail.example/t/token"
GREYLISTED = "host mx[192.0.2.25] said: 450 4.2.0 <anna@x.example>: Greylisted (in reply to RCPT TO command)"
GMAIL = "250 2.0.0 OK  1763816585 5b1f17b1804b1-477a9e9f2asm12345e9.12 - gsmtp"


def case(
    state: RecipientState, *attempts: AttemptView, message: MessageView = MESSAGE, opens: tuple[OpenView, ...] = ()
) -> Case:
    view = RecipientView(1, "anna@x.example", None, state, AT, attempts, opens)
    return Case(message, view, QueueTimes(), zoneinfo.ZoneInfo("Europe/Vienna"), AT + dt.timedelta(minutes=1))


def put_off(reply: str) -> AttemptView:
    return attempt(reply=reply, status="deferred", dsn="4.0.0")


def refused(reply: str) -> AttemptView:
    said = f"host mx.x.example[192.0.2.25] said: {reply} (in reply to RCPT TO command)"
    return attempt(reply=said, status="bounced", dsn="5.0.0")


@pytest.mark.parametrize(
    ("given", "situation"),
    [
        (case(RecipientState.DELIVERED, attempt()), Situation.ACCEPTED),
        (case(RecipientState.DELIVERED, attempt(reply="delivered to mailbox", relay="local")), Situation.HERE),
        (case(RecipientState.DELIVERED), Situation.UNKNOWN),
        (case(RecipientState.BOUNCED, refused("550 5.1.1 unknown user")), Situation.REFUSED),
        (case(RecipientState.DEFERRED, put_off(GREYLISTED)), Situation.GREYLISTED),
        (case(RecipientState.DEFERRED, put_off("connect to mx[192.0.2.25]:25: Connection refused")), Situation.PUT_OFF),
        (case(RecipientState.EXPIRED, put_off(GREYLISTED)), Situation.GIVEN_UP),
        (case(RecipientState.QUEUED), Situation.IN_OUR_QUEUE),
        (case(RecipientState.HELD), Situation.ON_HOLD),
        (case(RecipientState.CANCELLED), Situation.REMOVED),
        (case(RecipientState.UNKNOWN, attempt()), Situation.UNKNOWN),
        (case(RecipientState.CANCELLED, message=dataclasses.replace(MESSAGE, test_mode=True)), Situation.TEST),
    ],
)
def test_the_guide_begins_with_the_evidence(given: Case, situation: Situation) -> None:
    found = guide(given)
    assert found.situation is situation
    assert found.steps
    assert all(step.endswith(".") for step in found.steps)
    # Nobody is told that a mail arrived where nothing says so.
    assert ("took it over" in found.headline) == (situation is Situation.ACCEPTED)


@pytest.mark.parametrize("state", list(RecipientState))
@pytest.mark.parametrize("attempts", [(), (attempt(),), (put_off(GREYLISTED),), (refused("550 5.7.1 no"),)])
def test_whatever_the_record_says_there_is_a_guide(state: RecipientState, attempts: tuple[AttemptView, ...]) -> None:
    assert guide(case(state, *attempts), LINK).headline


def wording(found: Guide, whom: Addressee) -> str:
    (one,) = (one for one in found.wordings if one.addressee is whom)
    return one.body


def test_accepted_the_recipient_is_told_where_to_look_and_their_it_by_what() -> None:
    found = guide(case(RecipientState.DELIVERED, attempt(reply="250 2.0.0 Ok: queued as 4Xy", remote_queue_id="4Xy")))
    assert "spam or junk folder" in wording(found, Addressee.RECIPIENT)
    letter = wording(found, Addressee.IT)
    for fact in (
        "Your reference (queue id): 4Xy", "When: 22 Nov 2026 14:03:05 CET (2026-11-22 13:03:05 UTC)",
        "Message-ID: <7f3c@own.example>", "Recipient: anna@x.example", "Envelope sender: max@own.example",
    ):  # fmt: skip
        assert fact in letter, fact
    assert [one.to for one in found.wordings] == ["anna@x.example", "postmaster@x.example"]
    assert found.hand_over_helps


def test_the_link_stands_in_the_wording_once_it_is_made() -> None:
    accepted = case(RecipientState.DELIVERED, attempt())
    assert all(LINK in one.body for one in guide(accepted, LINK).wordings)
    assert all("transcript" not in one.body for one in guide(accepted).wordings)


def test_what_kind_of_server_took_it_says_where_to_look() -> None:
    found = guide(case(RecipientState.DELIVERED, attempt(reply=GMAIL)))
    assert any("in:anywhere from:max@own.example" in step for step in found.steps)


def test_an_open_is_a_hint_and_a_machines_is_none() -> None:
    opens = tuple(OpenView(AT, grade, "", shared=shared) for grade, shared in (("machine", False), ("person", True)))
    silent = guide(case(RecipientState.DELIVERED, attempt(), opens=opens))
    assert not any("opened" in step for step in silent.steps)
    seen = guide(case(RecipientState.DELIVERED, attempt(), opens=(OpenView(AT, "person", "", shared=False),)))
    assert any("never proof" in step for step in seen.steps)


def test_refused_for_a_wrong_address_asks_for_the_right_one() -> None:
    found = guide(case(RecipientState.BOUNCED, refused("550 5.1.1 <anna@x.example>: unknown user")))
    assert "Check the address letter by letter" in found.steps[0]
    assert "Is anna@x.example your right address?" in wording(found, Addressee.RECIPIENT)
    assert [one.to for one in found.wordings] == [None]
    assert not found.hand_over_helps


def test_refused_by_their_server_gives_their_words_to_their_it() -> None:
    reply = "554 5.7.0 Something that nobody knows"
    assert remote_reply.read(reply).cause is Cause.OTHER
    found = guide(case(RecipientState.BOUNCED, refused(reply)), LINK)
    assert "> 554 5.7.0 Something that nobody knows" in wording(found, Addressee.RECIPIENT)
    assert "Your server's reply: 554 5.7.0 Something that nobody knows" in wording(found, Addressee.IT)
    assert found.hand_over_helps


def test_greylisted_reassures_and_says_until_when() -> None:
    found = guide(case(RecipientState.DEFERRED, put_off(GREYLISTED)))
    assert "Nothing is wrong" in found.steps[0]
    assert "We try again at about 14:08" in found.steps[1]
    assert "until we give up on 27 Nov at about 14:03" in found.steps[1]
    # It comes anyway: nobody's IT department is asked to do anything.
    assert not found.hand_over_helps


def test_an_attempt_that_did_not_come_is_admitted() -> None:
    late = dataclasses.replace(case(RecipientState.DEFERRED, put_off(GREYLISTED)), now=AT + dt.timedelta(hours=3))
    found = guide(late)
    assert found.situation is Situation.PUT_OFF
    assert any("overdue" in step for step in found.steps)


def test_nothing_hostile_reaches_a_wording() -> None:
    hostile = "\x1b[31m\u202e\r\nBcc: evil@x.example"
    message = dataclasses.replace(MESSAGE, subject=hostile, message_id_header=hostile, envelope_sender=hostile)
    for state, one in (
        (RecipientState.DELIVERED, attempt(reply=f"250 Ok {hostile}", remote_queue_id=hostile, relay=hostile)),
        (RecipientState.BOUNCED, refused(f"550 5.7.1 {hostile}")),
        (RecipientState.UNKNOWN, attempt(reply=hostile)),
    ):
        found = guide(case(state, one, message=message), LINK)
        for text in (found.headline, *found.steps, *(one.subject for one in found.wordings)):
            assert visible(text) == text
        for letter in found.wordings:
            assert all(visible(line) == line for line in letter.body.split("\n"))
            assert "\nBcc:" not in letter.body
