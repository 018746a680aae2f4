"""What the milter does beside mail: confirm or take back charges, keep the snapshot, show its numbers. One process.

Mail does not wait for it, and it may die at any point: each round begins from what the database says.
"""

import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import sqlalchemy.exc

from sendproof_core import clock
from sendproof_core.errors import UserError
from sendproof_milter import metrics
from sendproof_milter.quota_store import QuotaStore
from sendproof_milter.reconciliation import reconcile
from sendproof_milter.sender_store import SenderStore

_log = logging.getLogger(__name__)


class Keeper:
    """The rounds of one machine's milter."""

    def __init__(
        self,
        *,
        quota: QuotaStore,
        senders: SenderStore,
        host: str,
        own_metrics: metrics.Metrics,
        every_seconds: float,
        server: ThreadingHTTPServer | None,
    ) -> None:
        self._server = server
        self._quota = quota
        self._senders = senders
        self._host = host
        self._metrics = own_metrics
        self._every_seconds = every_seconds

    def run(self, stopping: threading.Event) -> None:
        """A round at once and then every ``every_seconds``, until told to stop."""
        if self._server is not None:
            threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        while True:
            self.round()
            if stopping.wait(self._every_seconds):
                return

    def round(self) -> None:
        """One round. What fails is logged and tried again in the next."""
        self._guarded("snapshot", self._senders.write_snapshot)
        self._guarded("reconciliation", self._reconcile)

    def _reconcile(self) -> None:
        done = reconcile(self._quota, self._host, clock.now())
        for outcome, count in (
            ("settled", done.settled),
            ("taken-back", done.taken_back),
            ("charged-late", done.charged_late),
        ):
            if count:
                self._metrics.count_reconciled(outcome, count)
        if done.taken_back or done.charged_late:
            _log.info("event=reconciled taken_back=%s charged_late=%s", done.taken_back, done.charged_late)

    def _guarded(self, what: str, act: Callable[[], object]) -> None:
        try:
            act()
        except (sqlalchemy.exc.SQLAlchemyError, OSError, UserError) as error:
            _log.warning("event=keeper-failed what=%s error=%s", what, type(error).__name__)


def listen_for_metrics(address: str) -> ThreadingHTTPServer:
    """A server for ``GET /metrics`` at ``host:port`` that does not answer yet: it is opened before the forks.

    Raises:
        UserError: the address cannot be used.
    """
    host, _, port = address.rpartition(":")
    if not host:  # a socket would take that for every address of the machine
        raise UserError(f"[milter] metrics cannot be served at {address!r}, which has no host; name another host:port.")
    try:
        server = ThreadingHTTPServer((host.strip("[]"), int(port)), _Handler)
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(
            f"[milter] metrics cannot be served at {address!r} ({error}); name another host:port."
        ) from None
    server.daemon_threads = True
    return server


class _Handler(BaseHTTPRequestHandler):
    """The numbers of all processes, added up for each request."""

    # A client that says nothing is not waited for.
    timeout = 10
    server_version = "Sendproof"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer one request."""
        if self.path != "/metrics":
            self.send_error(404)
            return
        content = metrics.exposition()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Requests are not logged: a monitor asks every few seconds."""
