"""Dovecot's auth socket, as Postfix asks it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sendproof_postfix import check_sasl
from sendproof_postfix.doctor import CannotLook, Finding, Severity
from sendproof_testing import doctor_subjects, unix_server

VERDICTS = doctor_subjects.verdicts()
GREETING = b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\tabc\nDONE\n"
SERVICE = """\
submission inet n - n - - smtpd
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_sasl_type=dovecot
  -o smtpd_sasl_path=auth
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with doctor_subjects.public_folder() as found:
        doctor_subjects.postfix(found, master=SERVICE)
        yield found


def look(folder: Path) -> Finding:
    (finding,) = check_sasl.look(doctor_subjects.subject(folder), VERDICTS)
    return finding


def answered(folder: Path, greeting: bytes, mode: int = 0o666) -> Finding:
    with unix_server.answering(folder / "spool/auth", lambda _asked: greeting):
        (folder / "spool/auth").chmod(mode)
        return look(folder)


def test_a_server_that_offers_what_clients_need_is_well(folder: Path) -> None:
    assert answered(folder, GREETING).severity is Severity.OK


def test_a_mechanism_that_is_missing_is_named(folder: Path) -> None:
    finding = answered(folder, GREETING.replace(b"MECH\tLOGIN\tplaintext\n", b""))
    assert finding.severity is Severity.WARNING
    assert "LOGIN" in finding.said


def test_what_is_no_auth_server_is_said_to_be_none(folder: Path) -> None:
    finding = answered(folder, b"220 hello\r\nDONE\n\nDONE\n")
    assert finding.severity is Severity.ERROR
    assert "is not Dovecot's auth server" in finding.said


def test_a_socket_that_is_not_there_is_an_error(folder: Path) -> None:
    finding = look(folder)
    assert finding.severity is Severity.ERROR
    assert str(folder / "spool/auth") in finding.said


@pytest.mark.skipif(os.geteuid() != 0, reason="asks in the name of Postfix's user")
def test_a_socket_that_postfixs_user_may_not_use_is_an_error(folder: Path) -> None:
    finding = answered(folder, GREETING, mode=0o600)
    assert finding.severity is Severity.ERROR
    assert "the user postfix may not connect" in finding.said


def test_another_kind_of_server_is_the_operators_own(folder: Path) -> None:
    doctor_subjects.postfix(folder, master=SERVICE.replace("dovecot", "cyrus"))
    assert look(folder).severity is Severity.NOTE


def test_without_a_service_to_sign_in_there_is_nothing_to_ask(folder: Path) -> None:
    doctor_subjects.postfix(folder)
    with pytest.raises(CannotLook):
        look(folder)
