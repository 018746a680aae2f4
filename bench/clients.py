"""Mail clients that submit side by side: each a process with one connection, signed in once."""

import contextlib
import multiprocessing
import multiprocessing.synchronize
import os
import signal
import smtplib
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from pathlib import Path

from sendproof_testing.sandbox import Sandbox

COUNT = 8
HTML_OCTETS = 4096
_PATIENCE_SECONDS = 120
_PARAGRAPH = (
    '<p style="font-family: sans-serif">Dear customer, here is the offer that you asked for: 3 pieces at 42 € each, '
    "delivered within a week.</p>\n"
)
_barrier: multiprocessing.synchronize.Barrier


@dataclass(frozen=True)
class Job:
    """What each client sends: messages of about so many octets. The recipients take turns.

    ``messages_per_second``: how many a client begins at the most; None: as fast as it is answered.
    """

    port: int
    certificate: Path
    login: str
    password: str
    sender: str
    recipients: tuple[str, ...]
    messages: int
    octets: int = HTML_OCTETS
    messages_per_second: float | None = None


@dataclass(frozen=True)
class Sent:
    """When the first message began and the last was accepted, and each wait from the final dot to the reply."""

    began: float
    ended: float
    waits_seconds: tuple[float, ...]

    @property
    def messages_per_second(self) -> float:
        """How many were accepted."""
        return len(self.waits_seconds) / (self.ended - self.began)


class Clients:
    """`COUNT` processes; close them."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pool = context.Pool(COUNT, _initialize, (context.Barrier(COUNT, timeout=_PATIENCE_SECONDS),))

    def submit(self, *jobs: Job) -> Sent:
        """Let all submit at once; several jobs are dealt out in turns. Raises what smtplib raises."""
        dealt = [jobs[number % len(jobs)] for number in range(COUNT)]
        # Each waits for the others, so each process gets one.
        sent = self._pool.map(_submit_together, dealt, chunksize=1)
        waits = tuple(wait for one in sent for wait in one.waits_seconds)
        return Sent(min(one.began for one in sent), max(one.ended for one in sent), waits)

    def __enter__(self) -> "Clients":
        return self

    def __exit__(self, *_error: object) -> None:
        self._pool.terminate()
        self._pool.join()


def job(sandbox: Sandbox, port: int, recipients: tuple[str, ...], messages: int, octets: int = HTML_OCTETS) -> Job:
    """For the sandbox's own login; ``messages`` in all, shared out."""
    made = sandbox.installation
    login = made.login
    each = -(-messages // COUNT)
    return Job(port, made.certificate, login.login, login.password, login.address, recipients, each, octets)


def submit_one(job: Job) -> None:
    """Submit a single message from this process."""
    with _signed_in(job) as client:
        _submit(client, job.sender, job.recipients[0], _message(job.sender, job.recipients[0], job.octets))


def _initialize(barrier: multiprocessing.synchronize.Barrier) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's, who ends us
    global _barrier  # noqa: PLW0603 - one for each process's life, and it cannot be pickled with a job
    _barrier = barrier


def _submit_together(job: Job) -> Sent:
    messages = [(recipient, _message(job.sender, recipient, job.octets)) for recipient in job.recipients]
    try:
        with _signed_in(job) as client:
            _barrier.wait()
            began = time.perf_counter()  # one clock for all processes (CLOCK_MONOTONIC)
            waits = []
            for number in range(job.messages):
                if job.messages_per_second:
                    time.sleep(max(0.0, began + number / job.messages_per_second - time.perf_counter()))
                waits.append(_submit(client, job.sender, *messages[number % len(messages)]))
            return Sent(began, time.perf_counter(), tuple(waits))
    except BaseException:
        _barrier.abort()
        raise


@contextlib.contextmanager
def _signed_in(job: Job) -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP("localhost", job.port, timeout=_PATIENCE_SECONDS) as client:
        client.starttls(context=ssl.create_default_context(cafile=job.certificate))
        client.login(job.login, job.password)
        yield client


def _submit(client: smtplib.SMTP, sender: str, recipient: str, message: bytes) -> float:
    """Submit and return the seconds from the final dot to the reply."""
    for code, reply in (client.mail(sender), client.rcpt(recipient)):
        if code != 250:
            raise smtplib.SMTPResponseException(code, reply)
    code, reply = client.docmd("DATA")
    if code != 354:
        raise smtplib.SMTPResponseException(code, reply)
    client.send(message + b".\r\n")
    dot_sent = time.perf_counter()
    code, reply = client.getreply()
    if code != 250:
        raise smtplib.SMTPResponseException(code, reply)
    return time.perf_counter() - dot_sent


def _message(sender: str, recipient: str, octets: int) -> bytes:
    """An HTML mail of 4 KB, as a mail client writes it; what it should be larger is an attachment.

    No line of it begins with a dot.
    """
    message = EmailMessage(policy=SMTP)
    message["From"] = f"Max Own <{sender}>"
    message["To"] = recipient
    message["Subject"] = "Offer 2026-117"
    message["Date"] = formatdate()
    message["User-Agent"] = "Measurement"
    head, tail = "<!DOCTYPE html>\n<html><head><title>Offer</title></head><body>\n", "</body></html>\n"
    paragraphs = (HTML_OCTETS - len(head) - len(tail)) // len(_PARAGRAPH.encode())
    message.set_content(head + paragraphs * _PARAGRAPH + tail, subtype="html", cte="quoted-printable")
    if octets > HTML_OCTETS:
        attached = os.urandom((octets - HTML_OCTETS) * 57 // 78)  # base64: 57 octets are a line of 76 and CRLF
        message.add_attachment(attached, maintype="application", subtype="pdf", filename="offer.pdf")
    return message.as_bytes()
