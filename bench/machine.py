"""What a measurement ran on: the processor, and the versions of Debian's packages. Measures nothing."""

import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """``versions``: upstream's, by package."""

    processor: str
    cores: int
    versions: dict[str, str]


def this_machine(packages: Iterable[str]) -> Machine:
    """Ours, with those of these packages that are installed."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    versions = {package: _version(package) for package in packages}
    return Machine(names[0] if names else "an unnamed processor", len(os.sched_getaffinity(0)), versions)


def _version(package: str) -> str:
    """Without Debian's revision; empty if the package is not installed."""
    command = ["dpkg-query", "-W", "-f", "${Version}", package]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.rpartition("-")[0]
