import datetime as dt
import gzip
import io
import os
import random
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.errors import UserError
from sendproof_logparser.chunk import LINE_OCTETS
from sendproof_logparser.imported_file import CHUNK_OCTETS, ImportedFile, StandardInput
from sendproof_logparser.position import Position

_GENERATOR = random.Random(1)
LINES = [f"{_GENERATOR.random()}".encode() for _ in range(300_000)]
TEXT = b"\n".join(LINES) + b"\n"


def _lines(source: ImportedFile | StandardInput) -> list[bytes]:
    lines = []
    while (chunk := source.read()) is not None:
        assert len(chunk.data) <= CHUNK_OCTETS
        lines += chunk.lines
    source.close()
    return lines


def _of_octets(octets: bytes) -> StandardInput:
    return StandardInput(io.BytesIO(octets))


@pytest.fixture(params=[False, True], ids=["plain", "gzip"])
def log(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "mail.log"
    path.write_bytes(gzip.compress(TEXT, 1) if request.param else TEXT)
    return path


def test_all_lines_are_read_whatever_the_file_is_called(log: Path) -> None:
    assert _lines(ImportedFile(log, None)) == LINES
    with log.open("rb") as file:
        assert _lines(StandardInput(file)) == LINES


def test_reading_goes_on_where_it_ended(log: Path) -> None:
    position, lines = None, []
    while True:
        file = ImportedFile(log, position)
        chunk = file.read()
        file.close()
        if chunk is None:
            break
        lines += chunk.lines
        position = chunk.position
    assert lines == LINES


def test_a_position_in_another_file_is_none(log: Path) -> None:
    assert _lines(ImportedFile(log, Position("0" * 64, 100, 1, 5000)))[0] == LINES[0]


def test_progress_is_of_the_octets_on_disk(log: Path) -> None:
    file = ImportedFile(log, None)
    assert file.total_octets == log.stat().st_size
    done = []
    while file.read() is not None:
        assert file.done_octets + file.unread_octets() == file.total_octets
        done.append(file.done_octets)
    assert done == sorted(done)
    assert 0 < done[0] < done[-1] == file.total_octets
    file.close()


def test_each_chunk_says_how_the_log_begins_and_when_it_was_written_to(log: Path) -> None:
    os.utime(log, (1_700_000_000, 1_700_000_000))
    file = ImportedFile(log, None)
    for _ in range(2):
        chunk = file.read()
        assert chunk is not None
        assert chunk.head == TEXT[: 1 << 16]
        assert chunk.modified_at == dt.datetime.fromtimestamp(1_700_000_000, dt.UTC)
    file.close()


def test_the_last_line_needs_no_newline(tmp_path: Path) -> None:
    for octets in (b"one\ntwo", gzip.compress(b"one\ntwo")):
        (tmp_path / "mail.log").write_bytes(octets)
        assert _lines(ImportedFile(tmp_path / "mail.log", None)) == _lines(_of_octets(octets)) == [b"one", b"two"]


def test_a_line_that_is_being_written_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    path.write_bytes(b"one\nha")

    def write_the_rest() -> None:
        with path.open("ab") as file:
            file.write(b"lf\n")

    file = ImportedFile(path, None)
    assert file.read() is not None
    writer = threading.Timer(0.05, write_the_rest)
    writer.start()
    assert _lines(file) == [b"half"]
    writer.join()


def test_a_damaged_gzip_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    compressed = gzip.compress(TEXT)
    octets = compressed[: len(compressed) // 2]
    (tmp_path / "mail.log.gz").write_bytes(octets)
    for source in (ImportedFile(tmp_path / "mail.log.gz", None), _of_octets(octets)):
        lines = _lines(source)
        assert len(lines) > 100_000
        assert lines == LINES[: len(lines)]  # the last one, too, is whole
        assert source.damage is not None
        assert f"after {len(octets)} octets" in source.damage


def test_what_is_no_readable_file_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("link")
    os.mkfifo(tmp_path / "pipe")
    for path, reason in (
        (tmp_path / "absent", "No such file or directory"),
        (tmp_path, "it is no regular file"),
        (tmp_path / "pipe", "it is no regular file"),
        (Path("/dev/null"), "it is no regular file"),
        (tmp_path / "link", "symbolic links"),
        (Path("a\0b"), "no name of a file"),
    ):
        with pytest.raises(UserError, match=reason):
            ImportedFile(path, None)


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "mail.log").touch()
    file = ImportedFile(tmp_path / "mail.log", None)
    assert _lines(file) == []
    assert file.damage is None
    assert _lines(_of_octets(b"")) == []


def test_standard_input_is_read_as_it_comes() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as file:
        source = StandardInput(file)
        for text, line in ((b"one\n", b"one"), (b"two\nthr", b"two"), (b"ee\nlast", b"three")):
            os.write(writing, text)
            chunk = source.read()  # does not wait for what was not written yet
            assert chunk is not None
            assert chunk.data == line
        os.close(writing)
        assert _lines(source) == [b"last"]


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line), min_size=1), st.booleans())
def test_any_octets_come_back_as_lines(lines: list[bytes], compress: bool) -> None:
    text = b"\n".join(lines) + b"\n"
    source = _of_octets(gzip.compress(text) if compress else b"x" + text)
    assert _lines(source) == (lines if compress else [b"x" + lines[0], *lines[1:]])


def test_long_lines_come_in_the_same_pieces_as_when_a_file_is_followed(tmp_path: Path) -> None:
    text = b"one\n" + b"x" * (LINE_OCTETS + 5) + b"\nend\n"
    (tmp_path / "mail.log").write_bytes(text)
    for source in (ImportedFile(tmp_path / "mail.log", None), _of_octets(text)):
        assert [len(line) for line in _lines(source)] == [3, LINE_OCTETS, 5, 3]
