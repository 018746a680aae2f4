"""``sendproof-milter``: read the settings, check what can be checked, run the parent."""

import logging
from pathlib import Path

import click

from sendproof_core import clock, schema_version
from sendproof_core.database import open_database
from sendproof_core.errors import guarded
from sendproof_core.journal import Journal, check_folder
from sendproof_core.own_log import configure
from sendproof_core.secrets_store import TOKEN_KEY_NUMBER, SecretsStore
from sendproof_core.settings import (
    DEFAULT_PATH,
    DatabaseSettings,
    HostSettings,
    SecretsSettings,
    SiteSettings,
    load,
)
from sendproof_milter.pipeline import Site
from sendproof_milter.prefork import Parent
from sendproof_milter.sender_store import SenderStore
from sendproof_milter.settings import MilterSettings
from sendproof_milter.worker import Worker


def serve(config: Path) -> None:
    """Run the milter with these settings until SIGTERM.

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
    database = open_database(url)
    schema_version.check(database)
    database.close()  # the workers open their own, after the fork
    site = Site(host.name, site_settings.tracking_url, TOKEN_KEY_NUMBER, secrets.token_keys())

    def make_worker() -> Worker:
        own_database = open_database(url)
        return Worker(
            database=own_database,
            senders=SenderStore(own_database, secrets, clock.monotonic_seconds),
            journal=Journal(settings.journal, synchronous=settings.journal_synchronous),
            site=site,
            threads=settings.threads,
            verify_every=settings.verify_every,
        )

    logging.getLogger(__name__).info("event=starting host=%s", host.name)
    Parent(settings, make_worker).run()


@click.command()
@click.option("--config", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True)
def _command(config: Path) -> None:
    """Admit, mark and sign mail before Postfix queues it."""
    guarded(lambda: serve(config))


def main() -> None:
    """Entry point."""
    _command()
