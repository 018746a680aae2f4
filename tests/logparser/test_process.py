import pytest

from sendproof_logparser.process import Process


def _process(program: str) -> Process:
    return Process("relay.example", program, 7, program.split("/")[0], program.split("/")[-1])


@pytest.mark.parametrize(
    ("program", "takes_submissions", "takes_copies"),
    [
        ("postfix/submission/smtpd", True, False),
        ("postfix/submissions/smtpd", True, False),
        ("postfix/smtps/smtpd", True, False),
        ("postfix-customers/submission/smtpd", True, False),
        ("postfix/smtpd", False, False),
        ("postfix/submission-proxy/smtpd", False, False),
        ("submission/smtpd", False, False),
        ("postfix/sendproof-resubmit/smtpd", False, True),
        ("postfix/sendproof-split/smtp", False, False),
        ("postfix/10025/smtpd", False, False),
        ("postfix/smtp", False, False),
    ],
)
def test_a_service_is_known_by_its_place_in_the_tag(program: str, takes_submissions: bool, takes_copies: bool) -> None:
    process = _process(program)
    assert (process.takes_submissions, process.takes_copies) == (takes_submissions, takes_copies)


def test_a_process_is_its_machine_its_tag_and_its_number() -> None:
    process = _process("postfix/smtp")
    assert process == _process("postfix/smtp")
    others = {process._replace(host="edge2"), process._replace(pid=8), process._replace(program="postfix-out/smtp")}
    assert process not in others
    assert len(others) == 3
