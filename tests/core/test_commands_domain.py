import base64
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import select

from sendproof_core import clock, dkim_keys
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.schema import DkimKey, Domain

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
