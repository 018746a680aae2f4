"""The program ``sendproof-notices``."""

import sys
from pathlib import Path

import click

from sendproof_core import clock, schema_version
from sendproof_core.database import open_database
from sendproof_core.errors import guarded
from sendproof_core.own_log import configure
from sendproof_core.settings import DEFAULT_PATH, DatabaseSettings, HostSettings, SiteSettings, load
from sendproof_notices import sender
from sendproof_notices.daemon import Daemon, StopSignals
from sendproof_notices.sender import Submission
from sendproof_notices.settings import NoticesSettings, read_password
from sendproof_notices.wording import Letterhead


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True, help="Settings file."
)
@click.option("--once", is_flag=True, help="Go round once and end; status 1 if a notice could not be sent.")
def command(config: Path, once: bool) -> None:
    """Mail senders about recipients that their messages did not reach."""
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
    letterhead = Letterhead(settings.from_address, file.table(SiteSettings).url)
    database = open_database(file.table(DatabaseSettings).url)
    try:
        schema_version.check(database)
        daemon = Daemon(database, submission, letterhead, clock.now)
        with StopSignals() as stop:
            if not once:
                daemon.run(stop, settings.poll_seconds)
            elif daemon.go_round(stop).failed:
                sys.exit(1)
    finally:
        database.close()


def main() -> None:
    """Run the program; what the operator can mend is said in one sentence, with status 2."""
    guarded(command)
