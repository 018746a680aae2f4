"""``sendproof-milter``: read the settings, check what can be checked, run the parent."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import click

from sendproof_core import clock, schema_version
from sendproof_core.database import open_database
from sendproof_core.database_url import Program
from sendproof_core.errors import UserError, guarded
from sendproof_core.journal import Journal, check_folder
from sendproof_core.own_log import configure
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.service_notify import ServiceNotifier
from sendproof_core.settings import (
    DEFAULT_PATH,
    DatabaseSettings,
    HostSettings,
    SecretsSettings,
    SiteSettings,
    load,
)
from sendproof_milter import directory_snapshot, keeper, metrics
from sendproof_milter.directory_snapshot import DirectorySnapshot
from sendproof_milter.keeper import Keeper
from sendproof_milter.prefork import Parent, check_socket
from sendproof_milter.quota_store import QuotaStore
from sendproof_milter.sender_store import SenderStore
from sendproof_milter.settings import MilterSettings
from sendproof_milter.work import Site
from sendproof_milter.worker import Worker

# The directory, the ledger and what is read of the record are the same since then: an edge may be updated before the
# database, and go on through its update.
_OLDEST_SCHEMA = "0006"
# The loop's, and whoever asks for the numbers at that moment.
_KEEPER_CONNECTIONS = 2


def serve(config: Path, make_metrics: Callable[[], metrics.Metrics] = metrics.Metrics) -> None:
    """Run the milter with these settings until SIGTERM.

    Args:
        config: the settings file.
        make_metrics: one process's numbers, made in that process.

    Raises:
        UserError: something is missing or wrong; nothing was started.
    """
    configure("sendproof-milter")
    file = load(config)
    settings = file.table(MilterSettings)
    host, site_settings = file.table(HostSettings), file.table(SiteSettings)
    url = file.table(DatabaseSettings).url
    secrets = SecretsStore(file.table(SecretsSettings).directory)
    check_folder(settings.journal)
    directory_snapshot.check_folder(settings.snapshot)
    database = open_database(url, Program.MILTER)
    schema_version.check(database, oldest=_OLDEST_SCHEMA)
    database.close()  # the processes open their own, after the fork
    site = Site(
        host.name,
        site_settings.tracking_url,
        secrets.newest_token_key_number(),
        secrets.token_keys(),
        split=settings.split,
        accept_uncharged=settings.quota_when_unavailable == "accept",
    )
    snapshot = DirectorySnapshot(settings.snapshot)
    check_socket(settings.socket)  # before the numbers of a milter that runs are removed
    numbers = settings.socket.with_name(f"{settings.socket.name}.metrics")
    try:
        metrics.prepare(numbers)
    except OSError as error:
        raise UserError(f"the folder {numbers} cannot be made ({error.strerror}); check its parent's owner.") from None

    server = keeper.listen_for_metrics(settings.metrics) if settings.metrics else None

    def make_worker() -> Worker:
        if server is not None:
            server.server_close()  # the keeper's: a worker that drains would keep its port from the next milter
        own_database = open_database(url, Program.MILTER, connections=settings.threads)
        return Worker(
            quota=QuotaStore(own_database),
            senders=SenderStore(own_database, secrets, snapshot, clock.monotonic_seconds),
            journal=Journal(settings.journal, synchronous=settings.journal_synchronous),
            site=site,
            metrics=make_metrics(),
            threads=settings.threads,
            verify_every=settings.verify_every,
        )

    def make_keeper() -> Keeper:
        own_database = open_database(url, Program.MILTER, connections=_KEEPER_CONNECTIONS)
        return Keeper(
            quota=QuotaStore(own_database),
            senders=SenderStore(own_database, secrets, snapshot, clock.monotonic_seconds),
            host=host.name,
            own_metrics=make_metrics(),
            every_seconds=settings.keeper_seconds,
            server=server,
        )

    logging.getLogger(__name__).info("event=starting host=%s", host.name)
    notifier = ServiceNotifier(os.environ, os.getpid(), clock.monotonic_seconds)
    Parent(settings, make_worker, make_keeper, make_metrics(), notifier).run()


@click.command()
@click.option("--config", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True)
def _command(config: Path) -> None:
    """Admit, mark and sign mail before Postfix queues it."""
    guarded(lambda: serve(config))


def main() -> None:
    """Entry point."""
    _command()
