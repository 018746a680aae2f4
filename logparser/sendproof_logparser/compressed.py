"""Reads gzip files, damaged ones as far as they go, and says where they broke. Knows no lines and no positions."""

import zlib
from typing import Protocol

# How much compressed text is taken from the file at a time.
_PIECE_OCTETS = 1 << 16
# zlib's way to say: gzip's header and trailer, and its largest window
_GZIP = 16 + zlib.MAX_WBITS


class _File(Protocol):
    def read(self, octets: int, /) -> bytes | None: ...

    def seek(self, offset: int, /) -> int: ...


class GzipText:
    """The text of a gzip file, read forward."""

    def __init__(self, file: _File) -> None:
        """``file``: at its beginning; its owner closes it."""
        # How many octets of text were read.
        self.offset = 0
        # What is wrong with the file, and where, once that place was reached.
        self.damage: str | None = None
        self._file = file
        self._octets_taken = 0
        self._text = bytearray()
        self._begin_member()

    @property
    def compressed_octets(self) -> int:
        """How many octets of the file were read, about."""
        return self._octets_taken - len(self._member.unconsumed_tail) - len(self._member.unused_data)

    def read(self, octets: int) -> bytes:
        """Up to so many octets; fewer only at the end, or where the damage begins."""
        while len(self._text) < octets and self._unpack_more():
            pass
        text = bytes(self._text[:octets])
        del self._text[:octets]
        self.offset += len(text)
        return text

    def go_to(self, offset: int) -> None:
        """Make ``offset`` (or the end, if that comes first) the place to read from."""
        if offset < self.offset:
            self._file.seek(0)
            self.offset = self._octets_taken = 0
            self.damage = None
            self._text.clear()
            self._begin_member()
        while self.offset < offset and self.read(min(offset - self.offset, _PIECE_OCTETS)):
            pass

    def _begin_member(self) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._is_within_member = False

    def _unpack_more(self) -> bool:
        """Unpack a piece; whether there was one."""
        if self.damage is not None:
            return False
        try:
            piece = self._next_piece()
        except OSError as error:  # a bad block on the disk
            return self._broken(error.strerror or type(error).__name__)
        if not piece:
            return self._broken("it ends too early") if self._is_within_member or not self._octets_taken else False
        before = self._member.copy()
        try:
            self._text += self._member.decompress(piece, _PIECE_OCTETS)
        except zlib.error as error:
            self._octets_taken -= len(piece)
            self._take_up_to_the_damage(before, piece)
            return self._broken(str(error).rpartition(": ")[2])
        self._is_within_member = not self._member.eof
        return True

    def _next_piece(self) -> bytes:
        if not self._member.eof:
            return self._member.unconsumed_tail or self._from_file()
        # Padding between and after members is allowed by gzip itself.
        piece = self._member.unused_data
        self._begin_member()
        while not (octets := piece.lstrip(b"\0")) and (piece := self._from_file()):
            pass
        return octets

    def _from_file(self) -> bytes:
        piece = self._file.read(_PIECE_OCTETS) or b""
        self._octets_taken += len(piece)
        return piece

    def _take_up_to_the_damage(self, member: "zlib._Decompress", piece: bytes) -> None:
        """What zlib read before it came to the damage it does not give: go there in the smallest steps."""
        for number in range(len(piece)):
            try:
                self._text += member.decompress(piece[number : number + 1])
            except zlib.error:
                return
            self._octets_taken += 1

    def _broken(self, what: str) -> bool:
        place = self.offset + len(self._text)
        self._member = zlib.decompressobj(_GZIP)
        self.damage = f"{what}, after {self.compressed_octets} octets ({place} octets of text)"
        return False
