"""What Sendproof needs of Postfix and Dovecot, from the templates: their one reader. Knows nothing of what is there."""

import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jinja2

from sendproof_core.errors import UserError
from sendproof_postfix import configuration
from sendproof_postfix.configuration import Service
from sendproof_postfix.settings import PostfixSettings

SPLIT_FILE = "sendproof-split"
# What our services and files are called begins so.
PREFIX = "sendproof-"
RESUBMIT_LOG_NAME = "postfix/sendproof-resubmit"
# Milters of ours that Postfix does not reach in time fail the message, and the client keeps it.
_MILTER = (
    "{{unix:{socket},default_action=tempfail,connect_timeout=10s,command_timeout=20s,content_timeout=120s,protocol=6}}"
)


@dataclass(frozen=True)
class Parameter:
    """A parameter, its value, and the reason: the template's comment."""

    name: str
    value: str
    reason: str


@dataclass(frozen=True)
class WantedService:
    """An entry of master.cf, and the reason."""

    service: Service
    reason: str


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Everything, before it is known what is there."""

    milter: str
    main: tuple[Parameter, ...]
    outgoing: tuple[Parameter, ...]
    cleanup: tuple[Parameter, ...]
    services: tuple[WantedService, ...]
    split_table: str


@dataclass(frozen=True, kw_only=True)
class Place:
    """What the settings do not say: where this Postfix is. ``milter_socket`` is as Postfix's processes see it."""

    config_directory: Path
    milter_socket: str
    cleanup_service: str = f"{PREFIX}cleanup"


def wanted(settings: PostfixSettings, place: Place) -> Wanted:
    """Render what concerns Postfix."""
    given = variables(settings, place)
    return Wanted(
        milter=str(given["milter"]),
        main=_parameters(rendered("main.cf", given)),
        outgoing=_parameters(rendered("outgoing.cf", given)),
        cleanup=_parameters(rendered("cleanup.cf", given)),
        services=_services(rendered("master.cf", given)),
        split_table=rendered(SPLIT_FILE, given),
    )


def variables(settings: PostfixSettings, place: Place) -> dict[str, object]:
    """What the templates for Postfix are filled with."""
    return {
        "submission_port": settings.submission_port,
        "submissions_port": settings.submissions_port,
        "resubmit_port": settings.resubmit_port,
        "tls_certificate": settings.tls_certificate,
        "tls_key": settings.tls_key,
        "tls_policy": settings.tls_policy,
        "sasl_socket": settings.sasl_socket,
        "config_directory": place.config_directory,
        "cleanup_service": place.cleanup_service,
        "milter": _MILTER.format(socket=place.milter_socket),
    }


def names() -> list[str]:
    """The templates there are."""
    folder = importlib.resources.files("sendproof_postfix") / "templates"
    return sorted(entry.name.removesuffix(".j2") for entry in folder.iterdir() if entry.name.endswith(".j2"))


def rendered(name: str, given: Mapping[str, object]) -> str:
    """One template with its variables.

    Raises:
        UserError: there is no template of that name.
    """
    if name not in names():
        raise UserError(f"there is no template {name!r}; there are: {', '.join(names())}.")
    source = importlib.resources.files("sendproof_postfix") / "templates" / f"{name}.j2"
    environment = jinja2.Environment(  # noqa: S701 - no HTML
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True
    )
    return environment.from_string(source.read_text(encoding="utf-8")).render(given)


def dovecot(settings: PostfixSettings, passwd_file: Path, sasl_sockets: list[Path]) -> str:
    """The configuration of our Dovecot, which listens on one socket for each instance of Postfix."""
    return rendered("dovecot.conf", dovecot_variables(settings, passwd_file, sasl_sockets))


def dovecot_variables(settings: PostfixSettings, passwd_file: Path, sasl_sockets: list[Path]) -> dict[str, object]:
    """What the template for Dovecot is filled with."""
    return {
        "dovecot_run": settings.dovecot_run,
        "dovecot_log": settings.dovecot_log,
        "passwd_file": passwd_file,
        "sasl_socket_paths": sorted(str(path) for path in sasl_sockets),
    }


def _parameters(text: str) -> tuple[Parameter, ...]:
    result = []
    for line, reason in _with_reasons(text):
        name, _, value = line.partition("=")
        result.append(Parameter(name.strip(), value.strip(), reason))
    return tuple(result)


def _services(text: str) -> tuple[WantedService, ...]:
    return tuple(WantedService(configuration.service(line), reason) for line, reason in _with_reasons(text))


def _with_reasons(text: str) -> list[tuple[str, str]]:
    """Logical lines, each with the comment above it; an empty line, or the next one, ends a comment's reach."""
    result: list[tuple[str, str]] = []
    reason: list[str] = []
    in_comment = False
    for line in text.splitlines():
        if line.startswith("#"):
            reason = [*reason, line.lstrip("# ")] if in_comment else [line.lstrip("# ")]
        in_comment = line.startswith("#")
        if in_comment:
            continue
        if not line.strip():
            reason = []
        elif line[0].isspace():  # goes on from the line before (postconf(5))
            result[-1] = (f"{result[-1][0]} {line.strip()}", result[-1][1])
        else:
            result.append((line.strip(), " ".join(reason)))
    return result
