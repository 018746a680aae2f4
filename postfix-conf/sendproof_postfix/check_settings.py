"""Whether the settings file can be read, and what every check needs stands in it."""

from collections.abc import Iterator

from sendproof_core.errors import UserError
from sendproof_core.settings import (
    DatabaseSettings,
    DnsSettings,
    HostSettings,
    SaslSettings,
    SecretsSettings,
    SiteSettings,
    SubmissionSettings,
)
from sendproof_postfix.doctor import Finding, Verdicts
from sendproof_postfix.doctor_subject import Subject
from sendproof_postfix.settings import PostfixSettings

# Each program reads its own table at its start; these are the ones that several share, or nobody else reads.
_NEEDED = (HostSettings, DatabaseSettings, SecretsSettings, DnsSettings, PostfixSettings)
_IF_THERE = (SiteSettings, SaslSettings, SubmissionSettings)
_DESCRIBED = "docs/settings.md and sendproof.toml(5) describe every setting."
_PROGRAMS = ("milter", "logparser", "web", "notices")


def look(subject: Subject, verdicts: Verdicts) -> Iterator[Finding]:
    """The file and its tables; the first mistake is told, as the programs would."""
    try:
        tables = subject.file.tables
        for needed in _NEEDED:
            subject.file.table(needed)
        for shared in _IF_THERE:
            if shared.TABLE in tables:
                subject.file.table(shared)
    except UserError as error:
        yield verdicts.error(str(error), "Run as root." if isinstance(error.__cause__, PermissionError) else _DESCRIBED)
        return
    here = [name for name in _PROGRAMS if subject.has(name)]
    if not here:
        yield verdicts.warning(
            f"{subject.file.path} has no table of a program: neither {' nor '.join(_PROGRAMS)}.",
            "Give it the tables of what runs on this machine.",
        )
        return
    yield verdicts.ok(f"{subject.file.path} is for {subject.host}, with {', '.join(here)}.")
