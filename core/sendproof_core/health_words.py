"""What `health` found, in sentences, with what to do. Pure.

English; the site translates the texts (marked by `N_`) and fills in the values itself.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from sendproof_core import wording
from sendproof_core.health import Finding, Part, Reading


def N_(text: str) -> str:  # noqa: N802 - the name by which texts to translate are found
    """Mark a text for translation."""
    return text


@dataclass(frozen=True)
class Words:
    """A sentence and what to do, with ``%(name)s`` for the values of the finding. ``advice`` empty: nothing to do."""

    text: str
    advice: str = ""


PARTS: Mapping[Part, str] = {
    Part.MILTER: N_("Milter"),
    Part.READERS: N_("Log readers"),
    Part.DATABASE: N_("Database"),
    Part.CERTIFICATES: N_("Certificates"),
    Part.NOTICES: N_("Notices"),
    Part.DOMAINS: N_("Domains"),
}

WORDS: Mapping[Finding, Words] = {
    Finding.MILTER_ADMITS: Words(N_("%(host)s let a message through %(seconds)s ago.")),
    Finding.MILTER_IS_QUIET: Words(
        N_("%(host)s has let no message through for %(seconds)s."),
        N_("If mail should have gone out, send one yourself and look whether sendproof-milter runs there."),
    ),
    Finding.MILTER_UNSEEN: Words(
        N_("No message was let through yet."),
        N_("Send one with a credential of an account. If it does not appear, look whether sendproof-milter runs."),
    ),
    Finding.CHARGES_OPEN: Words(
        N_("Messages that %(host)s let through an hour ago or more and that are not in its mail log: %(count)s."),
        N_("Look whether sendproof-logparser reads the mail log of that machine. The charges are taken back in time."),
    ),
    Finding.NEVER_READ: Words(
        N_("No log was read yet."),
        N_("Start sendproof-logparser on every machine with Postfix; its settings name the mail log."),
    ),
    Finding.READER_KEEPS_UP: Words(N_("%(source)s is read up to %(seconds)s ago.")),
    Finding.READER_IS_LATE: Words(
        N_("%(source)s is %(seconds)s behind."),
        N_("Look whether sendproof-logparser runs on %(host)s. Nothing is lost: it goes on where it stopped."),
    ),
    Finding.READER_UNKNOWN: Words(
        N_("How far %(source)s was read is not known."),
        N_("Look whether sendproof-logparser runs on %(host)s."),
    ),
    Finding.LINES_LOST: Words(
        N_("Times that the system log lost lines in the last week: %(count)s."),
        N_("Let Postfix write its log itself (maillog_file), or raise the limits of the system log."),
    ),
    Finding.LINES_NOT_UNDERSTOOD: Words(
        N_("Lines of the last week that were not understood: %(count)s."),
        N_("They are kept. Look at them: mail that they speak of may be shown as unknown."),
    ),
    Finding.MESSAGES_UNHEARD: Words(
        N_("Messages that were let through and of which no line of the mail log speaks: %(count)s."),
        N_("Look whether the mail log of that machine is read in whole; `sendproof status` lists them."),
    ),
    Finding.DATABASE_WELL: Words(N_("%(kind)s %(version)s, %(octets)s, schema %(schema)s.")),
    Finding.DATABASE_LARGE: Words(
        N_("%(kind)s %(version)s has grown to %(octets)s."),
        N_("Think of moving to PostgreSQL, and of how long you keep transcripts."),
    ),
    Finding.SCHEMA_OLD: Words(
        N_("The schema is %(schema)s, and this program wants %(wanted)s."),
        N_("Run `sendproof database upgrade`."),
    ),
    Finding.DAY_MISSING: Words(
        N_("The record has no partition for %(day)s."),
        N_("Run `sendproof database maintain`, and look whether its timer runs (sendproof-maintain.timer)."),
    ),
    Finding.CERTIFICATE_GOOD: Words(N_("%(file)s: days until it expires: %(days)s.")),
    Finding.CERTIFICATE_ENDS: Words(
        N_("%(file)s expires soon: days left: %(days)s."),
        N_("Renew it, and find out why that did not happen by itself."),
    ),
    Finding.CERTIFICATE_ENDED: Words(
        N_("%(file)s has expired."), N_("Renew it now: mail programs and browsers refuse to connect.")
    ),
    Finding.CERTIFICATE_UNREADABLE: Words(
        N_("%(file)s cannot be read as a certificate."),
        N_("Let the site's user read it, or name the right file in `[site] certificates`."),
    ),
    Finding.CERTIFICATES_NOT_NAMED: Words(
        N_("No certificate is watched."), N_("Name the files in `[site] certificates` in sendproof.toml.")
    ),
    Finding.NOTICES_FLOW: Words(N_("Notices sent in the last 24 hours: %(sent)s; waiting: %(count)s.")),
    Finding.NOTICES_LATE: Words(
        N_("Notices that wait: %(count)s, the first of them for %(seconds)s."),
        N_("Look whether sendproof-notices runs and whether its own submission is accepted."),
    ),
    Finding.NOTICES_FAILED: Words(
        N_("Notices that could not be sent and were given up: %(count)s."),
        N_("`sendproof notices status` says why; `sendproof notices retry` tries again."),
    ),
    Finding.DOMAINS_CHECKED: Words(N_("Domains: %(count)s; DNS was last looked at %(seconds)s ago.")),
    Finding.DOMAINS_UNPROVED: Words(
        N_("Domains that are not proved yet: %(count)s of %(total)s."),
        N_("Nobody can send as them until then. Their owners find the records to publish on their page of domains."),
    ),
    Finding.DOMAIN_CHECKS_OLD: Words(
        N_("Domains: %(count)s; DNS was not looked at for a long time."),
        N_("`sendproof domain check` looks at a domain's records."),
    ),
}


def sentence(reading: Reading) -> str:
    """In English, for the terminal."""
    return WORDS[reading.finding].text % shown(reading)


def advice(reading: Reading) -> str:
    """What to do, in English; empty: nothing."""
    return WORDS[reading.finding].advice % shown(reading)


def shown(reading: Reading) -> dict[str, str]:
    """The values as people read them."""
    return {name: _shown(name, value) for name, value in reading.values.items()}


def _shown(name: str, value: object) -> str:
    if isinstance(value, dt.datetime):
        return f"{value.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
    if name == "seconds" and isinstance(value, int | float):
        return wording.duration(value)
    if name == "octets" and isinstance(value, int):
        return wording.size(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
