"""Whether the SASL server answers where Postfix asks it, and takes passwords. Signs nobody in."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

from sendproof_postfix.configuration import Service
from sendproof_postfix.doctor import CannotLook, Finding, Verdicts
from sendproof_postfix.doctor_subject import Subject, user_may

_SECONDS = 5.0
_LONGEST_GREETING = 65_536
_MECHANISMS = ("PLAIN", "LOGIN")
_REMEDY = "Look whether Dovecot runs with Sendproof's configuration, and what it logged."


def look(subject: Subject, verdicts: Verdicts) -> Iterator[Finding]:
    """Each auth socket that a submission service names."""
    postfix = subject.postfix
    services = postfix.submission_services()
    if not services:
        raise CannotLook("no service lets people sign in.", "Run `sendproof postfix apply`.")
    sockets: dict[Path, Service] = {}
    for service in services:
        kind = postfix.value("smtpd_sasl_type", service)
        if kind == "dovecot":
            socket_path = postfix.seen_from_outside(postfix.value("smtpd_sasl_path", service), service)
            sockets.setdefault(socket_path, service)
        else:
            yield verdicts.note(
                f"{service.key} checks passwords with {kind}, not with Dovecot.",
                "Credentials of Sendproof work only with a server that reads its passwd-file.",
            )
    for path, service in sockets.items():
        yield _ask(path, postfix.user_of(service), verdicts)


def _ask(path: Path, user: str, verdicts: Verdicts) -> Finding:
    if user_may(user, "w", path) is False:
        if not path.exists():
            return verdicts.error(f"Dovecot's auth socket {path} is not there.", _REMEDY)
        return verdicts.error(
            f"the user {user} may not connect to Dovecot's auth socket {path}.",
            "Look at mode, user and group of the unix_listener in Dovecot's configuration.",
        )
    try:
        greeting = _greeting(path)
    except PermissionError:
        raise CannotLook(f"Dovecot's auth socket {path} may not be asked.", "Run as root.") from None
    except TimeoutError:
        return verdicts.error(f"Dovecot's auth socket {path} does not answer.", _REMEDY)
    except OSError as error:
        return verdicts.error(f"Dovecot's auth socket {path} does not answer: {error.strerror or error}.", _REMEDY)
    return judge(path, greeting, verdicts)


def judge(path: Path, greeting: bytes, verdicts: Verdicts) -> Finding:
    """What Dovecot said (its auth protocol, version 1: a line for each mechanism)."""
    words = [line.split("\t") for line in greeting.decode("utf-8", "replace").splitlines()]
    offered = {line[1] for line in words if line[0] == "MECH" and len(line) > 1}
    if not any(line[0] == "VERSION" for line in words):
        return verdicts.error(f"what answers at {path} is not Dovecot's auth server.", _REMEDY)
    missing = [name for name in _MECHANISMS if name not in offered]
    if missing:
        return verdicts.warning(
            f"Dovecot does not offer {' and '.join(missing)}.", "Let auth_mechanisms be `plain login`."
        )
    return verdicts.ok(f"Dovecot answers at {path} and offers {', '.join(sorted(offered))}.")


def _greeting(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_SECONDS)
        connection.connect(str(path))
        connection.sendall(f"VERSION\t1\t0\nCPID\t{os.getpid()}\n".encode())
        greeting = b""
        while b"\nDONE\n" not in greeting and len(greeting) < _LONGEST_GREETING:
            piece = connection.recv(4096)
            if not piece:
                break
            greeting += piece
    return greeting
