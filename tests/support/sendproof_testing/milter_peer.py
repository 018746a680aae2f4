"""The MTA's side of the milter protocol, as Postfix speaks it: one SMTP session, message by message."""

import contextlib
import fcntl
import itertools
import socket
import struct
import termios
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miltertest import codec, constants  # type: ignore[import-untyped] # no types of its own

from sendproof_milter.message import Submission

# What Postfix 3.7 offers (src/milter/milter8.c).
_ACTIONS = constants.SMFI_V6_ACTS
_PROTOCOL = constants.SMFI_V6_PROT
_NO_REPLIES = constants.SMFIP_NR_CONN | constants.SMFIP_NR_MAIL | constants.SMFIP_NR_RCPT
_NO_REPLIES |= constants.SMFIP_NR_HDR | constants.SMFIP_NR_BODY
_REPLY_SECONDS = 30.0
_VERDICTS: Mapping[str, str] = {
    constants.SMFIR_ACCEPT: "accept",
    constants.SMFIR_CONTINUE: "continue",
    constants.SMFIR_DISCARD: "discard",
    constants.SMFIR_TEMPFAIL: "tempfail",
    constants.SMFIR_REJECT: "reject",
    constants.SMFIR_REPLYCODE: "reply",
}


@dataclass(frozen=True)
class Edit:
    """One change that the milter asks for: ``change`` (value empty: delete), ``insert``, ``replace``."""

    kind: str
    name: str
    value: str
    index: int


@dataclass(frozen=True)
class Answer:
    """What the milter says at the end of a message. ``reply`` is empty unless it chose one."""

    verdict: str
    reply: str
    edits: tuple[Edit, ...]

    def named(self, name: str) -> tuple[Edit, ...]:
        """The edits of one header field."""
        return tuple(edit for edit in self.edits if edit.name == name)

    @property
    def new_body(self) -> bytes | None:
        """The body that replaces the message's."""
        pieces = [edit.value for edit in self.edits if edit.kind == "replace"]
        return "".join(pieces).encode("latin-1") if pieces else None


class MtaSession:
    """One connection. Octets go out as they are: miltertest's own encoder takes only text."""

    def __init__(self, socket_path: Path, *, protocol: int = _PROTOCOL, actions: int = _ACTIONS) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_REPLY_SECONDS)
        try:
            self._socket.connect(str(socket_path))
        except OSError:
            self._socket.close()
            raise
        self._unread = b""
        self._socket.sendall(codec.encode_optneg(actions, protocol))
        command, data = self._packet()
        if command != constants.SMFIC_OPTNEG:
            raise AssertionError(f"no negotiation: {command}")
        _version, self.actions, self.protocol = struct.unpack("!III", data[:12])
        self.macros_asked = data[12:]

    def connect(self, address: str = "192.0.2.7", family: str = "4") -> None:
        """The client's connection."""
        self.send(
            constants.SMFIC_CONNECT, b"client\0" + family.encode() + struct.pack("!H", 40000) + address.encode() + b"\0"
        )

    def begin(self, message: Submission) -> None:
        """MAIL FROM and RCPT TO, with the macros that Postfix sends."""
        tls, _, cipher = (message.client_tls or "").partition(" ")
        self.macros(
            constants.SMFIC_MAIL,
            {
                "{auth_authen}": message.login,
                "{daemon_name}": message.daemon_name,
                "{client_addr}": message.client_address or "",
                "{tls_version}": tls,
                "{cipher}": cipher,
            },
        )
        parameters = b"SMTPUTF8\0" if message.smtputf8 else b""
        self.send(constants.SMFIC_MAIL, b"<" + _octets(message.envelope_sender) + b">\0" + parameters)
        for recipient, original in itertools.zip_longest(message.recipients, message.original_recipients):
            self.macros(constants.SMFIC_RCPT, {"i": message.queue_id})
            parameters = b"" if original is None else b"NOTIFY=FAILURE\0ORCPT=rfc822;" + _xtext(original) + b"\0"
            self.send(constants.SMFIC_RCPT, b"<" + _octets(recipient) + b">\0" + parameters)

    def content(self, message: Submission) -> None:
        """The header fields and the body."""
        for name, value in message.headers:
            self.send(constants.SMFIC_HEADER, name + b"\0" + value + b"\0")
        size = constants.MILTER_CHUNK_SIZE
        for start in range(0, len(message.body), size):
            self.send(constants.SMFIC_BODY, message.body[start : start + size])

    def end(self, message: Submission) -> Answer:
        """The end of the message, and what the milter says to it."""
        self.macros(constants.SMFIC_BODYEOB, {"i": message.queue_id})
        self.send(constants.SMFIC_BODYEOB, answered=False)
        return self._answer()

    def deliver(self, message: Submission) -> Answer:
        """A whole message."""
        self.begin(message)
        self.content(message)
        return self.end(message)

    def abort(self) -> None:
        """RSET: the message before its end is given up."""
        self.send(constants.SMFIC_ABORT, answered=False)

    def macros(self, command: str, values: Mapping[str, str]) -> None:
        """The macros that go before a command."""
        pairs = b"".join(_octets(name) + b"\0" + _octets(value) + b"\0" for name, value in values.items() if value)
        self.send(constants.SMFIC_MACRO, command.encode() + pairs, answered=False)

    def send(self, command: str, data: bytes = b"", *, answered: bool = True) -> None:
        """One packet; waits for "continue" where the milter did not ask for silence."""
        self._socket.sendall(struct.pack("!Lc", len(data) + 1, command.encode()) + data)
        if answered and not self.protocol & _NO_REPLIES:
            reply, _ = self._packet()
            if reply != constants.SMFIR_CONTINUE:
                raise AssertionError(f"{command} was answered {reply}")

    def all_was_read(self) -> bool:
        """Whether the milter has taken all that was sent."""
        unread = fcntl.ioctl(self._socket, termios.TIOCOUTQ, b"\0" * 4)
        return unread == b"\0" * 4

    def is_over(self) -> bool:
        """Whether the milter hung up."""
        try:
            return self._socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        """Hang up, as a lost client does."""
        self._socket.close()

    def _answer(self) -> Answer:
        edits: list[Edit] = []
        while True:
            command, data = self._packet()
            if command in _VERDICTS:
                reply = data.rstrip(b"\0").decode("ascii") if command == constants.SMFIR_REPLYCODE else ""
                return Answer(_VERDICTS[command], reply, tuple(edits))
            edits.append(_edit(command, data))

    def _packet(self) -> tuple[str, bytes]:
        length = struct.unpack("!I", self._read(4))[0]
        packet = self._read(length)
        return packet[:1].decode("ascii"), packet[1:]

    def _read(self, octets: int) -> bytes:
        while len(self._unread) < octets:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("the milter hung up")
            self._unread += data
        read, self._unread = self._unread[:octets], self._unread[octets:]
        return read


def _edit(command: str, data: bytes) -> Edit:
    if command == constants.SMFIR_REPLBODY:
        return Edit("replace", "", data.decode("latin-1"), 0)
    _, values, _ = codec.decode_msg(struct.pack("!Lc", len(data) + 1, command.encode()) + data)
    kind = {constants.SMFIR_CHGHEADER: "change", constants.SMFIR_INSHEADER: "insert"}[command]
    return Edit(kind, values["name"], values["value"], values["index"])


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _xtext(text: str) -> bytes:
    """RFC 3461 section 4."""
    return b"".join(
        b"%c" % octet if 33 <= octet <= 126 and octet not in b"+=" else b"+%02X" % octet for octet in _octets(text)
    )


@contextlib.contextmanager
def mta_session(socket_path: Path, **options: Any) -> Iterator[MtaSession]:
    """A session that a client has connected to; hung up afterwards."""
    session = MtaSession(socket_path, **options)
    try:
        session.connect()
        yield session
    finally:
        session.close()
