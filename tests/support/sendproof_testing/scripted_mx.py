"""A receiving server that says whatever a test has it say, word for word. No TLS; keeps what it was sent.

Every reply may have several lines, each as it goes over the wire, without the last line's end.
"""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import MappingProxyType

_PATIENCE_SECONDS = 30


@dataclass(frozen=True)
class Script:
    """What it answers. ``rcpt``: by the beginning of the recipient's address; those not named are taken."""

    greeting: bytes = b"220 mx.scripted.example ESMTP"
    hello: bytes = b"250-mx.scripted.example\r\n250 8BITMIME"
    mail: bytes = b"250 2.1.0 Sender ok"
    rcpt: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    data: bytes = b"354 Go ahead"
    end: bytes = b"250 2.0.0 Ok: queued as SCRIPTED1"

    def to_recipient(self, address: str) -> bytes:
        """The answer to RCPT TO."""
        named = (reply for start, reply in self.rcpt.items() if address.startswith(start))
        return next(named, b"250 2.1.5 Recipient ok")


class ScriptedServer:
    """Takes one connection after the other."""

    def __init__(self, listener: socket.socket, script: Script) -> None:
        self._listener = listener
        self.script = script
        self.taken: list[bytes] = []

    def serve(self) -> None:
        """Until the listener is closed."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.settimeout(_PATIENCE_SECONDS)
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        say = connection.sendall
        say(self.script.greeting + b"\r\n")
        lines = connection.makefile("rb")
        for line in lines:
            verb = line[:4].upper().rstrip()
            if verb in (b"EHLO", b"HELO"):
                say(self.script.hello + b"\r\n")
            elif verb == b"MAIL":
                say(self.script.mail + b"\r\n")
            elif verb == b"RCPT":
                address = line.partition(b"<")[2].rpartition(b">")[0].decode("utf-8", "replace")
                say(self.script.to_recipient(address) + b"\r\n")
            elif verb == b"DATA":
                say(self.script.data + b"\r\n")
                if self.script.data.startswith(b"354"):
                    self.taken.append(_content(lines))
                    say(self.script.end + b"\r\n")
            elif verb == b"QUIT":
                say(b"221 2.0.0 Bye\r\n")
                return
            else:
                say(b"250 2.0.0 Ok\r\n")


@contextmanager
def serving(port: int, script: Script, address: str = "127.0.0.1") -> Iterator[ScriptedServer]:
    """A server on that port of an address of ours for the length of a ``with`` block."""
    with socket.create_server((address, port)) as listener:
        server = ScriptedServer(listener, script)
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield server
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # else `accept` goes on waiting
            listener.close()
            thread.join()


def _content(lines: Iterator[bytes]) -> bytes:
    """The message, up to the line with a dot."""
    found = []
    for line in lines:
        if line == b".\r\n":
            break
        found.append(line[1:] if line.startswith(b".") else line)
    return b"".join(found)
