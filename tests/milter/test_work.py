import uuid

import pytest

from sendproof_core.plans import QuotaLimits
from sendproof_milter.work import Reason, Work
from sendproof_testing.submissions import NOW, sender, submission

_WORK = Work(submission(), uuid.UUID(int=1))


def test_the_body_is_the_clients_until_a_step_made_another() -> None:
    assert _WORK.body == submission().body
    assert Work(submission(), uuid.UUID(int=1), new_body=b"another\r\n").body == b"another\r\n"
    assert Work(submission(), uuid.UUID(int=1), new_body=b"").body == b""


def test_its_time_is_when_the_message_was_complete() -> None:
    assert _WORK.received_at == NOW


def test_a_step_that_comes_before_the_sender_is_known_is_a_fault_of_ours() -> None:
    assert Work(submission(), uuid.UUID(int=1), sender()).known_sender == sender()
    with pytest.raises(AssertionError):
        _ = _WORK.known_sender


def test_no_reason_is_taken_for_a_limit_of_a_plan() -> None:
    # both are labels of one counter
    assert not {reason.value for reason in Reason} & set(QuotaLimits.__dataclass_fields__)
