"""The site over a sample record in a folder: for tests of the site, and for looking at its pages. Starts nothing."""

from pathlib import Path

from sendproof_core import schema_version, settings
from sendproof_core.database import Database, open_database
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.settings import SettingsFile
from sendproof_testing import sample_record


def prepare(folder: Path, *, port: int = 8025, older_messages: int = 0, https: bool = False) -> SettingsFile:
    """Write the settings, the secrets and a database with `sample_record` into a folder."""
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
""",
        encoding="utf-8",
    )
    (folder / "images").mkdir()
    SecretsStore(folder / "secrets").create()
    database = open_database(url)
    schema_version.upgrade(database)
    with database.writing() as session:
        sample_record.fill(session, older_messages=older_messages)
    database.close()
    return settings.load(path)


def database_of(file: SettingsFile) -> Database:
    """The same database, for a test to write to."""
    return open_database(file.table(settings.DatabaseSettings).url)
