import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import select

from sendproof_core import clock, dkim_keys, domain_directory
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.schema import Account, AuditEntry, DkimKey, Domain
from sendproof_testing import dns_zone
from sendproof_testing.dns_zone import DnsZone

Command = Callable[..., str]


def _states(database: Database) -> dict[str, str]:
    with database.reading() as session:
        return {key.selector: key.state for key in session.scalars(select(DkimKey).order_by(DkimKey.id))}


def test_the_record_to_publish_round_trips_to_the_public_key(ready: Command, sqlite_database: Database) -> None:
    shown = ready("domain", "add", "own.example", "--account", "max")
    assert ready("domain", "records", "own.example") == shown
    name, strings = shown.split(" IN TXT ")
    assert name == "sp1._domainkey.own.example."
    parts = re.findall(r'"([^"\\]*)"', strings)
    assert strings == "( " + " ".join(f'"{part}"' for part in parts) + " )\n"
    assert all(len(part) <= 255 for part in parts)
    published = "".join(parts).partition("p=")[2]
    assert isinstance(serialization.load_der_public_key(base64.b64decode(published)), rsa.RSAPublicKey)
    with sqlite_database.reading() as session:
        assert session.scalars(select(DkimKey.public_key)).one() == published


def test_a_key_signs_when_it_was_activated(ready: Command, sqlite_database: Database) -> None:
    ready("domain", "add", "relay.example", "--selector", "a1")
    with sqlite_database.reading() as session:
        assert session.scalars(select(DkimKey.state)).one() == "pending"
    assert ready("domain", "activate", "relay.example", "a1") == "a1._domainkey.relay.example signs now\n"
    with sqlite_database.reading() as session:
        assert session.scalars(select(DkimKey.state)).one() == "active"


def test_keys_are_rotated_without_a_gap(ready: Command, sqlite_database: Database) -> None:
    month = f"{clock.now():%Y%m}"
    ready("domain", "add", "own.example", "--ed25519", "--active")
    published = ready("domain", "rotate", "own.example")
    assert re.findall(r"^(\S+)\._domainkey\.own\.example\. IN TXT", published, re.MULTILINE) == [
        f"sp{month}a",
        f"sp{month}b",
    ]
    assert f"sendproof domain activate own.example sp{month}a\n" in published
    with pytest.raises(UserError, match=f"pending key 'sp{month}a' already"):
        ready("domain", "rotate", "own.example")
    assert "sp1 is retiring" in ready("domain", "activate", "own.example", f"sp{month}a")
    ready("domain", "activate", "own.example", f"sp{month}b")
    assert _states(sqlite_database) == {
        "sp1": "retiring",
        "sp1-ed25519": "retiring",
        f"sp{month}a": "active",
        f"sp{month}b": "active",
    }
    with pytest.raises(UserError, match="may be under way until"):
        ready("domain", "retire", "own.example", "sp1")
    revoked = ready("domain", "retire", "own.example", "sp1", "--force")
    assert 'sp1._domainkey.own.example. IN TXT ( "v=DKIM1; k=rsa; p=" )' in revoked
    assert 'sp1._domainkey.own.example. IN TXT ( "v=DKIM1; k=rsa; p=" )' in ready("domain", "records", "own.example")


def test_what_is_shown_says_what_to_do_next(ready: Command) -> None:
    today = f"{clock.now():%Y-%m-%d}"
    ready("domain", "add", "own.example", "--account", "max", "--unproved")
    assert ready("domain", "show", "own.example").splitlines() == [
        "own.example: of account max, not proved yet",
        "SELECTOR  ALGORITHM   STATE    SINCE       NEXT",
        f"sp1       rsa-sha256  pending  {today}  publish its record, then: sendproof domain activate own.example sp1",
    ]
    assert ready("domain", "prove", "own.example") == f"own.example is proved since {today}\n"
    ready("domain", "add", "relay.example", "--no-key")
    assert ready("domain", "show", "relay.example").splitlines() == [
        f"relay.example: the provider's, proved {today}",
        "it has no key; `sendproof domain rotate relay.example` makes one",
    ]


def test_an_international_domain_is_given_as_people_write_it(ready: Command, sqlite_database: Database) -> None:
    assert ready("domain", "add", "Müller.example").startswith("sp1._domainkey.xn--mller-kva.example. IN TXT")
    with sqlite_database.reading() as session:
        assert session.scalars(select(Domain.name)).one() == "xn--mller-kva.example"
    assert "signs now" in ready("domain", "activate", "müller.example", "sp1")


def test_a_key_of_another_program_is_taken_from_a_file_or_standard_input(ready: Command, tmp_path: Path) -> None:
    ready("domain", "add", "own.example", "--no-key")
    rsa_pair, ed_pair = (dkim_keys.generate(algorithm) for algorithm in dkim_keys.ALGORITHMS)
    (tmp_path / "key.pem").write_bytes(rsa_pair.private_pem)
    from_file = ready("domain", "import-key", "own.example", "mail", str(tmp_path / "key.pem"))
    from_input = ready("domain", "import-key", "own.example", "mail-ed", given=ed_pair.private_pem)
    assert rsa_pair.public_key in re.sub(r'" "', "", from_file)
    assert f"k=ed25519; p={ed_pair.public_key}" in from_input
    assert "PRIVATE" not in from_file + from_input
    assert "sendproof domain activate own.example mail\n" in from_file


def test_a_key_file_that_is_not_there_is_said_so(ready: Command, tmp_path: Path) -> None:
    ready("domain", "add", "own.example", "--no-key")
    with pytest.raises(UserError, match=r"no\.pem is no file"):
        ready("domain", "import-key", "own.example", "mail", str(tmp_path / "no.pem"))
    with pytest.raises(UserError, match="is no file"):
        ready("domain", "import-key", "own.example", "mail", str(tmp_path))
    with pytest.raises(UserError, match="too large"):
        ready("domain", "import-key", "own.example", "mail", given=b"x" * 100_000)


# click named the argument in its error, and so the key stood on the terminal.
def test_a_keys_text_as_an_argument_is_not_repeated(ready: Command) -> None:
    ready("domain", "add", "own.example", "--no-key")
    with pytest.raises(UserError, match="no argument") as caught:
        ready("domain", "import-key", "own.example", "s1", "-----BEGIN PRIVATE KEY-----\nsecret")
    assert "secret" not in str(caught.value)


@pytest.fixture
def zone(config: Path) -> Iterator[DnsZone]:
    """DNS on loopback, in the settings."""
    with dns_zone.running() as running:
        lines = f'[dns]\nservers = ["{running.server}"]\ndkim_zone = "keys.relay.example"\ntimeout_seconds = 1.0\n'
        config.write_text(config.read_text() + lines)
        yield running


def _claim(database: Database, name: str) -> str:
    """A claim of max; what proves it."""
    with database.writing() as session:
        account = session.scalars(select(Account)).one()
        return domain_directory.claim(session, account, name, clock.now()).challenge


def test_a_claim_is_proved_by_looking(ready: Command, sqlite_database: Database, zone: DnsZone) -> None:
    challenge = _claim(sqlite_database, "own.example")
    assert "own.example  max      not proved  never" in ready("domain", "list")
    shown = ready("domain", "check", "OWN.example")
    assert shown.startswith("own.example of max: not proved\n")
    assert f"should be: sp1._domainkey.own.example CNAME sp1.{challenge}.keys.relay.example\n" in shown
    zone.set("sp1._domainkey.own.example", "CNAME", f"sp1.{challenge}.keys.relay.example.")
    zone.set("own.example", "MX", "0 \\027[31m.")
    shown = ready("domain", "check", "own.example")
    assert shown.startswith("own.example of max: proved, proved\n")
    assert "\x1b" not in shown
    with sqlite_database.reading() as session:
        audited = [(entry.event, entry.actor) for entry in session.scalars(select(AuditEntry))]
    assert audited[-1] == ("domain proved", "command")


def test_the_zone_holds_what_the_customers_point_at(ready: Command, sqlite_database: Database, zone: DnsZone) -> None:
    challenge = _claim(sqlite_database, "own.example")
    zone.set("sp1._domainkey.own.example", "CNAME", f"sp1.{challenge}.keys.relay.example.")
    assert ready("domain", "zone") == ""
    ready("domain", "check", "--all")
    lines = ready("domain", "zone").splitlines()
    assert [line.partition(" IN TXT ")[0] for line in lines] == [
        f"sp1.{challenge}.keys.relay.example.",
        f"sp1-ed25519.{challenge}.keys.relay.example.",
    ]
    assert (
        ready("domain", "records", "own.example").splitlines()[0].partition(" IN ")[2] == lines[0].partition(" IN ")[2]
    )


def test_all_are_looked_at_in_one_line_each(ready: Command, sqlite_database: Database, zone: DnsZone) -> None:
    _claim(sqlite_database, "own.example")
    ready("domain", "add", "relay.example")
    zone.break_name("own.example")
    assert ready("domain", "check", "--all").splitlines() == [
        "own.example of max: not proved: dkim missing, dkim missing, dmarc missing, mx unknown",
        "relay.example of the provider: the provider's: dkim missing, dmarc missing, mx missing",
    ]


def test_the_providers_own_key_signs_when_it_was_seen(ready: Command, sqlite_database: Database, zone: DnsZone) -> None:
    record = ready("domain", "add", "relay.example")
    zone.set("sp1._domainkey.relay.example", "TXT", "".join(re.findall(r'"([^"]*)"', record)))
    ready("domain", "check", "relay.example")
    assert _states(sqlite_database) == {"sp1": "active"}


def test_what_cannot_be_looked_at_is_said(ready: Command) -> None:
    with pytest.raises(UserError, match=r"there is no domain own\.example"):
        ready("domain", "check", "own.example")
    with pytest.raises(UserError, match="name one domain, or give --all"):
        ready("domain", "check")
    with pytest.raises(UserError, match="is no domain name"):
        ready("domain", "check", "localhost")
    with pytest.raises(UserError, match="names no zone"):
        ready("domain", "zone")
    assert ready("domain", "list") == "there is no domain yet; `sendproof domain add` makes one\n"


def test_every_change_is_in_the_audit_log(ready: Command, sqlite_database: Database, tmp_path: Path) -> None:
    ready("domain", "add", "own.example", "--account", "max", "--unproved")
    ready("domain", "prove", "own.example")
    ready("domain", "prove", "own.example")
    ready("domain", "activate", "own.example", "sp1")
    ready("domain", "rotate", "own.example")
    pair = dkim_keys.generate(dkim_keys.ED25519_SHA256)
    (tmp_path / "key.pem").write_bytes(pair.private_pem)
    ready("domain", "import-key", "own.example", "old", str(tmp_path / "key.pem"))
    ready("domain", "retire", "own.example", "old")
    with sqlite_database.reading() as session:
        account_id = session.scalars(select(Account.id)).one()
        audited = [
            entry for entry in session.scalars(select(AuditEntry).order_by(AuditEntry.id)) if "domain" in entry.details
        ]
        about = {(entry.actor, entry.account_id, entry.details["domain"]) for entry in audited}
        events = [entry.event for entry in audited]
    assert about == {("command", account_id, "own.example")}
    assert events == ["domain added", "domain proved", "key activated", "keys made", "key imported", "key retired"]
