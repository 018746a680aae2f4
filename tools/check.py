"""Every check that is quick, side by side, each with its verdict and time; the output of those that failed.

Starts no server. `make test` begins with it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

BIN = Path(sys.executable).parent
COMPONENTS = ["core", "milter", "logparser", "web", "notices", "postfix-conf"]

CHECKS = {
    "format": ["ruff", "format", "--check", "."],
    "lint": ["ruff", "check", "."],
    "types": ["mypy"],
    "contracts": ["lint-imports"],
    "dependencies": ["deptry", *COMPONENTS],
    "dead code": ["vulture"],
    "fast tests": [
        "pytest", "-q", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "tests",
        "-m", "not integration and not browser and not postgres",
    ],
}  # fmt: skip


# Most of the quick tests' time on a disk is waiting for it: their databases are in memory where that is possible.
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
_OCTETS = 1 << 30


def run(command: list[str], temporary: str) -> tuple[int, str, float]:
    """Status, output and seconds of one check. ``temporary``: a folder for what it needs meanwhile."""
    began = time.monotonic()
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env={**os.environ, "NO_COLOR": "1", "PYTEST_DEBUG_TEMPROOT": temporary},
    )
    return done.returncode, done.stdout, time.monotonic() - began


def _in_memory() -> Path | None:
    """A folder that is in memory and has room; containers often have one that is small."""
    try:
        return _MEMORY if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _OCTETS else None
    except OSError:
        return None


def main() -> int:
    """Run all; 1 if one failed."""
    failed = False
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(dir=_in_memory()) as temporary,
        ThreadPoolExecutor(2) as pool,
    ):
        # The longest first: the others run beside it.
        order = sorted(CHECKS, key=lambda name: name not in ("fast tests", "types"))
        running = {pool.submit(run, CHECKS[name], temporary): name for name in order}
        for future in as_completed(running):
            status, output, seconds = future.result()
            verdict = "ok" if status == 0 else "FAILED"
            last = output.strip().splitlines()[-1:] if running[future] == "fast tests" else []
            sys.stdout.write(f"{running[future]:<14} {verdict:<7} {seconds:5.1f} s  {' '.join(last)}\n")
            if status != 0:
                failed = True
                sys.stdout.write(output + "\n")
            sys.stdout.flush()
    sys.stdout.write(f"{'all':<14} {'FAILED' if failed else 'ok':<7} {time.monotonic() - began:5.1f} s\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
