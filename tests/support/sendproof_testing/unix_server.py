"""A server on a Unix socket that answers each connection once, for programs that look whether somebody is there."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

Answer = Callable[[bytes], bytes]


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        reply = cast(_Server, self.server).answer(self.request.recv(65_536))
        if reply:
            self.request.sendall(reply)
            self.request.recv(65_536)  # a goodbye, or the end


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    answer: Answer


@contextmanager
def answering(path: Path, answer: Answer) -> Iterator[None]:
    """A server at ``path``; ``answer`` makes the reply out of what was asked first; an empty one hangs up."""
    with _Server(str(path), _Handler) as server:
        server.answer = answer
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
