"""A small mail log of real Postfix daemons with every ordinary fate in it: ``python -m sendproof_testing.traffic``.

Writes it to standard output; `tests/corpus/logs/traffic.log` was made so. Accepted, greylisted, refused, unreachable
until it expires, copies for single recipients, held, deleted, suspended deliveries; with the SMTP dialogue.
"""

import re
import subprocess
import sys
import tempfile
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from sendproof_core.errors import guarded
from sendproof_testing import mail, sending
from sendproof_testing.installation import ACCEPT, GREYLIST, REFUSE, UNREACHABLE, Options
from sendproof_testing.sandbox import Sandbox, running

_PATIENCE_SECONDS = 90.0
_LIFETIME_SECONDS = 14


def record(folder: Path) -> bytes:
    """Run a sandbox in this empty folder, let mail of every fate through it, and return its log."""
    options = Options(notice_address=None, lifetime_seconds=_LIFETIME_SECONDS)
    with running(folder, options) as sandbox:
        for domains in ((ACCEPT,), (ACCEPT, REFUSE), (GREYLIST,), (REFUSE,), (UNREACHABLE, ACCEPT)):
            recipients = [f"{name}@{domain}" for domain in domains for name in ("anna", "ben")]
            mail.submit(sandbox, recipients)  # a pixel for each: a copy for each
            _submit_plain(sandbox, recipients)
        for number in range(4):
            _submit_plain(sandbox, [f"cara{number}@{UNREACHABLE}"])
        held = _submit_plain(sandbox, [f"dan@{UNREACHABLE}"])
        deleted = _submit_plain(sandbox, [f"eve@{UNREACHABLE}"])
        _postsuper(sandbox, "-h", held)
        _postsuper(sandbox, "-d", deleted)
        mail.wait_until(lambda: _waiting(sandbox) <= {held}, _PATIENCE_SECONDS, "a queue with held mail only")
        _postsuper(sandbox, "-H", held)
        mail.wait_until(lambda: not _waiting(sandbox), _PATIENCE_SECONDS, "an empty queue")
        postfix = sandbox.programs["postfix"]
        postfix.end()
        return sandbox.installation.maillog.read_bytes()


def _submit_plain(sandbox: Sandbox, recipients: list[str]) -> str:
    """A message without HTML, so without a pixel; its queue id."""
    message = EmailMessage(policy=SMTP)
    message["From"] = sandbox.installation.login.address
    message["To"] = ", ".join(recipients)
    message["Subject"] = "Your invoice"
    message.set_content("Dear customer,\n\nthe sum is 42 Euro.\n")
    reply = sending.send(sandbox, recipients, message.as_bytes())
    assert reply.accepted, reply
    return reply.queue_id


def _postsuper(sandbox: Sandbox, option: str, queue_id: str) -> None:
    config = str(sandbox.installation.postfix_config)
    subprocess.run(["/usr/sbin/postsuper", "-c", config, option, queue_id], check=True, capture_output=True)


def _waiting(sandbox: Sandbox) -> set[str]:
    config = str(sandbox.installation.postfix_config)
    listed = subprocess.run(["/usr/sbin/postqueue", "-c", config, "-j"], check=True, capture_output=True, text=True)
    return set(re.findall(r'"queue_id": "(\w+)"', listed.stdout))


def _command() -> None:
    with tempfile.TemporaryDirectory(prefix="sendproof-traffic-") as folder:
        sys.stdout.buffer.write(record(Path(folder)))


if __name__ == "__main__":
    guarded(_command)
