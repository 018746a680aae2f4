"""The milter beside OpenDKIM: a real Postfix, the same mail, signing by one or the other, or by nobody.

Ours does everything (plan charge, pixel, signature, journal); OpenDKIM signs. Both hold a session for each client.
"""

import contextlib
import math
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import clients, figures, postfix_queue
from bench.clients import Clients
from bench.figures import Effort, Figure
from bench.process_times import tree_cpu_seconds
from rich.progress import Progress

from sendproof_core import dkim_keys
from sendproof_core.errors import UserError
from sendproof_testing import dkim_verifier, installation, mail, processes
from sendproof_testing.installation import Keys, Options
from sendproof_testing.ports import PortBlock
from sendproof_testing.processes import Guardian, Program
from sendproof_testing.sandbox import Sandbox, running

NAME = "milter"
PEER = "opendkim"
BARE, ONE, BOTH = "bare Postfix", "one signature", "both signatures"
_OPENDKIM = "/usr/sbin/opendkim"
_START_SECONDS = 30.0
# Accepted and thrown away (discard(8)), so that no receiving server is measured.
_DISCARDED = "bench.example"
_SELECTOR = "bench"
# Not part of the milter, and not running beside a peer either.
_BYSTANDERS = ("logparser", "notices", "web")


@dataclass(frozen=True)
class Way:
    """One way in: a submission service of a sandbox's Postfix, with a milter or none."""

    name: str
    sandbox: Sandbox
    port: int
    milter: Program | None
    signatures: int
    tracked: bool = False


@dataclass(frozen=True)
class Round:
    """One round's figures of one way."""

    cpu_ms: float
    messages_per_second: float
    p50_ms: float
    p99_ms: float


def measure(effort: Effort, progress: Progress) -> list[Figure]:
    """Measure every way in turn, as many rounds as are asked for."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sendproof-bench-")))
        folder.chmod(0o755)
        starting = progress.add_task("milter: starting two sandboxes and OpenDKIM", total=None)
        ways = stack.enter_context(_ways(folder))
        for way in ways:
            _check(way)
        senders = stack.enter_context(Clients())
        for way in ways:
            _measure(way, senders, 5 * clients.COUNT)  # warm: processes started, keys opened, files grown
        progress.remove_task(starting)
        task = progress.add_task("milter", total=effort.rounds * len(ways))
        rounds: dict[str, list[Round]] = {way.name: [] for way in ways}
        for number in range(effort.rounds):
            # Nobody always goes first.
            turn = number % len(ways)
            for way in (*ways[turn:], *ways[:turn]):
                progress.update(task, description=f"milter: {way.name}")
                took = _measure(way, senders, effort.messages)
                rounds[way.name].append(took)
                progress.console.print(
                    f"milter round {number + 1} {way.name:<15} {took.cpu_ms:6.2f} CPU ms a message, "
                    f"{took.messages_per_second:4.0f} messages/s, p50 {took.p50_ms:5.1f} ms, p99 {took.p99_ms:5.1f} ms",
                    soft_wrap=True,
                )
                progress.advance(task)
        progress.remove_task(task)
    return _figures(rounds)


@contextlib.contextmanager
def _ways(folder: Path) -> Iterator[tuple[Way, ...]]:
    """Start everything. The submission service of one Postfix three times, and a second one where two domains sign."""
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(running(folder / "own", Options(keys=Keys.OWN)))
        both = stack.enter_context(running(folder / "both", Options(keys=Keys.BOTH)))
        for sandbox in (own, both):
            for name in _BYSTANDERS:
                sandbox.programs[name].end()
        ports = PortBlock()
        stack.callback(ports.release)
        bare_port, opendkim_port = ports.take(), ports.take()
        opendkim, socket = stack.enter_context(_opendkim(own))
        _add_services(own, {bare_port: "", opendkim_port: f"unix:{socket}"})
        _add_services(both, {})
        for port in (bare_port, opendkim_port):
            processes.wait_for_tcp(own.programs["postfix"], port, _START_SECONDS)
        yield (
            Way(BARE, own, bare_port, None, 0),
            Way(PEER, own, opendkim_port, opendkim, 1),
            Way(ONE, own, own.installation.submission_port, own.programs["milter"], 1, tracked=True),
            Way(BOTH, both, both.installation.submission_port, both.programs["milter"], 2, tracked=True),
        )


@contextlib.contextmanager
def _opendkim(sandbox: Sandbox) -> Iterator[tuple[Program, Path]]:
    """OpenDKIM signing for the sandbox's own domain, and its socket."""
    made = sandbox.installation
    key, key_file = dkim_keys.generate_rsa(), made.home / "opendkim.key"
    key_file.touch(mode=0o600)
    key_file.write_bytes(key.private_pem)
    with made.public_keys.open("a") as records:
        records.write(f"{_SELECTOR}._domainkey.{installation.OWN_DOMAIN} v=DKIM1; k=rsa; p={key.public_key}\n")
    config, socket = made.home / "opendkim.conf", made.home / "run" / "opendkim.sock"
    config.write_text(
        f"Mode s\nCanonicalization relaxed/relaxed\nDomain {installation.OWN_DOMAIN}\nSelector {_SELECTOR}\n"
        f"KeyFile {key_file}\nSocket local:{socket}\nUMask 0\nRequireSafeKeys no\n"
    )
    guardian = Guardian()
    program = processes.start(PEER, [_OPENDKIM, "-f", "-x", str(config)], made.home / "log" / "opendkim.out")
    guardian.watch(program.process.pid)
    try:
        processes.wait_for_unix(program, socket, _START_SECONDS)
        yield program, socket
    finally:
        program.end()
        guardian.dismiss()


def _add_services(sandbox: Sandbox, milters: dict[int, str]) -> None:
    """Let the sandbox's Postfix discard the measured mail, and serve submission on further ports with these milters."""
    made = sandbox.installation
    transport, master = made.postfix_config / "transport", made.postfix_config / "master.cf"
    transport.write_text(f"/@{re.escape(_DISCARDED)}$/ discard:\n" + transport.read_text())
    submission = re.search(
        rf"^127\.0\.0\.1:{made.submission_port} inet .*\n(?: .*\n)+", master.read_text(), re.MULTILINE
    )
    if submission is None:
        raise AssertionError("master.cf has no submission service")
    with master.open("a") as services:
        for port, milter in milters.items():
            service = submission[0].replace(f":{made.submission_port} ", f":{port} ", 1)
            services.write("\n" + re.sub(r"smtpd_milters=\S+", f"smtpd_milters={milter}", service))
    postfix_queue.reload(sandbox)


def _check(way: Way) -> None:
    """A message on this way arrives with the signatures and the pixel that it should have, and they are good."""
    made = way.sandbox.installation
    address = f"{way.name.replace(' ', '-')}@{installation.ACCEPT}"
    clients.submit_one(clients.job(way.sandbox, way.port, (address,), 1))
    (copy,) = mail.wait_until(lambda: mail.received_by(made.mail_folder, address), _START_SECONDS, f"mail at {address}")
    verdicts = dkim_verifier.verify(copy, made.public_keys)
    if len(verdicts) != way.signatures or not all(verdict.passed for verdict in verdicts):
        raise UserError(f"the way {way.name!r} should give {way.signatures} good signatures, not {verdicts}.")
    if (b".gif" in copy) != way.tracked:
        raise UserError(f"the way {way.name!r} should {'' if way.tracked else 'not '}put a pixel in the mail.")


def _measure(way: Way, senders: Clients, messages: int) -> Round:
    before = tree_cpu_seconds(way.milter.process.pid) if way.milter else 0.0
    sent = senders.submit(clients.job(way.sandbox, way.port, (f"anna@{_DISCARDED}",), messages))
    after = tree_cpu_seconds(way.milter.process.pid) if way.milter else 0.0
    postfix_queue.wait_until_empty(way.sandbox)  # its work must not fall into the next one's time
    waits_ms = [1000 * wait for wait in sorted(sent.waits_seconds)]
    return Round(
        cpu_ms=1000 * (after - before) / len(waits_ms),
        messages_per_second=sent.messages_per_second,
        p50_ms=_percentile(waits_ms, 50),
        p99_ms=_percentile(waits_ms, 99),
    )


def _percentile(ascending: Sequence[float], percent: int) -> float:
    return ascending[math.ceil(len(ascending) * percent / 100) - 1]


def _figures(rounds: dict[str, list[Round]]) -> list[Figure]:
    bare_p50 = median(one.p50_ms for one in rounds[BARE])
    found = [
        figures.alone(NAME, f"accepted, {BARE}", "messages/s", [one.messages_per_second for one in rounds[BARE]]),
        figures.alone(NAME, f"dot to reply p50, {BARE}", "ms", [one.p50_ms for one in rounds[BARE]]),
        figures.alone(NAME, f"dot to reply p99, {BARE}", "ms", [one.p99_ms for one in rounds[BARE]]),
    ]
    values: tuple[tuple[str, str, Callable[[Round], float]], ...] = (
        ("CPU", "ms/message", lambda one: one.cpu_ms),
        ("accepted", "messages/s", lambda one: one.messages_per_second),
        ("added p50", "ms", lambda one: one.p50_ms - bare_p50),
        ("added p99", "ms", lambda one: one.p99_ms - bare_p50),
    )
    for name, unit, value in values:
        peers = [value(one) for one in rounds[PEER]]
        found.append(figures.alone(NAME, f"{name}, {PEER}", unit, peers))
        for way in (ONE, BOTH):
            ours = [value(one) for one in rounds[way]]
            found.append(figures.beside(NAME, f"{name}, {way}", unit, ours, PEER, peers))
    return found
