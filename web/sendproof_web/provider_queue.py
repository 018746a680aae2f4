"""The queue at a glance: what waits for another attempt, by receiving domain and reason; whose mail it is."""

import datetime as dt
from dataclasses import dataclass

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l

from sendproof_core import domain_names, log_health, queue_view, statistics
from sendproof_core.remote_reply import Cause
from sendproof_core.statistics import Waiting
from sendproof_web.access import provider
from sendproof_web.services import services

_SHOWN = 100

CAUSES = {
    Cause.GREYLISTED: _l("Greylisting"),
    Cause.PERHAPS_GREYLISTED: _l("Probably greylisting"),
    Cause.UNKNOWN_USER: _l("No such mailbox"),
    Cause.MAILBOX_FULL: _l("Mailbox full"),
    Cause.MAILBOX_DISABLED: _l("Mailbox switched off"),
    Cause.TOO_LARGE: _l("Message too large"),
    Cause.BLOCKED: _l("Blocked by them"),
    Cause.SENDER_REFUSED: _l("Sender refused"),
    Cause.AUTHENTICATION: _l("SPF, DKIM or DMARC"),
    Cause.OUR_NAME: _l("Name of our server"),
    Cause.SLOWED_DOWN: _l("Too fast for them"),
    Cause.NOT_RESPONSIBLE: _l("They are not responsible"),
    Cause.THEIR_TROUBLE: _l("Trouble on their side"),
    Cause.NO_SUCH_DOMAIN: _l("No such domain"),
    Cause.UNREACHABLE: _l("Not reachable"),
    Cause.INTERRUPTED: _l("Connection broken off"),
    Cause.NO_TLS: _l("No TLS"),
    Cause.OUR_TROUBLE: _l("Trouble on our side"),
    Cause.OTHER: _l("Another reason"),
    Cause.ACCEPTED: _l("Another reason"),
}

blueprint = Blueprint("provider_queue", __name__)


@dataclass(frozen=True)
class Pile:
    """What waits at one domain for one reason, and when it is tried again at the earliest."""

    waiting: Waiting
    next_attempt: dt.datetime
    is_due: bool


@blueprint.get("/provider/queue")
@provider
def index() -> ResponseReturnValue:
    """What waits."""
    now, domain = services().now(), _domain(request.args.get("domain", ""))
    with services().database.reading() as session:
        waiting = statistics.deferred_now(session, _SHOWN)
        open_recipients = log_health.count_open(session)
        accounts = queue_view.waiting_accounts(session, domain) if domain else ()
    piles = [_pile(one, now) for one in waiting if domain is None or one.domain == domain]
    return render_template(
        "provider_queue.html",
        piles=piles,
        domain=domain,
        accounts=accounts,
        causes=CAUSES,
        open_recipients=open_recipients,
        shown=_SHOWN if len(waiting) == _SHOWN else None,
    )


def _pile(waiting: Waiting, now: dt.datetime) -> Pile:
    age_seconds = (waiting.newest_attempt_at - waiting.oldest).total_seconds()
    next_attempt = services().queue_times.next_attempt(waiting.newest_attempt_at, age_seconds)
    return Pile(waiting, next_attempt, next_attempt <= now)


def _domain(text: str) -> str | None:
    """As the record has domains; None: that is none."""
    try:
        return domain_names.to_ascii(text) if text else None
    except ValueError:
        return None
