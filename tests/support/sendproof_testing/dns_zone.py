"""A small DNS server on loopback, over UDP and TCP, with records that a test changes while it runs.

Authoritative for every name and a resolver in one: CNAMEs are followed in the answer. Knows no DNSSEC and no transfer.
"""

import contextlib
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

_UDP_OCTETS = 512
_TTL_SECONDS = 60
_MOST_CNAMES = 8


class DnsZone:
    """The records, by name and type. Names are A-labels without the final dot."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str], list[str]] = {}
        self._broken: dict[str, str] = {}
        self._lock = threading.Lock()
        self.port = 0
        # Every question that came, in their order.
        self.questions: list[tuple[str, str]] = []

    @property
    def server(self) -> str:
        """As ``[dns] servers`` has it."""
        return f"127.0.0.1:{self.port}"

    def set(self, name: str, record_type: str, *values: str) -> None:
        """Let a name have these records of a type, and no others; without values, none.

        TXT values are plain text, of any length; all others as in a zone file.
        """
        with self._lock:
            self._broken.pop(name.lower(), None)
            if values:
                self._records[name.lower(), record_type] = list(values)
            else:
                self._records.pop((name.lower(), record_type), None)

    def clear(self) -> None:
        """Forget every record, and mend what was broken."""
        with self._lock:
            self._records.clear()
            self._broken.clear()
            self.questions.clear()

    def break_name(self, name: str, how: str = "SERVFAIL") -> None:
        """Answer with that code for a name, or with nothing at all: ``silence``. `set` mends it."""
        with self._lock:
            self._broken[name.lower()] = how

    def answer(self, wire: bytes, *, is_udp: bool) -> bytes | None:
        """The answer to a question; None: silence."""
        query = dns.message.from_wire(wire)
        response = dns.message.make_response(query, recursion_available=True)
        response.flags |= dns.flags.AA
        question = query.question[0]
        record_type = dns.rdatatype.to_text(question.rdtype)
        name = question.name.to_text(omit_final_dot=True).lower()
        with self._lock:
            self.questions.append((name, record_type))
            for _ in range(_MOST_CNAMES):
                how = self._broken.get(name)
                if how == "silence":
                    return None
                if how is not None:
                    response.set_rcode(dns.rcode.from_text(how))
                    return response.to_wire()
                self._put(response, name, record_type)
                target = self._records.get((name, "CNAME"))
                if record_type == "CNAME" or target is None:
                    break
                self._put(response, name, "CNAME")
                name = target[0].rstrip(".").lower()
            if not any(known == name for known, _ in self._records):
                response.set_rcode(dns.rcode.NXDOMAIN)
        octets = response.to_wire(max_size=65_535)
        if is_udp and len(octets) > _UDP_OCTETS:
            response.answer.clear()
            response.flags |= dns.flags.TC
            octets = response.to_wire()
        return octets

    def _put(self, response: dns.message.Message, name: str, record_type: str) -> None:
        values = self._records.get((name, record_type))
        if values:
            texts = [_txt(value) if record_type == "TXT" else value for value in values]
            owner = dns.name.from_text(name)
            response.answer.append(dns.rrset.from_text_list(owner, _TTL_SECONDS, "IN", record_type, texts))


def _txt(value: str) -> str:
    """In strings of at most 255 octets (RFC 1035 section 3.3), each octet escaped as a zone file has it."""
    octets = value.encode()
    parts = [octets[start : start + 255] for start in range(0, len(octets), 255)] or [b""]
    return " ".join('"' + "".join(f"\\{octet:03}" for octet in part) + '"' for part in parts)


class _Udp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        wire, connection = self.request
        answer = _zone_of(self.server).answer(wire, is_udp=True)
        if answer is not None:
            connection.sendto(answer, self.client_address)


class _Tcp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with self.request.makefile("rb") as stream:
            (length,) = struct.unpack("!H", stream.read(2))
            answer = _zone_of(self.server).answer(stream.read(length), is_udp=False)
        if answer is not None:
            self.request.sendall(struct.pack("!H", len(answer)) + answer)


class _UdpServer(socketserver.ThreadingUDPServer):
    zone: DnsZone
    daemon_threads = True


class _TcpServer(socketserver.ThreadingTCPServer):
    zone: DnsZone
    daemon_threads = True
    allow_reuse_address = True


def _zone_of(server: socketserver.BaseServer) -> DnsZone:
    if not isinstance(server, _UdpServer | _TcpServer):
        raise TypeError("not our server")
    return server.zone


@contextlib.contextmanager
def running(port: int = 0, address: str = "127.0.0.1") -> Iterator[DnsZone]:
    """A server with no records; on a free port, if none is named."""
    zone = DnsZone()
    with _servers(port, address) as (udp, tcp):
        udp.zone = tcp.zone = zone
        zone.port = int(udp.server_address[1])
        threads = [threading.Thread(target=server.serve_forever, args=(0.05,)) for server in (udp, tcp)]
        for thread in threads:
            thread.start()
        try:
            yield zone
        finally:
            udp.shutdown()
            tcp.shutdown()
            for thread in threads:
                thread.join()


@contextlib.contextmanager
def _servers(port: int, address: str) -> Iterator[tuple[_UdpServer, _TcpServer]]:
    """Both on the same port: one that is free for UDP may be taken for TCP."""
    for attempt in range(20):
        udp = _UdpServer((address, port), _Udp)
        try:
            tcp = _TcpServer((address, int(udp.server_address[1])), _Tcp)
        except OSError:
            udp.server_close()
            if port or attempt == 19:
                raise
            continue
        with udp, tcp:
            yield udp, tcp
        return


def unused_port() -> int:
    """A UDP port of loopback where nobody answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        return int(holder.getsockname()[1])
