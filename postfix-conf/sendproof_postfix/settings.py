"""``[postfix]`` in sendproof.toml: which Postfix, and where our services listen. Reads nothing of Postfix's."""

import typing
from dataclasses import dataclass
from pathlib import Path

from sendproof_core.errors import UserError
from sendproof_core.settings import setting

TLS_LEVELS = ("", "none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure")


@dataclass(frozen=True, kw_only=True)
class PostfixSettings:
    """What `sendproof postfix` and `sendproof doctor` look at and put in place."""

    TABLE: typing.ClassVar = "postfix"
    config_directory: Path = setting("Postfix's configuration directory.", default=Path("/etc/postfix"))
    submission_port: str = setting(
        "Where users submit with STARTTLS: a name of services(5), a number or ADDRESS:PORT; empty: nowhere. A service "
        "of yours that is on this port is extended if it requires SASL.",
        default="submission",
    )
    submissions_port: str = setting(
        "Where users submit with TLS from the first octet; likewise.", default="submissions"
    )
    resubmit_port: int = setting(
        "Port on 127.0.0.1 where copies for single recipients come back.", default=10026, at_least=1, at_most=65535
    )
    tls_certificate: Path | None = setting(
        "Certificate chain (PEM) of our submission services; if absent, Postfix's own (smtpd_tls_cert_file).",
        default=None,
    )
    tls_key: Path | None = setting("Private key (PEM) of `tls_certificate`.", default=None)
    tls_policy: str = setting(
        "smtp_tls_security_level of outgoing mail where main.cf sets none; empty: leave it so.",
        default="may",
        choices=TLS_LEVELS,
    )
    sasl_socket: str = setting(
        "Socket of our Dovecot, which checks passwords; relative to Postfix's queue directory.",
        default="private/sendproof-auth",
    )
    dovecot_config: Path = setting(
        "Configuration file that is written for our Dovecot.", default=Path("/etc/sendproof/dovecot.conf")
    )
    dovecot_run: Path = setting("Run folder (base_dir) of our Dovecot.", default=Path("/run/sendproof-dovecot"))
    dovecot_log: str = setting("Where our Dovecot logs: syslog, or a file.", default="syslog")
    transports: tuple[str, ...] = setting(
        "Services of master.cf that run smtp(8) towards other servers: these log the SMTP conversation.",
        default=("smtp", "relay"),
    )
    state_directory: Path = setting(
        "Folder that keeps what Postfix's files were before, for `sendproof postfix revert`; in a folder of root's.",
        default=Path("/var/lib/sendproof-postfix"),
    )

    def __post_init__(self) -> None:
        """Raise UserError for what cannot stand in master.cf, and for half a certificate."""
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise UserError("[postfix] tls_certificate and tls_key go together: set both or none.")
        words = {"submission_port": self.submission_port, "submissions_port": self.submissions_port}
        words |= {"sasl_socket": self.sasl_socket} | {f"transports: {name!r}": name for name in self.transports}
        paths = ("config_directory", "tls_certificate", "tls_key", "dovecot_config", "dovecot_run", "state_directory")
        words |= {name: str(getattr(self, name) or "") for name in paths} | {"dovecot_log": self.dovecot_log}
        for name, value in words.items():
            if any(character.isspace() or character in "{}$,\"'#" for character in value):
                raise UserError(f"[postfix] {name} must hold no blanks, quotes, commas or any of {{ }} $ #.")
        if self.submission_port and self.submission_port == self.submissions_port:
            raise UserError("[postfix] submission_port and submissions_port must differ.")
        if self.sasl_socket.startswith("/") or ".." in self.sasl_socket.split("/"):
            raise UserError(
                "[postfix] sasl_socket must be a path below Postfix's queue directory, without a leading /."
            )
        for name in paths:
            value = getattr(self, name)
            if value is not None and not value.is_absolute():
                raise UserError(f"[postfix] {name} must be an absolute path.")
