"""A large mail log: what a sandbox's Postfix daemons wrote, multiplied.

Each copy has its own queue ids, process ids and times, as if the same traffic had come again: the copies follow each
other, and the last one is as it was written. Queue ids of receiving servers are left as they are.
"""

import datetime as dt
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from bench import clients, postfix_queue
from bench.clients import Clients

from sendproof_core import clock
from sendproof_testing import installation
from sendproof_testing.installation import Options
from sendproof_testing.sandbox import running

_MESSAGES = 400
# One in twenty is refused and bounces, so that there is more than success to read.
_RECIPIENTS = (*(f"anna{number}@{installation.ACCEPT}" for number in range(19)), f"cara@{installation.REFUSE}")
# util/msg_logger.c: "%b %d %H:%M:%S host tag[pid]: text"
_LINE = re.compile(rb"(\w{3} [ \d]\d \d\d:\d\d:\d\d) (\S+ [^\s\[]+)\[(\d+)\]: (.*)")
# global/mail_queue.h: seconds (base 52, 6 digits), microseconds (base 52, 4 digits), "z", the inode (base 51).
_DIGITS = b"0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
_QUEUE_ID = re.compile(rb"\b([%b]{6})([%b]{4}z[%b]{4,12})\b" % (_DIGITS, _DIGITS, _DIGITS[:-1]))
_BASE = len(_DIGITS)
# A word that is a queue id only by its looks decodes to any time, not to one near the log's.
_NEAR_SECONDS = 86_400
_DEBUG_PEER = re.compile(r"^  -o debug_peer_\w+=.*\n", re.MULTILINE)


def write(path: Path, lines: int, *, dialogue: bool) -> None:
    """Let a sandbox deliver some hundred messages, and write about so many lines to ``path``.

    ``dialogue``: with the SMTP dialogue in the log, as our Postfix settings have it.
    """
    original, now = _original(path.with_suffix(".sandbox"), dialogue=dialogue), clock.now()
    copies = -(-lines // len(original))
    with path.open("wb") as log:
        for line in multiplied(original, copies, now):
            log.write(line + b"\n")


def multiplied(original: Sequence[bytes], copies: int, now: dt.datetime) -> Iterator[bytes]:
    """The lines of every copy, oldest first. ``now``: about when the original was written."""
    parts = [match.groups() for match in map(_LINE.fullmatch, original) if match]
    moments = [_moment(stamp, now.year) for stamp, *_ in (parts[0], parts[-1])]
    span_seconds = int((moments[1] - moments[0]).total_seconds()) + 1
    pids = [int(pid) for _, _, pid, _ in parts]
    span_pids = max(pids) - min(pids) + 1
    for copy in range(copies):
        earlier_seconds = (copies - 1 - copy) * span_seconds
        rename = _renamer(earlier_seconds, int(now.timestamp()))
        for (stamp, program, _, text), pid in zip(parts, pids, strict=True):
            shifted = _shifted(stamp, now.year, earlier_seconds)
            yield b"%b %b[%d]: %b" % (shifted, program, pid + copy * span_pids, _QUEUE_ID.sub(rename, text))


def _original(folder: Path, *, dialogue: bool) -> list[bytes]:
    with running(folder, Options(notice_address=None)) as sandbox:
        made = sandbox.installation
        if not dialogue:
            master = made.postfix_config / "master.cf"
            master.write_text(_DEBUG_PEER.sub("", master.read_text()))
            postfix_queue.reload(sandbox)
        with Clients() as senders:
            senders.submit(clients.job(sandbox, made.submission_port, _RECIPIENTS, _MESSAGES))
        postfix_queue.wait_until_empty(sandbox)
    # Read when the sandbox has ended: its daemons have written all.
    return (folder / "log" / "mail.log").read_bytes().splitlines()


def _moment(stamp: bytes, year: int) -> dt.datetime:
    """Local time, called UTC: only differences count."""
    return dt.datetime.strptime(f"{year} {stamp.decode('ascii')} +0000", "%Y %b %d %H:%M:%S %z")


@lru_cache(maxsize=4096)
def _shifted(stamp: bytes, year: int, earlier_seconds: int) -> bytes:
    moment = _moment(stamp, year) - dt.timedelta(seconds=earlier_seconds)
    return moment.strftime("%b %e %H:%M:%S").encode("ascii")


def _renamer(earlier_seconds: int, now: int) -> Callable[[re.Match[bytes]], bytes]:
    """What a queue id becomes in a copy: the id of a file that was born so much earlier."""

    def rename(found: re.Match[bytes]) -> bytes:
        seconds = 0
        for digit in found[1]:
            seconds = seconds * _BASE + _DIGITS.index(digit)
        if abs(seconds - now) > _NEAR_SECONDS:
            return found[0]
        seconds -= earlier_seconds
        digits = bytearray()
        for _ in range(6):
            seconds, digit = divmod(seconds, _BASE)
            digits.insert(0, _DIGITS[digit])
        return bytes(digits) + found[2]

    return rename
