"""Start programs, wait on their sockets, end them: only those that were started here, by pid."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from sendproof_core.errors import UserError

# Told by a pipe: a pid for each program that was started; "over" when all were ended. If the pipe closes without
# that, the sandbox was killed, and its programs are ended for it. (PR_SET_PDEATHSIG is lost when a program changes its
# user, as Postfix's and postgrey's do.)
_GUARDIAN = """
while read -r word; do
    [ "$word" = over ] && exit 0
    programs="$programs $word"
done
for pid in $programs; do kill -s TERM -- "-$pid" 2>/dev/null; done
for pid in $programs; do
    for round in 1 2 3 4 5 6 7 8 9 10; do kill -s 0 -- "-$pid" 2>/dev/null || continue 2; sleep 0.5; done
    kill -s KILL -- "-$pid" 2>/dev/null
done
"""


class Guardian:
    """Ends the programs of a sandbox that is killed."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _GUARDIAN],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch(self, pid: int) -> None:
        """From now on this program ends with us."""
        self._tell(str(pid))

    def dismiss(self) -> None:
        """Every program has been ended."""
        self._tell("over")
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, word: str) -> None:
        if self._process.stdin:
            self._process.stdin.write(f"{word}\n".encode())
            self._process.stdin.flush()


@dataclass
class Program:
    """A running program and where it writes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def running(self) -> bool:
        """Whether it has not ended by itself."""
        return self.process.poll() is None

    def last_words(self) -> str:
        """The end of what it wrote, for an error message."""
        with contextlib.suppress(OSError):
            return " / ".join(self.log.read_text(errors="replace").strip().splitlines()[-3:])
        return ""

    def end(self, seconds: float = 20.0) -> None:
        """SIGTERM, then SIGKILL to its whole session."""
        if self.running:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


def start(name: str, command: list[str], log: Path) -> Program:
    """Start a program in a session of its own, its output in ``log``.

    Raises:
        UserError: the program is not installed.
    """
    with log.open("ab") as output:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise UserError(f"{command[0]} is not installed; `make setup` installs what the sandbox needs.") from None
    return Program(name, process, log)


def wait_for_tcp(program: Program, port: int, seconds: float) -> None:
    """Return when something answers on the port.

    Raises:
        UserError: the program ended, or time ran out.
    """
    _wait(program, ("127.0.0.1", port), socket.AF_INET, f"port {port}", seconds)


def wait_for_unix(program: Program, path: Path, seconds: float) -> None:
    """Return when something answers on the unix socket. Raises as `wait_for_tcp`."""
    _wait(program, str(path), socket.AF_UNIX, str(path), seconds)


def _wait(program: Program, address: object, family: int, words: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.closing(socket.socket(family)) as probe:
            probe.settimeout(1.0)
            with contextlib.suppress(OSError):
                probe.connect(address)  # type: ignore[arg-type] # a tuple or a path, as the family wants
                return
        if not program.running:
            raise UserError(f"{program.name} ended with status {program.process.returncode}: {program.last_words()}")
        if time.monotonic() > deadline:
            raise UserError(f"{program.name} does not answer on {words} after {seconds:.0f} s: {program.last_words()}")
        time.sleep(0.01)
