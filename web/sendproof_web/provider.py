"""The provider's overview: what needs somebody first, volume, outcomes, time to acceptance."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import ngettext

from sendproof_core import health, limit_use, statistics
from sendproof_core.health import Grade, Health
from sendproof_core.limit_use import AtLimit
from sendproof_core.statistics import Day, Figures, ReceivingDomain, Waiting
from sendproof_web import plan_limits
from sendproof_web.access import provider
from sendproof_web.locale import number
from sendproof_web.provider_health import worded
from sendproof_web.provider_queue import CAUSES
from sendproof_web.services import services

_DAYS = 30
_DOMAINS_SHOWN = 15
# So many recipients that wait at one domain for one reason are worth a look.
_PILE = 10

blueprint = Blueprint("provider", __name__)


@dataclass(frozen=True)
class Attention:
    """Something that needs somebody: how bad, what, where it is looked after."""

    tone: str
    text: str
    advice: str
    link: str


@blueprint.get("/provider")
@provider
def index() -> ResponseReturnValue:
    """The overview."""
    now = services().now()
    today = now.astimezone(dt.UTC).date()
    since = today - dt.timedelta(days=_DAYS - 1)
    found = health.read(services().database, services().site.certificates, now, newest=1)
    with services().database.reading() as session:
        days = statistics.days(session, since, today)
        domains = statistics.domains(session, since, _DOMAINS_SHOWN)
        waiting = statistics.deferred_now(session)
        near = limit_use.near_limits(session, now)
    return render_template(
        "provider.html",
        today=days[-1].figures,
        total=_sum(days),
        days=_DAYS,
        attention=_attention(found, near, waiting),
        volume=_volume(days),
        outcomes=_outcomes(days),
        domains=domains,
        slowest_seconds=_slowest(domains),
    )


def _attention(found: Health, near: tuple[AtLimit, ...], waiting: tuple[Waiting, ...]) -> list[Attention]:
    """Parts that are unwell, then accounts at their limits, then what piles up in the queue; the bad first."""
    attention = [
        Attention(*worded(trouble), url_for("provider_health.index", _anchor=trouble.part.value))
        for trouble in found.troubles
    ]
    attention += [_at_limit(one) for one in near]
    attention += [_pile(one) for one in waiting if one.recipients >= _PILE]
    return sorted(attention, key=lambda one: one.tone != Grade.BAD.value)


def _at_limit(one: AtLimit) -> Attention:
    values = {
        "login": one.login,
        "limit": plan_limits.NAMES[one.use.name],
        "used": number(one.use.used),
        "allowed": number(one.use.limit or 0),
    }
    if one.use.share >= 1:
        text = _("%(login)s has used up its plan: %(limit)s, %(used)s of %(allowed)s.", **values)
        advice = _("More of its mail is refused until the count begins anew.")
    else:
        text = _("%(login)s is near a limit: %(limit)s, %(used)s of %(allowed)s.", **values)
        advice = ""
    link = url_for("provider_accounts.show", account_id=one.account_id)
    return Attention(Grade.WATCH.value, text, advice, link)


def _pile(one: Waiting) -> Attention:
    recipients = ngettext("%(num)s recipient waits", "%(num)s recipients wait", one.recipients)
    text = _(
        "%(recipients)s at %(domain)s: %(cause)s.", recipients=recipients, domain=one.domain, cause=CAUSES[one.cause]
    )
    return Attention(Grade.WATCH.value, text, "", url_for("provider_queue.index", domain=one.domain))


def _volume(days: tuple[Day, ...]) -> dict[str, object]:
    return _chart(
        days,
        "lines",
        (_("Messages"), "accent", lambda figures: figures.messages),
        (_("Recipients"), "good", lambda figures: figures.recipients),
    )


def _outcomes(days: tuple[Day, ...]) -> dict[str, object]:
    return _chart(
        days,
        "bars",
        (_("Accepted"), "good", lambda figures: figures.delivered),
        (_("Deferred"), "waiting", lambda figures: figures.deferred),
        (_("Bounced or given up"), "bad", lambda figures: figures.bounced + figures.expired),
    )


def _chart(days: tuple[Day, ...], kind: str, *lines: tuple[str, str, Callable[[Figures], int]]) -> dict[str, object]:
    return {
        "x": [int(dt.datetime.combine(day.day, dt.time(), dt.UTC).timestamp()) for day in days],
        "series": [
            {"label": label, "tone": tone, "values": [value(day.figures) for day in days]}
            for label, tone, value in lines
        ],
        "kind": kind,
    }


def _sum(days: tuple[Day, ...]) -> Figures:
    names = ("messages", "recipients", "delivered", "deferred", "bounced", "expired")
    return Figures(**{name: sum(getattr(day.figures, name) for day in days) for name in names})


def _slowest(domains: tuple[ReceivingDomain, ...]) -> float:
    """What the bars of times are measured by."""
    return max([domain.p95_seconds or 0.0 for domain in domains], default=0.0) or 1.0
