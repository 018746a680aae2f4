"""The program ``sendproof-logparser``."""

import signal
from pathlib import Path

import click

from sendproof_core import clock, own_log, schema_version
from sendproof_core.database import open_database
from sendproof_core.errors import UserError, guarded
from sendproof_core.queue_times import QueueTimes
from sendproof_core.settings import DEFAULT_PATH, DatabaseSettings, HostSettings, load
from sendproof_logparser.daemon import Daemon, Reader
from sendproof_logparser.settings import LogparserSettings
from sendproof_logparser.store import Store
from sendproof_logparser.tail import Wakeup


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True, help="Settings file."
)
@click.option("--once", is_flag=True, help="Read all that is there, and end.")
def command(config: Path, once: bool) -> None:
    """Keep the record: what Postfix's log and our journals say became of each recipient."""
    own_log.configure("sendproof-logparser")
    file = load(config)
    settings = file.table(LogparserSettings)
    host = file.table(HostSettings).name
    paths = (*settings.maillogs, *settings.journals)
    if not paths:
        raise UserError(f"{config}: [logparser] names neither maillogs nor journals; there is nothing to read.")
    database = open_database(file.table(DatabaseSettings).url)
    try:
        schema_version.check(database)
        store = Store(database, host)
        reader = Reader(settings, host, store, grace_seconds=0 if once else settings.rotation_grace_seconds)
        wakeup = Wakeup(() if once else paths)
        daemon = Daemon(
            reader=reader,
            store=store,
            clock=clock.now,
            poll_seconds=settings.poll_seconds,
            queue_lifetime_seconds=file.table(QueueTimes).lifetime_seconds,
            wakeup=wakeup,
        )
        for number in (signal.SIGTERM, signal.SIGINT):  # the batch in hand is finished first
            signal.signal(number, lambda *_: wakeup.stop())
        if once:
            daemon.read_all()
        else:
            daemon.run()
        wakeup.close()
        reader.close()
    finally:
        database.close()


def main() -> None:
    """Run the program; what the operator can mend is said in one sentence, with status 2."""
    guarded(command)
