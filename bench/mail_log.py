"""A large mail log: what a sandbox's Postfix daemons wrote, multiplied.

The last copy is as it was written.
"""

import datetime as dt
import re
from collections.abc import Sequence
from pathlib import Path

from bench import clients, postfix_queue
from bench.clients import Clients

from sendproof_core import clock
from sendproof_testing import installation, log_copies
from sendproof_testing.installation import Options
from sendproof_testing.sandbox import running

_MESSAGES = 400
# One in twenty is refused and bounces, so that there is more than success to read.
_RECIPIENTS = (*(f"anna{number}@{installation.ACCEPT}" for number in range(19)), f"cara@{installation.REFUSE}")
_DEBUG_PEER = re.compile(r"^ +-o debug_peer_\w+=.*\n", re.MULTILINE)
_QUEUE_ID = re.compile(rb"\]: (\w{10,20}): ")
_SENT = re.compile(rb"/smtp\[\d+\]: (\w{10,20}): to=<.*, status=sent \(")
_SENT_END = re.compile(rb"dsn=2\.\d\.\d, status=sent \(.*\)$")
_DEFERRED = (
    b"dsn=4.2.0, status=deferred (host 127.0.0.1[127.0.0.1] said: 450 4.2.0 <anna@accept.example>: Recipient address"
    b" rejected: Greylisted (in reply to RCPT TO command))"
)


def write(path: Path, original: Sequence[bytes], lines: int) -> None:
    """Write about so many lines to ``path``: those of ``original`` again and again."""
    copies = -(-lines // len(original))
    with path.open("wb") as log:
        for line in log_copies.multiplied(original, copies, clock.now()):
            log.write(line + b"\n")


def write_deferred(path: Path, original: Sequence[bytes], messages: int) -> int:
    """Write a log in which about so many messages are deferred twice and stay queued; how many there are.

    They are those of ``original`` that were delivered: receivers were in the mood for greylisting.
    """
    delivered = {found[1] for line in original if (found := _SENT.search(line))}
    deferred = [_deferred(line) for line in original if (found := _QUEUE_ID.search(line)) and found[1] in delivered]
    kept = [line for line in deferred if not line.endswith(b": removed")]
    copies = -(-messages // len(delivered))
    now = clock.now()
    with path.open("wb") as log:
        for retry in (False, True):
            for line in log_copies.multiplied(kept, copies, now):
                if not retry:
                    log.write(line + b"\n")
                elif _DEFERRED in line:
                    log.write(_retried(line, now) + b"\n")
    return copies * len(delivered)


def _deferred(line: bytes) -> bytes:
    return _SENT_END.sub(_DEFERRED, line)


def _retried(line: bytes, now: dt.datetime) -> bytes:
    """The same of a later attempt, when all have been tried once."""
    stamp = now.strftime("%b %e %H:%M:%S").encode("ascii")
    return stamp + line[len(stamp) :]


def original(folder: Path, *, dialogue: bool) -> list[bytes]:
    """Let a sandbox in this folder deliver some hundred messages, and return its log.

    ``dialogue``: with the SMTP dialogue in it, as our Postfix settings have it.
    """
    with running(folder, Options(notice_address=None)) as sandbox:
        made = sandbox.installation
        if not dialogue:
            master = made.postfix_config / "master.cf"
            master.write_text(_DEBUG_PEER.sub("", master.read_text()))
            postfix_queue.reload(sandbox)
        with Clients() as senders:
            senders.submit(clients.job(sandbox, made.submission_port, _RECIPIENTS, _MESSAGES))
        postfix_queue.wait_until_empty(sandbox)
    # Read when the sandbox has ended: its daemons have written all.
    return (folder / "log" / "mail.log").read_bytes().splitlines()
