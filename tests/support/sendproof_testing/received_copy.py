"""A received message taken apart: its header fields as they stand, and the pixel that it carries."""

import email
import email.message
import email.policy
import re

# What receiving servers, our own Postfix and our milter put on top of what the client wrote.
_ADDED = {
    "return-path", "x-original-to", "delivered-to", "x-greylist", "received", "dkim-signature", "x-sendproof-trace",
}  # fmt: skip
_FIELD = re.compile(rb"([!-9;-~]+):[ \t]?((?:[^\n]|\n[ \t])*)\n")
_PIXEL = re.compile(rb"http[^\"' >]*?/o/([\w-]{56})\.gif")


def fields(raw: bytes) -> list[tuple[str, bytes]]:
    """Every header field in its order; folds as newlines."""
    head = raw.replace(b"\r\n", b"\n").partition(b"\n\n")[0] + b"\n"
    return [(name.decode("ascii"), value) for name, value in _FIELD.findall(head)]


def written_fields(raw: bytes) -> list[tuple[str, bytes]]:
    """Those that the client wrote."""
    return [(name, value) for name, value in fields(raw) if name.lower() not in _ADDED]


def body(raw: bytes) -> bytes:
    """What follows the header, with bare newlines."""
    return raw.replace(b"\r\n", b"\n").partition(b"\n\n")[2]


def parsed(raw: bytes) -> email.message.Message:
    """Python's email package as a reader."""
    return email.message_from_bytes(raw, policy=email.policy.compat32)


def texts(raw: bytes) -> list[bytes]:
    """Every leaf, its transfer encoding undone, in the octets of its charset, with bare newlines."""
    leaves = (part for part in parsed(raw).walk() if not part.is_multipart())
    found = (part.get_payload(decode=True) for part in leaves)
    return [leaf.replace(b"\r\n", b"\n") for leaf in found if isinstance(leaf, bytes)]


def pixels(raw: bytes) -> list[str]:
    """The tokens of the pixels in it, in order."""
    return [token.decode("ascii") for text in texts(raw) for token in _PIXEL.findall(text)]


def pixel_url(raw: bytes) -> str:
    """Where its one pixel is fetched."""
    (found,) = [match[0] for text in texts(raw) for match in _PIXEL.finditer(text)]
    return found.decode("ascii")
