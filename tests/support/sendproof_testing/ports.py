"""Free ports on loopback for one sandbox, so that parallel sandboxes never meet.

Blocks below the kernel's range for outgoing connections (32768 and up), each locked by an abstract unix socket that
vanishes with its process.
"""

import random
import socket
from collections.abc import Iterator
from contextlib import closing

from sendproof_core.errors import UserError

ADDRESS = "127.0.0.1"
BLOCK = 16
_FIRST, _LAST = 18000, 32000


class PortBlock:
    """`BLOCK` ports that are ours until `release`."""

    def __init__(self, base: int | None = None) -> None:
        """Take the block at ``base``, or any free one.

        Raises:
            UserError: a port of the named block is in use, or no block is free.
        """
        candidates = [base] if base is not None else _shuffled_bases()
        for first in candidates:
            lock = _lock(first)
            if lock is None:
                continue
            if all(_is_free(port) for port in range(first, first + BLOCK)):
                self._lock = lock
                self._ports: Iterator[int] = iter(range(first, first + BLOCK))
                return
            lock.close()
        if base is not None:
            raise UserError(f"a port from {base} to {base + BLOCK - 1} is in use; name another --base-port.")
        raise UserError("no free block of ports on 127.0.0.1; end what listens there.")

    def take(self) -> int:
        """The next port of the block."""
        return next(self._ports)

    def release(self) -> None:
        """Let others have the block."""
        self._lock.close()


def _shuffled_bases() -> list[int]:
    bases = list(range(_FIRST, _LAST, BLOCK))
    random.shuffle(bases)
    return bases


def _lock(first: int) -> socket.socket | None:
    lock = socket.socket(socket.AF_UNIX)
    try:
        lock.bind(f"\0sendproof-ports-{first}")
    except OSError:
        lock.close()
        return None
    return lock


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True
