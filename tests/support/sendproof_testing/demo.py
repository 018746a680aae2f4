"""``make demo``: one message to four recipients, the whole way, and its transcripts.

Starts a sandbox, submits with an ordinary client (swaks), waits until what can be final is final, prints the
transcripts, an independent verifier's word on the signatures, and where the site is. Ends with status 0 only if all of
that was as it should be.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from sendproof_core import clock, directory, plans, transcript_queries
from sendproof_core.database import Database
from sendproof_core.errors import UserError, guarded
from sendproof_core.queue_times import QueueTimes
from sendproof_core.settings import load
from sendproof_core.states import RecipientState
from sendproof_core.transcript_story import tell_all
from sendproof_core.transcript_text import render
from sendproof_core.transcripts import RecipientView, Transcript
from sendproof_testing import dkim_verifier, installation, mail
from sendproof_testing.sandbox import Sandbox, running

SUBJECT = "Offer 2026-117"
RECIPIENTS = {
    f"anna@{installation.ACCEPT}": "its server accepts",
    f"ben@{installation.GREYLIST}": "its server greylists first",
    f"cara@{installation.REFUSE}": "its server refuses",
    f"dan@{installation.UNREACHABLE}": "its server cannot be reached",
}
_PATIENCE_SECONDS = 90.0
_READER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.0"
_PIXEL = re.compile(rb'src="(http://[^"]+\.gif)"')

console = Console(highlight=False)


def main() -> None:
    """Run the demo; the exit status says whether it went as it should."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that everything is cleaned up
    with tempfile.TemporaryDirectory(prefix="sendproof-demo-") as folder, contextlib.ExitStack() as stack:
        Path(folder).chmod(0o755)
        console.print("[bold]Sendproof demo[/]: a private installation on loopback; nothing leaves this machine.\n")
        with console.status("starting Postfix, Dovecot, the milter, the logparser, the site, the receiving servers"):
            began = time.monotonic()
            sandbox = stack.enter_context(running(Path(folder, "sandbox")))
        console.print(f"Started {len(sandbox.programs)} programs in {time.monotonic() - began:.1f} s.")
        failures = _show(sandbox)
        for failure in failures:
            console.print(Text(f"NOT AS IT SHOULD BE: {failure}", style="bold red"))
        _stay_or_not(sandbox)
    raise SystemExit(1 if failures else 0)


def _show(sandbox: Sandbox) -> list[str]:
    """Everything there is to see; what is not as it should be."""
    with contextlib.closing(sandbox.database()) as database:
        _submit(sandbox)
        _wait(sandbox, database)
        _open_pixel(sandbox)
        transcript = _with_open(sandbox, database)
    _print_transcripts(sandbox, transcript)
    verdicts = _print_signatures(sandbox)
    _print_site(sandbox, transcript)
    return [*_story_failures(transcript), *_signature_failures(verdicts), *_site_failures(sandbox)]


def _submit(sandbox: Sandbox) -> None:
    made = sandbox.installation
    message = made.home / "offer.eml"
    message.write_bytes(mail.html_message(made.login.address, list(RECIPIENTS), SUBJECT).as_bytes())
    command = ["swaks", "--server", "127.0.0.1", "--port", str(made.submission_port), "--tls", "--auth", "PLAIN"]
    command += ["--auth-user", made.login.login, "--from", made.login.address, "--to", ",".join(RECIPIENTS)]
    command += ["--data", f"@{message}", "--hide-all"]
    # The password goes by the environment: arguments can be read by every user of the machine.
    environment = {**os.environ, "SWAKS_OPT_auth_password": made.login.password}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise UserError(f"swaks could not submit the message: {(done.stderr or done.stdout).strip()[-500:]}")
    console.print(f'Submitted "{SUBJECT}" with swaks on port {made.submission_port} (STARTTLS, AUTH PLAIN).\n')


def _wait(sandbox: Sandbox, database: Database) -> None:
    """Until every recipient has the state that is its last for now."""
    columns = (SpinnerColumn(), TextColumn("{task.description:<28}"), BarColumn(12), TextColumn("{task.fields[state]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        tasks = {
            address: progress.add_task(address, total=1, state=Text(f"waiting ({words})", style="dim"))
            for address, words in RECIPIENTS.items()
        }
        deadline = time.monotonic() + _PATIENCE_SECONDS
        seen: dict[str, str] = {}
        while True:
            transcript = _newest(sandbox, database)
            done = set()
            for recipient in transcript.recipients if transcript else ():
                state = _state_words(recipient)
                if seen.get(recipient.address) != state:
                    seen[recipient.address] = state
                    progress.update(tasks[recipient.address], state=Text(state))
                if _settled(recipient):
                    done.add(recipient.address)
                    progress.update(tasks[recipient.address], completed=1)
            if transcript and done == set(RECIPIENTS):
                return
            if time.monotonic() > deadline:
                missing = ", ".join(sorted(set(RECIPIENTS) - done))
                raise UserError(f"after {_PATIENCE_SECONDS:.0f} s these have no state to show: {missing}.")
            time.sleep(0.1)


def _settled(recipient: RecipientView) -> bool:
    if recipient.address.endswith(installation.UNREACHABLE):
        return recipient.state is RecipientState.DEFERRED
    return recipient.state in (RecipientState.DELIVERED, RecipientState.BOUNCED, RecipientState.EXPIRED)


def _state_words(recipient: RecipientView) -> str:
    count = len(recipient.attempts)
    return (
        f"{recipient.state.value} after {count} attempt{'' if count == 1 else 's'}" if count else recipient.state.value
    )


def _newest(sandbox: Sandbox, database: Database) -> Transcript | None:
    with database.reading() as session:
        owner = directory.find_account(session, sandbox.installation.login.login)
        for summary in transcript_queries.list_messages(session, owner.id, limit=50):
            if summary.subject == SUBJECT:
                return transcript_queries.load_transcript(session, summary.id)
    return None


def _open_pixel(sandbox: Sandbox) -> None:
    """What Anna's mail reader does when she opens the message and allows pictures."""
    for raw in mail.received_by(sandbox.installation.mail_folder, next(iter(RECIPIENTS))):
        found = _PIXEL.search(raw.replace(b"=\r\n", b"").replace(b"=\n", b"").replace(b"=3D", b"="))
        if found:
            request = urllib.request.Request(found.group(1).decode(), headers={"User-Agent": _READER})
            # Without an answer there is no opened alert, which the end of the demo notices.
            with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=10) as answer:
                answer.read()


def _with_open(sandbox: Sandbox, database: Database) -> Transcript:
    """The transcript with the opened alert in it; without, if that does not come."""
    deadline = time.monotonic() + 10
    while True:
        transcript = _newest(sandbox, database)
        if transcript and (time.monotonic() > deadline or any(item.opens for item in transcript.recipients)):
            return transcript
        time.sleep(0.1)


def _print_transcripts(sandbox: Sandbox, transcript: Transcript) -> None:
    queue_times = load(sandbox.installation.config).table(QueueTimes)
    width = max(80, min(console.width, 120))
    for story in tell_all(transcript, queue_times, plans.zone(sandbox.installation.options.time_zone), clock.now()):
        console.print(f"\n[dim]{'─' * width}[/]")
        console.print(Text(render(story, width=width)), end="", soft_wrap=True)


def _print_signatures(sandbox: Sandbox) -> tuple[dkim_verifier.Verdict, ...]:
    copies = mail.received_by(sandbox.installation.mail_folder, next(iter(RECIPIENTS)))
    verdicts = dkim_verifier.verify(copies[0], sandbox.installation.public_keys) if copies else ()
    table = Table("d=", "s=", "verdict")
    for verdict in verdicts:
        table.add_row(
            verdict.domain, verdict.selector, Text(verdict.result, style="green" if verdict.passed else "red")
        )
    console.print("\n[bold]The signatures[/], as OpenDKIM sees them on the copy that Anna's server received")
    console.print(table)
    return verdicts


def _print_site(sandbox: Sandbox, transcript: Transcript) -> None:
    made = sandbox.installation
    console.print("\n[bold]The site[/]")
    for label, value in (
        ("address", f"{made.web_url}/messages/{transcript.message.id}"),
        ("login", made.login.login),
        ("password", made.login.password),
        ("provider", f"{made.provider.login}, password {made.provider.password}: sees every account"),
    ):
        console.print(Text(f"  {label:<9} {value}"), soft_wrap=True)


def _story_failures(transcript: Transcript) -> Iterator[str]:
    states = {
        installation.ACCEPT: RecipientState.DELIVERED,
        installation.GREYLIST: RecipientState.DELIVERED,
        installation.REFUSE: RecipientState.BOUNCED,
        installation.UNREACHABLE: RecipientState.DEFERRED,
    }
    for recipient in transcript.recipients:
        domain = recipient.address.rpartition("@")[2]
        if recipient.state is not states[domain]:
            yield f"{recipient.address} is {recipient.state.value}, not {states[domain].value}"
        spoken = bool(recipient.attempts and recipient.attempts[-1].dialogue)
        if spoken == (domain == installation.UNREACHABLE):
            yield f"{recipient.address}: the conversation is {'there' if spoken else 'missing'}"
        replies = [attempt.reply for attempt in recipient.attempts]
        if domain == installation.GREYLIST and not (len(replies) > 1 and "Greylisted" in replies[0]):
            yield f"{recipient.address} was not greylisted first"
        if domain == installation.REFUSE and replies[-1].count("550") < 3:
            yield f"{recipient.address}: the reply of three lines is not whole"
        if domain == installation.ACCEPT and not recipient.opens:
            yield f"{recipient.address}: the opened alert is missing"
    if len(transcript.recipients) != len(RECIPIENTS):
        yield f"{len(transcript.recipients)} recipients in the record, not {len(RECIPIENTS)}"


def _signature_failures(verdicts: tuple[dkim_verifier.Verdict, ...]) -> Iterator[str]:
    for domain in (installation.OWN_DOMAIN, installation.PROVIDER_DOMAIN):
        if not any(verdict.passed and verdict.domain == domain for verdict in verdicts):
            yield f"no good signature of {domain}"


def _site_failures(sandbox: Sandbox) -> Iterator[str]:
    try:
        with urllib.request.urlopen(f"{sandbox.installation.web_url}/healthz", timeout=10) as answer:
            if answer.status != 200:
                yield f"the site answers {answer.status}"
    except OSError as error:
        yield f"the site does not answer: {error}"


def _stay_or_not(sandbox: Sandbox) -> None:
    if os.environ.get("DEMO_EXIT") == "1" or not sys.stdout.isatty():
        return
    console.print(f"\nEverything stays up ({sandbox.installation.home}) until you press Ctrl-C.")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console.print("\nEnding what was started.")


if __name__ == "__main__":
    guarded(main)
