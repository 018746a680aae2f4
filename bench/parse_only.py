"""Read and understand logs as the logparser does, and store nothing: ``python -m bench.parse_only CONFIG``."""

import sys
from pathlib import Path

from sendproof_core import clock
from sendproof_core.database import open_database
from sendproof_core.settings import DatabaseSettings, HostSettings, load
from sendproof_logparser.daemon import Reader
from sendproof_logparser.settings import LogparserSettings
from sendproof_logparser.store import Store


def main(config: Path) -> None:
    """Read all that is there."""
    file = load(config)
    host = file.table(HostSettings).name
    database = open_database(file.table(DatabaseSettings).url)
    reader = Reader(file.table(LogparserSettings), host, Store(database, host), grace_seconds=0)
    while reader.read(clock.now()):
        pass
    reader.close()
    database.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
