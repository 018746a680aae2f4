"""What requests work with: the database, the keys, the journal. Made once in each process, after the fork."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flask import Flask, current_app

from sendproof_core.clock import Clock
from sendproof_core.database import Database
from sendproof_core.journal import Journal
from sendproof_core.queue_times import QueueTimes
from sendproof_web.throttle import Throttle

_NAME = "sendproof"
_SIGN_IN_FAILURES = 5
_SIGN_IN_SPAN = dt.timedelta(minutes=15)


@dataclass(frozen=True)
class Services:
    """The rim of the application."""

    database: Database
    journal: Journal
    token_keys: Mapping[int, bytes]
    queue_times: QueueTimes
    now: Clock
    sign_in_throttle: Throttle
    images: Path | None = None


def sign_in_throttle() -> Throttle:
    """Five wrong passwords for one login from one address, then a quarter of an hour's pause."""
    return Throttle(failures=_SIGN_IN_FAILURES, span=_SIGN_IN_SPAN)


def install(app: Flask, made: Services) -> None:
    """Give the application its services."""
    app.extensions[_NAME] = made


def services() -> Services:
    """The services of the application that answers the current request."""
    found = current_app.extensions[_NAME]
    if not isinstance(found, Services):
        raise TypeError(f"{_NAME} is not ours")
    return found
