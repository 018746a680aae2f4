"""What the field ``relay=`` of a delivery status line names: host, address, port. Pure; asks no DNS."""

import ipaddress
import re
from typing import NamedTuple

# smtp/smtp_session.c: "name[address]:port", and "name[path]" for a UNIX-domain socket; "[address]" where no name is
# known. `none`, `local`, `virtual` and the names of pipe services are no hosts.
_RELAY = re.compile(r"([^\s\[\]]*+)\[([^\s\[\]]++)\](?::(\d{1,5}))?", re.ASCII)
_LARGEST_PORT = 65_535


class Relay(NamedTuple):
    """The receiving server, as far as the field names it."""

    host: str | None
    ip: str | None
    port: int | None


_NO_SERVER = Relay(None, None, None)


def take_apart(relay: str) -> Relay:
    """The parts of the field; None for what it does not name.

    A server that is reached by a UNIX-domain socket has a host and neither address nor port.
    """
    match = _RELAY.fullmatch(relay)
    if match is None:
        return _NO_SERVER
    host, address, digits = match.groups()
    if not _is_address(address):
        return Relay(host or None, None, None)
    port = int(digits) if digits else None
    return Relay(host or None, address, port if port is not None and 0 < port <= _LARGEST_PORT else None)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
