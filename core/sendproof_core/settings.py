"""Read ``sendproof.toml``: each component declares its table as a frozen dataclass, and this module fills it.

A field's metadata (made by `setting`) holds its sentence and bounds. Every error names the file, the key and what
would be right. This module knows no component's settings; it reads no environment variables.
"""

import dataclasses
import ipaddress
import re
import tomllib
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from sendproof_core.errors import UserError

DEFAULT_PATH = Path("/etc/sendproof/sendproof.toml")

# Printable ASCII, no quotes or angle brackets: it stands in HTML and in mail.
_WEB_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:\[\]-]{1,200}(?:/[A-Za-z0-9._~/-]{0,100}[A-Za-z0-9._~-])?")
# A-labels, lower case; a service's name may begin with an underscore.
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9-]{0,62})(\.[a-z0-9_]([a-z0-9-]{0,62}))+")
_SERVER = re.compile(r"(?:\[(?P<bracketed>[0-9A-Fa-f:.]+)\]|(?P<plain>[0-9.]+))(?::(?P<port>[0-9]{1,5}))?")

T = TypeVar("T")


def setting(
    sentence: str,
    *,
    default: Any = dataclasses.MISSING,  # a dataclass field's default may be anything
    at_least: float | None = None,
    at_most: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:  # as dataclasses.field: the declared type of the attribute is what counts
    """Declare one setting. Without ``default`` it is required."""
    metadata = {"sentence": sentence, "at_least": at_least, "at_most": at_most, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostSettings:
    """``[host]``: which machine this is."""

    TABLE: typing.ClassVar = "host"
    name: str = setting("Name of this machine in every record; Postfix's myhostname.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatabaseSettings:
    """``[database]``: where the directory, the ledger, the record and the outbox live."""

    TABLE: typing.ClassVar = "database"
    url: str = setting(
        "SQLAlchemy URL: sqlite:////var/lib/sendproof/sendproof.db, or postgresql+psycopg://USER@HOST/DATABASE with "
        "libpq's options. {program} in USER stands for who connects (milter, logparser, web, notices, operator): each "
        "has a role of its own."
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SecretsSettings:
    """``[secrets]``: where the keys are that protect everything else."""

    TABLE: typing.ClassVar = "secrets"
    directory: Path = setting("Folder with the secret files that `sendproof secrets create` makes (0700).")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SiteSettings:
    """``[site]``: how the outside reaches the site, and whose it is."""

    TABLE: typing.ClassVar = "site"
    url: str = setting("Address of the console, such as https://mail.example; no slash at the end.")
    tracking_url: str = setting("Address in pixels; better a host name of its own; no slash at the end.")
    certificates: tuple[Path, ...] = setting(
        "Certificate files (PEM) whose end the health page and `sendproof status` watch: the site's, Postfix's.",
        default=(),
    )

    def __post_init__(self) -> None:
        """Raise UserError for an address that a browser or a mail reader could not use."""
        for name in ("url", "tracking_url"):
            if not _WEB_ADDRESS.fullmatch(getattr(self, name)):
                raise UserError(f"[site] {name} must be such as https://mail.example.net, without a slash at the end.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SaslSettings:
    """``[sasl]``: what Dovecot reads."""

    TABLE: typing.ClassVar = "sasl"
    passwd_file: Path = setting("Dovecot's passwd-file, which `sendproof` writes.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SubmissionSettings:
    """``[submission]``: what people enter in their mail client. Shown to them, and nothing else."""

    TABLE: typing.ClassVar = "submission"
    host: str | None = setting("Name of the submission server; if absent, the host name of `[site] url`.", default=None)
    tls_port: int = setting(
        "Port with TLS from the first octet; 0: not offered.", default=465, at_least=0, at_most=65535
    )
    starttls_port: int = setting("Port with STARTTLS; 0: not offered.", default=587, at_least=0, at_most=65535)

    def __post_init__(self) -> None:
        """Raise UserError for what is no host name."""
        if self.host is not None and not _HOST.fullmatch(self.host):
            raise UserError("[submission] host must be a host name such as mail.example.net.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DnsSettings:
    """``[dns]``: what customers publish for their domains, and whom we ask whether they did."""

    TABLE: typing.ClassVar = "dns"
    servers: tuple[str, ...] = setting(
        "Name servers to ask, such as 127.0.0.1, 127.0.0.1:5353 or [::1]:53; if absent, those of the machine.",
        default=(),
    )
    timeout_seconds: float = setting(
        "How long looking at one domain may take in all.", default=5.0, at_least=0.2, at_most=30.0
    )
    dkim_zone: str | None = setting(
        "A zone of yours that holds the customers' DKIM keys (`sendproof domain zone` writes it): customers publish "
        "CNAMEs into it, and keys change without them. If absent, they publish the keys themselves.",
        default=None,
    )
    spf_include: str | None = setting(
        "The name whose SPF record lists your sending addresses: customers include it. If absent, SPF is not checked.",
        default=None,
    )

    def __post_init__(self) -> None:
        """Raise UserError for what is no domain name, or no address of a server."""
        for name in ("dkim_zone", "spf_include"):
            value = getattr(self, name)
            if value is not None and not _HOST.fullmatch(value):
                raise UserError(f"[dns] {name} must be a domain name such as {name[:4].strip('_')}.example.net.")
        for server in self.servers:
            server_address(server)


def server_address(text: str) -> tuple[str, int]:
    """The address and the port of a name server; port 53 if none is named.

    Raises:
        UserError: it is neither.
    """
    found = _SERVER.fullmatch(text)
    address = (found["bracketed"] or found["plain"]) if found else text
    port = int(found["port"] or 53) if found else 53
    try:
        ipaddress.ip_address(address)
    except ValueError:
        port = 0
    if not 0 < port < 65536:
        raise UserError(f"[dns] servers: {text!r} is no address such as 127.0.0.1, 127.0.0.1:5353 or [::1]:53.")
    return address, port


@dataclasses.dataclass(frozen=True)
class SettingsFile:
    """A parsed settings file, from which components take their tables."""

    path: Path
    tables: dict[str, Any]

    def table(self, kind: type[T]) -> T:
        """One component's settings.

        Raises:
            UserError: a key is missing, unknown, of the wrong type or out of bounds.
        """
        name = str(getattr(kind, "TABLE"))  # noqa: B009 - T is any dataclass with a TABLE
        given = self.tables.get(name, {})
        if not isinstance(given, dict):
            raise UserError(f"{self.path}: {name} must be a table, written [{name}].")
        fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type] # every T is a dataclass
        hints = typing.get_type_hints(kind)
        for key in given:
            if key not in fields:
                known = ", ".join(sorted(fields))
                raise UserError(f"{self.path}: [{name}] has no setting {key!r}; it knows: {known}.")
        values = {}
        for key, field in fields.items():
            if key in given:
                values[key] = self._value(name, key, given[key], hints[key], field.metadata)
            elif field.default is dataclasses.MISSING:
                sentence = field.metadata["sentence"]
                raise UserError(f"{self.path}: [{name}] lacks {key!r}. {sentence}")
        return kind(**values)

    def _value(self, table: str, key: str, value: Any, hint: Any, bounds: Any) -> Any:
        where = f"{self.path}: [{table}] {key}"
        if isinstance(hint, types.UnionType):
            hint = next(part for part in typing.get_args(hint) if part is not type(None))
        if not all(
            item.isprintable() for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)
        ):
            raise UserError(f"{where} must not hold control characters.")
        if typing.get_origin(hint) is tuple:
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise UserError(f"{where} must be a list of strings.")
            item_type = typing.get_args(hint)[0]
            return tuple(item_type(item) for item in value)
        if hint is Path and isinstance(value, str):
            return Path(value)
        if hint is float and type(value) is int:
            value = float(value)
        if type(value) is not hint:
            raise UserError(f"{where} must be {_WORD.get(hint, hint.__name__)}, not {value!r}. {bounds['sentence']}")
        low, high = bounds["at_least"], bounds["at_most"]
        # Written so that nan, which TOML knows, is out of every bound.
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            span = f"at least {low}" if high is None else f"between {low} and {high}"
            raise UserError(f"{where} must be {span}, not {value}.")
        if bounds["choices"] and value not in bounds["choices"]:
            raise UserError(f"{where} must be one of {', '.join(bounds['choices'])}, not {value!r}.")
        return value


_WORD = {str: "a string", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}


def load(path: Path) -> SettingsFile:
    """Read the file.

    Raises:
        UserError: it is missing, unreadable or no TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"the settings file {path} does not exist; name one with --config.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the settings file {path} cannot be read: {error}.") from error
    try:
        return SettingsFile(path=path, tables=tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"the settings file {path} is not valid TOML: {error}.") from error
