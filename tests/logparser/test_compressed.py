import gzip
import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_logparser.compressed import GzipText

_GENERATOR = random.Random(1)
TEXT = "".join(f"{_GENERATOR.random()}\n" for _ in range(20_000)).encode()
COMPRESSED = gzip.compress(TEXT)


def _read(octets: bytes, size: int = 1 << 30) -> tuple[bytes, GzipText]:
    text, read = GzipText(io.BytesIO(octets)), b""
    while piece := text.read(size):
        read += piece
    return read, text


@pytest.mark.parametrize("size", [1000, 100_000, 1 << 30])
def test_a_whole_file_is_read(size: int) -> None:
    read, text = _read(COMPRESSED, size)
    assert read == TEXT
    assert text.damage is None
    assert text.offset == len(TEXT)
    assert text.compressed_octets == len(COMPRESSED)


def test_members_and_padding_are_read_as_gzip_reads_them() -> None:
    octets = COMPRESSED + b"\0" * 700 + gzip.compress(b"") + gzip.compress(b"second") + b"\0" * 100_000
    read, text = _read(octets)
    assert read == TEXT + b"second"
    assert text.damage is None


@given(st.lists(st.integers(0, len(TEXT) + 10), max_size=5))
def test_any_place_can_be_gone_to(offsets: list[int]) -> None:
    text = GzipText(io.BytesIO(COMPRESSED))
    for offset in offsets:
        text.go_to(offset)
        assert text.read(10) == TEXT[offset : offset + 10]


@pytest.mark.parametrize("octets", [1, 9, 10, 5000, len(COMPRESSED) - 1])
def test_what_was_cut_off_is_read_to_the_last_octet(octets: int) -> None:
    read, text = _read(COMPRESSED[:octets])
    assert TEXT.startswith(read)
    assert len(read) >= (octets - 1000) * 2  # digits: more than two octets of text in each
    assert text.damage == f"it ends too early, after {octets} octets ({len(read)} octets of text)"


def test_what_stands_before_the_damage_is_read() -> None:
    broken = COMPRESSED[:-8] + bytes(octet ^ 0xFF for octet in COMPRESSED[-8:])
    read, text = _read(broken)
    assert read == TEXT
    assert text.damage is not None
    assert text.damage.startswith("incorrect data check, after")


def test_what_is_no_gzip_file_is_damaged_from_its_beginning() -> None:
    for octets in (b"", b"Nov 22 10:00:00 h p[1]: x\n"):
        read, text = _read(octets)
        assert read == b""
        assert text.damage is not None
    read, text = _read(COMPRESSED + b"garbage")
    assert read == TEXT
    assert text.damage == f"incorrect header check, after {len(COMPRESSED) + 1} octets ({len(TEXT)} octets of text)"


@given(st.integers(0, len(COMPRESSED) - 1), st.binary(min_size=1, max_size=20), st.integers(1000, 1 << 20))
def test_no_damage_makes_it_fail(place: int, octets: bytes, size: int) -> None:
    broken = COMPRESSED[:place] + octets + COMPRESSED[place + len(octets) :]
    read, text = _read(broken, size)
    assert read == TEXT or text.damage is not None
