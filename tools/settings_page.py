"""Write docs/settings.md from the declarations: `.venv/bin/python tools/settings_page.py > docs/settings.md`."""

import dataclasses
import sys
import types
import typing
from pathlib import Path

from sendproof_core import settings
from sendproof_core.queue_times import QueueTimes
from sendproof_core.retention import RecordSettings
from sendproof_logparser.settings import LogparserSettings
from sendproof_milter.settings import MilterSettings
from sendproof_notices.settings import NoticesSettings
from sendproof_postfix.settings import PostfixSettings
from sendproof_web.settings import WebSettings

TABLES: tuple[type, ...] = (
    settings.HostSettings,
    settings.DatabaseSettings,
    settings.SecretsSettings,
    settings.SiteSettings,
    settings.SaslSettings,
    settings.SubmissionSettings,
    settings.DnsSettings,
    QueueTimes,
    RecordSettings,
    MilterSettings,
    LogparserSettings,
    WebSettings,
    NoticesSettings,
    PostfixSettings,
)

HEAD = """# Settings

One file, `/etc/sendproof/sendproof.toml`, read by every program at its start. A setting that is missing, unknown, of
the wrong type or out of bounds is named in one sentence, with exit status 2. `tools/settings_page.py` writes this page.
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(_section(kind) for kind in TABLES)


@dataclasses.dataclass(frozen=True)
class Row:
    """One setting, in words. ``default``: as TOML has it, or "required"."""

    name: str
    kind: str
    default: str
    meaning: str


def rows(kind: type) -> list[Row]:
    """The settings of one table."""
    hints = typing.get_type_hints(kind)
    return [
        Row(
            field.name,
            _type(hints[field.name]),
            "required" if field.default is dataclasses.MISSING else f"`{_toml(field.default)}`",
            f"{field.metadata['sentence']}{_bounds(field.metadata)}",
        )
        for field in dataclasses.fields(kind)
    ]


def _section(kind: type) -> str:
    name = typing.cast("str", vars(kind)["TABLE"])
    lines = [f"\n## [{name}]\n", "| setting | type | default | meaning |", "|---|---|---|---|"]
    for row in rows(kind):
        meaning = row.meaning.replace("|", "\\|")
        lines.append(f"| `{row.name}` | {row.kind} | {row.default} | {meaning} |")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return "[]" if not value else repr(list(value))
    return f'"{value}"' if isinstance(value, str) else str(value)


def _type(hint: object) -> str:
    words: dict[object, str] = {str: "text", int: "whole number", float: "number", bool: "true/false", Path: "path"}
    if isinstance(hint, types.UnionType):  # of a kind and None, as `SettingsFile` reads it
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    return "list" if typing.get_origin(hint) is tuple else words[hint]


def _bounds(metadata: typing.Mapping[str, typing.Any]) -> str:
    low, high = metadata["at_least"], metadata["at_most"]
    if low is None and high is None:
        return ""
    return f" At least {low}." if high is None else f" {low} to {high}."


if __name__ == "__main__":
    sys.stdout.write(page())
