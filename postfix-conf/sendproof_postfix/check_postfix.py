"""Whether Postfix is one that we know, runs, finds its configuration good, and is the machine of our settings."""

import os
import re
from collections.abc import Iterator, Sequence

from sendproof_core.errors import UserError
from sendproof_postfix import postconf, versions
from sendproof_postfix.doctor import CannotLook, Finding, Verdicts
from sendproof_postfix.doctor_subject import Subject

# What `postfix check` says in every chroot whose copies of system files are older: one remedy for all of them.
_DIFFERS = re.compile(r"(\S+) and (\S+) differ")
_SHOWN = 5


def look(subject: Subject, verdicts: Verdicts) -> Iterator[Finding]:
    """Version, the name, `postfix check`, and whether it runs."""
    try:
        version, name = (subject.postfix.value(parameter) for parameter in ("mail_version", "myhostname"))
    except CannotLook as error:
        if not subject.has("milter"):
            raise CannotLook("the settings have no [milter]: no Postfix here needs our settings.") from None
        yield verdicts.error(error.said, error.remedy)
        return
    yield judge_version(version, verdicts)
    yield from judge_name(subject.host, name, verdicts)
    if os.geteuid() != 0:
        yield verdicts.skipped("`postfix check` and `postfix status` were not run.", "Run as root.")
        return
    try:
        words = postconf.check(subject.postfix.directory)
    except UserError as error:
        yield verdicts.error(str(error), "Mend what it names.")
        return  # `postfix status` would fail by the same
    yield judge_words([word for word in words.split("; ") if word], verdicts)
    if not postconf.is_running(subject.postfix.directory):
        yield verdicts.error(
            "Postfix does not run.",
            "`systemctl start postfix` (or `postfix start`); the mail log says why it ended.",
        )


def judge_version(text: str, verdicts: Verdicts) -> Finding:
    """Which Postfix it is (``mail_version``)."""
    version = versions.read(text)
    if version.stops:
        return verdicts.error(version.stops, "Use a Postfix that Sendproof knows.")
    if version.warns:
        return verdicts.note(version.warns, "Look for a newer Sendproof; lines of the log may not be understood.")
    return verdicts.ok(f"Postfix {text}.")


def judge_name(host: str, myhostname: str, verdicts: Verdicts) -> Iterator[Finding]:
    """Whether the record and the log speak of the same machine."""
    if host.lower() != myhostname.lower():
        yield verdicts.warning(
            f"[host] name is {host}, and Postfix's myhostname is {myhostname}.",
            "Let [host] name be Postfix's myhostname: the record tells machines apart by it.",
        )


def judge_words(said: Sequence[str], verdicts: Verdicts) -> Finding:
    """What `postfix check` warns of."""
    if not said:
        return verdicts.ok("`postfix check` finds nothing.")
    if all(_DIFFERS.search(line) for line in said):
        return verdicts.note(
            f"files in Postfix's chroot that are not those of the system: {len(said)}.",
            "Restart Postfix (Debian copies them then), or copy them yourself.",
            said[:_SHOWN],
        )
    return verdicts.warning("`postfix check` warns.", "Mend what it names.", said[:_SHOWN])
