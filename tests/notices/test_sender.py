"""A mail is submitted over TLS to a server that we trust, or it is said why not, without the password."""

import socket
from email.message import EmailMessage

import pytest

from sendproof_core.errors import UserError
from sendproof_notices.sender import NotSubmittedError, Submission, UnknownOutcomeError, submit, trust
from sendproof_testing.submission_server import HANG_UP, SubmissionServer


def submission(server: SubmissionServer, **changes: object) -> Submission:
    values = {
        "host": "127.0.0.1",
        "port": server.port,
        "login": server.login,
        "password": server.password,
        "helo_name": "edge.relay.example",
        "trust": trust(server.ca_file),
    }
    return Submission(**(values | changes))  # type: ignore[arg-type] # a test names the fields it changes


def send(to: Submission) -> None:
    mail = EmailMessage()
    mail["From"] = "notices@relay.example"
    mail["To"] = "max@home.example"
    mail.set_content("Hello\n")
    submit(to, mail, from_address="notices@relay.example", to_address="max@home.example")


def test_a_mail_goes_over_tls_with_the_login(submission_server: SubmissionServer) -> None:
    send(submission(submission_server))
    (mail,) = submission_server.mails
    assert mail.login == "notices"
    assert mail.envelope_sender == "notices@relay.example"
    assert mail.recipients == ("max@home.example",)
    assert mail.content.endswith(b"\r\n\r\nHello\r\n")


@pytest.mark.parametrize(
    ("verb", "reply", "expected"),
    [
        ("EHLO", "250 localhost", "STARTTLS extension not supported"),
        ("STARTTLS", "454 TLS not available", "454 TLS not available"),
        ("MAIL", "553 5.7.1 Not yours", "553 5.7.1 Not yours"),
        ("RCPT", "550 5.1.1 No such user", "550 5.1.1 No such user"),
        ("DATA", "451 4.7.1 Plan limit reached", "451 4.7.1 Plan limit reached"),
        (".", "554 5.7.1 No", "554 5.7.1 No"),
        ("DATA", HANG_UP, "no SMTP conversation"),
    ],
)
def test_a_mail_that_is_not_taken_over_says_why(
    submission_server: SubmissionServer, verb: str, reply: str, expected: str
) -> None:
    submission_server.replies[verb] = reply
    with pytest.raises(NotSubmittedError, match=expected):
        send(submission(submission_server))
    assert submission_server.mails == []


def test_after_the_final_dot_a_broken_connection_leaves_it_in_doubt(submission_server: SubmissionServer) -> None:
    submission_server.replies["."] = HANG_UP
    with pytest.raises(UnknownOutcomeError, match="no SMTP conversation"):
        send(submission(submission_server))


def test_after_the_final_dot_what_is_no_answer_leaves_it_in_doubt(submission_server: SubmissionServer) -> None:
    submission_server.replies["."] = "what?"
    with pytest.raises(UnknownOutcomeError):
        send(submission(submission_server))


def test_without_the_final_dot_in_time_nothing_is_submitted(submission_server: SubmissionServer) -> None:
    mail = EmailMessage()
    mail.set_content("Hello\n")
    with pytest.raises(NotSubmittedError, match="took too long"):
        submit(
            submission(submission_server),
            mail,
            from_address="notices@relay.example",
            to_address="max@home.example",
            is_in_time=lambda: False,
        )
    assert submission_server.mails == []


def test_a_line_that_begins_with_a_dot_arrives_as_it_is(submission_server: SubmissionServer) -> None:
    mail = EmailMessage()
    mail.set_content(".\n..two\nend\n")
    submit(submission(submission_server), mail, from_address="notices@relay.example", to_address="max@home.example")
    (received,) = submission_server.mails
    assert received.content.endswith(b"\r\n\r\n.\r\n..two\r\nend\r\n")


@pytest.mark.parametrize("goodbye", [HANG_UP, "500 What?"])
def test_after_the_final_dot_a_bad_goodbye_changes_nothing(submission_server: SubmissionServer, goodbye: str) -> None:
    submission_server.replies["QUIT"] = goodbye
    send(submission(submission_server))
    assert len(submission_server.mails) == 1


def test_a_refused_login_shows_no_password(submission_server: SubmissionServer) -> None:
    submission_server.replies["AUTH"] = "535 5.7.8 no such login with 'wrong secret'"
    wrong = submission(submission_server, password="wrong secret")
    with pytest.raises(NotSubmittedError, match=r"refused the login \(535\)") as caught:
        send(wrong)
    assert "wrong secret" not in str(caught.value) + repr(wrong)


def test_a_certificate_that_is_not_trusted_gets_no_password(submission_server: SubmissionServer) -> None:
    with pytest.raises(NotSubmittedError, match="certificate is not trusted"):
        send(submission(submission_server, trust=trust(None)))


def test_a_server_that_is_away_is_named_as_such() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        away = Submission("127.0.0.1", port, "notices", "secret", "edge.relay.example", trust(None))
        with pytest.raises(NotSubmittedError, match="cannot be reached: Connection refused"):
            send(away)


def test_a_trust_file_without_certificates_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("trust")
    (folder / "empty.pem").touch()
    for name in ("missing.pem", "empty.pem"):
        with pytest.raises(UserError, match=name):
            trust(folder / name)
