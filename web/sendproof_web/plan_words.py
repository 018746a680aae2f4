"""What limits and their use are called on the pages. Counts nothing: `limit_use` does."""

import datetime as dt

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from sendproof_core.limit_use import LimitUse
from sendproof_web import locale

_NAMES = {
    "messages_per_hour": _l("Messages per hour"),
    "recipients_per_hour": _l("Recipients per hour"),
    "messages_per_day": _l("Messages per day"),
    "recipients_per_day": _l("Recipients per day"),
    "new_recipients_per_day": _l("New recipients per day"),
    "messages_per_month": _l("Messages per month"),
    "recipients_per_month": _l("Recipients per month"),
}


def limit_name(name: str) -> str:
    """The heading of a limit; ``name`` as in `plans.QuotaLimits`."""
    return str(_NAMES[name])


def used_text(use: LimitUse, zone: dt.tzinfo, today: dt.date) -> str:
    """``37 of 200 used, 163 left; counts anew at 00:00 on 23 Nov``, in the reader's zone."""
    resets = locale.day_and_minute(use.resets, zone, today)
    used = locale.number(use.used)
    if use.limit is None:
        return _("%(used)s used, no limit", used=used)
    limit = locale.number(use.limit)
    left = max(use.limit - use.used, 0)
    return _(
        "%(used)s of %(limit)s used, %(left)s left; counts anew at %(resets)s",
        used=used,
        limit=limit,
        left=locale.number(left),
        resets=resets,
    )


def reached_text(use: LimitUse, zone: dt.tzinfo, today: dt.date) -> str:
    """What a used-up limit means, and until when."""
    return _(
        "%(limit)s: all %(number)s are used. You can send again from %(resets)s.",
        limit=limit_name(use.name),
        number=locale.number(use.limit or 0),
        resets=locale.day_and_minute(use.resets, zone, today),
    )
