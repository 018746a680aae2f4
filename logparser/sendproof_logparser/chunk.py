"""Lines that were read together from one source, as a value. Pure: `tail` and the other sources make it."""

import datetime as dt
from dataclasses import dataclass

from sendproof_logparser.position import Position

# A longer line is read in pieces of this size: wherever reading began, they are the same.
LINE_OCTETS = 1 << 20


@dataclass(frozen=True)
class Chunk:
    """Complete lines that follow each other in one source, and where that ends."""

    # The lines with newlines between them, none after the last.
    data: bytes
    # Where they begin in the file's text; 0 in the system journal.
    offset: int
    # What comes next.
    position: Position
    # The first octets of the file that they are from; empty for the system journal.
    head: bytes
    # When the source was last written to, as far as one knows: no line is from much later.
    modified_at: dt.datetime

    @property
    def lines(self) -> list[bytes]:
        """Each line as it is in the source."""
        return self.data.split(b"\n")

    @property
    def texts(self) -> list[str]:
        """Each line as text, as many as `lines`.

        Without what a crash (NUL) or another system (CR at the end) left in it; what is no UTF-8 is replaced.
        """
        text = self.data.decode("utf-8", "replace")
        if "\0" in text:
            text = text.replace("\0", "")
        if "\r" in text:
            text = text.replace("\r\n", "\n").removesuffix("\r")
        return text.split("\n")


def end_of_lines(data: bytes, *, also_incomplete: bool) -> tuple[int, int]:
    """How much of ``data`` is complete lines: without the last newline, and with it; twice 0 if there is none.

    The beginning of ``data`` is a line's, or that of a piece of a long one. ``also_incomplete``: nothing will follow,
    so what stands after the last newline is a line.
    """
    begin = 0
    while True:
        newline = data.rfind(b"\n", begin, begin + LINE_OCTETS)
        if newline >= 0:
            begin = newline + 1
            continue
        if begin:
            return begin - 1, begin
        if len(data) >= LINE_OCTETS:
            return LINE_OCTETS, LINE_OCTETS
        return (len(data), len(data)) if also_incomplete else (0, 0)
