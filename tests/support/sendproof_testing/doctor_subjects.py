"""What the doctor's checks look at, in a folder: settings, and a Postfix configuration. Starts no Postfix."""

import datetime as dt
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sendproof_core.commands_context import Context
from sendproof_postfix.doctor import Finding, Severity, Verdicts
from sendproof_postfix.doctor_subject import Subject

NOW = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)
HOST = "edge1.relay.example"
_MAIN = f"""\
compatibility_level = 3.6
myhostname = {HOST}
queue_directory = %(folder)s/spool
data_directory = %(folder)s/data
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mydestination =
"""


def settings(folder: Path, text: str = "") -> Path:
    """A settings file with the tables that every check needs; ``text``: more of them."""
    path = folder / "sendproof.toml"
    path.write_text(
        f"""
[host]
name = "{HOST}"
[database]
url = "sqlite:///{folder}/sendproof.db"
[secrets]
directory = "{folder}/secrets"
{text}
"""
    )
    return path


def postfix(folder: Path, main: str = "", master: str = "") -> Path:
    """A configuration directory; ``main``, ``master``: lines beside those that each Postfix has."""
    directory = folder / "postfix"
    for made in (directory, folder / "spool", folder / "data"):
        made.mkdir(exist_ok=True)
        made.chmod(0o755)  # whatever the umask
    (directory / "main.cf").write_text(_MAIN % {"folder": folder} + main)
    (directory / "master.cf").write_text("smtp unix - - n - - smtp\n" + master)
    return directory


def subject(folder: Path, text: str = "", **changes: Any) -> Subject:
    """One machine of that settings file, at `NOW`, whose services run as the user who runs the tests."""
    values: dict[str, Any] = {
        "context": Context(settings(folder, text)),
        "now": lambda: NOW,
        "service_user": "root",
        "config_directory": folder / "postfix",
    }
    return Subject(**{**values, **changes})


@contextmanager
def public_folder() -> Iterator[Path]:
    """A folder into which every user of the machine can look: pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="sendproof-doctor-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def verdicts() -> Verdicts:
    """Of a check without a name."""
    return Verdicts("check")


def severities(findings: Iterable[Finding]) -> list[Severity]:
    """Only how bad they are."""
    return [finding.severity for finding in findings]
