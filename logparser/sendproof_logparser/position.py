"""How far a file was read, as a value. Pure: `tail` finds positions, `store` keeps them."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Position:
    """How far a file was read: which file (SHA-256 of its first octets), and the offset of the next unread line.

    In a compressed file, octets are those of the text. ``cursor``: the system journal's name of the last line, where
    that is the source; what names a file then says nothing.
    """

    fingerprint: str
    fingerprint_octets: int
    inode: int
    offset: int
    cursor: str | None = None


def fingerprint_of(head: bytes) -> str:
    """What names a file that begins with these octets."""
    return hashlib.sha256(head).hexdigest()
