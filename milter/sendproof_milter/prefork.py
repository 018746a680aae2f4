"""The parent of the processes: opens the socket, forks, replaces what died or is worn out, drains at the end.

libmilter stops by throwing its sessions away and by unlinking the socket that all workers share. So a worker never
lets it stop: to drain, it makes its own copy of the listening descriptor deaf, waits for its messages, and ends with
``os._exit``. The parent holds no database and no thread, because it forks.
"""

import contextlib
import grp
import itertools
import logging
import os
import random
import selectors
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import Milter

from sendproof_core import clock
from sendproof_core.errors import UserError
from sendproof_core.service_notify import ServiceNotifier
from sendproof_milter import metrics, session
from sendproof_milter.keeper import Keeper
from sendproof_milter.metrics import Metrics
from sendproof_milter.session import Activity, Session
from sendproof_milter.settings import MilterSettings
from sendproof_milter.worker import Worker

_log = logging.getLogger(__name__)
_BACKLOG = 256
# Messages under way may take so long; sessions without one are cut sooner (a 451 at their next MAIL FROM).
_DRAIN_SECONDS = 10.0
_IDLE_SECONDS = 1.0
# libmilter writes the verdict after our callback has returned, when the message counts as ended already.
_REPLY_SECONDS = 0.1
_KILL_SECONDS = 15.0
# A worker that dies younger than this is started again only after this pause.
_YOUNG_SECONDS = 1.0
# A keeper that dies is started again so much later: no mail waits for it.
_KEEPER_PAUSE_SECONDS = 10.0
_ORPHANS_SECONDS = 3.0


class Parent:
    """Runs ``settings.workers`` processes and a keeper until SIGTERM or SIGINT."""

    def __init__(
        self,
        settings: MilterSettings,
        make_worker: Callable[[], Worker],
        make_keeper: Callable[[], Keeper],
        own_metrics: Metrics,
        notifier: ServiceNotifier,
    ) -> None:
        self._settings = settings
        self._make_worker = make_worker
        self._make_keeper = make_keeper
        self._metrics = own_metrics
        self._notifier = notifier
        # Ends with its pipe, as the workers do.
        self._keeper: tuple[int, int] | None = None
        self._keeper_began = float("-inf")
        # pid -> (write end of the pipe whose closing tells it to drain, when it began)
        self._children: dict[int, tuple[int, float]] = {}
        self._draining: dict[int, float] = {}
        # What each living worker's numbers are kept under; a free name is given again.
        self._names: dict[int, str] = {}
        self._listener = -1
        self._stopping = False

    def run(self) -> None:
        """Serve; returns when every worker has ended.

        Raises:
            UserError: the socket cannot be opened, or was removed, so that nobody can reach us.
        """
        self._listener = _open_socket(self._settings)
        worn_read, self._worn_write = os.pipe()
        wake_read, wake_write = os.pipe()
        for descriptor in (wake_write, worn_read):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wake_write)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, _ignore)
        _log.info("event=started socket=%s workers=%s", self._settings.socket, self._settings.workers)
        with selectors.DefaultSelector() as selector:
            selector.register(wake_read, selectors.EVENT_READ)
            selector.register(worn_read, selectors.EVENT_READ)
            self._keep_full()
            self._notifier.ready()
            while not self._stopping:
                self._notifier.alive()
                self._keep_full()
                for key, _ in selector.select(timeout=1.0):
                    data = os.read(key.fd, 4096)
                    if key.fd == worn_read:
                        self._replace_worn(data)
                self._bury()
                if self._is_cut_off():
                    break
            is_asked = self._stopping
        self._notifier.stopping()
        self._end()
        if not is_asked:
            raise UserError(f"the milter's socket {self._settings.socket} was removed; start the milter again.")

    def _is_cut_off(self) -> bool:
        """Whether somebody removed the socket: nobody reaches us any more, and another milter may."""
        return self._settings.socket.parent.is_dir() and not self._settings.socket.exists()

    def _keep_full(self) -> None:
        while len(self._children) < self._settings.workers:
            self._fork()
        if self._keeper is None and clock.monotonic_seconds() - self._keeper_began > _KEEPER_PAUSE_SECONDS:
            self._keeper_began = clock.monotonic_seconds()
            self._fork_keeper()

    def _fork_keeper(self) -> None:
        stop_read, stop_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(stop_write)
            metrics.write_as("keeper")
            for other, _ in self._children.values():
                os.close(other)
            _run_keeper(self._make_keeper, stop_read)
        os.close(stop_read)
        self._keeper = pid, stop_write
        _log.info("event=keeper-started pid=%s", pid)

    def _fork(self) -> None:
        drain_read, drain_write = os.pipe()
        taken = set(self._names.values())
        name = next(name for name in map("worker-{}".format, itertools.count()) if name not in taken)
        pid = os.fork()
        if pid == 0:
            os.close(drain_write)
            metrics.write_as(name)
            for other, _ in self._children.values():
                os.close(other)
            if self._keeper is not None:
                os.close(self._keeper[1])
            _run_worker(self._settings, self._make_worker, self._listener, drain_read, self._worn_write)
        os.close(drain_read)
        self._children[pid] = (drain_write, clock.monotonic_seconds())
        self._names[pid] = name

    def _replace_worn(self, data: bytes) -> None:
        """Workers that had their share of messages: start the next one first, then let them drain."""
        for start in range(0, len(data), 4):
            pid = int.from_bytes(data[start : start + 4], "big")
            if pid in self._children:
                drain_write, _ = self._children.pop(pid)
                os.close(drain_write)
                self._draining[pid] = clock.monotonic_seconds()
                self._metrics.count_worker_end("worn")
                _log.info("event=worker-worn pid=%s", pid)

    def _bury(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._names.pop(pid, None)
            if self._draining.pop(pid, None) is not None:
                continue
            if self._keeper is not None and pid == self._keeper[0]:
                os.close(self._keeper[1])
                self._keeper = None
                _log.error("event=keeper-died pid=%s status=%s", pid, os.waitstatus_to_exitcode(status))
                continue
            drain_write, began = self._children.pop(pid)
            os.close(drain_write)
            self._metrics.count_worker_end("died")
            _log.error("event=worker-died pid=%s status=%s", pid, os.waitstatus_to_exitcode(status))
            if clock.monotonic_seconds() - began < _YOUNG_SECONDS:
                time.sleep(_YOUNG_SECONDS)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _end(self) -> None:
        for drain_write, _ in self._children.values():
            os.close(drain_write)
        remaining = set(self._children) | set(self._draining)
        if self._keeper is not None:
            os.close(self._keeper[1])
            remaining.add(self._keeper[0])
        deadline = clock.monotonic_seconds() + _KILL_SECONDS
        while remaining and clock.monotonic_seconds() < deadline:
            with contextlib.suppress(ChildProcessError):
                remaining -= {pid for pid in remaining if os.waitpid(pid, os.WNOHANG)[0]}
            time.sleep(0.02)
        for pid in remaining:
            _log.error("event=worker-killed pid=%s", pid)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self._settings.socket.unlink(missing_ok=True)
        _log.info("event=stopped")


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """SIGCHLD only wakes the parent up."""


def _open_socket(settings: MilterSettings) -> int:
    """The listening descriptor, non-blocking: else a worker that lost the race for a client waits in accept()."""
    path = settings.socket
    check_socket(path)
    try:
        group = grp.getgrnam(settings.socket_group).gr_gid
    except KeyError:
        raise UserError(
            f"[milter] socket_group: there is no group {settings.socket_group!r}; install Postfix or name another."
        ) from None
    before = _descriptors()
    try:
        session.register("sendproof", str(path), _BACKLOG)
    except Milter.milter.error as error:
        raise UserError(f"the milter's socket {path} cannot be opened; check its folder's owner.") from error
    try:
        os.chown(path, -1, group)
        path.chmod(0o660)
    except OSError:
        raise UserError(
            f"the milter's socket cannot be given to the group {settings.socket_group!r}; add this user to it."
        ) from None
    for descriptor in _descriptors() - before:
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            os.set_blocking(descriptor, False)
            return descriptor
    raise UserError("libmilter opened no socket.")


def check_socket(path: Path) -> None:
    """Raise UserError unless a milter may open its socket here: a second one would take it away from the first.

    Workers whose parent was killed still answer for a moment, which is waited for.
    """
    if not path.parent.is_dir():
        raise UserError(f"the folder of the milter's socket {path} does not exist; make it first.")
    deadline = clock.monotonic_seconds() + _ORPHANS_SECONDS
    while True:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except OSError:
                return
        if clock.monotonic_seconds() > deadline:
            break
        time.sleep(0.1)
    raise UserError(f"another milter serves {path}; stop it first, or set another [milter] socket.")


def _descriptors() -> set[int]:
    found = set()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names, not paths
        with contextlib.suppress(OSError):
            os.fstat(int(name))
            found.add(int(name))
    return found


def _run_worker(
    settings: MilterSettings, make_worker: Callable[[], Worker], listener: int, drain_read: int, worn_write: int
) -> None:
    """The child's life; never returns."""
    # A Ctrl-C in the terminal goes to the parent alone, which lets its workers drain (libmilter would drop sessions).
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    status = 1
    try:
        Session.worker = make_worker()
        Session.activity = Activity()
        Session.message_seconds = settings.message_seconds
        share = int(settings.messages_per_worker * random.uniform(0.9, 1.1))  # noqa: S311 - so that not all end at once
        watcher = threading.Thread(
            target=_watch, args=(Session.activity, share, listener, drain_read, worn_write), daemon=True
        )
        watcher.start()
        session.run()
        status = 0
    except Exception:  # noqa: BLE001 - a worker that cannot start says why and dies; the parent tries again
        _log.exception("event=worker-failed")
    finally:
        logging.shutdown()
        os._exit(status)


def _run_keeper(make_keeper: Callable[[], Keeper], stop_read: int) -> None:
    """The keeper's life; never returns."""
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    status = 1
    try:
        stopping = threading.Event()
        threading.Thread(target=_set_at_end, args=(stop_read, stopping), daemon=True).start()
        make_keeper().run(stopping)
        status = 0
    except Exception:  # noqa: BLE001 - it says why and dies; the parent starts another
        _log.exception("event=keeper-failed")
    finally:
        logging.shutdown()
        os._exit(status)


def _set_at_end(stop_read: int, stopping: threading.Event) -> None:
    """Wait for the parent to close the pipe, or to die."""
    os.read(stop_read, 1)
    stopping.set()
    time.sleep(_DRAIN_SECONDS)  # a round that waits for a database that is away
    os._exit(0)


def _watch(activity: Activity, share: int, listener: int, drain_read: int, worn_write: int) -> None:
    """Wait for the parent to close the pipe (or to die), then drain this process."""
    told = False
    with selectors.DefaultSelector() as selector:
        selector.register(drain_read, selectors.EVENT_READ)
        while not selector.select(timeout=1.0):
            if not told and (activity.is_worn_out or activity.messages_ended >= share):
                os.write(worn_write, os.getpid().to_bytes(4, "big"))
                told = True
    deaf = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    deaf.bind("")  # an abstract name that nobody knows
    deaf.listen(1)
    os.dup2(deaf.fileno(), listener)
    deadline = clock.monotonic_seconds() + _DRAIN_SECONDS
    patience = clock.monotonic_seconds() + _IDLE_SECONDS
    while activity.sessions > 0 and clock.monotonic_seconds() < deadline:
        idle = activity.messages_begun == activity.messages_ended
        if idle and clock.monotonic_seconds() > patience:
            break
        time.sleep(0.02)
    time.sleep(_REPLY_SECONDS)
    logging.shutdown()
    os._exit(0)
