import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_logparser.chunk import LINE_OCTETS, Chunk, end_of_lines
from sendproof_logparser.position import Position

NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)


def _chunk(data: bytes) -> Chunk:
    return Chunk(data, 0, Position("", 0, 0, len(data) + 1), b"", NOW)


@given(st.binary())
def test_lines_and_texts_are_as_many(data: bytes) -> None:
    chunk = _chunk(data)
    assert len(chunk.lines) == len(chunk.texts)
    assert b"\n".join(chunk.lines) == data


def test_texts_are_fit_to_be_stored() -> None:
    assert _chunk(b"\0\0one\r\ntw\xfco\nthree\xe2\n\xc3\xb6\xe2\x80\xa8\x0b\r").texts == [
        "one",
        "tw\N{REPLACEMENT CHARACTER}o",
        "three\N{REPLACEMENT CHARACTER}",
        "ö\u2028\x0b",
    ]


@pytest.mark.parametrize(
    ("data", "ends", "ends_at_the_end"),
    [
        (b"", (0, 0), (0, 0)),
        (b"half", (0, 0), (4, 4)),
        (b"\n", (0, 1), (0, 1)),
        (b"one\ntwo\nha", (7, 8), (7, 8)),
        (b"x" * (LINE_OCTETS - 1) + b"\nha", (LINE_OCTETS - 1, LINE_OCTETS), (LINE_OCTETS - 1, LINE_OCTETS)),
        (b"x" * LINE_OCTETS + b"\nha", (LINE_OCTETS, LINE_OCTETS), (LINE_OCTETS, LINE_OCTETS)),
        (b"one\n" + b"x" * LINE_OCTETS, (3, 4), (3, 4)),
    ],
)
def test_the_end_is_after_the_last_complete_line(
    data: bytes, ends: tuple[int, int], ends_at_the_end: tuple[int, int]
) -> None:
    assert end_of_lines(data, also_incomplete=False) == ends
    assert end_of_lines(data, also_incomplete=True) == ends_at_the_end


@given(
    st.lists(st.sampled_from([0, 1, 9, LINE_OCTETS // 2, LINE_OCTETS - 1, LINE_OCTETS, LINE_OCTETS + 1]), max_size=6),
    st.lists(st.sampled_from([1, 10, LINE_OCTETS, 4 * LINE_OCTETS]), min_size=1, max_size=6),
)
def test_long_lines_come_in_the_same_pieces_however_the_file_grew(lengths: list[int], growths: list[int]) -> None:
    text = b"".join(b"x" * length + b"\n" for length in lengths)

    def pieces(sizes: list[int]) -> list[tuple[int, int]]:
        found, begin, size = [], 0, 0
        for growth in [*sizes, len(text)]:
            size = min(len(text), size + growth)
            while True:
                data = text[begin : min(size, begin + 4 * LINE_OCTETS)]
                end, octets = end_of_lines(data, also_incomplete=False)
                if not octets:
                    break
                for line in data[:end].split(b"\n"):
                    found.append((begin, len(line)))
                    begin += len(line) + 1
                begin -= end + 1 - octets
        return found

    assert pieces(growths) == pieces([len(text)])
