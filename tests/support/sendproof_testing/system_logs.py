"""What rsyslogd and journald make of a mail log's lines, as if Postfix had logged through them.

Private processes in a folder: no service is started, and nothing of the machine's own logs is touched.
"""

import datetime as dt
import re
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sendproof_core.errors import UserError
from sendproof_testing import processes

_RSYSLOGD = Path("/usr/sbin/rsyslogd")
_JOURNAL_REMOTE = Path("/lib/systemd/systemd-journal-remote")
_PATIENCE_SECONDS = 30.0
# util/msg_logger.c
_LINE = re.compile(rb"(\w{3} [ \d]\d \d\d:\d\d:\d\d) (\S+) ([^\s\[]+)\[(\d+)\]: (.*)")
_PRIORITY = 22  # facility mail, severity info
_STEP = dt.timedelta(microseconds=7)

_RSYSLOG_CONF = """\
global(workDirectory="{folder}" localHostname="{host}")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{folder}/socket" UseSysTimeStamp="off" IgnoreTimestamp="off" RateLimit.Interval="0")
action(type="omfile" file="{folder}/traditional.log" template="RSYSLOG_TraditionalFileFormat")
action(type="omfile" file="{folder}/rfc3339.log" template="RSYSLOG_FileFormat")
"""


@dataclass(frozen=True)
class Logged:
    """One message as a program gave it to the system log."""

    at: dt.datetime
    host: str
    program: str
    pid: int
    text: bytes


def as_logged(lines: Sequence[bytes], written_at: dt.datetime) -> list[Logged]:
    """The messages behind postlogd's lines, whose stamps are UTC; in each second a little later, one after the other.

    ``written_at``: about when they were written.
    """
    found: list[Logged] = []
    for match in map(_LINE.fullmatch, lines):
        assert match, "not written by postlogd"
        stamp, host, program, pid, words = match.groups()
        at = dt.datetime.strptime(f"{written_at.year} {stamp.decode()} +0000", "%Y %b %d %H:%M:%S %z")
        if found and found[-1].at.replace(microsecond=0) == at:
            at = found[-1].at + _STEP
        found.append(Logged(at, host.decode(), program.decode(), int(pid), words))
    return found


def through_rsyslog(messages: Sequence[Logged], folder: Path) -> tuple[Path, Path]:
    """Two files that rsyslogd writes: in its traditional form, and in that of RFC 3339.

    Raises:
        UserError: rsyslog is not installed, or does not start.
    """
    if not _RSYSLOGD.exists():
        raise UserError("the Debian package rsyslog is missing; `make setup-test` installs it.")
    configuration = folder / "rsyslog.conf"
    configuration.write_text(_RSYSLOG_CONF.format(folder=folder, host=messages[0].host))
    command = [str(_RSYSLOGD), "-n", "-f", str(configuration), "-i", str(folder / "rsyslogd.pid")]
    program = processes.start("rsyslogd", command, folder / "rsyslogd.out")
    files = (folder / "traditional.log", folder / "rfc3339.log")
    try:
        _send(program, folder / "socket", messages)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while any(not file.exists() or file.read_bytes().count(b"\n") < len(messages) for file in files):
            assert time.monotonic() < deadline, f"rsyslogd did not write every line: {program.last_words()}"
            time.sleep(0.05)
    finally:
        program.end()
    return files


def through_journald(messages: Sequence[Logged], folder: Path) -> Path:
    """A folder with a journal of these messages, as systemd-journald would have kept them.

    Raises:
        UserError: systemd-journal-remote is not installed.
    """
    if not _JOURNAL_REMOTE.exists():
        raise UserError("the Debian package systemd-journal-remote is missing; `make setup-test` installs it.")
    journal = folder / "journal"
    journal.mkdir()
    exported = b"".join(_exported(message, number) for number, message in enumerate(messages))
    command = [str(_JOURNAL_REMOTE), f"--output={journal}/system.journal", "-"]
    subprocess.run(command, input=exported, check=True, capture_output=True, timeout=_PATIENCE_SECONDS)
    return journal


def _send(program: processes.Program, path: Path, messages: Sequence[Logged]) -> None:
    """As syslog(3) does."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not path.exists():
        if not program.running or time.monotonic() > deadline:
            raise UserError(f"rsyslogd does not start: {program.last_words()}")
        time.sleep(0.02)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.connect(str(path))
        for message in messages:
            tag = f"<{_PRIORITY}>{message.at.isoformat(timespec='microseconds')} {message.program}[{message.pid}]: "
            log.send(tag.encode() + message.text)


def _exported(message: Logged, number: int) -> bytes:
    """The Journal Export Format of systemd."""
    microseconds = int(message.at.timestamp()) * 1_000_000 + message.at.microsecond
    fields = {
        "__REALTIME_TIMESTAMP": microseconds,
        "__MONOTONIC_TIMESTAMP": number + 1,
        "_BOOT_ID": "00112233445566778899aabbccddeeff",
        "_TRANSPORT": "syslog",
        "_HOSTNAME": message.host,
        "_PID": message.pid,
        "PRIORITY": 6,
        "SYSLOG_FACILITY": 2,
        "SYSLOG_IDENTIFIER": message.program,
        "SYSLOG_PID": message.pid,
    }
    head = "".join(f"{name}={value}\n" for name, value in fields.items())
    return head.encode() + b"MESSAGE=" + message.text + b"\n\n"
