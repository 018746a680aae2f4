import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_logparser import grammar_submission
from sendproof_logparser.events import SubmissionRefused
from sendproof_logparser.grammar_submission import read_cleanup, read_smtpd
from sendproof_testing.log_records import log_texts, phrases_without_a_line

_HOSTILE = st.lists(
    st.sampled_from(
        (" to=<", "; from=<", " from=<", " helo=<", " proto=ESMTP", " sasl_username=<", ">", "<", '\\"', "\\\\", "@",
         "x", " from evil[192.0.2.6]", ": ", "; ", "y.example")
    ),
    max_size=12,
).map("".join)  # fmt: skip


@pytest.mark.parametrize(
    ("phrases", "daemons"),
    [
        (grammar_submission.SMTPD_NOTES, ("smtpd",)),
        (grammar_submission.OFTEN_VERBOSE_IN_SMTPD, ("smtpd",)),
        (grammar_submission.REFUSALS, ("smtpd", "cleanup")),
        (grammar_submission.DISPOSITIONS, ("smtpd", "cleanup")),
        ([f"{action}: " for action in grammar_submission.OTHER_ACTIONS], ("smtpd", "cleanup")),
    ],
)
def test_every_phrase_is_in_the_corpus(phrases: tuple[str, ...], daemons: tuple[str, ...]) -> None:
    assert phrases_without_a_line(phrases, log_texts(*daemons)) == []


def test_every_stage_that_ends_a_message_is_in_the_corpus() -> None:
    events = [read_smtpd(text) for text in log_texts("smtpd")]
    stages = {event.stage for event in events if isinstance(event, SubmissionRefused) and event.whole_message}
    assert stages == set(grammar_submission.STAGES_OF_THE_WHOLE_MESSAGE)


@given(_HOSTILE, _HOSTILE)
def test_no_address_passes_for_a_field_of_a_refusal(sender: str, recipient: str) -> None:
    """Addresses stand in the reply, too, which comes before the fields."""
    sender, recipient = f'"{sender}"@example.com', f'"{recipient}"@example.net'
    event = read_smtpd(
        f"NOQUEUE: reject: RCPT from real[192.0.2.7]: 554 5.7.1 <{recipient}>: Relay access denied; from=<{sender}> "
        f"to=<{recipient}> proto=ESMTP helo=<real.example> sasl_username=<max>"
    )
    assert event == SubmissionRefused(
        None, "reject", "RCPT", "real[192.0.2.7]", f"554 5.7.1 <{recipient}>: Relay access denied", sender, recipient,
        "max", False,
    )  # fmt: skip


@given(_HOSTILE, _HOSTILE, _HOSTILE)
def test_no_header_passes_for_a_field_of_a_refusal(header: str, sender: str, recipient: str) -> None:
    sender, recipient = f'"{sender}"@example.com', f'"{recipient}"@example.net'
    event = read_cleanup(
        f"4F5C64474F: reject: header Subject: {header} from real[192.0.2.7]; from=<{sender}> to=<{recipient}> "
        "proto=ESMTP helo=<real.example>: 5.7.1 No"
    )
    assert event == SubmissionRefused(
        "4F5C64474F", "reject", "header", "real[192.0.2.7]", "5.7.1 No", sender, recipient, None, True
    )
