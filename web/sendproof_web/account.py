"""The account at a glance: its plan, what is used of it, the last 30 days."""

import datetime as dt
from typing import Any

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from sendproof_core import limit_use, statistics, transcript_queries
from sendproof_core.schema import Account, Plan
from sendproof_core.statistics import AccountDay
from sendproof_web import plan_words
from sendproof_web.access import reader, signed_in
from sendproof_web.services import services

_DAYS = 30
_REFUSALS_SHOWN = 5

blueprint = Blueprint("account", __name__)


@blueprint.get("/account")
@signed_in
def show() -> ResponseReturnValue:
    """Plan, use, the last days, and the newest refusals."""
    who, now = reader(), services().now()
    with services().database.reading() as session:
        account = session.get_one(Account, who.account_id)
        plan, uses = session.get_one(Plan, account.plan_id), limit_use.read(session, account, now)
        today = now.astimezone(who.zone).date()
        first = today - dt.timedelta(days=_DAYS - 1)
        used_days = statistics.account_days(session, account.id, first)
        refusals = transcript_queries.list_refusals(session, account.id, limit=_REFUSALS_SHOWN)
        return render_template(
            "account.html",
            account=account,
            plan=plan,
            limited=[use for use in uses if use.limit is not None],
            counted=[use for use in uses if use.limit is None],
            reached=[use for use in uses if use.share >= 1],
            limit_name=plan_words.limit_name,
            used_text=lambda limit: plan_words.used_text(limit, who.zone, today),
            reached_text=lambda limit: plan_words.reached_text(limit, who.zone, today),
            chart_data=_chart(used_days, first),
            sent_messages=sum(day.messages for day in used_days),
            refusals=refusals,
            days=_DAYS,
        )


def _chart(used_days: tuple[AccountDay, ...], first: dt.date) -> dict[str, Any]:
    """One bar for each of the days, also of those without mail."""
    by_day = {day.day: day for day in used_days}
    days = [first + dt.timedelta(days=number) for number in range(_DAYS)]
    messages = [by_day[day].messages if day in by_day else 0 for day in days]
    recipients = [by_day[day].recipients if day in by_day else 0 for day in days]
    return {
        "x": [int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()) for day in days],
        "series": [
            {"label": _("Messages"), "values": messages, "tone": "accent"},
            {"label": _("Recipients"), "values": recipients, "tone": "good"},
        ],
        "kind": "lines",
    }
