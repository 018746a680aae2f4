"""What the templates call: labels, steps and times. Escaping is Jinja's; nothing here returns markup."""

import datetime as dt
from collections.abc import Mapping, Sequence

from flask import Flask
from flask_babel import lazy_gettext as _l

from sendproof_core import transcript_story, wording
from sendproof_core.hostile_text import visible
from sendproof_core.states import RecipientState
from sendproof_core.transcript_story import StateLabel
from sendproof_web import locale, timeline
from sendproof_web.page_reader import page_reader
from sendproof_web.services import services

_DAY_SECONDS = 86400
# The words of `transcript_story.state_label`, for translation.
_STATE_WORDS = {
    "QUEUED": _l("QUEUED"),
    "DEFERRED": _l("DEFERRED"),
    "ACCEPTED": _l("ACCEPTED"),
    "BOUNCED": _l("BOUNCED"),
    "EXPIRED": _l("EXPIRED"),
    "ON HOLD": _l("ON HOLD"),
    "CANCELLED": _l("CANCELLED"),
    "UNKNOWN": _l("UNKNOWN"),
    "TEST": _l("TEST"),
}


def install(app: Flask) -> None:
    """Give the templates their words."""
    app.jinja_env.filters.update(
        visible=visible,
        when=_when,
        utc=_utc,
        machine_time=_machine_time,
        octets=wording.size,
        duration=wording.duration,
        chart_days=_chart_days,
        chart_zone=_chart_zone,
        chart_time=_chart_time,
    )
    app.context_processor(lambda: {"reader": page_reader()})
    app.jinja_env.globals.update(
        steps=timeline.steps,
        state_label=_state_label,
        full_time=_full_time,
    )


def _state_label(state: RecipientState, *, test_mode: bool = False) -> StateLabel:
    label = transcript_story.state_label(state, test_mode=test_mode)
    return StateLabel(str(_STATE_WORDS[label.text]), label.tone)


def _zone() -> dt.tzinfo:
    """The reader's; UTC for who is not signed in."""
    who = page_reader()
    return who.zone if who else dt.UTC


def _when(moment: dt.datetime) -> str:
    """``14:03`` today, else with the date: in the reader's zone."""
    zone = _zone()
    return locale.day_and_minute(moment, zone, services().now().astimezone(zone).date())


def _full_time(moment: dt.datetime) -> str:
    """``22 Nov 2026 14:03:05 CET``: stands by itself."""
    here = moment.astimezone(_zone())
    return f"{locale.day(here.date())} {here:%H:%M:%S} {wording.zone_name(here)}"


def _utc(moment: dt.datetime) -> str:
    """The other zone, for the recipient's administrator."""
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def _machine_time(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds")


# --- charts ---------------------------------------------------------------------------------------------------------


def _chart_days(data: Mapping[str, Sequence[float]]) -> bool:
    """Whether a chart's times are days: midnights of UTC, all of them."""
    return all(second % _DAY_SECONDS == 0 for second in data["x"])


def _chart_zone(data: Mapping[str, Sequence[float]]) -> str:
    """The name of the zone that a chart's times are written in."""
    return "UTC" if _chart_days(data) else str(_zone())


def _chart_time(second: float, days: bool) -> str:
    moment = dt.datetime.fromtimestamp(second, dt.UTC)
    return locale.day(moment.date()) if days else _when(moment)
