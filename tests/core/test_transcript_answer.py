import dataclasses
import datetime as dt
import re
import uuid
import zoneinfo

import pytest

from sendproof_core.queue_times import QueueTimes
from sendproof_core.states import RecipientState
from sendproof_core.transcript_answer import Case, answer
from sendproof_core.transcripts import AttemptView, MessageView, RecipientView

AT = dt.datetime(2026, 11, 22, 13, 3, 6, tzinfo=dt.UTC)


def case(state: RecipientState, reply: str, status: str) -> Case:
    attempt = AttemptView(AT, status, "", "mx.example.net[192.0.2.25]:25", 1.0, (), reply, "theirs", None, (), ())
    message = MessageView(
        uuid.UUID(int=1), 1, "max", "", AT, "", None, None, 1, None, None, (), "inserted", "edge1", "4dDm", AT
    )
    return Case(message, RecipientView(1, "a@example.net", None, state, AT, (attempt,), ()), QueueTimes(), dt.UTC, AT)


def test_acceptance_proves_a_duty_and_not_a_reader() -> None:
    told = answer(case(RecipientState.DELIVERED, "250 2.0.0 Ok: queued as theirs", "sent"))
    assert told.reference == "theirs"
    assert "It does not prove that a@example.net has read it" in told.proof


@pytest.mark.parametrize(
    ("reply", "sentence", "advice"),
    [
        ("550 5.1.1 User unknown", "It says that there is no such mailbox.", "Check the address letter by letter"),
        ("552 5.2.2 mailbox full", "It says that the mailbox is full.", "Tell the recipient"),
        ("552 5.3.4 too big", "It says that the message is too large.", "smaller attachments"),
        ("554 5.7.1 blocked, see spamhaus", "It says that a filter or a blacklist is against it.", "IT department"),
        ("550 5.0.0 no", "for good.", "Send the words above"),
    ],
)
def test_a_refusal_has_its_reason_and_its_advice(reply: str, sentence: str, advice: str) -> None:
    told = answer(
        case(RecipientState.BOUNCED, f"host mx[192.0.2.25] said: {reply} (in reply to RCPT TO command)", "bounced")
    )
    assert told.sentences[0].endswith(sentence)
    assert told.sentences[1] == "The recipient did not get it."
    assert told.words == (reply,)
    assert told.advice is not None
    assert advice in told.advice


def test_an_outsider_is_told_of_the_sender_in_two_zones_and_given_no_advice() -> None:
    for state in RecipientState:
        for status, reply in (("sent", "250 Ok"), ("deferred", "450 4.2.0 Greylisted"), ("bounced", "550 5.1.1 no")):
            given = case(state, reply, status)
            given = dataclasses.replace(given, zone=zoneinfo.ZoneInfo("Europe/Vienna"), to_outsider=True)
            told = answer(given)
            assert told.advice is None
            words = " ".join((*told.sentences, told.proof))
            assert not re.search(r"\byour?\b", words), words
    took = case(RecipientState.DELIVERED, "250 Ok", "sent")
    took = dataclasses.replace(took, zone=zoneinfo.ZoneInfo("Europe/Vienna"), to_outsider=True)
    assert "at 14:03:06 CET (13:03:06 UTC)" in answer(took).sentences[0]
