"""Every check that is quick, side by side, each with its verdict and time; the output of those that failed.

Starts no server. `make test` begins with it.
"""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

BIN = Path(sys.executable).parent
COMPONENTS = ["core", "milter", "logparser", "web", "notices"]

CHECKS = {
    "format": ["ruff", "format", "--check", "."],
    "lint": ["ruff", "check", "."],
    "types": ["mypy"],
    "contracts": ["lint-imports"],
    "dependencies": ["deptry", *COMPONENTS],
    "dead code": ["vulture"],
    "fast tests": [
        "pytest", "-q", "-n", "2", "--dist", "loadfile", "tests",
        "-m", "not integration and not browser and not postgres",
    ],
}  # fmt: skip


def run(command: list[str]) -> tuple[int, str, float]:
    """Status, output and seconds of one check."""
    began = time.monotonic()
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
    return done.returncode, done.stdout, time.monotonic() - began


def main() -> int:
    """Run all; 1 if one failed."""
    failed = False
    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        # The longest first: the others run beside it.
        order = sorted(CHECKS, key=lambda name: name not in ("fast tests", "types"))
        running = {pool.submit(run, CHECKS[name]): name for name in order}
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
