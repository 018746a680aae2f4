from sendproof_core.dns_answers import ABSENT, UNKNOWN, Answer, Presence


def test_no_record_is_an_answer_and_silence_is_none() -> None:
    assert ABSENT.is_known
    assert Answer(Presence.PRESENT, ("a",)).is_known
    assert not UNKNOWN.is_known
