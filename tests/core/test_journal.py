import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sendproof_core.errors import UserError
from sendproof_core.journal import Journal, check_folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "milter.journal"


@pytest.mark.parametrize("synchronous", [False, True])
def test_lines_are_appended_in_order(path: Path, synchronous: bool) -> None:
    for _ in range(2):
        journal = Journal(path, synchronous=synchronous)
        journal.append(b'{"a":1}')
        journal.append(b'{"b":2}')
    assert path.read_bytes() == b'{"a":1}\n{"b":2}\n' * 2
    assert path.stat().st_mode & 0o007 == 0


def test_the_file_that_logrotate_moved_away_is_left_at_the_next_line(path: Path) -> None:
    journal = Journal(path, synchronous=False)
    journal.append(b"1")
    path.rename(path.with_suffix(".1"))
    journal.append(b"2")
    path.with_suffix(".1").rename(path.with_suffix(".2"))
    path.unlink()
    path.touch()  # logrotate's "create"
    journal.append(b"3")
    assert (path.read_bytes(), path.with_suffix(".2").read_bytes()) == (b"3\n", b"1\n")


def test_a_closed_journal_opens_again(path: Path) -> None:
    journal = Journal(path, synchronous=False)
    journal.append(b"1")
    journal.close()
    journal.close()
    journal.append(b"2")
    assert path.read_bytes() == b"1\n2\n"


def test_a_line_holds_no_newline(path: Path) -> None:
    with pytest.raises(ValueError, match="newline"):
        Journal(path, synchronous=False).append(b"1\n2")
    assert not path.exists()


def test_lines_of_many_writers_never_mix(path: Path) -> None:
    def write(name: bytes) -> None:
        journal = Journal(path, synchronous=False)
        for _ in range(200):
            journal.append(name * 700)

    writers = [threading.Thread(target=write, args=(name,)) for name in (b"a", b"b", b"c", b"d")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    lines = [line for line in path.read_bytes().splitlines() if line]
    assert sorted(lines) == sorted(name * 700 for name in (b"a", b"b", b"c", b"d") for _ in range(200))


# The rest of the line did not fit, and the newline that was to end it did not, either: the next event was lost.
def test_a_line_that_a_full_disk_cut_off_does_not_swallow_the_next(path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from sendproof_core.journal import Journal
journal = Journal(Path(sys.argv[1]), synchronous=True)
journal.append(b"first")
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
for _ in range(2):
    try:
        journal.append(b"does not fit")
    except OSError as error:
        print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.append(b"next")
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True, timeout=30
    )
    assert len(done.stdout.splitlines()) == 2
    assert path.read_bytes() == b"first\ndoes\nnext\n"


# Lines that wait at the same time are written at once.
def test_of_lines_written_together_those_that_fit_a_full_disk_are_there(path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from sendproof_core.journal import Journal
journal = Journal(Path(sys.argv[1]), synchronous=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
print([error is None for error in journal._append_together([b"one\\n", b"two\\n", b"three\\n", b"four\\n"])])
resource.setrlimit(resource.RLIMIT_FSIZE, (12, resource.RLIM_INFINITY))
print([error is None for error in journal._append_together([b"a\\n", b"b\\n"])])
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print([error is None for error in journal._append_together([b"five\\n", b"six\\n"])])
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "[True, True, False, False]\n[False, False]\n[True, True]\n"
    assert path.read_bytes() == b"one\ntwo\nth\na\nfive\nsix\n"


def test_threads_share_the_wait_for_the_disk_and_each_line_is_on_it_when_append_returns(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk = [0]
    fdatasync = os.fdatasync

    def slow_disk(descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        time.sleep(0.002)
        fdatasync(descriptor)
        on_disk.append(size)

    monkeypatch.setattr(os, "fdatasync", slow_disk)
    journal = Journal(path, synchronous=True)
    early: list[bytes] = []

    def write(name: str) -> None:
        for number in range(20):
            line = f"{name}{number:03}".encode()
            journal.append(line)
            if line not in path.read_bytes()[: on_disk[-1]].splitlines():
                early.append(line)

    writers = [threading.Thread(target=write, args=(name,)) for name in "abcdefgh"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert early == []
    assert len(path.read_bytes().splitlines()) == 160
    assert len(on_disk) - 1 < 80


def test_a_disk_that_is_full_or_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space"):
        Journal(Path("/dev/full"), synchronous=False).append(b"1")
    with pytest.raises(FileNotFoundError):
        Journal(tmp_path / "no" / "journal", synchronous=False).append(b"1")


def test_a_folder_is_checked_before_anything_starts(tmp_path: Path) -> None:
    check_folder(tmp_path / "milter.journal")
    with pytest.raises(UserError, match="does not exist; make it first"):
        check_folder(tmp_path / "no" / "milter.journal")


def test_a_folder_that_cannot_be_written_is_said_so() -> None:
    with pytest.raises(UserError, match="not writable for this user"):
        check_folder(Path("/proc/self/milter.journal"))


# Without a lock, a rotation closed the descriptor that another thread was about to write to, and the line landed in
# whatever had been opened under that number meanwhile: a database, for instance.
def test_threads_that_share_a_journal_lose_no_line_in_a_rotation(path: Path, tmp_path: Path) -> None:
    journal = Journal(path, synchronous=False)
    victims = tmp_path / "victims"
    victims.mkdir()
    writing = threading.Event()
    failures: list[str] = []

    def write(name: str) -> None:
        for number in range(300):
            try:
                journal.append(f"{name}{number}".encode())
            except OSError as error:
                failures.append(str(error))

    def rotate_and_open() -> None:
        number = 0
        while not writing.is_set():
            number += 1
            if path.exists():
                path.rename(path.with_name(f"rotated{number}"))
            with (victims / str(number)).open("w") as victim:
                victim.flush()

    others = [threading.Thread(target=rotate_and_open) for _ in range(1)]
    writers = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in (*others, *writers):
        thread.start()
    for writer in writers:
        writer.join()
    writing.set()
    for other in others:
        other.join()
    assert failures == []
    assert all(victim.stat().st_size == 0 for victim in victims.iterdir())
    written = b"".join(file.read_bytes() for file in [path, *path.parent.glob("rotated*")] if file.exists())
    assert sorted(line for line in written.split(b"\n") if line) == sorted(
        f"{name}{number}".encode() for name in "abcd" for number in range(300)
    )
