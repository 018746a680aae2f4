"""The checks in the order of the chain: what a later one needs, an earlier one has looked at."""

from collections.abc import Iterator

from sendproof_postfix import (
    check_certificates,
    check_clock,
    check_database,
    check_disk,
    check_dns,
    check_log,
    check_mail,
    check_milter,
    check_plan,
    check_postfix,
    check_record,
    check_sasl,
    check_secrets,
    check_services,
    check_settings,
    check_snapshot,
)
from sendproof_postfix.doctor import Check, Finding, Severity, Verdicts, run
from sendproof_postfix.doctor_subject import Subject

SETTINGS: Check[Subject] = Check("settings", check_settings.look)
CHECKS: tuple[Check[Subject], ...] = (
    Check("postfix", check_postfix.look),
    # It lets Postfix judge a copy, more than once.
    Check("postfix-settings", check_plan.look, limit_seconds=120.0),
    Check("milter-order", check_milter.look_at_order),
    Check("milter", check_milter.look_at_answer),
    Check("sasl", check_sasl.look),
    Check("log-source", check_log.look_at_source),
    Check("log-limits", check_log.look_at_limits),
    Check("record", check_record.look_at_reading),
    Check("clock", check_clock.look),
    Check("dialogue", check_record.look_at_dialogue),
    Check("database", check_database.look),
    Check("snapshot", check_snapshot.look),
    Check("dkim", check_dns.look_at_keys, limit_seconds=60.0),
    # Both ask DNS, where each question has its time ([dns] timeout_seconds, 30 at the most).
    Check("names", check_dns.look_at_names, limit_seconds=60.0),
    Check("certificates", check_certificates.look),
    Check("disk", check_disk.look),
    Check("secrets", check_secrets.look),
    Check("services", check_services.look),
    # It ends by itself, and must: a credential is to be revoked.
    Check("mail", check_mail.look, limit_seconds=None),
)


def examine(subject: Subject) -> Iterator[Finding]:
    """Everything, one finding after the other; without settings, nothing but them."""
    settings = list(run([SETTINGS], subject))
    yield from settings
    if any(finding.severity is Severity.ERROR for finding in settings):
        for check in CHECKS:
            yield Verdicts(check.name).skipped("the settings cannot be used.")
        return
    yield from run(CHECKS, subject, lambda name: subject.said(f"looking at {name}"))
