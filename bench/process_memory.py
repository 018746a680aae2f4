"""Memory of other processes, from /proc (proc(5), smaps_rollup). Knows nothing of what they do."""

import re
from dataclasses import dataclass
from pathlib import Path

_LINE = re.compile(r"^(Rss|Pss|Private_Clean|Private_Dirty):\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True)
class Held:
    """Megabytes of several processes together.

    ``private``: nobody else has these pages. ``proportional``: a page that several have counts in parts (PSS), so that
    the sum over all processes of a machine is what is in use.
    """

    private: float
    proportional: float


def held(*roots: int) -> Held:
    """By these processes and all their descendants."""
    tree = set(roots)
    for pid in roots:
        tree |= _descendants(pid)
    private = proportional = 0
    for pid in tree:
        try:
            found = dict(_LINE.findall(Path(f"/proc/{pid}/smaps_rollup").read_text()))
        except OSError:  # it has ended
            continue
        private += int(found["Private_Clean"]) + int(found["Private_Dirty"])
        proportional += int(found["Pss"])
    return Held(private / 1024, proportional / 1024)


def _descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            pids = [int(child) for child in children.read_text().split()]
        except OSError:
            continue
        for child in pids:
            found |= {child} | _descendants(child)
    return found
