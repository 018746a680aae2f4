"""A submission server on loopback for tests without Postfix: STARTTLS, AUTH PLAIN, and any replies a test wants."""

import base64
import contextlib
import datetime as dt
import ipaddress
import socketserver
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HANG_UP = ""  # as a reply: close the connection instead


@dataclass(frozen=True)
class ReceivedMail:
    """A mail that the server took over."""

    login: str
    envelope_sender: str
    recipients: tuple[str, ...]
    content: bytes


@dataclass
class SubmissionServer:
    """What a test sees of it. ``replies``: other answers than the usual, by SMTP verb ("." for the final dot)."""

    port: int
    ca_file: Path
    login: str
    password: str
    replies: dict[str, str] = field(default_factory=dict)
    mails: list[ReceivedMail] = field(default_factory=list)


@contextlib.contextmanager
def running_submission_server(folder: Path, *, login: str, password: str) -> Iterator[SubmissionServer]:
    """The server at 127.0.0.1, until the block ends; its certificate goes to ``folder``."""
    certificate, key = _certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with _Listener(("127.0.0.1", 0), _Conversation) as listener:
        listener.context = context
        listener.state = SubmissionServer(listener.server_address[1], certificate, login, password)
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield listener.state
        finally:
            listener.shutdown()
            thread.join()


class _Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    context: ssl.SSLContext
    state: SubmissionServer


class _Conversation(socketserver.BaseRequestHandler):
    server: _Listener

    def handle(self) -> None:
        # A client that hangs up, or distrusts the certificate, is what some tests are about.
        with contextlib.suppress(OSError), self.request as connection:
            if self._plain(connection):
                with self.server.context.wrap_socket(connection, server_side=True) as encrypted:
                    self._encrypted(encrypted)

    def _plain(self, connection: ssl.SSLSocket) -> bool:
        """Until STARTTLS; whether it came."""
        _say(connection, "220 localhost ESMTP")
        for verb, _ in _commands(connection):
            if verb == "STARTTLS":
                return self._answer(connection, verb, "220 Go ahead")
            if not self._answer(connection, verb, "250-localhost\r\n250 STARTTLS" if verb == "EHLO" else "530 No TLS"):
                break
        return False

    def _encrypted(self, connection: ssl.SSLSocket) -> None:
        state = self.server.state
        login, sender, recipients = "", "", list[str]()
        for verb, rest in _commands(connection):
            usual = "250 Ok"
            match verb:
                case "EHLO":
                    usual = "250-localhost\r\n250 AUTH PLAIN"
                case "AUTH":
                    _, name, password = base64.b64decode(rest.removeprefix("PLAIN ")).decode().split("\0")
                    login = name if (name, password) == (state.login, state.password) else ""
                    usual = "235 Welcome" if login else "535 5.7.8 Authentication failed"
                case "MAIL":
                    sender, recipients = _path(rest), []
                    usual = "250 Ok" if login else "530 Authentication required"
                case "RCPT":
                    recipients.append(_path(rest))
                case "DATA" if "DATA" not in state.replies:
                    _say(connection, "354 Go on")
                    mail = ReceivedMail(login, sender, tuple(recipients), _content(connection))
                    if state.replies.get(".", "250").startswith("2"):
                        state.mails.append(mail)
                case "QUIT":
                    usual = "221 Bye"
                case _:
                    usual = "250 Ok"
            data_taken = verb == "DATA" and "DATA" not in state.replies
            if not self._answer(connection, "." if data_taken else verb, usual):
                return

    def _answer(self, connection: ssl.SSLSocket, verb: str, usual: str) -> bool:
        """Say what the test wants, else the usual; False if that is to hang up."""
        reply = self.server.state.replies.get(verb, usual)
        if reply == HANG_UP:
            return False
        _say(connection, reply)
        return True


def _say(connection: ssl.SSLSocket, reply: str) -> None:
    connection.sendall(f"{reply}\r\n".encode())


def _line(connection: ssl.SSLSocket) -> bytes:
    """One line; octet by octet, so that nothing of a TLS handshake is read too early. Empty at the end."""
    line = b""
    while not line.endswith(b"\n") and (octet := connection.recv(1)):
        line += octet
    return line


def _commands(connection: ssl.SSLSocket) -> Iterator[tuple[str, str]]:
    while line := _line(connection):
        verb, _, rest = line.decode().strip().partition(" ")
        yield verb.upper(), rest


def _path(argument: str) -> str:
    return argument.partition("<")[2].partition(">")[0]


def _content(connection: ssl.SSLSocket) -> bytes:
    lines = []
    while (line := _line(connection)) != b".\r\n":
        if not line:
            raise ConnectionResetError("no final dot: not a mail")
        lines.append(line.removeprefix(b"."))
    return b"".join(lines)


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    begins = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + dt.timedelta(days=36525))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    certificate_path, key_path = folder / "submission.pem", folder / "submission.key"
    certificate_path.write_bytes(certificate.public_bytes(pem))
    key_path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    return certificate_path, key_path
