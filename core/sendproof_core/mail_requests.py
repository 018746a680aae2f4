"""What the site wants told by mail: it writes a request, and the notices put it in their outbox and send it.

So such a mail takes the senders' own way, and has a transcript.
"""

import datetime as dt
import enum
import uuid
from typing import Any

from sqlalchemy.orm import Session

from sendproof_core.schema import MailRequest


class Letter(enum.StrEnum):
    """Which mail. In braces: what ``data`` holds; "link": it has a `site_links` link."""

    CONFIRM_SIGN_UP = "confirm-sign-up"  # link; the login is chosen behind it
    ALREADY_SIGNED_UP = "already-signed-up"  # somebody tried to sign up with an address that has an account; {logins}
    INVITATION = "invitation"  # link; {plan}
    CONFIRM_ADDRESS = "confirm-address"  # link; {login}
    CONFIRM_SENDER_ADDRESS = "confirm-sender-address"  # link, to the address to send as; {login}
    ADDRESS_CHANGED = "address-changed"  # to the old address; {login, new_address}
    RESET = "reset"  # link; {login}
    LOGINS = "logins"  # {logins}
    PASSWORD_CHANGED = "password-changed"  # noqa: S105 - the name of a letter; {login, client_address}
    SECOND_FACTOR_CHANGED = "second-factor-changed"  # {login, on: bool, client_address}
    CREDENTIAL_ADDED = "credential-added"  # {login, label, client_address}
    SUSPENDED = "suspended"  # {login, reason}
    REINSTATED = "reinstated"  # {login}


def ask(
    session: Session,
    letter: Letter,
    *,
    to_address: str,
    now: dt.datetime,
    account_id: int | None = None,
    language: str | None = None,
    link_id: uuid.UUID | None = None,
    data: dict[str, Any] | None = None,
) -> None:
    """Ask for a mail, in the transaction that it speaks of."""
    session.add(
        MailRequest(
            kind=letter.value,
            account_id=account_id,
            to_address=to_address,
            language=language,
            link_id=link_id,
            data=data or {},
            requested_at=now,
        )
    )
