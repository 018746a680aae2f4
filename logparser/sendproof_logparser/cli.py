"""The program ``sendproof-logparser``."""

import gc
import os
import signal
from pathlib import Path

import click

from sendproof_core import clock, own_log, schema_version
from sendproof_core.database import open_database
from sendproof_core.database_url import Program
from sendproof_core.errors import UserError, guarded
from sendproof_core.queue_times import QueueTimes
from sendproof_core.service_notify import ServiceNotifier
from sendproof_core.settings import DEFAULT_PATH, DatabaseSettings, HostSettings, load
from sendproof_logparser import sources
from sendproof_logparser.daemon import Daemon
from sendproof_logparser.host_names import HostNames
from sendproof_logparser.metrics import Metrics
from sendproof_logparser.reader import Reader
from sendproof_logparser.settings import LogparserSettings
from sendproof_logparser.store import Store
from sendproof_logparser.tail import Wakeup

# A batch makes some 100,000 objects, none of them in a cycle: looking for cycles after every 700 is lost time.
_OBJECTS_BETWEEN_COLLECTIONS = 100_000
# The loop's, and one for the numbers.
_CONNECTIONS = 2


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True, help="Settings file."
)
@click.option("--once", is_flag=True, help="Read all that is there, and end.")
def command(config: Path, once: bool) -> None:
    """Keep the record: what Postfix's log and our journals say became of each recipient."""
    own_log.configure("sendproof-logparser")
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    file = load(config)
    settings = file.table(LogparserSettings)
    host = file.table(HostSettings).name
    origins = sources.followed(settings, host, grace_seconds=0 if once else settings.rotation_grace_seconds)
    if not origins:
        raise UserError(f"{config}: [logparser] names no maillogs, journals or journald; there is nothing to read.")
    database = open_database(file.table(DatabaseSettings).url, Program.LOGPARSER, connections=_CONNECTIONS)
    wakeup = Wakeup(() if once else (*settings.maillogs, *settings.journals, *sources.journal_files(settings)))
    notifier = ServiceNotifier({} if once else os.environ, os.getpid(), clock.monotonic_seconds)
    try:
        for number in (signal.SIGTERM, signal.SIGINT):  # the batch in hand is finished first
            signal.signal(number, lambda *_: wakeup.stop())
        if once:
            schema_version.check(database)
        elif not schema_version.wait_until_usable(database, lambda seconds: _waits(wakeup, notifier, seconds)):
            return
        metrics = Metrics() if settings.metrics and not once else None
        if metrics is not None:
            metrics.serve(settings.metrics)
        store = Store(database, host, host, settings.own_addresses, settings.edges)
        reader = Reader(origins, HostNames(host, settings.host_labels), store)
        daemon = Daemon(
            reader=reader,
            store=store,
            host=host,
            clock=clock.now,
            poll_seconds=settings.poll_seconds,
            queue_lifetime_seconds=file.table(QueueTimes).lifetime_seconds,
            wakeup=wakeup,
            notifier=notifier,
            metrics=metrics,
        )
        if once:
            daemon.read_all()
            blocked = sorted(set(reader.source_names) - set(reader.readable_names))
            if blocked and not wakeup.stopping:
                raise UserError(f"not all could be read: {', '.join(blocked)}; what stands above says why.")
        else:
            daemon.run()
        reader.close()
    finally:
        wakeup.close()
        database.close()


def _waits(wakeup: Wakeup, notifier: ServiceNotifier, seconds: float) -> bool:
    """While the schema is too old the service runs and is well: systemd need not start it again and again."""
    notifier.ready()
    notifier.alive()
    notifier.status("waits for `sendproof database upgrade`")
    wakeup.pause(seconds)
    return not wakeup.stopping


def main() -> None:
    """Run the program; what the operator can mend is said in one sentence, with status 2."""
    guarded(command)
