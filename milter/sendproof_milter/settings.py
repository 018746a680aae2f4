"""``[milter]`` in sendproof.toml."""

import typing
from dataclasses import dataclass
from pathlib import Path

from sendproof_core.settings import setting


@dataclass(frozen=True, kw_only=True)
class MilterSettings:
    """How the milter runs."""

    TABLE: typing.ClassVar = "milter"
    socket: Path = setting("Unix socket that Postfix connects to; its folder must exist.")
    socket_group: str = setting("Group that may connect: Postfix's.", default="postfix")
    journal: Path = setting("The milter's journal; the logparser reads it.")
    snapshot: Path = setting(
        "Copy of the directory for when the database is away; its folder must exist.",
        default=Path("/var/lib/sendproof/milter-directory.snapshot"),
    )
    split: bool = setting(
        "Mail with a pixel to several recipients goes out as one copy for each; Postfix needs the services "
        "sendproof-split and sendproof-resubmit (postfix-conf).",
        default=False,
    )
    quota_when_unavailable: str = setting(
        "While the database is away: tempfail answers 451, accept lets mail out and charges it later.",
        default="tempfail",
        choices=("tempfail", "accept"),
    )
    metrics: str = setting("host:port where Prometheus finds the numbers at /metrics; empty: nowhere.", default="")
    keeper_seconds: float = setting(
        "How often charges are compared with the record and the snapshot is written.",
        default=60.0,
        at_least=1,
        at_most=3600,
    )
    journal_synchronous: bool = setting("Write each journal line to disk before the reply.", default=True)
    workers: int = setting("Processes that take sessions; one per core is right.", default=2, at_least=1, at_most=64)
    threads: int = setting("Messages that one process works on at once.", default=8, at_least=1, at_most=64)
    messages_per_worker: int = setting(
        "After about so many messages a process is replaced (libmilter loses a few octets a message).",
        default=50_000,
        at_least=100,
    )
    message_seconds: float = setting(
        "A message that takes longer is answered 451; below Postfix's milter_content_timeout (120 s, postfix-conf).",
        default=60.0,
        at_least=1,
        at_most=110,
    )
    verify_every: int = setting(
        "Every n-th message's signature is verified by dkimpy after the reply; 0: none.", default=100, at_least=0
    )
