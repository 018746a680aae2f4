"""Postfix's configuration as the doctor's checks ask for it. Changes nothing."""

import functools
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sendproof_core.errors import UserError
from sendproof_postfix import configuration, postconf, versions
from sendproof_postfix.configuration import Configuration, Service
from sendproof_postfix.doctor import CannotLook

_SECONDS = 20.0


@dataclass(frozen=True)
class MilterUse:
    """One milter of a list, with the options that stand beside it: ``{ unix:PATH, default_action=tempfail }``."""

    endpoint: str
    options: Mapping[str, str] = field(default_factory=dict)


class PostfixConfiguration:
    """One instance's main.cf and master.cf. Each question is asked once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def services(self) -> tuple[Service, ...]:
        """master.cf."""
        return tuple(self._read.services.values())

    def value(self, name: str, service: Service | None = None) -> str:
        """A parameter's value with everything expanded; for a service, its own first. Empty: none, or unknown."""
        if service is not None:
            return self._read.value(service, name)
        # Not what main.cf may claim of it.
        values = self._read.effective if name == "mail_version" else self._read.expanded
        return values.get(name, "")

    def is_chrooted(self, service: Service) -> bool:
        """Whether its paths begin at the queue directory."""
        return service.chrooted(versions.chroot_by_default(self.value("compatibility_level")))

    def seen_from_outside(self, path: str, service: Service) -> Path:
        """Where a path of a service's parameter is: below the queue directory if it is relative, or chrooted."""
        if path.startswith("/") and not self.is_chrooted(service):
            return Path(path)
        return self.queue_directory / path.lstrip("/")

    def user_of(self, service: Service) -> str:
        """As whom a service runs."""
        return "root" if service.fields[1] == "n" else self.value("mail_owner") or "postfix"

    @property
    def queue_directory(self) -> Path:
        """Where the queue is, and every path without a leading slash."""
        return Path(self.value("queue_directory") or "/var/spool/postfix")

    def milters(self, service: Service) -> tuple[MilterUse, ...]:
        """What a service asks, in order."""
        return milter_uses(self.value("smtpd_milters", service))

    def submission_services(self) -> tuple[Service, ...]:
        """Where people sign in to submit mail."""
        return tuple(
            service
            for service in self.services
            if service.command == "smtpd" and self.value("smtpd_sasl_auth_enable", service) == "yes"
        )

    @functools.cached_property
    def _read(self) -> Configuration:
        try:
            return postconf.read(self.directory)
        except UserError as error:
            raise CannotLook(f"Postfix's configuration cannot be read: {error}", "See the check postfix.") from None


def milter_uses(text: str) -> tuple[MilterUse, ...]:
    """A list of milters (MILTER_README): endpoints, each alone or in braces with options."""
    found = []
    for element in configuration.elements(text):
        parts = configuration.elements(element.strip("{}")) if element.startswith("{") else [element]
        # Blanks may stand around the sign: "connect_timeout = 10s".
        pairs = " ".join(parts[1:]).replace(" = ", "=").split()
        options = (pair.partition("=") for pair in pairs)
        found.append(MilterUse(parts[0] if parts else "", {name: value for name, _, value in options}))
    return tuple(found)


def run(*command: str, seconds: float = _SECONDS) -> subprocess.CompletedProcess[str]:
    """A program's answer, in no language but English.

    Raises:
        CannotLook: it is not there, or does not come to an end.
    """
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
            env={"LC_ALL": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
    except subprocess.TimeoutExpired:
        raise CannotLook(f"`{' '.join(command)}` did not come to an end in {seconds:.0f} seconds.") from None
    except FileNotFoundError:
        raise CannotLook(f"there is no program {command[0]}.") from None
