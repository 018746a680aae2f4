"""Mail for the sandbox: submit it with a real client, and find it again where it arrived."""

import email
import email.message
import email.policy
import smtplib
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from sendproof_testing.sandbox import Sandbox

T = TypeVar("T")


def html_message(sender: str, recipients: Sequence[str], subject: str) -> email.message.EmailMessage:
    """A single-part HTML mail, as a mail client writes it."""
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    message["From"] = f"Max Own <{sender}>"
    message["To"] = ", ".join(recipients)
    message["Subject"] = subject
    message.set_content(
        "<!DOCTYPE html>\n<html><head><title>Offer</title></head>\n<body>\n"
        "<p>Dear customer,</p>\n<p>here is the offer that you asked for: 3 pieces at 42 €.</p>\n</body></html>\n",
        subtype="html",
        cte="quoted-printable",
    )
    return message


def submit(
    sandbox: Sandbox, recipients: Sequence[str], *, subject: str = "Offer 2026-117", message: bytes | None = None
) -> None:
    """Submit by 587 with STARTTLS and AUTH; raises what smtplib raises."""
    made = sandbox.installation
    content = message or html_message(made.login.address, recipients, subject).as_bytes()
    with connected(sandbox) as client:
        client.login(made.login.login, made.login.password)
        client.sendmail(made.login.address, list(recipients), content)


def connected(sandbox: Sandbox) -> smtplib.SMTP:
    """A client behind STARTTLS, not signed in."""
    client = smtplib.SMTP("localhost", sandbox.installation.submission_port, timeout=60)
    try:
        client.starttls(context=trust(sandbox))
    except BaseException:  # such as a 451 to EHLO while a milter worker is replaced
        client.close()
        raise
    return client


def trust(sandbox: Sandbox) -> ssl.SSLContext:
    """Trusts the sandbox's own certificate."""
    return ssl.create_default_context(cafile=sandbox.installation.certificate)


def received(folder: Path) -> list[bytes]:
    """Every message that a receiving server took, oldest first, with Postfix's Delivered-To on top."""
    files = sorted((folder / "received" / "new").glob("*"), key=lambda path: path.stat().st_mtime_ns)
    return [path.read_bytes() for path in files]


def received_by(folder: Path, address: str) -> list[bytes]:
    """Those that were delivered to one address."""
    wanted = f"Delivered-To: {address}".encode()
    return [raw for raw in received(folder) if wanted in raw.splitlines()]


def wait_until(look: Callable[[], T | None], seconds: float, what: str) -> T:
    """The first thing that ``look`` finds.

    Raises:
        AssertionError: nothing in that time.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds:.0f} s still not: {what}")
        time.sleep(0.05)
