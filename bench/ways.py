"""The ways into Postfix that are measured: one submission service for each milter. Starts them; measures nothing.

Ours does everything (plan charge, pixel, signature, journal); a peer signs.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path

from bench import peers, postfix_queue

from sendproof_testing import postgres, processes
from sendproof_testing.installation import Keys, Options
from sendproof_testing.ports import PortBlock
from sendproof_testing.processes import Program
from sendproof_testing.sandbox import Sandbox, running

BARE, ONE, BOTH, POSTGRESQL = "bare Postfix", "one signature", "both signatures", "one signature, PostgreSQL"
# The peers and this can be left out.
POSTGRESQL_SERVER = "postgresql"
# Accepted and thrown away (discard(8)), so that no receiving server is measured.
DISCARDED = "bench.example"
_START_SECONDS = 30.0
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
    # Of a server whose work is the milter's, too.
    database_pid: int | None = None


@contextlib.contextmanager
def running_ways(folder: Path, without: Set[str]) -> Iterator[tuple[Way, ...]]:
    """Start everything, except those that are named.

    All peers are services of one Postfix; ours has one for each of its installations.

    Raises:
        UserError: something does not start.
    """
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(discarding(folder / "own", Options(keys=Keys.OWN), ended=_BYSTANDERS))
        names = [name for name in peers.PEERS if name not in without]
        signers = {name: stack.enter_context(peers.running_peer(name, own)) for name in names}
        ports = PortBlock()
        stack.callback(ports.release)
        services = {ports.take(): "", **{ports.take(): f"unix:{signer.socket}" for signer in signers.values()}}
        _add_services(own, services)
        for port in services:
            processes.wait_for_tcp(own.programs["postfix"], port, _START_SECONDS)
        bare_port, *peer_ports = services
        ways = [Way(BARE, own, bare_port, None, 0)]
        ways += [Way(name, own, port, signers[name].program, 1) for name, port in zip(names, peer_ports, strict=True)]
        ways.append(_ours(ONE, own, signatures=1))
        both = stack.enter_context(discarding(folder / "both", Options(keys=Keys.BOTH), ended=_BYSTANDERS))
        ways.append(_ours(BOTH, both, signatures=2))
        if POSTGRESQL_SERVER not in without:
            cluster = stack.enter_context(postgres.running_cluster())
            url = stack.enter_context(cluster.empty_database())
            options = Options(keys=Keys.OWN, database_url=url)
            other = stack.enter_context(discarding(folder / "postgresql", options, ended=_BYSTANDERS))
            ways.append(_ours(POSTGRESQL, other, signatures=1, database_pid=cluster.pid))
        yield tuple(ways)


@contextlib.contextmanager
def discarding(folder: Path, options: Options, *, ended: Iterable[str]) -> Iterator[Sandbox]:
    """A sandbox without the programs ``ended``, whose Postfix discards what goes to `DISCARDED`."""
    with running(folder, options) as sandbox:
        for name in ended:
            sandbox.programs[name].end()
        discard(sandbox)
        yield sandbox


def discard(sandbox: Sandbox) -> None:
    """From now on its Postfix discards what goes to `DISCARDED`."""
    transport = sandbox.installation.postfix_config / "transport"
    transport.write_text(f"/@{re.escape(DISCARDED)}$/ discard:\n" + transport.read_text())
    postfix_queue.reload(sandbox)


def _ours(name: str, sandbox: Sandbox, *, signatures: int, database_pid: int | None = None) -> Way:
    made = sandbox.installation
    milter = sandbox.programs["milter"]
    return Way(name, sandbox, made.submission_port, milter, signatures, tracked=True, database_pid=database_pid)


def _add_services(sandbox: Sandbox, milters: dict[int, str]) -> None:
    """Let the sandbox's Postfix serve submission on further ports with these milters."""
    made = sandbox.installation
    master = made.postfix_config / "master.cf"
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
