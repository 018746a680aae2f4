"""``sendproof-web``: read the settings, check what can be checked, run gunicorn."""

import contextlib
import logging
import os
import socket
from pathlib import Path

import click
import gunicorn.app.base  # type: ignore[import-untyped] # it has no types
import gunicorn.arbiter  # type: ignore[import-untyped] # it has no types
import gunicorn.config  # type: ignore[import-untyped] # it has no types
import gunicorn.glogging  # type: ignore[import-untyped] # it has no types
from flask import Flask

from sendproof_core import clock, schema_version
from sendproof_core.database import open_database
from sendproof_core.database_url import Program
from sendproof_core.errors import UserError, guarded
from sendproof_core.journal import check_folder
from sendproof_core.own_log import configure
from sendproof_core.service_notify import ServiceNotifier
from sendproof_core.settings import DEFAULT_PATH, DatabaseSettings, SettingsFile, load
from sendproof_web.app import create_app
from sendproof_web.settings import WebSettings


class _OwnLog(gunicorn.glogging.Logger):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's events in our own log; requests are the proxy's to log."""

    def setup(self, cfg: gunicorn.config.Config) -> None:
        del cfg
        self.error_log.setLevel(logging.INFO)


class _Arbiter(gunicorn.arbiter.Arbiter):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's parent, which tells systemd that it is ready, and by us that it is alive and when it ends."""

    def start(self) -> None:
        self._notifier = ServiceNotifier(os.environ, os.getpid(), clock.monotonic_seconds)
        super().start()

    def murder_workers(self) -> None:
        """Called about once a second; ends workers that hang, so that who is alive looks after them."""
        self._notifier.alive()
        super().murder_workers()

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        self._notifier.stopping()
        super().halt(reason, exit_status)


class _Server(gunicorn.app.base.BaseApplication):  # type: ignore[misc] # gunicorn has no types
    """gunicorn with our settings; every worker makes its own application after the fork."""

    def __init__(self, settings_file: SettingsFile, web: WebSettings) -> None:
        self._settings_file = settings_file
        self._web = web
        super().__init__()

    def load_config(self) -> None:
        options = {
            "bind": self._web.listen,
            "workers": self._web.workers,
            "threads": self._web.threads,
            "worker_class": "gthread",
            "proc_name": "sendproof-web",
            "logger_class": _OwnLog,
            "control_socket_disable": True,
            "graceful_timeout": 10,
            # A search's address may be long; a head of 16 KB is nobody's browser.
            "limit_request_line": 4096,
            "limit_request_fields": 60,
            "limit_request_field_size": 8190,
            # What a proxy says of its client is ProxyFix's to believe, as `trusted_proxies` says, and nobody else's.
            "forwarded_allow_ips": "",
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return create_app(self._settings_file)

    def run(self) -> None:
        _Arbiter(self).run()


def serve(config: Path) -> None:
    """Run the site with these settings until SIGTERM.

    Raises:
        UserError: something is missing or wrong; nothing was started.
    """
    configure("sendproof-web")
    settings_file = load(config)
    web = settings_file.table(WebSettings)
    check_folder(web.journal)
    check_address(web)
    with contextlib.closing(open_database(settings_file.table(DatabaseSettings).url, Program.WEB)) as database:
        schema_version.check(database)
    create_app(settings_file)  # every other setting and secret is checked before the fork; connects to nothing
    _Server(settings_file, web).run()


def check_address(web: WebSettings) -> None:
    """Raise UserError unless the address can be listened on."""
    host, port = web.address()
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        raise UserError(f"[web] listen: {web.listen} cannot be used ({error.strerror}); choose another port.") from None


@click.command()
@click.option("--config", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True)
def _command(config: Path) -> None:
    """Show transcripts to senders, and answer pixels."""
    guarded(lambda: serve(config))


def main() -> None:
    """Entry point."""
    _command()
