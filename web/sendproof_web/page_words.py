"""What the templates call: labels, steps and times. Escaping is Jinja's; nothing here returns markup."""

import datetime as dt

from flask import Flask

from sendproof_core import transcript_story, wording
from sendproof_core.hostile_text import visible
from sendproof_core.wording import ReadersTime
from sendproof_web import timeline
from sendproof_web.services import services
from sendproof_web.sign_in import reader


def install(app: Flask, *, stylesheet_version: str) -> None:
    """Give the templates their words."""
    app.jinja_env.filters.update(visible=visible, when=_when, utc=_utc, machine_time=_machine_time, octets=wording.size)
    app.jinja_env.globals.update(
        steps=timeline.steps,
        state_label=transcript_story.state_label,
        stylesheet_version=stylesheet_version,
        full_time=_full_time,
    )


def _when(moment: dt.datetime) -> str:
    """``14:03`` today, else with the date: in the reader's zone."""
    zone = reader().zone
    return ReadersTime(zone, services().now().astimezone(zone).date()).minute(moment)


def _full_time(moment: dt.datetime) -> str:
    zone = reader().zone
    return ReadersTime(zone, moment.astimezone(zone).date()).full(moment)


def _utc(moment: dt.datetime) -> str:
    """The other zone, for the recipient's administrator."""
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def _machine_time(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds")
