"""The queue of a sandbox's submission Postfix: when it is empty, and how its master takes new settings."""

import subprocess

from sendproof_testing import mail
from sendproof_testing.sandbox import Sandbox

_PATIENCE_SECONDS = 60.0
_QUEUES = ("maildrop", "incoming", "active", "deferred")


def reload(sandbox: Sandbox) -> None:
    """Let Postfix read its configuration again."""
    config = str(sandbox.installation.postfix_config)
    subprocess.run(["postfix", "-c", config, "reload"], check=True, capture_output=True, timeout=_PATIENCE_SECONDS)


def wait_until_empty(sandbox: Sandbox) -> None:
    """Until every message has left."""
    spool = sandbox.installation.home / "spool"

    def is_empty() -> bool:
        return not any(path.is_file() for queue in _QUEUES for path in (spool / queue).rglob("*"))

    mail.wait_until(is_empty, _PATIENCE_SECONDS, "an empty queue")
