"""The processes of a sandbox's milter, as the kernel knows them."""

import contextlib
import re
from pathlib import Path

from sendproof_testing.sandbox import Sandbox

_KEEPER = re.compile(r"event=keeper-started pid=(\d+)")


def workers(sandbox: Sandbox) -> list[int]:
    """The pids of those that take sessions."""
    return [pid for pid in _children(sandbox) if pid not in _keepers(sandbox)]


def keeper(sandbox: Sandbox) -> int | None:
    """The pid of the one that reconciles, if it lives."""
    return next((pid for pid in _children(sandbox) if pid in _keepers(sandbox)), None)


def _children(sandbox: Sandbox) -> list[int]:
    parent = sandbox.programs["milter"].process.pid
    with contextlib.suppress(OSError):
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    return []


def _keepers(sandbox: Sandbox) -> set[int]:
    log = sandbox.programs["milter"].log.read_text(errors="replace")
    return {int(pid) for pid in _KEEPER.findall(log)}
