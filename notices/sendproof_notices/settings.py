"""The settings of the notices: the table ``[notices]`` of ``sendproof.toml``."""

import datetime as dt
import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from sendproof_core.errors import UserError
from sendproof_core.settings import setting
from sendproof_notices.mail import is_mail_address

# What smtplib can send with AUTH, and no separator of SASL PLAIN (RFC 4616 section 2).
_PRINTABLE_ASCII = re.compile(r"[ -~]+")


@dataclass(frozen=True, kw_only=True)
class NoticesSettings:
    """``[notices]``: how notices are submitted. They take the senders' own way, so each has a transcript itself."""

    TABLE: ClassVar = "notices"
    smtp_host: str = setting("Name of the submission server, as its certificate has it.")
    smtp_port: int = setting("Its port for SMTP with STARTTLS.", default=587, at_least=1, at_most=65535)
    login: str = setting("Credential that notices are submitted with; its account has no notice address of its own.")
    password_file: Path = setting("File with that credential's password on one line (0600).")
    from_address: str = setting("Address that notices come from; it belongs to the credential's account.")
    from_name: str = setting("Name that stands before that address.", default="Sendproof")
    poll_seconds: float = setting("Pause between two looks at the record.", default=10.0, at_least=0.1, at_most=3600.0)
    lease_seconds: float = setting(
        "How long one submission may take; a daemon that died is replaced after that. The same for all daemons.",
        default=60.0,
        at_least=1.0,
        at_most=240.0,
    )
    ca_file: Path | None = setting("Certificates (PEM) to trust instead of the system's.", default=None)

    def __post_init__(self) -> None:
        """Refuse what could never be sent."""
        if not is_mail_address(self.from_address):
            raise UserError(f"[notices] from_address must be a mail address in ASCII, not {self.from_address!r}.")
        if not _PRINTABLE_ASCII.fullmatch(self.login):
            raise UserError("[notices] login must be printable ASCII.")

    @property
    def lease(self) -> dt.timedelta:
        """``lease_seconds``."""
        return dt.timedelta(seconds=self.lease_seconds)


def read_password(path: Path) -> str:
    """The password in the file, without the line end.

    Raises:
        UserError: there is none that could be sent; the text never quotes the file.
    """
    try:
        password = path.read_text(encoding="ascii").removesuffix("\n")
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise UserError(f"[notices] password_file {path} cannot be read ({reason}).") from None
    except UnicodeDecodeError:
        raise UserError(f"[notices] password_file {path} must hold a password in ASCII.") from None
    if not _PRINTABLE_ASCII.fullmatch(password):
        raise UserError(f"[notices] password_file {path} must hold the password on one line, and nothing else.")
    return password
