"""Verbose logs hold passwords and TLS keys: nothing of them reaches the record or what the commands print."""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path

import click.testing
import pytest
from pysqlite3 import dbapi2 as sqlite_driver

from sendproof_core.schema import Attempt, Delivery
from sendproof_logparser.commands_logs import logs
from sendproof_testing.record_reading import LOGS, Machine

_RELAY = "relayhost.example[192.0.2.50]:587"
_CLIENT = "client.own.example[203.0.113.9]"
# Shorter pieces occur by chance, or are words.
_PIECE = 10
_STEP = 3


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def _octets(name: str, count: int) -> bytes:
    return hashlib.shake_256(name.encode()).digest(count)


_PASSWORD = "Zwölf Boxkämpfer jagen Viktor".replace(" ", ".")
_PLAIN = _base64(b"\0max-at-relay\0" + _PASSWORD.encode())
_LOGIN = _base64(_PASSWORD.encode())
_CHALLENGE = "<1896.697170952@relayhost.example>"
_DIGEST = hmac.new(_PASSWORD.encode(), _CHALLENGE.encode(), "md5").hexdigest()
_CRAM = _base64(f"max-at-relay {_DIGEST}".encode())
_TOKEN = _base64(b"n,a=max,\1host=relayhost.example\1auth=Bearer " + _octets("token", 150).hex().encode() + b"\1\1")
_SEED = _base64(_octets("seed", 32))
_SESSION = _base64(_octets("session", 900))
_MISPLACED = "Quarz-Bluse-77-vermisst"
_SECRETS = (_PASSWORD, _PLAIN, _LOGIN, _DIGEST, _CRAM, _TOKEN, _SEED, _SESSION, _MISPLACED)


def _smtp(*texts: str) -> list[str]:
    return [f"Nov 22 12:30:00 relay postfix/smtp[12127]: {text}" for text in texts]


def _signing_in() -> list[str]:
    """Postfix signs in at a relay host, which refuses several mechanisms."""
    return _smtp(
        f"< {_RELAY}: 220 relayhost.example ESMTP",
        f"> {_RELAY}: EHLO relay.example",
        f"< {_RELAY}: 250 AUTH PLAIN LOGIN CRAM-MD5 OAUTHBEARER",
        f"smtp_sasl_passwd_lookup: host `relayhost.example' user `max-at-relay' pass `{_PASSWORD}'",
        f"smtp_sasl_authenticate: {_RELAY}: SASL mechanisms PLAIN LOGIN CRAM-MD5 OAUTHBEARER",
        f"xsasl_cyrus_client_get_passwd: {_PASSWORD}",
        f"xsasl_cyrus_client_first: uncoded initial reply: ?max-at-relay?{_PASSWORD}",
        f"> {_RELAY}: AUTH PLAIN {_PLAIN}",
        f"< {_RELAY}: 535 5.7.8 no",
        f"> {_RELAY}: auth plain",
        f"< {_RELAY}: 334 ",
        f"> {_RELAY}: {_PLAIN}",
        f"< {_RELAY}: 535-5.7.8 no",
        f"< {_RELAY}: 535 5.7.8 really",
        f"> {_RELAY}: AUTH LOGIN",
        f"< {_RELAY}: 334 VXNlcm5hbWU6",
        f"> {_RELAY}: {_base64(b'max-at-relay')}",
        f"< {_RELAY}: 334 UGFzc3dvcmQ6",
        f"> {_RELAY}: {_LOGIN}",
        f"< {_RELAY}: 535 5.7.8 no",
        f"> {_RELAY}: AUTH CRAM-MD5",
        f"< {_RELAY}: 334 {_base64(_CHALLENGE.encode())}",
        f"xsasl_cyrus_client_next: uncoded client response max-at-relay {_DIGEST}",
        f"> {_RELAY}: {_CRAM}",
        f"< {_RELAY}: 535 5.7.8 no",
        f"> {_RELAY}: AUTH OAUTHBEARER",
        f"< {_RELAY}: 334 ",
        # One answer over several lines, and then the rest of a reply that answers something else.
        f"> {_RELAY}: {_TOKEN[:150]}",
        f"> {_RELAY}: {_TOKEN[150:]}",
        f"< {_RELAY}: 235 2.7.0 Authentication successful",
        f"> {_RELAY}: {_TOKEN}",
        f"> {_RELAY}: MAIL FROM:<max@own.example>",
        f"< {_RELAY}: 250 ok",
        f"message repeated 2 times: [ > {_RELAY}: {_LOGIN}]",
        f"message repeated 2 times: [ > {_RELAY}: AUTH PLAIN {_PLAIN}]",
        f"4jXGhv32rHzJLdv: to=<late@sink.test>, relay={_RELAY}, delay=1, delays=0/0/0/1, dsn=2.0.0,"
        " status=sent (250 ok)",
    )


def _keys() -> list[str]:
    """What daemons say to tlsmgr, and it to them."""
    texts = (
        "send attr request = seed",
        "private/tlsmgr: wanted attribute: seed",
        f"input attribute value: {_SEED}",
        f"send attr seed = {_SEED}",
        f"input attribute value: {_SESSION}",
        f"send attr session = {_SESSION}",
        f"message repeated 2 times: [ input attribute value: {_SEED}]",
        # cut, as the last line before a crash
        f"message repeated 2 times: [ input attribute value: {_SEED}",
    )
    programs = ("smtp[12127]", "smtpd[77]", "tlsmgr[1]", "tlsproxy[2]", "qmgr[3]", "cleanup[4]", "newdaemon[5]", "smtp")
    return [
        *(f"Nov 22 12:30:01 relay postfix/{program}: {text}" for program in programs for text in texts),
        *(f"Nov 22 12:30:01 relay postfix/smtp[12127] {text}" for text in texts),
        *(f"<22>1 2026-11-22T12:30:01Z relay postfix/smtp 12127 - - {text}" for text in texts),
        *(f"2026-11-22T12:30:01.5+00:00 relay postfix/smtp[12127]: {text}" for text in texts),
    ]


def _submission() -> list[str]:
    """What smtpd -v writes, and Dovecot with auth_debug_passwords or auth_verbose_passwords."""
    smtpd = (
        f"connect from {_CLIENT}",
        f"< {_CLIENT}: AUTH PLAIN {_PLAIN}",
        f"> {_CLIENT}: 235 2.7.0 Authentication successful",
        f"< {_CLIENT}: AUTH LOGIN",
        f"> {_CLIENT}: 334 VXNlcm5hbWU6",
        f"< {_CLIENT}: {_LOGIN}",
        f"< {_CLIENT}: {_MISPLACED}",
        f"smtpd_sasl_authenticate: sasl_method PLAIN, init_response {_PLAIN}",
        f"smtpd_sasl_authenticate: decoded initial response ?max?{_PASSWORD}",
        f"xsasl_dovecot_server_first: sasl_method PLAIN, init_response {_PLAIN}",
        f"xsasl_cyrus_server_first: decoded initial response ?max?{_PASSWORD}",
        f"warning: non-SMTP command from {_CLIENT}: {_LOGIN}",
        f"improper command pipelining after AUTH from {_CLIENT}: {_LOGIN}?",
        f"warning: {_CLIENT}: SASL LOGIN authentication failed: UGFzc3dvcmQ6",
    )
    dovecot = (
        f"auth: Debug: client in: AUTH#0111#011PLAIN#011service=smtp#011secured#011resp={_PLAIN} (previous base64 data"
        " may contain sensitive data)",
        f"auth: passwd-file(max,203.0.113.9): Password mismatch (given password: {_PASSWORD})",
        f"auth-worker(7): conn unix:auth-worker (pid=6,uid=0): auth-worker<1>: sql(max,203.0.113.9,<aBc>): Password"
        f" mismatch (given password: {_PASSWORD})",
        f"auth: Debug: passwd-file(max,203.0.113.9): PLAIN({_PASSWORD}) != '{_DIGEST}'",
        f"auth: Debug: cache(max,203.0.113.9): hit: {{PLAIN}}{_PASSWORD}#011user=max",
    )
    return [
        *(f"Nov 22 12:30:02 relay postfix/submission/smtpd[78]: {text}" for text in smtpd),
        *(f"Nov 22 12:30:02 relay dovecot: {text}" for text in dovecot),
    ]


def _lines() -> list[str]:
    dialogue = (LOGS / "dialogue.log").read_text(encoding="utf-8").splitlines()
    verbose = [line.replace("(32 octets of PRNG seed, base64)", _SEED) for line in dialogue]
    return [*verbose, *_signing_in(), *_keys(), *_submission()]


def _pieces_of(secret: str) -> Iterator[str]:
    """A page of the database may end in the middle of the secret: its pieces are looked for."""
    return (secret[begin : begin + _PIECE] for begin in range(0, len(secret) - _PIECE + 1, _STEP))


_PIECES = frozenset(piece for secret in _SECRETS for piece in _pieces_of(secret))


def _found_in(octets: bytes) -> set[str]:
    return {piece for piece in _PIECES if piece.encode() in octets}


@pytest.fixture(scope="module")
def lines() -> list[str]:
    lines = _lines()
    assert _found_in("\n".join(lines).encode()) == _PIECES
    return lines


def test_no_secret_is_in_the_file_of_the_record(machine: Machine, lines: list[str]) -> None:
    """Wherever in it: tables, indexes, pages that were given up, the log that is written ahead."""
    machine.log(*lines)
    machine.read()
    assert _found_in(_octets_of_database(machine)) == set()
    spoken = [text for delivery in machine.rows(Delivery) for _, _, text in delivery.dialogue]
    assert "AUTH PLAIN [hidden]" in spoken
    assert "MAIL FROM:<max@own.example>" in spoken
    assert "250 ok" in [attempt.text for attempt in machine.rows(Attempt)]


def test_no_restart_lets_a_secret_through(machine: Machine) -> None:
    """What a conversation has come to is stored between batches."""
    for line in _signing_in():
        machine.log(line)
        machine.read()
        assert _found_in(_octets_of_database(machine)) == set(), line


def test_no_half_line_lets_a_secret_through(machine: Machine) -> None:
    """The log ends in the middle of a line, and another file takes its place."""
    for number, line in enumerate(_signing_in()):
        for end in {len(line) // 2, len(line) - 3}:
            with machine.maillog.open("a", encoding="utf-8") as file:
                file.write(line[:end])
            machine.read()
            machine.maillog.rename(machine.maillog.with_name(f"mail.log.{number}-{end}"))
            machine.log("Nov 22 12:31:00 relay postfix/qmgr[3]: 4jXGhv32rHzJLdv: removed")
            machine.read()
    assert _found_in(_octets_of_database(machine)) == set()


@pytest.mark.parametrize(
    "options", [(), ("--format", "ndjson"), ("--format", "table"), ("--summary",), ("--summary", "--format", "ndjson")]
)
def test_no_secret_is_printed(options: tuple[str, ...], tmp_path: Path, lines: list[str]) -> None:
    log = tmp_path / "mail.log"
    log.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    done = click.testing.CliRunner().invoke(logs, ["parse", *options, str(log)])
    assert done.exit_code == 0, done.output
    assert "sink.test" in done.output or "--summary" in options
    assert _found_in(done.output.encode()) == set()
    # as JSON writes what is not ASCII
    assert _found_in(done.output.encode().decode("unicode_escape", "replace").encode()) == set()


def test_the_search_finds_what_is_there(machine: Machine) -> None:
    """Otherwise the tests above could not fail."""
    machine.log("Nov 22 12:30:02 relay postfix/qmgr[3]: 4jXGhv32rHzJLdv: words of a later version " + _SEED)
    machine.read()
    assert _found_in(_octets_of_database(machine)) == set(_pieces_of(_SEED))


def _octets_of_database(machine: Machine) -> bytes:
    path = machine.database.engine.url.database
    assert path
    found = b"".join(file.read_bytes() for file in sorted(Path(path).parent.glob(f"{Path(path).name}*")))
    # And as SQL gives it: a long value is spread over pages.
    with sqlite_driver.connect(f"file:{path}?mode=ro", uri=True) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        selections = [f'SELECT * FROM "{table}"' for (table,) in tables]  # noqa: S608 - our own names
        rows = [row for selection in selections for row in connection.execute(selection)]
    return found + "\n".join(str(value) for row in rows for value in row).encode("utf-8", "surrogatepass")
