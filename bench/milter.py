"""The milter beside its peers: a real Postfix, the same mail, signing by one or another, or by nobody.

Every way holds a session for each client. What was measured is reported by `milter_report`.
"""

import contextlib
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import clients, milter_report, peers, postfix_queue, ways
from bench.clients import Clients
from bench.figures import Effort, Result
from bench.machine import this_machine
from bench.milter_report import Growth, Report, Round
from bench.process_times import tree_cpu_seconds
from bench.ways import Way
from rich.progress import Progress

from sendproof_core import clock
from sendproof_core.errors import UserError
from sendproof_testing import dkim_verifier, installation, mail

NAME = milter_report.NAME
SIZES = "sizes"
# What a run can do without. OpenDKIM is what the others are compared with.
OPTIONAL = (peers.RSPAMD, peers.DKIMPY, ways.POSTGRESQL_SERVER, SIZES)
_ARRIVAL_SECONDS = 30.0
_KILOBYTE = 1024
# Octets of a message, and how many are sent at the most: beyond 4 KB the time goes with the octets.
_GROWTH = ((100 * _KILOBYTE, 240), (_KILOBYTE**2, 64), (10 * _KILOBYTE**2, 24))
_GROWING = (ways.BARE, peers.OPENDKIM, ways.ONE)


def measure(effort: Effort, progress: Progress) -> Result:
    """Measure every way in turn, as many rounds as are asked for; then some of them with larger mail."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sendproof-bench-")))
        folder.chmod(0o755)
        starting = progress.add_task("milter: starting sandboxes and peers", total=None)
        running = stack.enter_context(ways.running_ways(folder, effort.without))
        for way in running:
            progress.update(starting, description=f"milter: does it sign? {way.name}")
            if _check(way, clients.HTML_OCTETS) != way.tracked:
                raise UserError(f"the way {way.name!r} should {'' if way.tracked else 'not '}put a pixel in the mail.")
        senders = stack.enter_context(Clients())
        for way in running:
            _measure(way, senders, 5 * clients.COUNT)  # warm: processes started, keys opened, files grown
        progress.remove_task(starting)
        rounds = _rounds(running, senders, effort, progress)
        growth = [] if SIZES in effort.without else _growth(running, senders, effort, progress)
    machine = this_machine(("postfix", *(peer.package for peer in peers.PEERS.values())))
    report = Report(rounds, effort, tuple(growth), machine, clock.now())
    return Result(NAME, report.figures(), report.markdown())


def _rounds(
    running: Sequence[Way],
    senders: Clients,
    effort: Effort,
    progress: Progress,
    octets: int = clients.HTML_OCTETS,
) -> dict[str, list[Round]]:
    size = milter_report.size(octets)
    task = progress.add_task(f"milter: {size}", total=effort.rounds * len(running))
    rounds: dict[str, list[Round]] = {way.name: [] for way in running}
    for number in range(effort.rounds):
        # Nobody always goes first.
        turn = number % len(running)
        for way in (*running[turn:], *running[:turn]):
            progress.update(task, description=f"milter: {size}, {way.name}")
            took = _measure(way, senders, effort.messages, octets)
            rounds[way.name].append(took)
            server = f" + {took.database_cpu_ms:.2f} of the database server" if way.database_pid else ""
            progress.console.print(
                f"milter round {number + 1} {size:>6} {way.name:<25} {took.cpu_ms:6.2f} CPU ms a message{server}, "
                f"{took.messages_per_second:4.0f} messages/s, p50 {took.p50_ms:5.1f} ms, p99 {took.p99_ms:5.1f} ms",
                soft_wrap=True,
            )
            progress.advance(task)
    progress.remove_task(task)
    return rounds


def _growth(running: Sequence[Way], senders: Clients, effort: Effort, progress: Progress) -> list[Growth]:
    """The same for larger messages."""
    found = []
    growing = [way for way in running if way.name in _GROWING]
    for octets, most in _GROWTH:
        tracked = [_check(way, octets) for way in growing if way.tracked]
        fewer = Effort(effort.rounds, min(effort.messages, most), effort.log_lines)
        rounds = _rounds(growing, senders, fewer, progress, octets)
        found.append(Growth(octets, fewer.messages, rounds, tracked=all(tracked)))
    return found


def _check(way: Way, octets: int) -> bool:
    """Whether a message on this way arrives with a pixel; its signatures are those that it should have, and good."""
    made = way.sandbox.installation
    address = f"{way.name.replace(' ', '-').replace(',', '')}-{octets}@{installation.ACCEPT}"
    clients.submit_one(clients.job(way.sandbox, way.port, (address,), 1, octets))
    what = f"mail at {address}"
    (copy,) = mail.wait_until(lambda: mail.received_by(made.mail_folder, address), _ARRIVAL_SECONDS, what)
    verdicts = dkim_verifier.verify(copy, made.public_keys)
    if len(verdicts) != way.signatures or not all(verdict.passed for verdict in verdicts):
        raise UserError(f"the way {way.name!r} should give {way.signatures} good signatures, not {verdicts}.")
    return b".gif" in copy


def _measure(way: Way, senders: Clients, messages: int, octets: int = clients.HTML_OCTETS) -> Round:
    job = clients.job(way.sandbox, way.port, (f"anna@{ways.DISCARDED}",), messages, octets)
    pids = (way.milter.process.pid if way.milter else None, way.database_pid)
    before = [tree_cpu_seconds(pid) if pid else 0.0 for pid in pids]
    sent = senders.submit(job)
    after = [tree_cpu_seconds(pid) if pid else 0.0 for pid in pids]
    postfix_queue.wait_until_empty(way.sandbox)  # its work must not fall into the next one's time
    waits_ms = [1000 * wait for wait in sorted(sent.waits_seconds)]
    milter_ms, database_ms = (1000 * (then - first) / len(waits_ms) for first, then in zip(before, after, strict=True))
    return Round(
        cpu_ms=milter_ms,
        database_cpu_ms=database_ms,
        messages_per_second=sent.messages_per_second,
        p50_ms=_percentile(waits_ms, 50),
        p99_ms=_percentile(waits_ms, 99),
    )


def _percentile(ascending: Sequence[float], percent: int) -> float:
    return ascending[math.ceil(len(ascending) * percent / 100) - 1]
