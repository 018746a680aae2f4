"""``[logparser]``: what the logparser reads, and how."""

import dataclasses
from pathlib import Path
from typing import ClassVar

from sendproof_core.settings import setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogparserSettings:
    """The logparser's settings."""

    TABLE: ClassVar = "logparser"
    maillogs: tuple[Path, ...] = setting(
        "Postfix's log files (maillog_file, or the system log's mail.log).", default=()
    )
    journals: tuple[Path, ...] = setting("The journals of the milter and the site on this machine.", default=())
    journald: bool = setting(
        "Read the mail facility of systemd's journal, by journalctl; for a Postfix that logs nowhere else.",
        default=False,
    )
    journald_directory: str = setting(
        "Where journal files are that are not this machine's own; empty: the system's journal.", default=""
    )
    poll_seconds: float = setting(
        "How often to look at the files when no notification of a change came.", default=1.0, at_least=0.05, at_most=60
    )
    rotation_grace_seconds: float = setting(
        "How long a renamed log file is read on after its successor appeared; Postfix gzips it after a minute.",
        default=2.0,
        at_least=0,
        at_most=50,
    )
    time_zone: str = setting(
        "Zone of time stamps that name none, such as Europe/Berlin; empty: this machine's.", default=""
    )
    host_labels: tuple[str, ...] = setting(
        "Other names under which the mail log speaks of this machine than the first label of [host] name.", default=()
    )
    own_addresses: tuple[str, ...] = setting(
        "Addresses to which Postfix hands mail that comes back (content filters, other instances). What is handed"
        " to a loopback address counts as handed on where the log shows that it came back; to one that is named here,"
        " always.",
        default=(),
    )
    edges: tuple[str, ...] = setting(
        "Addresses of our other edges whose mail logs are in the same database. What one of them has taken over is on"
        " its way until that edge's log says more. An edge that is not named here counts as a receiving server until"
        " its log shows that the mail went on there.",
        default=(),
    )
    metrics: str = setting("host:port where Prometheus finds the numbers at /metrics; empty: nowhere.", default="")
