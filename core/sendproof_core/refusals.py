"""What was refused at submission: one refusal whole, and what the sender can do about it. Reads only.

The list of them is `message_search`'s. The reply is our own server's, but it repeats addresses that others wrote.
"""

import datetime as dt
import re
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from sendproof_core.schema import Refusal

# What `plans.OverQuota.reply_text` says.
_LIMIT_REACHED = re.compile(
    r"Plan limit reached: (?P<limit>\d{1,15}) (?P<noun>[a-z ]{1,40}) per (?P<span>hour|day|month), (?P<used>\d{1,15}) "
    r"used, this message(?P<alone> alone)? (?:has|counts) (?P<asked>\d{1,15}); the count resets at (?P<resets>.{1,60})"
)


@dataclass(frozen=True)
class LimitReached:
    """The limit that stood in the way, as the reply said. ``alone``: the message by itself is more than the limit."""

    limit: int
    noun: str
    span: str
    used: int
    asked: int
    resets: str
    alone: bool


@dataclass(frozen=True)
class RefusalDetail:
    """One refusal. ``source``: "milter", "postfix" or "sign-in" said so; ``stage``: at which SMTP command."""

    id: int
    at: dt.datetime
    login: str
    host: str
    queue_id: str | None
    envelope_sender: str
    recipients: tuple[str, ...]
    subject: str | None
    reason: str
    reply: str
    source: str
    stage: str | None
    client_address: str | None

    @property
    def limit(self) -> LimitReached | None:
        """The plan's limit, where that was the reason."""
        return limit_reached(self.reply)

    @property
    def is_temporary(self) -> bool:
        """Whether the mail program was asked to try again by itself."""
        return self.reply.startswith("4")


def load(session: Session, refusal_id: int, account_id: int | None = None) -> RefusalDetail | None:
    """The refusal; ``account_id``: only if it is that account's. None: there is none."""
    wanted = select(Refusal).where(Refusal.id == refusal_id)
    if account_id is not None:
        wanted = wanted.where(Refusal.account_id == account_id)
    row = session.scalar(wanted)
    if row is None:
        return None
    return RefusalDetail(
        id=row.id,
        at=row.refused_at,
        login=row.login,
        host=row.host,
        queue_id=row.queue_id,
        envelope_sender=row.envelope_sender,
        recipients=tuple(row.recipients),
        subject=row.subject,
        reason=row.reason,
        reply=row.reply,
        source=row.source,
        stage=row.stage,
        client_address=row.client_address,
    )


def limit_reached(reply: str) -> LimitReached | None:
    """What a reply says of a plan's limit; None where it is about something else."""
    found = _LIMIT_REACHED.search(reply)
    if found is None:
        return None
    return LimitReached(
        int(found["limit"]),
        found["noun"],
        found["span"],
        int(found["used"]),
        int(found["asked"]),
        found["resets"],
        found["alone"] is not None,
    )


_ADVICE = {
    "suspended": "Your account is suspended: write to your provider. What you send meanwhile is refused, not kept.",
    "no-login": "Switch on the sign-in (authentication) for outgoing mail in your mail program.",
    "unknown-login": "Make a new login for this device under Account, Credentials, and enter it in your mail program.",
    "no-from": "The message has no From line with one address. Set your address in your mail program and send again.",
    "foreign-sender": "Send with an address of your own: choose it as the sender in your mail program. To send as "
    "another address, add its domain under Account, Domains.",
    "foreign-from": "The From line names an address that is not yours. Choose one of your own as the sender, or add "
    "its domain under Account, Domains.",
    "too-many-recipients": "Send it to fewer people at once: divide the recipients among several messages.",
    "too-large": "Make the attachments smaller, or send a link to them instead.",
    "no-stamp": "Show this page to your provider: something else than your mail program handed this in.",
    "sign-in-failed": "Check the login and the password of this device in your mail program. If the password is lost, "
    "make a new login under Account, Credentials.",
}


def advice(refusal: RefusalDetail) -> str:
    """What the sender can do, in a sentence or two."""
    if (limit := refusal.limit) is not None:
        if limit.alone:
            return "This message alone is more than your plan allows: divide its recipients, or ask for a larger plan."
        wait = "Your mail program may try again by itself; if not, send" if refusal.is_temporary else "Send"
        return f"{wait} it again after {limit.resets}, or ask your provider for a larger plan."
    if refusal.reason in _ADVICE:
        return _ADVICE[refusal.reason]
    if refusal.source == "sign-in":
        return _ADVICE["sign-in-failed"]
    if refusal.is_temporary:
        return "The trouble may pass: send it again in a few minutes. If it stays, show this page to your provider."
    return "The words above say why. If they do not help, show this page to your provider."
