"""Whole Debian machines for a test: a tree of its own, systemd as PID 1, an address on a network of the test's own.

Namespaces of the kernel, no virtual machine: process ids, mounts, host name, network and cgroups are the machine's own;
the kernel and the clock are shared. Everything ends with the `Network`, also when the test is killed. Needs root.

    with running_network() as network:
        edge = network.start("edge1", "198.51.100.11")
        edge.run("apt-get", "install", "-y", "postfix")
"""

import contextlib
import ctypes
import os
import secrets
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sendproof_core.errors import UserError
from sendproof_testing.machine_trees import base_tree

# TEST-NET-2 (RFC 5737): nobody's real network. The first address is the test's own, on the switch.
OWN_ADDRESS = "198.51.100.1"
_PREFIX = 24
_BOOT_SECONDS = 60.0
_CLONE_NEWNET = 0x40000000

# A killed test takes its processes along: the kernel tells them.
_ENDING_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")

# The words after it: the tree below, a folder for what changes, the host name.
_BOOT = """
set -e
mount --make-rprivate /
mkdir -p $2/changes $2/work $2/root
mount -t overlay overlay -o lowerdir=$1,upperdir=$2/changes,workdir=$2/work $2/root
cd $2/root
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for number in 0:stdin 1:stdout 2:stderr; do ln -s fd/${number%:*} dev/${number#*:}; done
echo "$3" > etc/hostname
hostname "$3"
mkdir -p .before
pivot_root . .before
umount -l /.before
rmdir /.before
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    /lib/systemd/systemd --log-target=journal --show-status=0
"""


@dataclass
class Machine:
    """A running machine. ``pid``: its PID 1, as this machine numbers it."""

    name: str
    address: str
    pid: int
    _starter: subprocess.Popen[bytes]
    _cgroup: Path

    def run(
        self,
        *command: str,
        check: bool = True,
        text_input: str | None = None,
        seconds: float = 300.0,
        environment: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as root, without this process's environment.

        Raises:
            AssertionError: it failed and ``check`` is set; with its output.
        """
        words = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root", "USER": "root"}
        words |= {"DEBIAN_FRONTEND": "noninteractive", **(environment or {})}
        # env in the machine: what nsenter has is this machine's.
        pairs = [f"{name}={value}" for name, value in words.items()]
        done = subprocess.run(
            [*self._entering(), "/usr/bin/env", "-i", *pairs, *command],
            input=text_input,
            stdin=subprocess.DEVNULL if text_input is None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{self.name}: {' '.join(command)}: status {done.returncode}\n{done.stdout[-6000:]}")
        return done

    def path(self, inside: str) -> Path:
        """A path of the machine, as this machine reaches it. A symbolic link on the way leads astray: use `run`."""
        return Path(f"/proc/{self.pid}/root") / inside.lstrip("/")

    def put(self, inside: str, content: str | bytes | Path, mode: int = 0o644) -> None:
        """Write a file into it: text, octets, or a copy of a file; its folder is made."""
        target = self.path(inside)
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, target)
        else:
            target.write_bytes(content.encode() if isinstance(content, str) else content)
        target.chmod(mode)

    def install(self, *packages: str) -> None:
        """Install Debian packages: names of the trees' own repository, or paths in the machine."""
        self.run("apt-get", "install", "--yes", "--quiet", *packages)

    def wait_until(self, *command: str, seconds: float = 60.0) -> str:
        """Run a command until it succeeds; its output.

        Raises:
            AssertionError: it did not in time; with its last output.
        """
        deadline = time.monotonic() + seconds
        while True:
            done = self.run(*command, check=False)
            if done.returncode == 0:
                return done.stdout
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name}: {' '.join(command)}: not in {seconds:g} s\n{done.stdout[-6000:]}")
            time.sleep(0.2)

    def stop(self) -> None:
        """As a power failure would."""
        with contextlib.suppress(OSError):
            (self._cgroup / "cgroup.kill").write_text("1")
        self._starter.kill()
        self._starter.wait()
        _remove_cgroup(self._cgroup)

    def _entering(self) -> list[str]:
        return [*_ENDING_WITH_US, "nsenter", "--target", str(self.pid), "--all", "--"]


class Network:
    """A switch that machines are plugged into, and the test's own place on it (`OWN_ADDRESS`)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tree = base_tree()
        self._cgroups = _cgroup_root()
        self.machines: dict[str, Machine] = {}
        self._holder = subprocess.Popen(
            [*_ENDING_WITH_US, "unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL
        )
        _wait_for_own_network(self._holder.pid)
        self._ip("link", "set", "lo", "up")
        self._ip("link", "add", "switch", "type", "bridge", "forward_delay", "0")
        self._ip("address", "add", f"{OWN_ADDRESS}/{_PREFIX}", "dev", "switch")
        self._ip("link", "set", "switch", "up")

    def start(self, name: str, address: str) -> Machine:
        """Boot a machine; returns when systemd has started all of it. ``name``: its host name, with a domain.

        Raises:
            UserError: it did not boot.
        """
        short = name.partition(".")[0]
        cgroup = self._cgroups / f"sendproof-{secrets.token_hex(4)}-{short}"
        cgroup.mkdir()
        own = self._folder / short
        own.mkdir()
        log = own / "boot.log"
        words = ["sh", "-c", f'echo 0 > {cgroup}/cgroup.procs && exec "$@"', "sh"]
        words += ["unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--fork", "--kill-child=KILL"]
        with log.open("wb") as output:
            starter = subprocess.Popen(
                [*_ENDING_WITH_US, *words, "sh", "-c", _BOOT, "sh", str(self._tree), str(own), name],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        pid = _first_child(starter, log)
        machine = Machine(name, address, pid, starter, cgroup)
        self.machines[name] = machine
        self._plug_in(machine, f"port{len(self.machines)}")
        machine.wait_until("systemctl", "is-system-running", "--wait", seconds=_BOOT_SECONDS)
        self._introduce()
        return machine

    def run(
        self,
        *command: str,
        cwd: Path | None = None,
        environment: dict[str, str] | None = None,
        seconds: float = 300.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of this machine at the test's own place on the switch: output captured, status unchecked."""
        return subprocess.run(
            [*self.entering(), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            cwd=cwd,
            env={**os.environ, **environment} if environment else None,
            timeout=seconds,
        )

    def entering(self) -> list[str]:
        """The words before a command that is to run there."""
        return [*_ENDING_WITH_US, "nsenter", f"--net=/proc/{self._holder.pid}/ns/net", "--"]

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Sockets that this thread makes meanwhile are at the test's own place on the switch, also when used later."""
        with open(f"/proc/{self._holder.pid}/ns/net") as there, open(_own_network()) as here:  # noqa: PTH123 - no files
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(here.fileno())

    def stop(self) -> None:
        """End every machine, and the switch with them."""
        for machine in self.machines.values():
            machine.stop()
        self.machines.clear()
        self._holder.kill()
        self._holder.wait()

    def _plug_in(self, machine: Machine, port: str) -> None:
        self._ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(machine.pid))
        self._ip("link", "set", port, "master", "switch", "up")
        inside = ["nsenter", f"--net=/proc/{machine.pid}/ns/net", "--", "ip"]
        for words in (
            ["link", "set", "lo", "up"],
            ["address", "add", f"{machine.address}/{_PREFIX}", "dev", "eth0"],
            ["link", "set", "eth0", "up"],
        ):
            subprocess.run([*inside, *words], check=True)

    def _introduce(self) -> None:
        """Let all machines know each other's names."""
        lines = ["127.0.0.1 localhost"]
        lines += [f"{one.address} {one.name} {one.name.partition('.')[0]}" for one in self.machines.values()]
        for machine in self.machines.values():
            machine.put("/etc/hosts", "\n".join(lines) + "\n")

    def _ip(self, *words: str) -> None:
        done = self.run("ip", *words)
        if done.returncode != 0:
            raise UserError(f"ip {' '.join(words)}: {done.stdout.strip()}")


@contextlib.contextmanager
def running_network() -> Iterator[Network]:
    """A network without machines; afterwards nothing of it is left.

    Raises:
        UserError: no root, or the kernel lacks what machines need.
    """
    if os.geteuid() != 0:
        raise UserError("test machines need namespaces of the kernel: run the tests as root.")
    folder = Path(tempfile.mkdtemp(prefix="sendproof-machines-"))
    try:
        network = Network(folder)
        try:
            yield network
        finally:
            network.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _first_child(starter: subprocess.Popen[bytes], log: Path) -> int:
    children = Path(f"/proc/{starter.pid}/task/{starter.pid}/children")
    deadline = time.monotonic() + _BOOT_SECONDS
    while time.monotonic() < deadline and starter.poll() is None:
        with contextlib.suppress(OSError):
            found = children.read_text().split()
            # Its name changes when systemd has taken over from the shell that prepared the tree.
            if found and Path(f"/proc/{found[0]}/comm").read_text().strip() == "systemd":
                return int(found[0])
        time.sleep(0.02)
    starter.kill()
    raise UserError(f"a test machine did not boot: {log.read_text(errors='replace').strip()[-1000:]}")


def _wait_for_own_network(pid: int) -> None:
    ours = Path("/proc/self/ns/net").readlink()
    deadline = time.monotonic() + _BOOT_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/ns/net").readlink() != ours:
                return
        time.sleep(0.01)
    raise UserError("this kernel gives no network namespace.")


def _own_network() -> str:
    return f"/proc/self/task/{threading.get_native_id()}/ns/net"


def _enter(descriptor: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)  # os.setns is Python 3.12's
    if library.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _cgroup_root() -> Path:
    """Where control groups of version 2 are, beside those of version 1 or alone."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _source, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    raise UserError("test machines need control groups of version 2 (a mount of type cgroup2).")


def _remove_cgroup(cgroup: Path) -> None:
    deadline = time.monotonic() + 10
    while cgroup.exists():
        for folder, _folders, _files in os.walk(cgroup, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)
