"""Submit to the sandbox as a patient mail client does: with the server's own words, and again after a 4xx."""

import re
import smtplib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sendproof_testing import mail
from sendproof_testing.installation import Login
from sendproof_testing.sandbox import Sandbox

_QUEUED_AS = re.compile(r"queued as (\w+)")
_TRIES = 200
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Reply:
    """What the server said at the end of a message, or where it ended before that; code -1: the connection broke."""

    code: int
    text: str

    @property
    def accepted(self) -> bool:
        """Whether the message is the server's now."""
        return self.code == 250

    @property
    def temporary(self) -> bool:
        """Whether a client tries again."""
        return self.code == -1 or 400 <= self.code <= 499

    @property
    def queue_id(self) -> str:
        """Under which Postfix has it."""
        found = _QUEUED_AS.search(self.text)
        assert found, self
        return found[1]


def send(
    sandbox: Sandbox,
    recipients: Sequence[str],
    content: bytes,
    *,
    sender: str | None = None,
    login: Login | None = None,
) -> Reply:
    """One message by 587; 8-bit content as it is, with BODY=8BITMIME.

    Args:
        sandbox: where to.
        recipients: in the order of RCPT TO.
        content: with CRLF.
        sender: of the envelope; the login's own address if None, "" for the null sender.
        login: who signs in; the sandbox's account if None.
    """
    who = login or sandbox.installation.login
    try:
        with mail.connected(sandbox) as client:
            client.login(who.login, who.password)
            options = [] if content.isascii() else ["BODY=8BITMIME"]
            replies = [client.mail(who.address if sender is None else sender, options)]
            replies += [client.rcpt(recipient) for recipient in recipients]
            refused = next((reply for reply in replies if reply[0] // 100 != 2), None)
            code, words = refused or client.data(content)
            return Reply(code, words.decode("utf-8", "replace"))
    except smtplib.SMTPResponseException as error:
        said = error.smtp_error
        return Reply(error.smtp_code, said.decode("utf-8", "replace") if isinstance(said, bytes) else said)
    except (smtplib.SMTPException, OSError) as error:
        return Reply(-1, f"{type(error).__name__}: {error}")


def send_until_accepted(
    sandbox: Sandbox, recipients: Sequence[str], content: bytes, *, login: Login | None = None
) -> tuple[str, list[Reply]]:
    """Try again after a 4xx and a broken connection; the queue id, and the replies before that.

    Raises:
        AssertionError: a 5xx, or never accepted.
    """
    replies: list[Reply] = []
    for _ in range(_TRIES):
        reply = send(sandbox, recipients, content, login=login)
        if reply.accepted:
            return reply.queue_id, replies
        assert reply.temporary, reply
        replies.append(reply)
        time.sleep(_PAUSE_SECONDS)
    raise AssertionError(f"never accepted: {replies[-1]}")
