"""Look at a domain in DNS and keep what was seen: the one way, for the site and for the command.

No transaction is open while DNS is asked.
"""

import datetime as dt

from sqlalchemy.exc import IntegrityError

from sendproof_core import domain_check, domain_directory
from sendproof_core.audit import Actor
from sendproof_core.database import Database
from sendproof_core.dns_answers import Presence
from sendproof_core.domain_check import Questions
from sendproof_core.domain_directory import OwnDomain, Settled
from sendproof_core.domain_records import Setup
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.settings import DnsSettings


def setup_of(dns_settings: DnsSettings) -> Setup:
    """What the settings say of the records."""
    return Setup(dkim_zone=dns_settings.dkim_zone, spf_include=dns_settings.spf_include)


def review(
    database: Database,
    domain: OwnDomain,
    *,
    dns_settings: DnsSettings,
    secrets: SecretsStore,
    actor: Actor,
    now: dt.datetime,
) -> Settled:
    """Look, then keep it; a domain that was seen to be the account's own is proved by that."""
    setup, questions = setup_of(dns_settings), Questions(dns_settings)
    checked = domain_check.look(domain.wanted, setup, questions, now)
    # Of a rival that proves it while we look, nobody has asked whether its records are there.
    rival_holds = Presence.UNKNOWN
    pairs = domain_directory.pairs_for(domain, checked)
    if pairs:
        with database.reading() as session:
            rival = domain_directory.rival(session, domain)
        if rival is not None:
            rival_holds = domain_check.still_holds(rival, setup, questions)
    try:
        with database.writing() as session:
            return domain_directory.settle(
                session,
                domain,
                checked,
                rival_holds=rival_holds,
                pairs=pairs,
                secrets=secrets,
                actor=actor,
                now=now,
            )
    except IntegrityError:  # two accounts proved the same domain at once: the other was first
        return Settled.TAKEN
