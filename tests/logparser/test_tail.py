import datetime as dt
import gzip
import itertools
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sendproof_core.errors import UserError
from sendproof_logparser.chunk import LINE_OCTETS
from sendproof_logparser.position import Position
from sendproof_logparser.tail import CHUNK_OCTETS, Tail, Wakeup


class _Followed:
    """A log file that is written, rotated and read; what was read is one list."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "mail.log"
        self.read_lines: list[str] = []
        self.position: Position | None = None
        self.tails: list[Tail] = []
        self._numbers = itertools.count()
        self._seconds = itertools.count(1_700_000_000)

    def write(self, text: str) -> None:
        """Each writing is a second later than the one before."""
        with self.path.open("a") as file:
            file.write(text)
        self.touch(self.path)

    def touch(self, path: Path) -> None:
        seconds = next(self._seconds)
        os.utime(path, (seconds, seconds))

    def rename(self, compress: bool = False) -> Path:
        rotated = self.path.with_name(f"mail.log.{next(self._numbers)}")
        self.path.rename(rotated)
        return self.compress(rotated) if compress else rotated

    @staticmethod
    def compress(rotated: Path) -> Path:
        """As gzip does: the time stays."""
        compressed = rotated.with_name(f"{rotated.name}.gz")
        compressed.write_bytes(gzip.compress(rotated.read_bytes()))
        os.utime(compressed, ns=(rotated.stat().st_atime_ns, rotated.stat().st_mtime_ns))
        rotated.unlink()
        return compressed

    def tail(self, grace_seconds: float = 0) -> Tail:
        self.tails.append(Tail(self.path, self.position, grace_seconds=grace_seconds))
        return self.tails[-1]

    def drain(self, tail: Tail) -> None:
        while (chunk := tail.read()) is not None:
            self.read_lines += [line.decode() for line in chunk.lines]
            self.position = chunk.position

    def read_anew(self) -> list[str]:
        """Read with a new tail that begins at the last position; everything read so far."""
        self.drain(self.tail())
        return self.read_lines


@pytest.fixture
def followed(tmp_path: Path) -> Iterator[_Followed]:
    followed = _Followed(tmp_path)
    yield followed
    for tail in followed.tails:
        tail.close()


def test_a_missing_file_is_waited_for(followed: _Followed) -> None:
    tail = followed.tail()
    assert tail.read() is None
    followed.write("one\n")
    followed.drain(tail)
    assert followed.read_lines == ["one"]


def test_half_a_line_is_not_read(followed: _Followed) -> None:
    followed.write("one\ntw")
    assert followed.read_anew() == ["one"]
    followed.write("o\n")
    assert followed.read_anew() == ["one", "two"]


def test_reading_again_gives_nothing(followed: _Followed) -> None:
    followed.write("one\ntwo\n")
    assert followed.read_anew() == followed.read_anew() == ["one", "two"]


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("new_tail", [False, True])
def test_a_rename_loses_nothing(followed: _Followed, compress: bool, new_tail: bool) -> None:
    followed.write("one\ntwo\n")
    tail = followed.tail()
    followed.drain(tail)
    followed.write("three\n")
    followed.rename(compress)
    followed.write("four\n")
    followed.drain(followed.tail() if new_tail else tail)
    assert followed.read_lines == ["one", "two", "three", "four"]
    followed.write("five\n")
    assert followed.read_anew() == ["one", "two", "three", "four", "five"]


def test_a_writer_that_has_not_noticed_the_rename_is_read(followed: _Followed) -> None:
    followed.write("one\n")
    tail = followed.tail(grace_seconds=60)
    followed.drain(tail)
    rotated = followed.rename()
    followed.write("three\n")
    followed.drain(tail)
    with rotated.open("a") as file:
        file.write("two\n")
    followed.drain(tail)
    assert followed.read_lines == ["one", "two"]
    assert followed.read_anew() == ["one", "two", "three"]


@pytest.mark.parametrize("compress", [False, True])
def test_several_rotations_while_nobody_reads_lose_nothing(followed: _Followed, compress: bool) -> None:
    followed.write("one\n")
    followed.read_anew()
    for text in ("two\n", "three\n", "four\n"):
        followed.write(text)
        followed.rename(compress)
    followed.write("five\n")
    assert followed.read_anew() == ["one", "two", "three", "four", "five"]


def test_rotated_files_are_read_on_while_no_new_file_exists_yet(followed: _Followed) -> None:
    """Right after a rotation there is no mail.log: once, the reader then stopped in the middle of the rotated ones."""
    followed.write("one\n")
    followed.drain(followed.tail())
    for text in ("two\n", "three\n"):
        followed.rename()
        followed.write(text)
    followed.rename()
    assert followed.read_anew() == ["one", "two", "three"]


def test_a_copy_is_not_read_again(followed: _Followed) -> None:
    followed.write("one\n")
    followed.read_anew()
    rotated = followed.rename()
    followed.write("two\n")
    for original, name in ((rotated, "mail.log.copy"), (followed.path, "mail.log-backup")):
        copy = followed.path.with_name(name)
        copy.write_bytes(original.read_bytes())
        followed.touch(copy)
    assert followed.read_anew() == ["one", "two"]


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(["line", "half", "rename", "gzip", "compress all", "copytruncate", "read", "restart"]),
        max_size=40,
    )
)
def test_whatever_is_done_to_the_files_each_line_is_read_once_and_in_order(deeds: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        followed = _Followed(Path(folder))
        followed.write("begin\n")
        wanted = ["begin", ""]
        tail = followed.tail()
        followed.drain(tail)  # what was rotated before the first reading is not read
        for number, deed in enumerate(deeds):
            match deed:
                case "line" | "half":
                    wanted[-1] += f"{number};"  # no file's lines are how another file begins: real ones have a time
                    followed.write(f"{number};\n" if deed == "line" else f"{number};")
                    if deed == "line":
                        wanted.append("")
                case "rename" | "gzip" | "copytruncate" if followed.path.exists() and followed.path.stat().st_size:
                    if wanted[-1]:
                        wanted.append("")
                    if deed == "copytruncate":
                        followed.write("\n")  # in the middle of a line, what is lost is lost
                        rotated = followed.path.with_name(f"mail.log.c{number}")
                        rotated.write_bytes(followed.path.read_bytes())
                        followed.touch(rotated)
                        followed.path.write_bytes(b"")
                    else:
                        followed.rename(compress=deed == "gzip")
                case "compress all":
                    for rotated in followed.path.parent.glob("mail.log.*"):
                        if rotated.suffix != ".gz":
                            followed.compress(rotated)
                case "restart":
                    tail = followed.tail()
                case "read":
                    followed.drain(tail)
                case _:
                    pass
        if followed.path.exists() and followed.path.stat().st_size:
            followed.rename()
        followed.write("end\n")
        followed.drain(tail)
        for opened in followed.tails:
            opened.close()
        assert [line for line in followed.read_lines if line] == [*(line for line in wanted if line), "end"]


def test_half_a_line_at_the_end_of_a_rotated_file_is_a_line(followed: _Followed) -> None:
    followed.write("one\nhal")
    followed.read_anew()
    followed.rename()
    assert followed.read_anew() == ["one"]
    followed.write("two\n")
    assert followed.read_anew() == ["one", "hal", "two"]


@pytest.mark.parametrize("regrown", ["new\n", "new line that is longer than what was there\n"])
@pytest.mark.parametrize("new_tail", [False, True])
def test_a_truncated_file_is_read_from_its_beginning(followed: _Followed, regrown: str, new_tail: bool) -> None:
    followed.write("one\ntwo\n")
    tail = followed.tail()
    followed.drain(tail)
    followed.path.write_text(regrown)
    followed.drain(followed.tail() if new_tail else tail)
    assert followed.read_lines == ["one", "two", regrown.strip()]


def test_copytruncate_is_read_to_its_end_in_the_copy(followed: _Followed) -> None:
    followed.write("one\n")
    tail = followed.tail()
    followed.drain(tail)
    followed.write("two\n")
    followed.path.with_name("mail.log.1").write_bytes(followed.path.read_bytes())
    followed.touch(followed.path.with_name("mail.log.1"))
    followed.path.write_text("")
    followed.write("three\n")
    followed.drain(tail)
    assert followed.read_lines == ["one", "two", "three"]


class _CutAtTheTurn(Tail):
    """Of the file that it turns to, a copy is made, and it is truncated, before a line of it is read."""

    def __init__(self, followed: _Followed) -> None:
        super().__init__(followed.path, None, grace_seconds=0)
        self._followed = followed

    def _turn_to_next(self, file: Any) -> None:
        super()._turn_to_next(file)
        copy = self.path.with_name("mail.log.copy")
        copy.write_bytes(self.path.read_bytes())
        self._followed.touch(copy)
        self.path.write_text("")
        self._followed.write("three\n")


# A whole file was lost in one of some hundred rounds of rotation.
def test_copytruncate_of_a_file_that_nobody_has_begun_to_read_loses_nothing(followed: _Followed) -> None:
    followed.write("one\n")
    tail = _CutAtTheTurn(followed)
    followed.tails.append(tail)
    chunk = tail.read()
    assert chunk is not None
    followed.rename()
    followed.write("two\n" * 3)
    followed.drain(tail)
    assert followed.read_lines == ["two", "two", "two", "three"]


def test_a_lost_file_is_no_reason_to_stop(followed: _Followed) -> None:
    followed.write("one\n")
    followed.read_anew()
    followed.path.unlink()
    assert followed.read_anew() == ["one"]
    followed.write("two\n")
    assert followed.read_anew() == ["one", "two"]
    assert followed.tails[-1].losses == [f"{followed.path}: the file that was read up to octet 4 is gone"]


@pytest.mark.parametrize("unread", ["", "hal"])
def test_a_truncation_is_a_loss_only_if_there_was_more_to_read(followed: _Followed, unread: str) -> None:
    followed.write(f"one\n{unread}")
    tail = followed.tail()
    followed.drain(tail)
    followed.path.write_text("")
    followed.write("two\n")
    followed.drain(tail)
    assert followed.read_lines == ["one", "two"]
    assert len(tail.losses) == bool(unread)


def test_a_damaged_gzip_is_read_as_far_as_it_goes(followed: _Followed) -> None:
    lines = [f"{random.Random(number).random()}" for number in range(200_000)]
    followed.write(f"{lines[0]}\n")
    followed.read_anew()
    followed.write("".join(f"{line}\n" for line in lines[1:]))
    compressed = followed.rename(compress=True)
    compressed.write_bytes(compressed.read_bytes()[:-1000])
    followed.write("after\n")
    read = followed.read_anew()
    assert read[:1000] == lines[:1000]
    assert read[-1] == "after"


def test_where_a_gzip_file_broke_is_said_once(followed: _Followed, caplog: pytest.LogCaptureFixture) -> None:
    followed.write("one\n")
    followed.read_anew()
    followed.write("two\n" * 100_000)
    compressed = followed.rename(compress=True)
    octets = compressed.stat().st_size - 50
    compressed.write_bytes(compressed.read_bytes()[:octets])
    followed.write("after\n")
    assert followed.read_anew()[-1] == "after"
    said = [record.getMessage() for record in caplog.records if "damaged-gzip" in record.getMessage()]
    assert len(said) == 1
    assert f"after {octets} octets" in said[0]


def test_a_file_that_is_deleted_and_made_anew_is_read_to_its_end_first(followed: _Followed) -> None:
    followed.write("one\n")
    tail = followed.tail()
    followed.drain(tail)
    followed.write("two\n")
    followed.path.unlink()
    followed.drain(tail)
    followed.write("three\n")
    followed.drain(tail)
    assert followed.read_lines == ["one", "two", "three"]


def test_octets_that_are_no_text_do_no_harm(followed: _Followed) -> None:
    octets = b"\0\0\0one\ntw\xffo\n\n\xe2\x80\nthree\n"
    followed.path.write_bytes(octets)
    tail = followed.tail()
    chunk = tail.read()
    assert chunk is not None
    assert chunk.data + b"\n" == octets
    assert chunk.position.offset == len(octets)


def test_a_chunk_says_when_its_file_was_written_to_and_how_it_begins(followed: _Followed) -> None:
    followed.write("one\n")
    tail = followed.tail()
    followed.drain(tail)
    followed.write("two\n")
    chunk = tail.read()
    assert chunk is not None
    assert chunk.head == b"one\ntwo\n"
    assert chunk.offset == 4
    assert chunk.modified_at == dt.datetime.fromtimestamp(1_700_000_001, dt.UTC)


@pytest.mark.parametrize("compress", [False, True])
def test_much_is_read_in_chunks_and_what_is_left_is_known(followed: _Followed, compress: bool) -> None:
    generator = random.Random(1)
    lines = [f"{generator.random()}" for _ in range(400_000)]
    followed.write(f"{lines[0]}\n")
    followed.read_anew()
    followed.write("".join(f"{line}\n" for line in lines[1:]))
    if compress:
        followed.rename(compress=True)
    tail = followed.tail()
    unread = [tail.unread_octets()]
    while (chunk := tail.read()) is not None:
        assert len(chunk.data) < CHUNK_OCTETS
        followed.read_lines += chunk.data.decode().split("\n")
        unread.append(tail.unread_octets())
    assert followed.read_lines == lines
    assert unread[1] > unread[-1] == 0


def test_an_endless_line_is_read_in_pieces(followed: _Followed) -> None:
    followed.write("x" * (LINE_OCTETS + 5) + "\nend\n")
    assert [len(line) for line in followed.read_anew()] == [LINE_OCTETS, 5, 3]


def test_an_unreadable_name_keeps_the_position(followed: _Followed) -> None:
    followed.write("one\n")
    followed.read_anew()
    aside = followed.path.rename(followed.path.with_name("aside"))
    followed.path.mkdir()
    assert followed.read_anew() == ["one"]
    followed.path.rmdir()
    aside.rename(followed.path)
    assert followed.read_anew() == ["one"]


def test_a_change_ends_the_wait(followed: _Followed) -> None:
    wakeup = Wakeup([followed.path])
    try:
        followed.write("one\n")
        wakeup.wait(30)  # without a notification the test takes too long for anyone to miss it
    finally:
        wakeup.close()


def test_a_pause_ends_only_with_a_stop() -> None:
    wakeup = Wakeup([])
    wakeup.pause(0.01)
    assert not wakeup.stopping
    wakeup.stop()
    wakeup.pause(30)
    wakeup.wait(30)
    wakeup.close()


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be watched"):
        Wakeup([tmp_path / "absent" / "mail.log"])
