"""CPU time and memory of other processes, from /proc (proc(5)). Knows nothing of what they do."""

import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_LOOK_SECONDS = 0.02
_LAST_WORDS_OCTETS = 500
REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Run:
    """What a command took, its start included."""

    wall_seconds: float
    cpu_seconds: float
    peak_megabytes: float


def tree_cpu_seconds(root: int) -> float:
    """User and system time of a process and its descendants, those included that have ended and were waited for."""
    parents, seconds = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # The second field, the program's name in parentheses, may hold blanks and parentheses.
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        pid = int(folder.name)
        parents[pid] = int(fields[1])
        seconds[pid] = sum(map(int, fields[11:15])) / _TICKS_PER_SECOND  # utime stime cutime cstime
    tree = {root}
    while grown := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= grown
    return sum(seconds[pid] for pid in tree if pid in seconds)


def timed(command: list[str]) -> Run:
    """Run a command of one process to its end.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    cpu_before, began = _children_cpu_seconds(), time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=REPOSITORY) as process:
        peak_kilobytes = 0
        while process.poll() is None:
            peak_kilobytes = max(peak_kilobytes, _peak_kilobytes(process.pid))
            time.sleep(_LOOK_SECONDS)
        wall_seconds = time.perf_counter() - began
        words = process.stderr.read() if process.stderr else b""
    if process.returncode != 0:
        sys.stderr.write(words[-_LAST_WORDS_OCTETS:].decode("utf-8", "replace"))
        raise subprocess.CalledProcessError(process.returncode, command)
    return Run(wall_seconds, _children_cpu_seconds() - cpu_before, peak_kilobytes / 1024)


def _children_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _peak_kilobytes(pid: int) -> int:
    """VmHWM. Not getrusage's ru_maxrss: that begins with what its parent had when it was forked."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0  # it has ended and waits for us
