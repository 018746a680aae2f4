import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_logparser.batch import Portion
from sendproof_logparser.chunk import Chunk
from sendproof_logparser.position import Position
from sendproof_testing.record_reading import NOW


def _portion(data: bytes, offset: int) -> Portion:
    chunk = Chunk(data, offset, Position("f" * 64, 4, 1, offset + len(data) + 1), data[:4], NOW)
    return Portion("relay.example:/var/log/mail.log", chunk, chunk.texts, lines_before=0)


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line), min_size=1), st.integers(0, 10_000))
def test_each_line_is_found_again_in_the_file_as_it_was(lines: list[bytes], offset: int) -> None:
    """Whatever octets it has, and wherever the chunk begins."""
    file = b"x" * offset + b"".join(line + b"\n" for line in lines)
    portion = _portion(b"\n".join(lines), offset)
    assert len(portion.lines) == len(lines)
    for number, line in enumerate(lines):
        assert portion.raw(number) == line
        assert file[portion.offset_of(number) :].startswith(line + b"\n")


@pytest.mark.parametrize("numbers", [(2, 0, 1), (0, 2)])
def test_offsets_may_be_asked_for_in_any_order(numbers: tuple[int, ...]) -> None:
    portion = _portion(b"a\0\n\xff\nccc", 100)
    assert [portion.offset_of(number) for number in numbers] == [[100, 103, 105][number] for number in numbers]
