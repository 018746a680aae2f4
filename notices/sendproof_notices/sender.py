"""Submit one mail: SMTP with STARTTLS and AUTH, the server's certificate checked. Knows no notice and no table."""

import contextlib
import re
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from sendproof_core.errors import UserError

TIMEOUT_SECONDS = 30.0  # for each step of the conversation
_ERROR_CHARACTERS = 500
# RFC 5321 section 4.5.2: a line that begins with a dot gets another one.
_DOT_AT_BEGIN = re.compile(rb"^\.", re.MULTILINE)


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
    """The server has not taken the mail over, for certain; the text says why, partly in its words: hostile."""


class UnknownOutcomeError(Exception):
    """The connection broke off after the final dot: the server may have taken the mail over, and may not."""


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


def submit(
    submission: Submission,
    mail: EmailMessage,
    *,
    from_address: str,
    to_address: str,
    is_in_time: Callable[[], bool] = lambda: True,
) -> None:
    """Hand the mail over; returns only after the server's 250 to the final dot.

    ``is_in_time``: asked just before the final dot, without which the server throws away what it was sent.

    Raises:
        NotSubmittedError: it was not taken over.
        UnknownOutcomeError: nobody can tell.
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
            _begin(client, from_address, to_address)
            client.send(_DOT_AT_BEGIN.sub(b"..", mail.as_bytes(policy=mail.policy.clone(linesep="\r\n"))))
        except (smtplib.SMTPException, OSError) as error:
            raise NotSubmittedError(_reason(error)) from error
        if not is_in_time():
            raise NotSubmittedError("the submission took too long")
        _end(client)
        # The mail is theirs now, whatever becomes of the goodbye.
        with contextlib.suppress(smtplib.SMTPException, OSError):
            client.quit()


def _begin(client: smtplib.SMTP, from_address: str, to_address: str) -> None:
    """Up to the server's 354."""
    _expect(client.mail(from_address), 250)
    _expect(client.rcpt(to_address), 250)
    _expect(client.docmd("DATA"), 354)


def _expect(reply: tuple[int, bytes], code: int) -> None:
    if reply[0] != code:
        raise smtplib.SMTPResponseException(*reply)


def _end(client: smtplib.SMTP) -> None:
    try:
        client.send(b".\r\n")
        code, text = client.getreply()
    except (smtplib.SMTPException, OSError) as error:
        raise UnknownOutcomeError(_reason(error)) from error
    reason = _reason(smtplib.SMTPResponseException(code, text))
    if code >= 400:
        raise NotSubmittedError(reason)
    if not 200 <= code < 300:  # that is no answer of SMTP's
        raise UnknownOutcomeError(reason)


def _reason(error: smtplib.SMTPException | OSError) -> str:
    match error:
        case smtplib.SMTPAuthenticationError():
            # Not the reply's text: a server may quote what it was given.
            text = f"the submission server refused the login ({error.smtp_code})"
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
