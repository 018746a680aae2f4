"""The site's and the notices' mails, as the people who get them read them: from the sandbox's receiving servers."""

import email
import email.message
import email.policy
import re
from collections.abc import Iterator

from sendproof_testing import mail
from sendproof_testing.sandbox import Sandbox

_LINK = re.compile(r"https?://[^\s<>\"]+")
_PATIENCE_SECONDS = 40


def letters(sandbox: Sandbox, address: str) -> Iterator[email.message.EmailMessage]:
    """Those that came to an address so far, oldest first."""
    for raw in mail.received_by(sandbox.installation.mail_folder, address):
        yield email.message_from_bytes(raw, policy=email.policy.default)


def wait_for(
    sandbox: Sandbox, address: str, words: str, *, seconds: float = _PATIENCE_SECONDS
) -> email.message.EmailMessage:
    """The newest with these words in its subject or text, as soon as there is one."""

    def look() -> email.message.EmailMessage | None:
        found = [letter for letter in letters(sandbox, address) if words in f"{letter['Subject']}\n{text(letter)}"]
        return found[-1] if found else None

    return mail.wait_until(look, seconds, f"a letter to {address} with {words!r}")


def text(letter: email.message.EmailMessage) -> str:
    """Its plain text."""
    part = letter.get_body(("plain",))
    return str(part.get_content()) if part is not None else ""


def html(letter: email.message.EmailMessage) -> str:
    """Its HTML."""
    part = letter.get_body(("html",))
    return str(part.get_content()) if part is not None else ""


def link(letter: email.message.EmailMessage, path: str) -> str:
    """The link in its text whose path begins so."""
    for found in _LINK.findall(text(letter)):
        if f"{path}" in found:
            return str(found).rstrip(".,)")
    raise AssertionError(f"no link to {path} in: {text(letter)}")
