"""A whole private Sendproof on loopback: ``python -m sendproof_testing.sandbox --dir DIR --keep``.

Submission Postfix, Dovecot, milter, logparser, site, notices, receiving servers that accept, greylist, refuse or cannot
be reached, a DNS server that a test writes records for. Touches nothing outside its folder, ends only what it started.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from sendproof_core import clock
from sendproof_core.database import Database, open_database
from sendproof_core.errors import UserError, guarded
from sendproof_testing import dns_zone, installation, processes
from sendproof_testing.installation import Installation, Keys, Options
from sendproof_testing.ports import PortBlock
from sendproof_testing.processes import Program

Wait = Callable[[], None]
ORDINARY = Options()

_POSTFIX_DAEMONS = Path("/usr/lib/postfix/sbin")
# A unix socket's path has 107 octets at the most, and Dovecot's names are long.
_LONGEST_HOME = 60
_START_SECONDS = 60.0
_LOOK_EVERY_SECONDS = 0.5
# However many edges there are: the site, the notices, and what stands for the world outside.
_ONCE = ("postgrey", "receiver", "notices", "web")
# They refuse an older schema: a test starts them (`Sandbox.restart`) when it has brought the database up to date.
_NEWEST_ONLY = ("notices", "web")
_NEEDED = {
    "postfix": "/usr/sbin/postfix",
    "dovecot-core": "/usr/sbin/dovecot",
    "postgrey": "/usr/sbin/postgrey",
}


class Sandbox:
    """One running installation."""

    def __init__(self, folder: Path, options: Options = ORDINARY) -> None:
        """Lay it out in ``folder`` (made if missing, else empty) and start everything.

        Raises:
            UserError: no root, a package missing, a port in use, a program that does not start.
        """
        _check_machine()
        self._ports = PortBlock(options.base_port)
        self.folder = _empty_folder(folder)
        self._home, self._moved = _suitable_home(self.folder)
        self.programs: dict[str, Program] = {}
        self._guardian = processes.Guardian()
        self._servers = contextlib.ExitStack()
        try:
            self.installation = Installation(self._home, options, self._ports, clock.now())
            if options.joins is None:
                # What the site finds in DNS: the provider's own records, and whatever a test publishes.
                self.dns = self._servers.enter_context(dns_zone.running(self.installation.dns_port))
                self.dns.set(installation.SPF_INCLUDE, "TXT", "v=spf1 ip4:127.0.0.1 -all")
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything that was started and wait until it is gone: first what writes logs, then what reads them."""
        readers = ("logparser", "web", "notices")
        writers = [name for name in self.programs if name not in readers]
        for names in (writers, readers):
            with ThreadPoolExecutor(len(self._starters())) as pool:
                list(pool.map(Program.end, [self.programs[name] for name in names if name in self.programs]))
        self.programs.clear()
        self._servers.close()
        self._guardian.dismiss()
        self._ports.release()
        if self._moved:
            self._move_back()

    def database(self) -> Database:
        """A connection of the caller's own; close it."""
        return open_database(self.installation.database_url)

    def restart(self, name: str) -> Program:
        """Start a program anew that has ended or was killed; returns when it answers."""
        program = self.programs.get(name)
        if program is not None and program.running:
            program.end()
        self._starters()[name]()()
        return self.programs[name]

    def revive(self) -> list[str]:
        """Start again what has died, as systemd would (`Restart=always`); the names."""
        dead = [name for name, program in self.programs.items() if not program.running]
        for name in dead:
            self.restart(name)
        return dead

    def command(self, *arguments: str) -> list[str]:
        """The argument list of a `sendproof` call on this installation."""
        return [str(_script("sendproof")), "--config", str(self.installation.config), *arguments]

    def description(self) -> dict[str, object]:
        """Everything that a program needs to use the sandbox."""
        made = self.installation
        return {
            "submission_port": made.submission_port,
            "submissions_port": made.submissions_port,
            "login": made.login.login,
            "password": made.login.password,
            "address": made.login.address,
            "web_url": made.web_url,
            "tracking_url": made.tracking_url,
            "other": {"login": made.other.login, "password": made.other.password, "address": made.other.address},
            "provider": {
                "login": made.provider.login,
                "password": made.provider.password,
                "address": made.provider.address,
            },
            "maillog": str(made.maillog),
            "milter_socket": str(made.milter_socket),
            "database_url": made.database_url,
            "postfix_config": str(made.postfix_config),
            "mx_port": made.mx_port,
            "greylist_port": made.greylist_port,
            "refuse_port": made.refuse_port,
            "unreachable_port": made.unreachable_port,
            "web_port": made.web_port,
            "config": str(made.config),
            "milter_journal": str(made.home / "journal" / "milter.journal"),
            "web_journal": str(made.home / "journal" / "web.journal"),
            "receiver_config": str(made.receiver_config),
            "receiver_maillog": str(made.receiver_maillog),
            "received_mail": str(made.mail_folder),
            "receivers": {
                "accept": installation.ACCEPT,
                "greylist": installation.GREYLIST,
                "refuse": installation.REFUSE,
                "unreachable": installation.UNREACHABLE,
            },
            "dkim_public_keys": str(made.public_keys),
            "certificate": str(made.certificate),
            "folder": str(made.home),
            **{f"{name}_pid": program.process.pid for name, program in self.programs.items()},
            "pid": os.getpid(),
        }

    def _starters(self) -> dict[str, Callable[[], Wait]]:
        """How each program is started; each returns how to wait until it answers."""
        return {
            "milter": self._start_milter,
            "postgrey": self._start_postgrey,
            "receiver": lambda: self._start_postfix("receiver", self.installation.mx_port),
            "dovecot": self._start_dovecot,
            "postfix": lambda: self._start_postfix("postfix", self.installation.submission_port),
            "logparser": lambda: self._start_reader("logparser"),
            "notices": lambda: self._start_reader("notices"),
            "web": self._start_web,
        }

    def _start(self) -> None:
        made = self.installation
        is_further_edge = made.options.joins is not None
        configs = (made.postfix_config,) if is_further_edge else (made.postfix_config, made.receiver_config)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(_prepare_postfix, configs))
        left_out = _ONCE if is_further_edge else _NEWEST_ONLY if self.installation.options.schema != "head" else ()
        starters = [start for name, start in self._starters().items() if name not in left_out]
        # All are started before the first is waited for: they come up side by side.
        for wait in [start() for start in starters]:
            wait()

    def _run(self, name: str, *command: str) -> Program:
        program = processes.start(name, list(command), self.installation.home / "log" / f"{name}.out")
        self._guardian.watch(program.process.pid)
        self.programs[name] = program
        return program

    def _run_ours(self, name: str) -> Program:
        return self._run(name, str(_script(f"sendproof-{name}")), "--config", str(self.installation.config))

    def _start_milter(self) -> Wait:
        program = self._run_ours("milter")
        return lambda: processes.wait_for_unix(program, self.installation.milter_socket, _START_SECONDS)

    def _start_web(self) -> Wait:
        program = self._run_ours("web")
        return lambda: processes.wait_for_tcp(program, self.installation.web_port, _START_SECONDS)

    def _start_reader(self, name: str) -> Wait:
        program = self._run_ours(name)

        def wait() -> None:
            if not program.running:
                raise UserError(f"{name} ended with status {program.process.returncode}: {program.last_words()}")

        return wait

    def _start_dovecot(self) -> Wait:
        program = self._run("dovecot", "/usr/sbin/dovecot", "-F", "-c", str(self.installation.dovecot_config))
        return lambda: processes.wait_for_unix(program, self.installation.sasl_socket, _START_SECONDS)

    def _start_postgrey(self) -> Wait:
        made = self.installation
        program = self._run(
            "postgrey",
            "/usr/sbin/postgrey",
            f"--unix={made.postgrey_socket}",
            f"--dbdir={made.home / 'postgrey'}",
            f"--pidfile={made.home / 'run' / 'postgrey.pid'}",
            f"--delay={made.options.greylist_seconds}",
            "--auto-whitelist-clients=0",
            "--hostname=mx.greylist.example",
        )
        return lambda: processes.wait_for_unix(program, made.postgrey_socket, _START_SECONDS)

    def _start_postfix(self, name: str, port: int) -> Wait:
        config = self.installation.home / name
        program = self._run(name, str(_POSTFIX_DAEMONS / "master"), "-d", "-c", str(config))
        return lambda: processes.wait_for_tcp(program, port, _START_SECONDS)

    def _move_back(self) -> None:
        """The evidence goes where the caller wanted it."""
        (self.folder / "installation").unlink(missing_ok=True)
        for path in self._home.rglob("*"):
            if path.is_socket() or path.is_fifo():  # these cannot go to another file system
                path.unlink()
        for path in self._home.iterdir():
            shutil.move(path, self.folder / path.name)
        self._home.rmdir()


@contextlib.contextmanager
def running(folder: Path, options: Options = ORDINARY) -> Iterator[Sandbox]:
    """A sandbox for the length of a ``with`` block."""
    sandbox = Sandbox(folder, options)
    try:
        yield sandbox
    finally:
        sandbox.stop()


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise UserError("the sandbox starts Postfix and Dovecot, which need root; run it as root.")
    for package, program in _NEEDED.items():
        if not Path(program).exists():
            raise UserError(f"the Debian package {package} is missing; `make setup` installs it.")


def _empty_folder(folder: Path) -> Path:
    folder = folder.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not an empty folder; name one that is empty or does not exist.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made: {error.strerror}.") from None
    if folder.stat().st_uid != os.geteuid():
        raise UserError(f"{folder} belongs to another user, who could meddle with it; name a folder of your own.")
    return folder


def _suitable_home(folder: Path) -> tuple[Path, bool]:
    """Where the installation can live: the daemons' users must reach it, and socket paths have a limit.

    If that is not the folder, a short one in the system's temporary folder, with a link to it; its contents are moved
    to the folder at the end.
    """
    reachable = all(parent.stat().st_mode & 0o001 for parent in folder.parents)
    if reachable and len(str(folder)) <= _LONGEST_HOME:
        folder.chmod(0o755)
        return folder, False
    home = Path(tempfile.mkdtemp(prefix="sendproof-"))
    home.chmod(0o755)
    (folder / "installation").symlink_to(home)
    return home, True


def _prepare_postfix(config: Path) -> None:
    """Make the queue's folders and let Postfix judge its configuration."""
    done = subprocess.run(
        ["/usr/sbin/postfix", "-c", str(config), "check"], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode != 0:
        raise UserError(f"`postfix check` refuses {config}: {done.stderr.strip() or done.stdout.strip()}")


def _script(name: str) -> Path:
    """A program of the environment that runs us."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise UserError(f"{path} is missing; `make setup` installs it.")
    return path


@click.command()
@click.option("--dir", "folder", type=click.Path(path_type=Path), help="An empty folder; a temporary one without it.")
@click.option("--keep", is_flag=True, help="Leave the folder's files in place at the end.")
@click.option("--keys", type=click.Choice(list(Keys)), default=Keys.BOTH, show_default=True)
@click.option("--recipients-per-day", type=click.IntRange(1), default=Options.recipients_per_day, show_default=True)
@click.option("--tracking/--no-tracking", default=True, show_default=True)
@click.option("--time-zone", default="UTC", show_default=True, help="The account's.")
@click.option("--database-url", help="An empty PostgreSQL database instead of SQLite.")
@click.option("--base-port", type=click.IntRange(1024, 65519), help="Use the 16 ports from here on.")
def _command(
    folder: Path | None,
    *,
    keep: bool,
    keys: Keys,
    recipients_per_day: int,
    tracking: bool,
    time_zone: str,
    database_url: str | None,
    base_port: int | None,
) -> None:
    """Start a sandbox, print one line of JSON, stay until SIGTERM or SIGINT."""
    options = Options(
        keys=Keys(keys),
        recipients_per_day=recipients_per_day,
        tracking=tracking,
        time_zone=time_zone,
        database_url=database_url,
        base_port=base_port,
    )
    guarded(lambda: _stay(folder, options, keep=keep))


def _stay(folder: Path | None, options: Options, *, keep: bool) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    where = folder or Path(tempfile.mkdtemp(prefix="sendproof-"))
    # A named folder is removed only after it was found empty and used: it might hold somebody's files.
    removable = folder is None
    try:
        with contextlib.suppress(_AskedToLeave), running(where, options) as sandbox:
            removable = not keep
            click.echo(json.dumps(sandbox.description()))
            while True:
                time.sleep(_LOOK_EVERY_SECONDS)
                for name in sandbox.revive():
                    click.echo(f"sandbox: started {name} again", err=True)
    finally:
        if removable:
            shutil.rmtree(where)


class _AskedToLeave(Exception):
    """SIGTERM or SIGINT arrived, also while starting: what was started is ended."""


def _leave(_number: int, _frame: object) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise _AskedToLeave


if __name__ == "__main__":
    _command()
