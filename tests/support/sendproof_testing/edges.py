"""Several edges on one PostgreSQL, one site, one notices: each edge with Postfix, Dovecot, milter, logparser, journal.

The first is a whole sandbox, the others join it. Each has an address of its own on the loopback interface, at which
other edges find its port 25 and at which its way to the database begins: taken away, the edge is cut off and nobody
says a word; the way cut, the server is down. Judges nothing: `edge_ledger` does.
"""

import contextlib
import dataclasses
import os
import random
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sendproof_core import directory
from sendproof_core.database import Database, open_database
from sendproof_testing import mail
from sendproof_testing.customers import PASSWD_FILE_SECONDS, Customer, add_customers
from sendproof_testing.installation import HOSTNAME, Installation, Options
from sendproof_testing.processes import Program
from sendproof_testing.sandbox import ORDINARY, Sandbox
from sendproof_testing.tcp_relay import TcpRelay

_SMTP_PORT = 25
_START_SECONDS = 30.0
# On a machine that does much else at once.
_COMMAND_SECONDS = 120.0
# For what postlogd(8) was told and has not written yet.
_LOG_SECONDS = 0.3
_SERVER = re.compile(r"@(127\.0\.0\.1):(\d+)/")
# For measurements of network equipment (RFC 2544); nothing that a machine talks to has such an address.
_NETWORK = "198.18"


class Edge(Sandbox):
    """One of them. ``address``: where other edges find it."""

    def __init__(self, folder: Path, options: Options, database_relay: TcpRelay, address: str) -> None:
        self.address = address
        self.database_relay = database_relay
        super().__init__(folder, options)

    @property
    def host(self) -> str:
        """`[host] name`."""
        return self.installation.options.hostname

    def kill(self) -> None:
        """SIGKILL to all programs of the edge, as when a machine loses power; what the log was told is written."""
        programs = {program.process.pid: program for program in self.programs.values() if program.running}
        for pid, program in programs.items():
            if program.name == "postfix":  # it would start anew what is killed
                os.kill(pid, signal.SIGSTOP)
        for pid, group, name in _processes():
            is_master = pid == group and group in programs and programs[group].name == "postfix"
            if group in programs and not is_master and name != "postlogd":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(_LOG_SECONDS)
        for pid, program in programs.items():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            program.process.wait()

    def start_more(self, name: str) -> Program:
        """A program that this edge does not have otherwise, such as notices."""
        self._starters()[name]()()
        return self.programs[name]

    @contextlib.contextmanager
    def setting(self, before: str, after: str, *programs: str) -> Iterator[None]:
        """Another line in the edge's settings for the length of a ``with`` block, for these programs."""
        config = self.installation.config
        settings = config.read_text(encoding="utf-8")
        assert settings.count(before) == 1, before
        self._set(settings.replace(before, after), programs)
        try:
            yield
        finally:
            self._set(settings, programs)

    @contextlib.contextmanager
    def partitioned(self) -> Iterator[None]:
        """No packet comes from the database or goes to it, and none from or to other edges."""
        _ip("address", "del", self.address)
        # Else the machine's gateway would get what nobody takes here, and might answer.
        _ip("route", "replace", self.address)
        try:
            yield
        finally:
            _ip("route", "del", self.address)
            _ip("address", "replace", self.address)

    def _set(self, settings: str, programs: Sequence[str]) -> None:
        self.installation.config.write_text(settings, encoding="utf-8")
        for name in programs:
            self.restart(name)


class Edges:
    """All of them; the first is the one with the site, the notices and the receiving servers."""

    def __init__(self, edges: Sequence[Edge], database_url: str) -> None:
        self._edges = list(edges)
        self.database_url = database_url

    def __getitem__(self, number: int) -> Edge:
        return self._edges[number]

    def __iter__(self) -> Iterator[Edge]:
        return iter(self._edges)

    def __len__(self) -> int:
        return len(self._edges)

    @property
    def maillogs(self) -> list[Path]:
        """Of each."""
        return [edge.installation.maillog for edge in self]

    def database(self) -> Database:
        """A connection that is not an edge's; close it."""
        return open_database(self.database_url)

    def add_customers(self, database: Database, count: int) -> list[Customer]:
        """So many accounts without any limit, which can send at once through each edge."""
        found = add_customers(self[0], database, count)
        for edge in self._edges[1:]:
            directory.sync_passwd_file(database, edge.installation.passwd_file)
        time.sleep(PASSWD_FILE_SECONDS)
        return found

    def sync_credentials(self) -> None:
        """`sendproof credential sync` on each edge, as its timer does."""
        with ThreadPoolExecutor(len(self)) as pool:
            list(pool.map(lambda edge: _run(*edge.command("credential", "sync")), self))
        time.sleep(PASSWD_FILE_SECONDS)

    @contextlib.contextmanager
    def database_away(self) -> Iterator[None]:
        """The server is down, for all edges."""
        with contextlib.ExitStack() as stack:
            for edge in self:
                stack.enter_context(edge.database_relay.away())
            yield

    def relay_domain(self, sender: Edge, receiver: Edge, domain: str) -> None:
        """From now on the one edge sends mail for this domain to the other's port 25, which passes it on."""
        made = receiver.installation
        master = made.postfix_config / "master.cf"
        if f"{receiver.address}:{_SMTP_PORT} " not in master.read_text(encoding="utf-8"):
            service = (
                f"{receiver.address}:{_SMTP_PORT} inet n - n - - smtpd\n"
                f"  -o mynetworks={_NETWORK}.0.0/16\n"
                "  -o smtpd_relay_restrictions=permit_mynetworks,reject\n"
                "  -o smtpd_peername_lookup=no\n"
            )
            with master.open("a", encoding="utf-8") as services:
                services.write("\n" + service)
            _reload(made)
            mail.wait_until(lambda: _answers(receiver.address, _SMTP_PORT), _START_SECONDS, "port 25 of an edge")
        config = sender.installation.postfix_config
        way = f"relay/unix/smtp_bind_address={sender.address}"
        _run("/usr/sbin/postconf", "-c", str(config), "-P", way)
        transport = config / "transport"
        rule = f"/@{re.escape(domain)}$/ relay:[{receiver.address}]:{_SMTP_PORT}\n"
        transport.write_text(rule + transport.read_text(encoding="utf-8"), encoding="utf-8")
        _reload(sender.installation)
        settings = sender.installation.config
        named = f'[logparser]\nedges = ["{receiver.address}"]\n'
        settings.write_text(settings.read_text(encoding="utf-8").replace("[logparser]\n", named), encoding="utf-8")
        sender.restart("logparser")


@contextlib.contextmanager
def running_edges(
    folder: Path, database_url: str, count: int, options: Options = ORDINARY, *, relayed: bool = True
) -> Iterator[Edges]:
    """So many edges on this empty PostgreSQL database.

    Args:
        folder: an empty one, or none yet.
        database_url: of a server on loopback.
        count: of the edges.
        options: of each, except for its name and its database.
        relayed: on a way to the database that can be taken away; else straight.
    """
    server = _SERVER.search(database_url)
    assert server is not None, "a PostgreSQL on 127.0.0.1"
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:

        def start(number: int, first: Edge | None) -> Edge:
            address = stack.enter_context(_own_address())
            relay = TcpRelay(address, (server[1], int(server[2])))
            stack.callback(relay.close)
            own = dataclasses.replace(
                options,
                hostname=HOSTNAME.replace("1", str(number), 1),
                database_url=_SERVER.sub(f"@{address}:{relay.port}/", database_url) if relayed else database_url,
                joins=first.installation if first else None,
            )
            edge = Edge(folder / f"edge{number}", own, relay, address)
            stack.callback(edge.stop)
            return edge

        first = start(1, None)
        with ThreadPoolExecutor(count) as pool:
            others = list(pool.map(lambda number: start(number, first), range(2, count + 1)))
        yield Edges([first, *others], database_url)


@contextlib.contextmanager
def _own_address() -> Iterator[str]:
    """An address on the loopback interface that no test beside this one has."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as lock:
        while True:
            address = f"{_NETWORK}.{random.randrange(256)}.{random.randrange(1, 255)}"
            with contextlib.suppress(OSError):
                lock.bind(f"\0sendproof-address-{address}")
                break
        _ip("address", "replace", address)
        try:
            yield address
        finally:
            _ip("address", "del", address)


def _ip(*words: str) -> None:
    _run("ip", *words, "dev", "lo")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_COMMAND_SECONDS)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr or done.stdout}"


def _reload(made: Installation) -> None:
    _run("/usr/sbin/postfix", "-c", str(made.postfix_config), "reload")


def _answers(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), 1):
        return True
    return False


def _processes() -> Iterator[tuple[int, int, str]]:
    """(pid, process group, name) of every process."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            before, _, after = (folder / "stat").read_text(errors="replace").rpartition(")")
            yield int(folder.name), int(after.split()[2]), before.partition("(")[2]
