"""Damaged log lines against the promises of the logparser: `python tests/fuzz/fuzz_log.py --seconds 300`.

Begins with the corpus. A line that is read as something new (another program, event, or set of fields) is kept and
mutated further. Each input goes through the line reader and the grammar, some also into a record. A finding is written
to a file, which `--replay FILE` reads; the exit status is 1 then.
"""

import argparse
import contextlib
import datetime as dt
import functools
import logging
import random
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from sendproof_core import schema_version
from sendproof_core.database import open_database
from sendproof_logparser import grammar
from sendproof_logparser.events import Irrelevant
from sendproof_logparser.syslog_line import LineReader
from sendproof_testing import situations
from sendproof_testing.record_reading import LOGS, NOW, Machine

# So much for a line of 8,192 octets, and in proportion for longer ones. It is far above what they take (about 0.1 ms),
# and far below what a pattern takes that goes over such a line once for each of its octets.
SLOWEST_SECONDS = 0.05
OCTETS = 8192
LARGEST_LINE_OCTETS = 65_536
_TRIES = 3
_NUMBERS = re.compile(rb"[0-9]+")
_KEPT_LINES = 6000
_RECORD_EVERY = 100
_LARGEST_INPUT_LINES = 60
_LATEST = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
_DAEMONS = (
    "smtp", "lmtp", "smtpd", "cleanup", "qmgr", "bounce", "pickup", "postsuper", "local", "virtual", "pipe", "error",
    "postscreen", "master", "tlsmgr", "qmqpd", "newdaemon", "rsyslogd", "systemd-journald", "dovecot", "amavis",
)  # fmt: skip
# What patterns look for: runs of it, and its beginning without its end, are what could make one slow.
PIECES: tuple[str, ...] = (
    *'<>"\\[](){}:;,=/ #?%|.-_@!\0\t\r0aZz', '"\\', '\\"', '">', "<>", "[]", "[ ", "] ", "]: ", ": ", "; ", ", ", ")",
    "(", "a=", ", a=", ", a=b", ", to=<", "to=<", ", orig_to=<", ", relay=", ", delay=", "/0", ", dsn=", ", status=",
    "from=<", " from=<", " to=<", "; from=<", " from a[192.0.2.1]; from=<", " from a[192.0.2.1]: ", " helo=<",
    " proto=",
    " sasl_username=<", ", sasl_username=", ", sasl_sender=", ", orig_queue_id=", ", orig_client=", "client=", "uid=1 ",
    "550-", " 550-5.1.1 ", "550 ", "host a[192.0.2.1] said: ", " (in reply to ", "queued as ", "queued_as: ",
    "Queue-ID: ", " -> <a@b>,", "message repeated 2 times: [ ", "reject: ", "header ", "warning: ", "> h[1]:25: ",
    "< h[1]:25: ", "connect to ", "AUTH ", "2026 ", "Nov 22 12:00:00 ", "<22>", "<22>1 ", "- ", '[a b="', '\\]"',
    "x | ",
    "4F5C64474F: ", "4jXGhv32rHzJLdv", "é", "\x1b[0m", "\ufeff",
)  # fmt: skip


class Finding(Exception):
    """A promise that was not kept."""


def promise(kept: object, text: str) -> None:
    if not kept:
        raise Finding(text)


def seeds() -> list[bytes]:
    """Every line of the corpus."""
    files = [LOGS / "records.txt", LOGS / "dialogue.log"]
    lines = [line for path in files for line in path.read_bytes().splitlines() if not line.startswith(b"#")]
    for situation in situations.load_all():
        lines += [line.raw for file in situation.files.values() for line in file]
    return list(dict.fromkeys(lines))


def check(raw: bytes) -> list[tuple[bytes, object]]:
    """Everything that is promised of some lines by themselves; each line, and what makes it worth another look.

    Raises:
        Finding: a promise is not kept.
    """
    seen: list[tuple[bytes, object]] = []
    reader = _line_reader()
    for line in raw.split(b"\n"):
        text = line.decode("utf-8", "replace")
        check_speed(text, functools.partial(_read_once, text))
        found = reader.read(text)
        promise(found is None or found[0].tzinfo is dt.UTC, "a moment is in UTC")
        if found is None:
            seen.append((line, None))
            continue
        _, program, said = found
        known = grammar.instance_and_daemon(program)
        event = check_text(known[1] if known else "newdaemon", said)
        fields = tuple(value is None for value in event) if isinstance(event, tuple) else event
        daemon = known[1] if known and known[1] in _DAEMONS else known is not None
        seen.append((line, (daemon, type(event).__name__, fields, min(program.count("/"), 2))))
    return seen


def check_text(daemon: str, text: str) -> object:
    """One text as the line of one daemon."""
    event = grammar.parse(daemon, text)
    promise(event is None or isinstance(event, tuple | Irrelevant), "an event, irrelevant, or unknown")
    promise(grammar.parse(daemon, text) == event, "read twice is read the same")
    promise(grammar.reader(daemon)(text) == event, "the daemon's reader reads the same")
    check_speed(text, lambda: grammar.parse(daemon, text))
    if event is None:
        grammar.may_be_kept(text)
    return event


def check_speed(text: str, read: Callable[[], object]) -> None:
    """The time of the process, and the shortest of some tries: other processes take turns with this one."""
    limit = SLOWEST_SECONDS * max(1.0, len(text) / OCTETS)
    took = []
    for _ in range(_TRIES):
        began = time.process_time()
        read()
        took.append(time.process_time() - began)
        if took[-1] < limit:
            return
    raise Finding(f"a line of {len(text)} characters took {min(took):.3f} s")


def _read_once(text: str) -> object:
    return _line_reader().read(text)


def _line_reader() -> LineReader[str]:
    return LineReader(lambda _host, program, _pid: program, dt.UTC, None, latest=_LATEST)


class Records:
    """Takes inputs into records, each its own, and listens to what the logparser says meanwhile."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._empty = folder / "empty.db"
        database = open_database(f"sqlite:///{self._empty}")
        schema_version.upgrade(database)
        database.close()

    @contextlib.contextmanager
    def machine(self) -> Iterator[Machine]:
        """One with a record of its own, without anything in it."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        shutil.copy(self._empty, folder / "record.db")
        database = open_database(f"sqlite:///{folder}/record.db")
        try:
            yield Machine(folder, database)
        finally:
            database.close()
            shutil.rmtree(folder)

    def check(self, raw: bytes) -> None:
        """No failed line, no refused batch, and what was read is not read again.

        Raises:
            Finding: a promise is not kept.
        """
        said = _Listener()
        logging.getLogger().addHandler(said)
        try:
            with self.machine() as machine:
                machine.maillog.write_bytes(raw)
                machine.read(NOW)
                promise(machine.read(NOW) == 0, "what was read is not read again")
        finally:
            logging.getLogger().removeHandler(said)
        promise(not said.heard, f"nothing fails: {said.heard[:3]}")


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())


def pathological(chance: random.Random, pool: list[bytes]) -> bytes:
    """The beginning of a line, one piece over and over, the end of another line."""
    line, other = chance.choice(pool), chance.choice(pool)
    piece = "".join(chance.choice(PIECES) for _ in range(chance.choice((1, 1, 1, 2, 3)))).encode()
    times = chance.choice((OCTETS, OCTETS, LARGEST_LINE_OCTETS)) // len(piece)
    return line[: chance.randint(0, len(line))] + piece * times + other[chance.randint(0, len(other)) :]


Mutation = Callable[[random.Random, bytes, list[bytes]], bytes]


def flip(chance: random.Random, raw: bytes, pool: list[bytes]) -> bytes:
    del pool
    octets = bytearray(raw)
    for _ in range(chance.randint(1, 4)):
        if octets:
            octets[chance.randrange(len(octets))] = chance.randrange(256)
    return bytes(octets)


def truncate(chance: random.Random, raw: bytes, pool: list[bytes]) -> bytes:
    del pool
    return raw[: chance.randint(0, len(raw))]


def cut(chance: random.Random, raw: bytes, pool: list[bytes]) -> bytes:
    del pool
    at = chance.randint(0, len(raw))
    return raw[:at] + raw[at + chance.randint(1, 40) :]


def insert_piece(chance: random.Random, raw: bytes, pool: list[bytes]) -> bytes:
    del pool
    at = chance.randint(0, len(raw))
    piece: str = chance.choice(PIECES)
    return raw[:at] + piece.encode() * chance.choice((1, 1, 2, 30)) + raw[at:]


def replace_number(chance: random.Random, raw: bytes, pool: list[bytes]) -> bytes:
    """Numbers as large, as small and as odd as they can be."""
    del pool
    numbers = list(_NUMBERS.finditer(raw))
    if not numbers:
        return raw
    found = chance.choice(numbers)
    odd = chance.choice(
        (b"0", b"-1", b"1e9", b"9" * 30, b"2147483648", b"0.000000001", "٣".encode(), b"29", b"60", b"")
    )
    return raw[: found.start()] + odd + raw[found.end() :]


def splice(chance: random.Random, raw: bytes, pool: list[bytes]) -> bytes:
    other = chance.choice(pool)
    return raw[: chance.randint(0, len(raw))] + other[chance.randint(0, len(other)) :]


def another_tag(chance: random.Random, raw: bytes, pool: list[bytes]) -> bytes:
    """A text under another program's name."""
    other = chance.choice(pool)
    tag, _, _ = other.partition(b"]: ")
    _, _, text = raw.partition(b"]: ")
    return tag + b"]: " + text


_MUTATIONS: tuple[Mutation, ...] = (
    flip, truncate, cut, insert_piece, insert_piece, replace_number, splice, splice, another_tag,
)  # fmt: skip


def inputs(chance: random.Random, pool: list[bytes]) -> Iterator[bytes]:
    """Some lines each time: first the corpus as it is, then what was made of it."""
    yield b"\n".join(pool)
    while True:
        if chance.random() < 0.15:
            yield pathological(chance, pool)
            continue
        lines = []
        for _ in range(chance.choice((1, 5, 20, _LARGEST_INPUT_LINES))):
            line = chance.choice(pool)
            for _ in range(chance.choice((0, 1, 1, 2, 3))):
                line = chance.choice(_MUTATIONS)(chance, line, pool)
            lines.append(line[:LARGEST_LINE_OCTETS])
        yield b"\n".join(lines)


def finding_in(raw: bytes) -> str | None:
    """What is wrong with how one input is read; None if nothing is."""
    folder = Path(tempfile.mkdtemp())
    try:
        check(raw)
        for line in raw.split(b"\n"):
            for daemon in _DAEMONS:
                check_text(daemon, line.decode("utf-8", "replace").partition("]: ")[2])
        Records(folder).check(raw)
    except Exception:  # noqa: BLE001 - any exception is a finding
        return traceback.format_exc()
    finally:
        shutil.rmtree(folder)
    return None


def run(seconds: float, seed: int, folder: Path) -> Path | None:
    """Mutate for so long; the file of the first finding."""
    scratch = Path(tempfile.mkdtemp())
    try:
        return _run(seconds, seed, folder, Records(scratch))
    finally:
        shutil.rmtree(scratch)


def _run(seconds: float, seed: int, folder: Path, records: Records) -> Path | None:
    chance, pool = random.Random(seed), seeds()
    seen: set[object] = set()
    lines = 0
    end = time.monotonic() + seconds
    shown = time.monotonic()
    for number, raw in enumerate(inputs(chance, pool)):
        try:
            news = check(raw)
            check_text(
                chance.choice(_DAEMONS), raw.decode("utf-8", "replace").partition("]: ")[2][:LARGEST_LINE_OCTETS]
            )
            if number % _RECORD_EVERY == 0:
                records.check(raw)
        except Exception:  # noqa: BLE001 - any exception is a finding
            path = folder / f"finding-{seed}-{number}.log"
            path.write_bytes(raw)
            say(f"\n{traceback.format_exc()}\n{path}: {len(raw)} octets; again: --replay {path}\n")
            return path
        lines += len(news)
        for line, new in news:
            if new not in seen and len(line) < OCTETS and len(pool) < _KEPT_LINES:
                seen.add(new)
                pool.append(line)
        now = time.monotonic()
        if now - shown > 1:
            shown = now
            say(f"\rseed {seed}: {lines:,} lines, {len(pool):,} kept, {max(0, end - now):.0f} s to go ")
        if now > end:
            say(f"\rseed {seed}: {lines:,} lines, {len(pool):,} kept, no finding\n")
            return None
    return None


def say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def main() -> int:
    """Exit status 1: there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where a finding is written")
    parser.add_argument("--replay", type=Path, help="a finding's file: check it and nothing else")
    arguments = parser.parse_args()
    if arguments.replay:
        found = finding_in(arguments.replay.read_bytes())
        say(found or "nothing is wrong with this one\n")
        return 1 if found else 0
    return 1 if run(arguments.seconds, arguments.seed, arguments.folder) else 0


if __name__ == "__main__":
    sys.exit(main())
