"""What requests work with: the database, the keys, the journal. Made once in each process, after the fork."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flask import Flask, current_app

from sendproof_core.clock import Clock
from sendproof_core.database import Database
from sendproof_core.journal import Journal
from sendproof_core.queue_times import QueueTimes
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.settings import DnsSettings, SiteSettings, SubmissionSettings
from sendproof_web.attempts import Attempts
from sendproof_web.open_limit import OpenLimit
from sendproof_web.settings import WebSettings

_NAME = "sendproof"


@dataclass(frozen=True)
class Services:
    """The rim of the application."""

    database: Database
    journal: Journal
    token_keys: Mapping[int, bytes]
    queue_times: QueueTimes
    now: Clock
    attempts: Attempts
    secrets: SecretsStore
    links_key: bytes
    site: SiteSettings
    web: WebSettings
    images: Path | None = None
    dns: DnsSettings = field(default_factory=DnsSettings)
    submission: SubmissionSettings = field(default_factory=SubmissionSettings)
    # Where Dovecot reads credentials; None: on other machines, which fetch them themselves.
    passwd_file: Path | None = None
    open_limit: OpenLimit = field(default_factory=OpenLimit)


def install(app: Flask, made: Services) -> None:
    """Give the application its services."""
    app.extensions[_NAME] = made


def services() -> Services:
    """The services of the application that answers the current request."""
    found = current_app.extensions[_NAME]
    if not isinstance(found, Services):
        raise TypeError(f"{_NAME} is not ours")
    return found
