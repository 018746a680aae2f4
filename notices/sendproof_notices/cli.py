"""The program ``sendproof-notices``."""

import logging
import os
import sys
from pathlib import Path

import click

from sendproof_core import clock, schema_version
from sendproof_core.database import open_database
from sendproof_core.database_url import Program
from sendproof_core.errors import UserError, guarded
from sendproof_core.own_log import configure
from sendproof_core.queue_times import QueueTimes
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.service_notify import ServiceNotifier
from sendproof_core.settings import (
    DEFAULT_PATH,
    DatabaseSettings,
    HostSettings,
    SecretsSettings,
    SettingsFile,
    SiteSettings,
    load,
)
from sendproof_notices import sender
from sendproof_notices.contents import Source
from sendproof_notices.daemon import Daemon, StopSignals
from sendproof_notices.mail import Letterhead
from sendproof_notices.sender import Submission
from sendproof_notices.settings import NoticesSettings, read_password

# Nothing here runs side by side; a mail's evidence may be read while its notice is claimed.
_CONNECTIONS = 2
_log = logging.getLogger(__name__)


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True, help="Settings file."
)
@click.option("--once", is_flag=True, help="Go round once and end; status 1 if a notice could not be sent.")
def command(config: Path, once: bool) -> None:
    """Mail people about their messages and their plan, and what the site wants mailed."""
    configure("sendproof-notices")
    file = load(config)
    settings = file.table(NoticesSettings)
    submission = Submission(
        host=settings.smtp_host,
        port=settings.smtp_port,
        login=settings.login,
        password=read_password(settings.password_file),
        helo_name=file.table(HostSettings).name,
        trust=sender.trust(settings.ca_file),
    )
    site_url = file.table(SiteSettings).url
    letterhead = Letterhead(settings.from_address, settings.from_name, site_url)
    source = Source(site_url, file.table(QueueTimes), _links_key(file))
    database = open_database(file.table(DatabaseSettings).url, Program.NOTICES, connections=_CONNECTIONS)
    try:
        schema_version.check(database)
        notifier = ServiceNotifier({} if once else os.environ, os.getpid(), clock.monotonic_seconds)
        daemon = Daemon(database, submission, letterhead, source, settings.lease, clock.now, notifier)
        with StopSignals() as stop:
            if not once:
                daemon.run(stop, settings.poll_seconds)
            elif daemon.go_round(stop).failed:
                sys.exit(1)
    finally:
        database.close()


def _links_key(file: SettingsFile) -> bytes | None:
    """None where there is none: notices about messages need no link of the site's."""
    if SecretsSettings.TABLE not in file.tables:
        return None
    try:
        return SecretsStore(file.table(SecretsSettings).directory).links_key()
    except UserError as error:
        _log.warning("event=no-links-key letters=wait error=%s", error)
        return None


def main() -> None:
    """Run the program; what the operator can mend is said in one sentence, with status 2."""
    guarded(command)
