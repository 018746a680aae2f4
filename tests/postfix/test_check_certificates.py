"""Certificates that are good, and those that are not."""

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sendproof_postfix import check_certificates
from sendproof_postfix.doctor import CannotLook, Finding, Severity
from sendproof_testing import doctor_subjects

VERDICTS = doctor_subjects.verdicts()
SERVICE = "submission inet n - n - - smtpd\n  -o smtpd_sasl_auth_enable=yes\n  -o smtpd_milters=unix:/run/m.sock\n"
OTHER_SERVICE = "smtp inet n - n - - smtpd\n  -o smtpd_sasl_auth_enable=yes\n"
MILTER = '[milter]\nsocket = "/run/m.sock"\n'


def make(folder: Path, days: int = 90, names: tuple[str, ...] = (doctor_subjects.HOST,)) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "somebody")])
    now = doctor_subjects.NOW
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - dt.timedelta(days=200)).not_valid_after(now + dt.timedelta(days=days))
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(one) for one in names])
        builder = builder.add_extension(alternatives, critical=False)
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(pem))
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(secret)
    (folder / "key.pem").chmod(0o600)


def look(folder: Path, text: str = "", main: str = "", master: str = SERVICE) -> list[Finding]:
    main = main or f"smtpd_tls_cert_file = {folder}/cert.pem\nsmtpd_tls_key_file = {folder}/key.pem\n"
    doctor_subjects.postfix(folder, main, master)
    return list(check_certificates.look(doctor_subjects.subject(folder, MILTER + text), VERDICTS))


def test_a_certificate_with_time_name_and_key_is_well(tmp_path: Path) -> None:
    make(tmp_path)
    assert doctor_subjects.severities(look(tmp_path)) == [Severity.OK]


@pytest.mark.parametrize(("days", "severity"), [(-1, Severity.ERROR), (3, Severity.ERROR), (14, Severity.WARNING)])
def test_a_certificate_that_ends_is_said_in_time(tmp_path: Path, days: int, severity: Severity) -> None:
    make(tmp_path, days)
    assert doctor_subjects.severities(look(tmp_path)) == [severity]


@pytest.mark.parametrize("names", [("other.example",), ()])
def test_a_certificate_for_another_name_is_an_error(tmp_path: Path, names: tuple[str, ...]) -> None:
    make(tmp_path, names=names)
    errors = [one for one in look(tmp_path) if one.severity is Severity.ERROR]
    assert doctor_subjects.HOST in errors[0].said


def test_the_name_is_that_which_people_enter(tmp_path: Path) -> None:
    make(tmp_path, names=("smtp.provider.example",))
    assert doctor_subjects.severities(look(tmp_path, '[submission]\nhost = "smtp.provider.example"\n')) == [Severity.OK]


@pytest.mark.parametrize(
    "text",
    [
        '[submission]\nhost = "smtp.provider.example"\n',
        '[site]\nurl = "https://smtp.provider.example"\ntracking_url = "https://t.example"\n',
    ],
)
def test_the_machines_own_name_is_not_enough_where_people_enter_another(tmp_path: Path, text: str) -> None:
    make(tmp_path, names=(doctor_subjects.HOST,))
    found = look(tmp_path, text, master=OTHER_SERVICE + SERVICE)
    assert [one.said for one in found if one.severity is Severity.ERROR] == [
        f"{tmp_path}/cert.pem is for {doctor_subjects.HOST}, and not for smtp.provider.example."
    ]
    # As of a port 25 where people may sign in, past our milter.
    assert doctor_subjects.severities(look(tmp_path, text, master=OTHER_SERVICE)) == [Severity.OK]


def test_a_chain_may_have_its_key_in_a_file_before(tmp_path: Path) -> None:
    make(tmp_path)
    chain = f"smtpd_tls_chain_files = {tmp_path}/key.pem, {tmp_path}/cert.pem\n"
    assert doctor_subjects.severities(look(tmp_path, main=chain)) == [Severity.OK]
    (tmp_path / "both.pem").write_bytes((tmp_path / "key.pem").read_bytes() + (tmp_path / "cert.pem").read_bytes())
    (tmp_path / "both.pem").chmod(0o600)
    assert doctor_subjects.severities(look(tmp_path, main=f"smtpd_tls_chain_files = {tmp_path}/both.pem\n")) == [
        Severity.OK
    ]
    (tmp_path / "key.pem").unlink()
    found = look(tmp_path, main=chain)
    assert Severity.ERROR in doctor_subjects.severities(found)
    assert f"{tmp_path}/key.pem" in found[0].said


@pytest.mark.parametrize(
    "main",
    [
        "smtpd_tls_chain_files = %(rsa)s/key.pem, %(rsa)s/cert.pem, %(ec)s/key.pem, %(ec)s/cert.pem\n",
        "smtpd_tls_cert_file = %(rsa)s/cert.pem\nsmtpd_tls_key_file = %(rsa)s/key.pem\n"
        "smtpd_tls_eccert_file = %(ec)s/cert.pem\nsmtpd_tls_eckey_file = %(ec)s/key.pem\n",
    ],
    ids=["chain", "files"],
)
def test_each_kind_of_certificate_is_looked_at(tmp_path: Path, main: str) -> None:
    folders = {name: tmp_path / name for name in ("rsa", "ec")}
    for name, days in (("rsa", 90), ("ec", -1)):
        folders[name].mkdir()
        make(folders[name], days)
    found = look(tmp_path, main=main % folders)
    assert doctor_subjects.severities(found) == [Severity.OK, Severity.ERROR]
    assert str(folders["ec"]) in found[1].said


def test_a_file_with_several_keys_holds_several_certificates_that_are_shown(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("rsa", "ec")]
    for folder, days in zip(folders, (90, -1), strict=True):
        folder.mkdir()
        make(folder, days)
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join((folder / name).read_bytes() for folder in folders for name in ("key.pem", "cert.pem")))
    both.chmod(0o600)
    serials = {one.serial_number for one in check_certificates.shown_certificates(both)}
    assert serials == {check_certificates.shown_certificates(one / "cert.pem")[0].serial_number for one in folders}
    found = look(tmp_path, main=f"smtpd_tls_chain_files = {both}\n")
    assert doctor_subjects.severities(found) == [Severity.OK, Severity.ERROR]
    assert "another certificate, and that one has ended" in found[1].said


def test_a_key_of_another_certificate_is_an_error(tmp_path: Path) -> None:
    make(tmp_path)
    other = (tmp_path / "key.pem").read_bytes()
    make(tmp_path)
    (tmp_path / "key.pem").write_bytes(other)
    errors = [one for one in look(tmp_path) if one.severity is Severity.ERROR]
    assert "does not belong to its certificate" in errors[0].said


def test_a_key_that_is_none_missing_or_open_to_all_is_an_error(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "key.pem").chmod(0o644)
    assert "everybody on this machine" in look(tmp_path)[-1].said
    (tmp_path / "key.pem").write_text("no key")
    (tmp_path / "key.pem").chmod(0o600)
    assert "holds no key" in look(tmp_path)[-1].said
    (tmp_path / "key.pem").unlink()
    assert "is not there" in look(tmp_path)[-1].said


def test_a_file_that_is_no_certificate_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("no certificate")
    (finding,) = look(tmp_path)
    assert finding.severity is Severity.ERROR


def test_the_sites_certificates_are_looked_at_too(tmp_path: Path) -> None:
    make(tmp_path, days=3, names=("mail.example",))
    site = '[site]\nurl = "https://mail.example"\ntracking_url = "https://t.example"\n'
    doctor_subjects.postfix(tmp_path)
    subject = doctor_subjects.subject(tmp_path, f'{site}certificates = ["{tmp_path}/cert.pem"]\n')
    assert doctor_subjects.severities(check_certificates.look(subject, VERDICTS)) == [Severity.ERROR]


def test_without_any_certificate_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    doctor_subjects.postfix(tmp_path)
    with pytest.raises(CannotLook):
        list(check_certificates.look(doctor_subjects.subject(tmp_path), VERDICTS))


@pytest.mark.parametrize(
    ("pattern", "name", "covers"),
    [
        ("mail.example", "MAIL.example.", True),
        ("*.example", "mail.example", True),
        ("*.example", "a.mail.example", False),
        ("*.example", "example", False),
        ("mail.example", "other.example", False),
    ],
)
def test_a_star_is_one_whole_label(pattern: str, name: str, covers: bool) -> None:
    assert check_certificates.covers(pattern, name) is covers
