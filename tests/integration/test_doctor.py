"""`sendproof doctor` on a sandbox: all well, and then each link broken in turn gives just its own error."""

import contextlib
import datetime as dt
import json
import smtplib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select

from sendproof_core import clock
from sendproof_core.commands_context import Context
from sendproof_core.schema import Credential
from sendproof_core.settings import SubmissionSettings
from sendproof_postfix import check_dns, check_mail_route, doctor, doctor_checks
from sendproof_postfix.doctor import Finding, Severity
from sendproof_postfix.doctor_subject import MailWanted, Subject
from sendproof_testing import installation
from sendproof_testing.sandbox import Sandbox, running

pytestmark = pytest.mark.integration

TROUBLE = (Severity.WARNING, Severity.ERROR)
Break = Callable[[Sandbox], "contextlib.AbstractContextManager[None]"]


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox with what the world outside would have: a certificate for months, and DNS."""
    with running(tmp_path_factory.mktemp("doctor") / "sandbox") as sandbox:
        certify(sandbox, days=90)
        for name in ("postfix", "notices"):
            sandbox.restart(name)
        publish(sandbox)
        yield sandbox


def certify(sandbox: Sandbox, days: int) -> None:
    made = sandbox.installation
    key, now = ec.generate_private_key(ec.SECP256R1()), clock.now()
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    entered = subject(sandbox).file.table(SubmissionSettings).host
    names = x509.SubjectAlternativeName([x509.DNSName(name) for name in ("localhost", entered) if name])
    certificate = (
        x509.CertificateBuilder(issuer, issuer, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=200))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    made.certificate_key.write_bytes(secret)
    made.certificate.write_bytes(certificate.public_bytes(pem))


def publish(sandbox: Sandbox) -> None:
    """Keys, and the names of what mail would leave from."""
    for line in sandbox.installation.public_keys.read_text().splitlines():
        name, _, record = line.partition(" ")
        sandbox.dns.set(name.rstrip("."), "TXT", record)
    for address in check_dns.sending_addresses(subject(sandbox).postfix):
        reverse = ".".join(reversed(address.split(".")))
        sandbox.dns.set(f"{reverse}.in-addr.arpa", "PTR", f"{installation.HOSTNAME}.")
        sandbox.dns.set(installation.HOSTNAME, "A", address)


def subject(sandbox: Sandbox, mail: MailWanted | None = None) -> Subject:
    """What the command looks at; everything in a sandbox runs as root."""
    return Subject(context=Context(sandbox.installation.config), now=clock.now, service_user="root", mail=mail)


def examine(sandbox: Sandbox, mail: MailWanted | None = None) -> list[Finding]:
    looked_at = subject(sandbox, mail)
    try:
        return list(doctor_checks.examine(looked_at))
    finally:
        looked_at.context.close()


def troubles(findings: list[Finding]) -> dict[str, Severity]:
    return {one.check: one.severity for one in findings if one.severity in TROUBLE}


def test_where_all_is_well_nothing_has_to_be_done_and_the_transcript_is_shown(healthy: Sandbox) -> None:
    wanted = ["--service-user", "root", "--to", f"anna@{installation.ACCEPT}", "--account", installation.LOGIN]
    done = subprocess.run(
        healthy.command("doctor", *wanted, "--json"), capture_output=True, text=True, check=False, timeout=180
    )
    document = json.loads(done.stdout)
    assert [one for one in document["findings"] if one["severity"] in TROUBLE] == []
    assert (done.returncode, document["exit_status"], document["host"]) == (0, 0, installation.HOSTNAME)
    mail = document["findings"][-1]
    assert (mail["check"], mail["severity"]) == ("mail", "ok")
    assert f"signed by {installation.OWN_DOMAIN}" in mail["said"]
    transcript = "\n".join(mail["details"])
    assert "250 2.0.0 Ok: queued as" in transcript
    assert f"RCPT TO:<anna@{installation.ACCEPT}>" in transcript


def test_the_credential_of_the_mail_is_revoked(healthy: Sandbox) -> None:
    wanted = MailWanted(to=f"anna@{installation.ACCEPT}", account=installation.LOGIN)
    assert troubles(examine(healthy, wanted)) == {}
    with contextlib.closing(healthy.database()) as database, database.reading() as session:
        made = session.scalars(select(Credential).where(Credential.label == check_mail_route.LABEL)).all()
        assert made
        assert all(one.revoked_at is not None for one in made)
    logins = healthy.installation.passwd_file.read_text()
    assert "sendproof-doctor" not in logins


@contextlib.contextmanager
def ended(sandbox: Sandbox, name: str) -> Iterator[None]:
    sandbox.programs[name].end()
    try:
        yield
    finally:
        sandbox.restart(name)


@contextlib.contextmanager
def mode(path: Path, wanted: int) -> Iterator[None]:
    before = path.stat().st_mode & 0o7777
    path.chmod(wanted)
    try:
        yield
    finally:
        path.chmod(before)


@contextlib.contextmanager
def no_key_in_dns(sandbox: Sandbox) -> Iterator[None]:
    sandbox.dns.set(f"{installation.SELECTOR}._domainkey.{installation.PROVIDER_DOMAIN}", "TXT")
    try:
        yield
    finally:
        publish(sandbox)


@contextlib.contextmanager
def no_name_in_dns(sandbox: Sandbox) -> Iterator[None]:
    sandbox.dns.set(installation.HOSTNAME, "A")
    try:
        yield
    finally:
        publish(sandbox)


@contextlib.contextmanager
def ended_certificate(sandbox: Sandbox) -> Iterator[None]:
    made = sandbox.installation
    kept = [(path, path.read_bytes()) for path in (made.certificate, made.certificate_key)]
    certify(sandbox, days=-1)
    try:
        yield
    finally:
        for path, content in kept:
            path.write_bytes(content)


@contextlib.contextmanager
def option(sandbox: Sandbox, where: str, value: str) -> Iterator[None]:
    """Another option of a service, in the file; a reload for the processes that have begun."""
    made = sandbox.installation
    path = made.postfix_config / "master.cf"
    kept = path.read_bytes()
    subprocess.run(["/usr/sbin/postconf", "-c", str(made.postfix_config), "-P", f"{where}={value}"], check=True)
    reload = ["/usr/sbin/postfix", "-c", str(made.postfix_config), "reload"]
    subprocess.run(reload, check=True, capture_output=True)
    try:
        yield
    finally:
        path.write_bytes(kept)
        subprocess.run(reload, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (lambda box: ended(box, "postfix"), {"postfix": Severity.ERROR}),
        (lambda box: ended(box, "milter"), {"milter": Severity.ERROR}),
        (lambda box: mode(box.installation.milter_socket, 0o600), {"milter": Severity.ERROR}),
        (lambda box: ended(box, "dovecot"), {"sasl": Severity.ERROR}),
        (no_key_in_dns, {"dkim": Severity.ERROR}),
        (no_name_in_dns, {"names": Severity.ERROR}),
        (ended_certificate, {"certificates": Severity.ERROR}),
        (lambda box: mode(box.installation.home / "secrets/links.key", 0o644), {"secrets": Severity.ERROR}),
        (
            lambda box: option(box, f"127.0.0.1:{box.installation.submission_port}/inet/smtpd_milters", ""),
            {"milter-order": Severity.WARNING, "postfix-settings": Severity.WARNING},
        ),
    ],
    ids=[
        "postfix-ended",
        "milter-ended",
        "socket-closed",
        "dovecot-ended",
        "no-key",
        "no-name",
        "certificate",
        "secret",
        "no-milter",
    ],
)
def test_a_broken_link_gives_its_own_finding_and_the_exit_status(
    healthy: Sandbox, broken: Break, expected: dict[str, Severity]
) -> None:
    with broken(healthy):
        findings = examine(healthy)
    assert troubles(findings) == expected
    assert doctor.exit_status(findings) == (2 if Severity.ERROR in expected.values() else 1)
    assert all(one.remedy for one in findings if one.severity in TROUBLE)


def mail(findings: list[Finding]) -> Finding:
    return next(one for one in findings if one.check == "mail")


def test_a_mail_that_is_refused_elsewhere_is_an_error_in_the_servers_words(healthy: Sandbox) -> None:
    found = mail(examine(healthy, MailWanted(to=f"anna@{installation.REFUSE}")))
    assert found.severity is Severity.ERROR
    assert "No mailbox here by that name" in found.said


def test_a_certificate_that_postfix_does_not_show_is_an_error(healthy: Sandbox) -> None:
    made = healthy.installation
    kept = [(path, path.read_bytes()) for path in (made.certificate, made.certificate_key)]
    try:
        # The file is another already; a process that has begun shows the one before.
        with smtplib.SMTP("127.0.0.1", made.submission_port) as early:
            early.ehlo()
            certify(healthy, days=80)
            early.quit()
            found = mail(examine(healthy, MailWanted(to=f"anna@{installation.ACCEPT}")))
    finally:
        for path, content in kept:
            path.write_bytes(content)
    assert found.severity is Severity.ERROR
    assert "does not show the certificate" in found.said


def test_a_record_that_nobody_writes_is_an_error(healthy: Sandbox) -> None:
    with ended(healthy, "logparser"):
        found = mail(examine(healthy, MailWanted(to=f"anna@{installation.ACCEPT}", wait_seconds=2.0)))
    assert found.severity is Severity.ERROR
    assert "the record knows nothing of it" in found.said


def test_a_log_without_conversations_is_an_error(healthy: Sandbox) -> None:
    with option(healthy, "smtp/unix/debug_peer_list", ""):
        findings = examine(healthy, MailWanted(to=f"anna@{installation.ACCEPT}", wait_seconds=8.0))
    assert mail(findings).severity is Severity.ERROR
    assert "no conversation" in mail(findings).said
