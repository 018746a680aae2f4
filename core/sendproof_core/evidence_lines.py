"""What the mail log said of each attempt at one recipient, as lines in its own form. Pure.

The record keeps what a delivery line says, not the line: these are put together again, in the order of Postfix 3.7
global/log_adhoc.c, with times in UTC. What they quote is hostile text.
"""

import datetime as dt

from sendproof_core.transcripts import AttemptView, MessageView, RecipientView


def written(message: MessageView, recipient: RecipientView) -> tuple[str, ...]:
    """A line for each attempt, oldest first."""
    return tuple(_line(message, recipient, attempt) for attempt in recipient.attempts)


def _line(message: MessageView, recipient: RecipientView, attempt: AttemptView) -> str:
    service = f"postfix/{attempt.service}" if attempt.service and "/" not in attempt.service else attempt.service
    who = "".join(f" {part}" for part in (attempt.host or message.host, service) if part)
    parts = [f"to=<{recipient.final_address or recipient.address}>"]
    if recipient.final_address:
        parts.append(f"orig_to=<{recipient.address}>")
    parts += [f"relay={attempt.relay}", f"delay={_seconds(attempt.delay_seconds)}"]
    if attempt.delays_seconds:
        parts.append(f"delays={'/'.join(map(_seconds, attempt.delays_seconds))}")
    parts += [f"dsn={attempt.dsn}", f"status={attempt.status} ({attempt.reply})"]
    at = f"{attempt.at.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%S.%f}"[:23]
    queue_id = attempt.queue_id or message.queue_id or "?"
    return f"{at}Z{who}: {queue_id}: {', '.join(parts)}"


def _seconds(seconds: float) -> str:
    """log_adhoc.c: two significant digits below a hundred seconds, whole seconds above."""
    return f"{seconds:.0f}" if seconds >= 100 else f"{seconds:.2g}"
