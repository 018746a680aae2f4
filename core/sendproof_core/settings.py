"""Read ``sendproof.toml``: each component declares its table as a frozen dataclass, and this module fills it.

A field's metadata (made by `setting`) holds its sentence and bounds. Every error names the file, the key and what
would be right. This module knows no component's settings; it reads no environment variables.
"""

import dataclasses
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
    url: str = setting("SQLAlchemy URL: sqlite:////var/lib/sendproof/sendproof.db or postgresql+psycopg://...")


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
