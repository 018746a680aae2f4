"""Text from outside that tries to be more than text, by every way that it can come in: nothing runs, nowhere.

Subjects, names, recipients, the receiving server's greeting, name and replies, mail readers, searches: each tries HTML,
script, a spreadsheet's formulas, a terminal's sequences. Looked at: every page in a browser, every file that the site
gives out, the commands' output, the notices, our own logs.
"""

import contextlib
import csv
import html.parser
import io
import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from sendproof_core import directory, transcript_queries
from sendproof_core.states import RecipientState
from sendproof_core.transcripts import Transcript
from sendproof_testing import browser, letters, mail, scripted_mx
from sendproof_testing.browser import Browser
from sendproof_testing.crawl import Crawl, name_of
from sendproof_testing.installation import ACCEPT, SCRIPTED, Login, Options
from sendproof_testing.sandbox import Sandbox, running
from sendproof_testing.scripted_mx import Script

pytestmark = [pytest.mark.integration, pytest.mark.browser, pytest.mark.skipif(not browser.available(), reason="-")]

RUN = "window.hostile=1"
SCRIPT = f"<script>{RUN}</script>"
IMAGE = f'"><img src=x onerror="{RUN}">'
SVG = f"'><svg/onload={RUN}>"
FORMULA = '=HYPERLINK("http://evil.example";"x")'
TERMINAL = "\x1b]0;owned\x07\x1b[2J\x1b[31m\x9b5m"
BIDI = "\u202egpj.exe"
SUBJECTS = (f"{FORMULA} {SCRIPT}", f"{IMAGE}{SVG}", f"Coded {TERMINAL}{BIDI}")
READER = f"Mozilla/5.0 Thunderbird/140.0 {SCRIPT}{IMAGE}"
RECIPIENTS = (
    f'"{SCRIPT}"@{SCRIPTED}',
    f"refused@{SCRIPTED}",
    f"later@{SCRIPTED}",
    f"=1+1@{SCRIPTED}",
    f"anna@{ACCEPT}",
)
SAYS = Script(
    greeting=f"220 {SCRIPT} ESMTP {IMAGE}".encode(),
    hello=f"250-{SCRIPT}\r\n250-{IMAGE}\r\n250 8BITMIME".encode(),
    rcpt={
        "refused": f"550-5.1.1 {SCRIPT}\r\n550-5.1.1 {FORMULA} {IMAGE}\r\n550 5.1.1 ".encode()
        + TERMINAL.encode("latin-1"),
        "later": f"450 4.2.0 Greylisted {SVG} {SCRIPT} ".encode() + TERMINAL.encode("latin-1"),
    },
    end=f"250 2.0.0 Ok: queued as {SCRIPT}{IMAGE} ".encode() + TERMINAL.encode("latin-1"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_PIXEL = re.compile(rb"http://[^\"]+/o/[\w-]{56}\.gif")
# What a page of ours never has: script in it, an attribute that runs, an element that only a payload makes.
_ALIVE = """
const all = selector => [...document.querySelectorAll(selector)];
return all("script:not([src]):not([type='application/json']), img[src='x'], svg[onload], style")
  .concat(all("*").filter(one => [...one.attributes].some(a => /^on/i.test(a.name))))
  .concat(all("[href^='javascript:' i]"))
  .map(one => one.outerHTML.slice(0, 200));
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One in which all that has happened; the scripted server stays up."""
    options = Options(open_details=True, minimal_backoff_seconds=3600, maximal_backoff_seconds=3600)
    with (
        running(tmp_path_factory.mktemp("hostile") / "box", options) as started,
        scripted_mx.serving(started.installation.scripted_port, SAYS),
    ):
        for subject in SUBJECTS:
            _submit(started, subject)
        _wait(started)
        _open_pixel(started)
        time.sleep(1)
        yield started


def _submit(sandbox: Sandbox, subject: str) -> None:
    login = sandbox.installation.login
    coded = "=?utf-8?q?" + "".join(f"={octet:02X}" for octet in subject.encode()) + "?="
    head = (
        f'From: "{SCRIPT.replace(chr(34), "")} {FORMULA.replace(chr(34), "")}" <{login.address}>\r\nTo: x@{ACCEPT}\r\n'
        f"Subject: {coded if _CONTROL.search(subject) else subject}\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/html; charset=utf-8\r\n\r\n<html><body><p>Hello</p></body></html>\r\n"
    )
    with mail.connected(sandbox) as client:
        client.login(login.login, login.password)
        assert client.docmd("MAIL", f"FROM:<{login.address}>")[0] == 250
        for recipient in RECIPIENTS:
            code, words = client.docmd("RCPT", f"TO:<{recipient}>")
            assert code == 250, (recipient, words)
        code, words = client.data(head.encode())
        assert code == 250, words


def _wait(sandbox: Sandbox) -> None:
    """Until each of the recipients has the state that the server's words give it."""
    wanted = {RecipientState.DELIVERED, RecipientState.BOUNCED, RecipientState.DEFERRED}

    def are_settled() -> bool:
        stories = _stories(sandbox)
        return len(stories) == len(SUBJECTS) and all(
            len(story.recipients) == len(RECIPIENTS) and {one.state for one in story.recipients} == wanted
            for story in stories
        )

    mail.wait_until(are_settled, 60, "a state for each recipient")


def _stories(sandbox: Sandbox) -> list[Transcript]:
    """What the record has of the messages."""
    with contextlib.closing(sandbox.database()) as database, database.reading() as session:
        owner = directory.find_account(session, sandbox.installation.login.login)
        found = transcript_queries.list_messages(session, owner.id, limit=20)
        return [story for one in found if (story := transcript_queries.load_transcript(session, one.id)) is not None]


def _open_pixel(sandbox: Sandbox) -> None:
    for raw in mail.received_by(sandbox.installation.mail_folder, f"anna@{ACCEPT}"):
        found = _PIXEL.search(raw.replace(b"=\r\n", b"").replace(b"=\n", b"").replace(b"=3D", b"="))
        assert found
        request = urllib.request.Request(found[0].decode(), headers={"User-Agent": READER})
        urllib.request.urlopen(request, timeout=10).close()


def nothing_runs(window: Browser, where: str) -> list[str]:
    """What of the hostile text is alive on the page."""
    driver = window.driver
    wrong = [f"{where}: {element}" for element in driver.execute_script(_ALIVE)]
    if driver.execute_script("return 'hostile' in window"):
        wrong.append(f"{where}: a script ran")
    own = f"{driver.current_url} - Failed to load resource"
    wrong += [f"{where}: {one}" for one in window.complaints() if not one.startswith(own)]
    if found := _CONTROL.search(window.text()):
        wrong.append(f"{where}: a raw {found[0]!r}")
    return wrong


SEARCHES = (
    SCRIPT,
    IMAGE,
    SVG,
    FORMULA,
    "to:<script>",
    'subject:"><img src=x',
    "%' OR 1=1 --",
    "a" * 300,
    '"',
    "*",
    "NEAR(",
)


def test_nothing_runs_on_any_page_and_no_file_is_more_than_text(
    sandbox: Sandbox, window: Browser, tmp_path: Path
) -> None:
    made = sandbox.installation
    wrong: list[str] = []
    seen: list[str] = []
    shown = ""
    for login, starts in ((made.login, ["/messages", "/account"]), (made.provider, ["/provider", "/messages"])):
        window.driver.delete_all_cookies()
        window.sign_in(made.web_url, login.login, login.password)
        searches = [f"/messages?q={urllib.parse.quote(words)}" for words in SEARCHES]
        crawl = Crawl(window, made.web_url, per_kind=3)
        for path in crawl.pages([*starts, *searches]):
            seen.append(path)
            wrong += nothing_runs(window, path)
            shown += window.text()
            if len(seen) < 8:
                window.screenshot(tmp_path / f"{login.login}-{len(seen)}-{name_of(path)}.png")
        for file in sorted(crawl.files):
            wrong += _tame(file, _fetch(window, f"{made.web_url}{file}"))
    assert not wrong, "\n".join(wrong)
    assert len(seen) > 30
    for hostile in (SCRIPT, IMAGE, FORMULA, "onload"):
        assert hostile in shown  # it was there to be seen, as text


def _fetch(window: Browser, address: str) -> tuple[str, str]:
    cookies = "; ".join(f"{one['name']}={one['value']}" for one in window.driver.get_cookies())
    with urllib.request.urlopen(urllib.request.Request(address, headers={"Cookie": cookies}), timeout=20) as answer:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        return answer.headers.get_content_type(), answer.read().decode("utf-8")


def _tame(name: str, fetched: tuple[str, str]) -> list[str]:
    kind, text = fetched
    if kind == "text/csv":
        text = text.replace("\r\n", "\n")  # RFC 4180
    wrong = [f"{name}: a raw {found!r}" for found in set(_CONTROL.findall(text))]
    if kind == "text/csv":
        cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
        wrong += [f"{name}: a formula {cell!r}" for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]
    elif kind == "application/json":
        json.loads(text)
    elif kind not in ("text/plain", "image/svg+xml"):
        wrong.append(f"{name}: is {kind}")
    return wrong


def test_a_terminal_gets_words_only(sandbox: Sandbox) -> None:
    forms = ("text", "json")
    said = []
    for arguments in (
        *(("transcript", "search", "--from", sandbox.installation.login.address, "--format", form) for form in forms),
        *(("transcript", "show", str(one.message.id), "--format", form) for one in _stories(sandbox) for form in forms),
        ("audit", "list"),
        ("account", "list"),
        ("credential", "list"),
        ("status",),
    ):
        said.append(_said(sandbox, *arguments))
        assert not _CONTROL.search(said[-1]), arguments
    assert any(SCRIPT in words for words in said)


def _said(sandbox: Sandbox, *arguments: str) -> str:
    done = subprocess.run(sandbox.command(*arguments), capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout, done.stderr
    return done.stdout + done.stderr


class _Alive(html.parser.HTMLParser):
    """Finds in a mail's HTML what could run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        bad = [name for name, value in attrs if name.startswith("on") or (value or "").startswith("javascript:")]
        if tag in ("script", "svg", "img", "iframe", "form", "object") or bad:
            self.found.append(self.get_starttag_text() or tag)


def test_the_notices_are_words_only(sandbox: Sandbox) -> None:
    login: Login = sandbox.installation.login
    letters.wait_for(sandbox, login.address, "refused@")
    told = list(letters.letters(sandbox, login.address))
    assert any(SCRIPT in letters.text(letter) for letter in told)
    for letter in told:
        headers = "".join(f"{name}: {value}\n" for name, value in letter.items())
        for part in (headers.replace("\n", ""), letters.text(letter), letters.html(letter)):
            assert not _CONTROL.search(part.replace("\r\n", "\n"))
        alive = _Alive()
        alive.feed(letters.html(letter))
        assert alive.found == []


def test_our_own_logs_stay_lines(sandbox: Sandbox) -> None:
    made = sandbox.installation
    for name in ("web", "milter", "logparser", "notices"):
        text = (made.home / "log" / f"{name}.out").read_text(encoding="utf-8", errors="strict")
        assert not _CONTROL.search(text), name
        assert "Traceback" not in text, name
