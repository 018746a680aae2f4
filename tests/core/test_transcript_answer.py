import datetime as dt
import uuid

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
