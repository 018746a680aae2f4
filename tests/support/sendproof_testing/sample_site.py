"""The site over a sample record in a folder: for tests of the site, and for looking at its pages. Starts nothing."""

import functools
import tempfile
from pathlib import Path

from sendproof_core import schema_version, settings
from sendproof_core.database import Database, open_database
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.settings import SettingsFile
from sendproof_testing import sample_record


def prepare(
    folder: Path, *, port: int = 8025, older_messages: int = 0, https: bool = False, web_lines: str = ""
) -> SettingsFile:
    """Write the settings, the secrets and a database with `sample_record` into a folder.

    ``web_lines``: more of ``[web]``, the last table, in the place of the line that lets the provider in without
    a second factor.
    """
    url = f"sqlite:///{folder}/sendproof.db"
    path = folder / "sendproof.toml"
    path.write_text(
        f"""
[host]
name = "edge1"
[database]
url = "{url}"
[secrets]
directory = "{folder}/secrets"
[site]
url = "{"https" if https else "http"}://127.0.0.1:{port}"
tracking_url = "http://127.0.0.1:{port}"
[web]
listen = "127.0.0.1:{port}"
journal = "{folder}/web.journal"
images = "{folder}/images"
workers = 1
threads = 4
{web_lines or "provider_needs_second_factor = false"}
""",
        encoding="utf-8",
    )
    (folder / "images").mkdir()
    SecretsStore(folder / "secrets").create()
    (folder / "sendproof.db").write_bytes(_filled(older_messages))
    return settings.load(path)


@functools.cache
def _filled(older_messages: int) -> bytes:
    """The database file: made once in a process, because migrations take a while."""
    with tempfile.TemporaryDirectory(prefix="sendproof-sample-") as folder:
        path = Path(folder) / "sendproof.db"
        database = open_database(f"sqlite:///{path}")
        schema_version.upgrade(database)
        with database.writing() as session:
            sample_record.fill(session, older_messages=older_messages)
            sample_record.add_people(session)
        database.close()
        return path.read_bytes()


def database_of(file: SettingsFile) -> Database:
    """The same database, for a test to write to."""
    return open_database(file.table(settings.DatabaseSettings).url)
