"""What the world finds in DNS of us."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sendproof_core import directory
from sendproof_core.database import Database
from sendproof_core.plans import QuotaLimits
from sendproof_core.secrets_store import SecretsStore
from sendproof_core.states import KeyState
from sendproof_postfix import check_dns
from sendproof_postfix.doctor import CannotLook, Finding, Severity
from sendproof_testing import dns_zone, doctor_subjects
from sendproof_testing.dns_zone import DnsZone

VERDICTS = doctor_subjects.verdicts()
ADDRESS = "185.199.108.7"
PTR = "7.108.199.185.in-addr.arpa"


@pytest.fixture(scope="module")
def server() -> Iterator[DnsZone]:
    with dns_zone.running() as zone:
        yield zone


@pytest.fixture
def zone(server: DnsZone) -> DnsZone:
    server.clear()
    return server


def dns(zone: DnsZone) -> str:
    return f'[dns]\nservers = ["{zone.server}"]\ntimeout_seconds = 0.5\n'


def keys(folder: Path, zone: DnsZone) -> list[Finding]:
    return list(check_dns.look_at_keys(doctor_subjects.subject(folder, dns(zone)), VERDICTS))


def sign(database: Database, folder: Path, name: str, *, is_customers: bool) -> tuple[str, str]:
    """A domain with a key that signs; its record's name and text."""
    secrets = SecretsStore(folder / "secrets")
    secrets.create()
    with database.writing() as session:
        owner = None
        if is_customers:
            directory.add_plan(session, "p", QuotaLimits())
            owner = directory.add_account(
                session, login="max", password="x" * 12, plan_name="p", time_zone="UTC", tracking=False,
                notice_address=None, now=doctor_subjects.NOW,
            )  # fmt: skip
        added = directory.add_domain(session, name, owner, doctor_subjects.NOW)
        key = directory.add_dkim_key(
            session, added, selector="sp1", secrets=secrets, state=KeyState.ACTIVE, now=doctor_subjects.NOW
        )
        record = directory.dkim_record(added, key)
        return record.name, "".join(record.strings)


def test_no_key_that_signs_is_a_warning(sqlite_database: Database, tmp_path: Path, zone: DnsZone) -> None:
    del sqlite_database
    assert doctor_subjects.severities(keys(tmp_path, zone)) == [Severity.WARNING]


def test_a_key_of_ours_that_dns_lacks_is_an_error_until_it_is_there(
    sqlite_database: Database, tmp_path: Path, zone: DnsZone
) -> None:
    name, record = sign(sqlite_database, tmp_path, "relay.example", is_customers=False)
    (missing,) = keys(tmp_path, zone)
    assert missing.severity is Severity.ERROR
    assert missing.details == ("sp1._domainkey.relay.example: missing",)
    zone.set(name, "TXT", "v=DKIM1; k=rsa; p=AAAA")
    assert keys(tmp_path, zone)[0].details == ("sp1._domainkey.relay.example: wrong",)
    zone.set(name, "TXT", record)
    assert doctor_subjects.severities(keys(tmp_path, zone)) == [Severity.OK]
    zone.break_name(name)
    (silent,) = keys(tmp_path, zone)
    assert silent.severity is Severity.WARNING, "an answer that did not come is not a record that is missing"


def test_a_customers_key_that_dns_lacks_is_a_warning(sqlite_database: Database, tmp_path: Path, zone: DnsZone) -> None:
    sign(sqlite_database, tmp_path, "own.example", is_customers=True)
    assert doctor_subjects.severities(keys(tmp_path, zone)) == [Severity.WARNING]


def test_keys_that_there_was_no_time_for_are_counted_and_ours_come_first(
    sqlite_database: Database, tmp_path: Path, zone: DnsZone
) -> None:
    sign(sqlite_database, tmp_path, "relay.example", is_customers=False)
    sign(sqlite_database, tmp_path, "own.example", is_customers=True)
    times = iter([0.0, 26.0])
    subject = doctor_subjects.subject(tmp_path, dns(zone))
    ours, left = check_dns.look_at_keys(subject, VERDICTS, lambda: next(times))
    assert ours.severity is Severity.ERROR
    assert ours.details == ("sp1._domainkey.relay.example: missing",)
    assert left.severity is Severity.NOTE
    assert left.said.endswith("not looked at now: 1.")


def names(folder: Path, zone: DnsZone, address: str = ADDRESS, main: str = "") -> list[Finding]:
    doctor_subjects.postfix(folder, f"smtp_bind_address = {address}\n{main}")
    return list(check_dns.look_at_names(doctor_subjects.subject(folder, dns(zone)), VERDICTS))


def test_names_that_lead_forwards_and_backwards_are_well(tmp_path: Path, zone: DnsZone) -> None:
    zone.set(doctor_subjects.HOST, "A", ADDRESS)
    zone.set(PTR, "PTR", f"{doctor_subjects.HOST}.")
    assert doctor_subjects.severities(names(tmp_path, zone)) == [Severity.OK, Severity.OK]


def test_no_ptr_and_one_that_leads_elsewhere_are_errors(tmp_path: Path, zone: DnsZone) -> None:
    zone.set(doctor_subjects.HOST, "A", ADDRESS)
    none = names(tmp_path, zone)[1]
    assert none.severity is Severity.ERROR
    assert "no PTR record" in none.said
    zone.set(PTR, "PTR", "other.example.")
    elsewhere = names(tmp_path, zone)[1]
    assert elsewhere.severity is Severity.ERROR
    assert "does not lead back" in elsewhere.said


def test_a_private_address_is_only_a_note(tmp_path: Path, zone: DnsZone) -> None:
    zone.set(doctor_subjects.HOST, "A", ADDRESS)
    helo, address = names(tmp_path, zone, "10.1.2.3")
    assert (helo.severity, address.severity) == (Severity.NOTE, Severity.NOTE)


def test_names_that_only_a_name_server_of_ours_has_prove_nothing(tmp_path: Path, zone: DnsZone) -> None:
    zone.set(doctor_subjects.HOST, "A", "10.1.2.3")
    zone.set("3.2.1.10.in-addr.arpa", "PTR", f"{doctor_subjects.HOST}.")
    helo, address = names(tmp_path, zone, "10.1.2.3")
    assert (helo.severity, address.severity) == (Severity.NOTE, Severity.NOTE)
    assert "not public" in helo.said
    assert "not public" in address.said


def test_where_another_server_takes_all_mail_our_names_are_not_looked_at(tmp_path: Path, zone: DnsZone) -> None:
    with pytest.raises(CannotLook, match=r"mail leaves through \[smart.example\]:587"):
        names(tmp_path, zone, main="relayhost = [smart.example]:587\n")


def test_a_helo_name_that_is_none_or_has_no_address_is_an_error(tmp_path: Path, zone: DnsZone) -> None:
    zone.set(PTR, "PTR", "edge.example.")
    zone.set("edge.example", "A", ADDRESS)
    assert names(tmp_path, zone)[0].severity is Severity.ERROR
    short = names(tmp_path, zone, main="smtp_helo_name = localhost\n")[0]
    assert short.severity is Severity.ERROR
    assert "no full name" in short.said


def test_dns_that_is_silent_is_a_warning(tmp_path: Path, zone: DnsZone) -> None:
    zone.break_name(doctor_subjects.HOST)
    zone.break_name(PTR)
    assert doctor_subjects.severities(names(tmp_path, zone)) == [Severity.WARNING, Severity.WARNING]


def test_without_a_bound_address_the_kernel_says_what_mail_would_leave_from(tmp_path: Path) -> None:
    subject = doctor_subjects.subject(tmp_path)
    doctor_subjects.postfix(tmp_path)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no route to anywhere")
        expected = probe.getsockname()[0]
    assert check_dns.sending_addresses(subject.postfix) == (expected,)
