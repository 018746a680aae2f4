"""A message and its attempts as values, for tests of what is said of them. Reads nothing."""

import dataclasses
import datetime as dt
import uuid
from typing import Any

from sendproof_core.transcripts import AttemptView, DialogueLine, MessageView

AT = dt.datetime(2026, 11, 22, 13, 3, 5, tzinfo=dt.UTC)
SENDER = "max@own.example"
MESSAGE = MessageView(
    id=uuid.UUID("019ab000-0000-7000-8000-000000000001"),
    account_id=7,
    login="login-of-max",
    credential_label="Thunderbird at home",
    submitted_at=AT,
    envelope_sender=SENDER,
    message_id_header="<7f3c@own.example>",
    subject="Offer",
    size_bytes=337,
    client_address="203.0.113.9",
    client_tls="TLSv1.3",
    signatures=(),
    pixel="inserted",
    host="edge1",
    queue_id="4dDm",
    queued_at=AT,
    wire_edits=("8-bit-parts",),
)

_TAKEN = "250 Ok: queued as 4Xy"


def said(*spoken: str) -> tuple[DialogueLine, ...]:
    """A conversation; each line begins with "S " or "C "."""
    return tuple(DialogueLine(AT, text.startswith("S "), text[2:]) for text in spoken)


def attempt(
    dialogue: tuple[DialogueLine, ...] = (), reply: str = "250 Ok: queued as 4Xy", **values: Any
) -> AttemptView:
    """An attempt that delivered. ``values``: what is to be otherwise, by its name."""
    view = AttemptView(AT, "sent", "2.0.0", "mx.x.example[192.0.2.25]:25", 1.0, (), reply, None, None, (), dialogue)
    return dataclasses.replace(view, **values)
