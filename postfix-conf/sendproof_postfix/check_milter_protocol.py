"""The first exchange of the milter protocol, as an MTA has it: who is there, and what may it do? No mail.

Version 6, as Postfix 3 and libmilter speak it (mfdef.h, mfapi.h).
"""

import socket
import struct
from dataclasses import dataclass

_VERSION = 6
_SECONDS = 5.0
_LONGEST_ANSWER = 65_536
_NEGOTIATE, _QUIT = b"O", b"Q"
# What an MTA can do for a milter (SMFIF_*), and how it talks (SMFIP_*): all that version 6 knows.
_ALL_ACTIONS = 0x1FF
_ALL_STEPS = 0x1FFFFF
ADD_FIELDS, CHANGE_BODY, CHANGE_FIELDS, QUARANTINE = 0x01, 0x02, 0x10, 0x20
SET_MACROS = 0x100
# At which point of the conversation (SMFIM_*) a milter asks for its macros.
STAGES = ("connect", "helo", "mail", "rcpt", "data", "end of message", "end of header")


@dataclass(frozen=True)
class Negotiated:
    """What a milter answered. ``macros``: what it asked for, by stage."""

    version: int
    actions: int
    macros: dict[str, tuple[str, ...]]

    @property
    def changes_message(self) -> bool:
        """Whether it may change what a signature covers: body, or fields that are there."""
        return bool(self.actions & (CHANGE_BODY | CHANGE_FIELDS))

    @property
    def adds_fields(self) -> bool:
        """Whether it may add header fields."""
        return bool(self.actions & ADD_FIELDS)


class NoMilter(Exception):
    """Nobody who speaks the protocol answers there: the text says what happened instead."""


def negotiate(endpoint: str) -> Negotiated:
    """Ask the milter at an endpoint (``unix:PATH``, ``inet:HOST:PORT``), and say goodbye.

    Raises:
        NoMilter: there is none.
    """
    try:
        with _connected(endpoint) as connection:
            connection.sendall(packet(_NEGOTIATE, struct.pack("!III", _VERSION, _ALL_ACTIONS, _ALL_STEPS)))
            answer = _receive(connection)
            connection.sendall(packet(_QUIT))
    except TimeoutError:
        raise NoMilter(f"no answer within {_SECONDS:.0f} seconds") from None
    except OSError as error:
        raise NoMilter(error.strerror or str(error)) from None
    return read_answer(answer)


def packet(command: bytes, data: bytes = b"") -> bytes:
    """A packet: its length, a letter, and what belongs to it."""
    return struct.pack("!I", len(data) + 1) + command + data


def read_answer(answer: bytes) -> Negotiated:
    """The payload of the answer, from its letter on.

    Raises:
        NoMilter: it is none of this protocol.
    """
    if answer[:1] != _NEGOTIATE or len(answer) < 13:
        raise NoMilter("what answers does not speak the milter protocol")
    version, actions, _steps = struct.unpack_from("!III", answer, 1)
    macros: dict[str, tuple[str, ...]] = {}
    rest = answer[13:]
    while len(rest) > 4:
        (stage,) = struct.unpack_from("!I", rest)
        text, _, rest = rest[4:].partition(b"\0")
        if stage < len(STAGES):
            macros[STAGES[stage]] = tuple(text.decode("ascii", "replace").split())
    return Negotiated(version, actions, macros)


def _connected(endpoint: str) -> socket.socket:
    kind, _, rest = endpoint.partition(":")
    if kind in ("unix", "local"):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(_SECONDS)
        try:
            connection.connect(rest)
        except OSError:
            connection.close()
            raise
        return connection
    host, _, port = rest.rpartition(":")
    if kind not in ("inet", "inet6") or not port.isdigit():
        raise NoMilter(f"{endpoint} is no endpoint that the doctor knows")
    return socket.create_connection((host.strip("[]") or "localhost", int(port)), _SECONDS)


def _receive(connection: socket.socket) -> bytes:
    (length,) = struct.unpack("!I", _exactly(connection, 4))
    if not 1 <= length <= _LONGEST_ANSWER:
        raise NoMilter("what answers does not speak the milter protocol")
    return _exactly(connection, length)


def _exactly(connection: socket.socket, count: int) -> bytes:
    octets = b""
    while len(octets) < count:
        piece = connection.recv(count - len(octets))
        if not piece:
            raise NoMilter("it closed the connection without an answer")
        octets += piece
    return octets
