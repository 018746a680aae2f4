"""Every mail of the corpus, through a server without 8BITMIME and one with it: signatures good, text as it was sent."""

import email.header
import email.message
import re
import smtplib
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sendproof_core import clock, directory
from sendproof_milter.sender_store import MAXIMAL_AGE_SECONDS
from sendproof_testing import dkim_verifier, mail, received_copy
from sendproof_testing.installation import ACCEPT, LOGIN, OWN_DOMAIN, PROVIDER_DOMAIN, SEVEN_BIT
from sendproof_testing.sandbox import Sandbox
from sendproof_testing.sending import send

pytestmark = [pytest.mark.integration]

CORPUS = Path(__file__).parents[1] / "corpus" / "mail"
EXPECTATIONS: dict[str, dict[str, Any]] = tomllib.loads((CORPUS / "expectations.toml").read_text("utf-8"))
NAMES = sorted(EXPECTATIONS)
SERVERS = (SEVEN_BIT, ACCEPT)
# Their From is at another domain of the account, which has no key of its own.
FOREIGN_DOMAIN, AT_FOREIGN_DOMAIN = "xn--mller-kva.example", {"idn-from"}
# Needs SMTPUTF8 on its whole way (RFC 6531): nothing can make it ASCII.
INTERNATIONAL = "smtputf8"
# What cannot be made safe: a line over 998 octets in what is sealed or malformed, or without a place to break it.
# Postfix breaks it on its way out (smtp_line_length_limit), after it was signed.
BROKEN_ON_THE_WAY = {"long-header-word", "no-boundary-parameter-8bit", "smime-signed-long-lines"}
STAYS_EIGHT_BIT = {"sealed-8-bit", "malformed-8-bit", "8-bit-header-word"}
PIXEL = re.compile(rb'<img src="[^"]*/o/[^"]*" width="1" height="1" alt="">')
BLANKS = re.compile(rb"\s+")
CLIENTS = 4

# (name, receiving domain) -> the mail as it arrived
Received = dict[tuple[str, str], bytes]


def original(name: str) -> bytes:
    """As a client sends it."""
    return (CORPUS / f"{name}.in.eml").read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def submit(sandbox: Sandbox, name: str) -> None:
    reply = send(sandbox, [f"{name}@{server}" for server in SERVERS], original(name))
    assert reply.accepted, (name, reply)


def submit_international(sandbox: Sandbox) -> None:
    made = sandbox.installation
    with mail.connected(sandbox) as client:
        client.login(made.login.login, made.login.password)
        options = ["SMTPUTF8", "BODY=8BITMIME"]
        client.sendmail(made.login.address, [f"{INTERNATIONAL}@{ACCEPT}"], original(INTERNATIONAL), options)


@pytest.fixture(scope="module")
def received(sandbox: Sandbox) -> Received:
    """Every mail of the corpus, sent to both servers at once."""
    made = sandbox.installation
    database = sandbox.database()
    with database.writing() as session:
        directory.add_domain(session, FOREIGN_DOMAIN, directory.find_account(session, LOGIN), clock.now())
    database.close()
    time.sleep(MAXIMAL_AGE_SECONDS)  # tests before this one may have made the milter look the account up
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda name: submit(sandbox, name), (name for name in NAMES if name != INTERNATIONAL)))
    submit_international(sandbox)
    wanted = {(name, server) for name in NAMES for server in SERVERS} - {(INTERNATIONAL, SEVEN_BIT)}

    def all_there() -> Received | None:
        found: Received = {}
        for raw in mail.received(made.mail_folder):
            name, _, server = dict(received_copy.fields(raw))["Delivered-To"].decode().partition("@")
            if (name, server) in wanted:
                assert (name, server) not in found, "a second copy"
                found[name, server] = raw
        return found if len(found) == len(wanted) else None

    return mail.wait_until(all_there, 60, f"{len(wanted)} mails")


def test_the_server_without_8bitmime_offers_none(sandbox: Sandbox) -> None:
    made = sandbox.installation
    for port, offers in ((made.seven_bit_port, False), (made.mx_port, True)):
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            client.ehlo()
            assert client.has_extn("8bitmime") == offers


def test_both_verifiers_accept_every_signature_that_can_be_kept(sandbox: Sandbox, received: Received) -> None:
    keys = sandbox.installation.public_keys
    ordinary = {f"{name}@{server}": raw for (name, server), raw in received.items() if name not in AT_FOREIGN_DOMAIN}
    failed = dkim_verifier.failed_signatures(ordinary, keys, [OWN_DOMAIN, PROVIDER_DOMAIN])
    assert set(failed) == {f"{name}@{server}" for name in BROKEN_ON_THE_WAY for server in SERVERS}, failed
    others = {f"{name}@{server}": raw for (name, server), raw in received.items() if name in AT_FOREIGN_DOMAIN}
    assert not dkim_verifier.failed_signatures(others, keys, [PROVIDER_DOMAIN])


def test_what_could_be_made_safe_arrives_in_ascii_and_short_lines(received: Received) -> None:
    for (name, server), raw in received.items():
        stays = STAYS_EIGHT_BIT & set(EXPECTATIONS[name]["wire"])
        written = b"".join(b": %b\n" % value for _, value in received_copy.written_fields(raw)) + received_copy.body(
            raw
        )
        assert written.isascii() == (not stays and name != INTERNATIONAL), (name, server)
        assert max(map(len, raw.split(b"\n"))) <= 998, (name, server)


def test_every_part_decodes_to_what_was_sent(received: Received) -> None:
    for (name, server), raw in received.items():
        if name in BROKEN_ON_THE_WAY:
            continue
        sent, got = received_copy.texts(original(name)), received_copy.texts(raw)
        pixels = received_copy.pixels(raw)
        assert len(pixels) == (EXPECTATIONS[name]["pixel"] == "inserted"), (name, server)
        assert len(got) == len(sent), (name, server)
        for was, now in zip(sent, got, strict=True):
            if PIXEL.search(now):
                assert BLANKS.sub(b"", PIXEL.sub(b"", now)) == BLANKS.sub(b"", was), (name, server)
            else:
                assert now.rstrip(b"\n") == was.rstrip(b"\n"), (name, server)


def test_every_header_field_reads_as_it_was_written(received: Received) -> None:
    for (name, server), raw in received.items():
        sent, got = received_copy.written_fields(original(name)), received_copy.written_fields(raw)
        added = [field.lower() for field, _ in got[len(sent) :]]
        # The last three are the milter's, where it had to say how a part is encoded; the first two Postfix's.
        assert set(added) <= {
            "message-id", "date", "mime-version", "content-type", "content-transfer-encoding",
        }, (name, server)  # fmt: skip
        for (field, was), (same_field, now) in zip(sent, got, strict=False):
            assert same_field == field, (name, server)
            if field.lower() not in {"content-transfer-encoding", "content-type", "content-disposition"}:
                assert read(now) == read(was), (name, server, field)


def read(value: bytes) -> str:
    """A field as a person reads it: encoded words decoded, without blanks."""
    try:
        words = value.decode("utf-8")
    except UnicodeDecodeError:
        words = value.decode("latin-1")
    if words.isascii():
        decoded = email.header.decode_header(words.replace("\n", ""))
        words = "".join(
            piece
            if isinstance(piece, str)
            else piece.decode("latin-1" if charset in {None, "unknown-8bit"} else charset)
            for piece, charset in decoded
        )
    return "".join(words.split()).replace('"', "")


def test_signed_and_encrypted_mail_arrives_octet_for_octet(received: Received) -> None:
    sealed = [
        name for name in NAMES
        if EXPECTATIONS[name]["pixel"] == "signed-or-encrypted" and set(EXPECTATIONS[name]["wire"]) <= {"sealed-8-bit"}
    ]  # fmt: skip
    assert {"smime-signed", "smime-signed-8bit", "smime-opaque", "mutt-pgp-mime-signed", "inline-pgp"} <= set(sealed)
    for name in sealed:
        for server in SERVERS:
            body = received_copy.body(received[name, server])
            assert body.rstrip(b"\n") == received_copy.body(original(name)).rstrip(b"\n"), (name, server)
            fields = dict(received_copy.written_fields(received[name, server]))
            assert fields["Content-Type"] == dict(received_copy.fields(original(name)))["Content-Type"]
