"""A way between a client and a server on TCP that a test can take away. Passes octets on; knows no protocol."""

import contextlib
import socket
import threading
from collections.abc import Iterator

_OCTETS = 1 << 16
_CONNECT_SECONDS = 5.0


class TcpRelay:
    """Listens on an address, on a port that the kernel chooses; each connection goes on to the target."""

    def __init__(self, address: str, target: tuple[str, int]) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._is_cut = False
        self._listener = socket.create_server((address, 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """End every connection, and each new one at once: the server is down."""
        with self._lock:
            self._is_cut = True
            self._end_all()

    def restore(self) -> None:
        """The server is up again."""
        with self._lock:
            self._is_cut = False

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """`cut` for the length of a ``with`` block."""
        self.cut()
        try:
            yield
        finally:
            self.restore()

    def close(self) -> None:
        """End everything."""
        self.cut()
        # Closing alone does not wake up who waits in accept().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _end_all(self) -> None:
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.closing(client):
            try:
                server = socket.create_connection(self._target, _CONNECT_SECONDS)
            except OSError:
                return
            server.settimeout(None)
            with contextlib.closing(server):
                both = (client, server)
                with self._lock:
                    if self._is_cut:
                        return
                    self._open.update(both)
                for one in both:
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
                back.start()
                _pass_on(client, server)
                back.join()
                with self._lock:
                    self._open.difference_update(both)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Until one of them ends; then the other is told."""
    with contextlib.suppress(OSError):
        while octets := source.recv(_OCTETS):
            target.sendall(octets)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
