"""A little of everything that a running sandbox does: mail, record, site, letters, notices, charges, commands.

For tests of what lies below all of it; each part has its own tests.
"""

import http.cookiejar
import re
import subprocess
import urllib.parse
import urllib.request
import uuid
from contextlib import closing

from sendproof_testing import ledger, letters, mail, oracle
from sendproof_testing.installation import ACCEPT, REFUSE
from sendproof_testing.sandbox import Sandbox

_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')
_PIXEL = re.compile(rb'src="(http://[^"]+/o/[\w-]{56}\.gif)"')
_PATIENCE_SECONDS = 60
_COMMANDS = (
    ("status",),
    ("logs", "status"),
    ("logs", "index"),
    ("notices", "retry", "--all"),
    ("account", "list"),
    ("domain", "check", "--all"),
    ("database", "verify"),
    ("database", "roles"),
    ("database", "maintain"),
    ("database", "backup"),
)


def live_through(sandbox: Sandbox) -> None:
    """Everything once; asserts that each part did what it should."""
    word = uuid.uuid4().hex[:8]
    good, bad = f"{word}@{ACCEPT}", f"{word}@{REFUSE}"
    mail.submit(sandbox, [good, bad], subject=f"Day {word}")
    _wait_for_record(sandbox, {good, bad})
    _open(mail.received_by(sandbox.installation.mail_folder, good)[0])
    _visit(sandbox, word)
    made = sandbox.installation
    letters.wait_for(sandbox, made.login.address, bad, seconds=_PATIENCE_SECONDS)
    for arguments in _COMMANDS:
        more = [str(made.home / f"{word}.backup")] if "backup" in arguments else []
        done = subprocess.run(
            sandbox.command(*arguments, *more), capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode in (0, 1), (arguments, done.stderr)  # 1: `status` has something to watch
    ledger.settle(sandbox, seconds=_PATIENCE_SECONDS)
    with closing(sandbox.database()) as database:
        mail.wait_until(
            lambda: oracle.attempts_in_record(database) == oracle.attempts_in_log(made.maillog),
            _PATIENCE_SECONDS,
            "the record as the log",
        )


def _wait_for_record(sandbox: Sandbox, recipients: set[str]) -> None:
    with closing(sandbox.database()) as database:

        def is_complete() -> bool:
            states = {key[1]: state for key, state in oracle.states_in_record(database).items() if key[1] in recipients}
            return set(states) == recipients and set(states.values()) <= {"delivered", "bounced"}

        mail.wait_until(is_complete, _PATIENCE_SECONDS, "both recipients in the record")


def _open(raw: bytes) -> None:
    found = _PIXEL.search(raw.replace(b"=\r\n", b"").replace(b"=\n", b"").replace(b"=3D", b"="))
    assert found
    urllib.request.urlopen(found[1].decode(), timeout=10).close()


def _visit(sandbox: Sandbox, word: str) -> None:
    """Sign in, find the message by its words, read its transcript; and ask for a new password, which comes by mail."""
    made = sandbox.installation
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def page(path: str, **fields: str) -> str:
        with browser.open(f"{made.web_url}{path}", timeout=30) as answer:
            text = str(answer.read().decode())
        if not fields:
            return text
        token = _TOKEN.search(text)
        assert token, path
        sent = urllib.parse.urlencode({"csrf_token": token[1], **fields}).encode()
        request = urllib.request.Request(f"{made.web_url}{path}", sent, headers={"Origin": made.web_url})
        with browser.open(request, timeout=30) as answer:
            return str(answer.read().decode())

    page("/forgotten", what="password", name=made.other.login)
    assert "Sign out" in page("/sign-in", login=made.login.login, password=made.login.password)
    found = mail.wait_until(
        lambda: re.search(r'href="(/messages/[0-9a-f-]{36}[^"]*)"', page(f"/messages?q={word}")), 30, "the message"
    )
    assert word in page(found[1])
    letter = letters.wait_for(sandbox, made.other.address, "/reset/", seconds=_PATIENCE_SECONDS)
    link = letters.link(letter, "/reset/")
    assert "password" in page(link.removeprefix(made.web_url)).lower()
