"""Submit one mail: SMTP with STARTTLS and AUTH, the server's certificate checked. Knows no notice and no table."""

import contextlib
import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from sendproof_core.errors import UserError

TIMEOUT_SECONDS = 30.0  # for each step of the conversation
_ERROR_CHARACTERS = 500


@dataclass(frozen=True)
class Submission:
    """Where and as whom mail is submitted. ``helo_name``: how we name ourselves in EHLO."""

    host: str
    port: int
    login: str
    password: str
    helo_name: str
    trust: ssl.SSLContext

    def __repr__(self) -> str:
        """Without the password, wherever it is shown."""
        return f"Submission({self.login!r} at {self.host}:{self.port})"


class NotSubmittedError(Exception):
    """The server did not take the mail over; the text says why, partly in the server's words: hostile."""


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Whom to believe that it is the submission server.

    Raises:
        UserError: the file holds no certificates.
    """
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or "no certificate in it"
        raise UserError(f"[notices] ca_file {ca_file} cannot be used ({reason}).") from None


def submit(submission: Submission, mail: EmailMessage, *, from_address: str, to_address: str) -> None:
    """Hand the mail over; returns only after the server's 250 to the final dot.

    Raises:
        NotSubmittedError: it was not taken over, or (the connection broke off after the final dot) nobody can tell.
    """
    try:
        client = smtplib.SMTP(
            submission.host, submission.port, local_hostname=submission.helo_name, timeout=TIMEOUT_SECONDS
        )
    except (smtplib.SMTPException, OSError) as error:
        raise NotSubmittedError(_reason(error)) from error
    with contextlib.closing(client):
        try:
            client.starttls(context=submission.trust)
            client.login(submission.login, submission.password)
            client.send_message(mail, from_address, [to_address])
        except (smtplib.SMTPException, OSError) as error:
            raise NotSubmittedError(_reason(error)) from error
        # The mail is theirs now, whatever becomes of the goodbye.
        with contextlib.suppress(smtplib.SMTPException, OSError):
            client.quit()


def _reason(error: smtplib.SMTPException | OSError) -> str:
    match error:
        case smtplib.SMTPAuthenticationError():
            # Not the reply's text: a server may quote what it was given.
            text = f"the submission server refused the login ({error.smtp_code})"
        case smtplib.SMTPRecipientsRefused():
            code, reply = next(iter(error.recipients.values()))
            text = f"the recipient was refused: {code} {_text(reply)}"
        case smtplib.SMTPResponseException():
            text = f"the submission server answered {error.smtp_code} {_text(error.smtp_error)}"
        case ssl.SSLCertVerificationError():
            text = f"the submission server's certificate is not trusted: {error.verify_message}"
        case smtplib.SMTPException():
            text = f"no SMTP conversation: {error}"
        case _:
            text = f"the submission server cannot be reached: {error.strerror or error}"
    return text[:_ERROR_CHARACTERS]


def _text(reply: bytes | str) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
