"""A picture without a painter: one colour, as PNG (ISO/IEC 15948)."""

import struct
import zlib


def png(width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    """The file."""
    head = struct.pack("!IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits a channel, RGB
    rows = (b"\0" + bytes(colour) * width) * height
    chunks = (_chunk(b"IHDR", head), _chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))
