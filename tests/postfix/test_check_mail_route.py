"""Where the doctor's own message is submitted, as whom and to whom."""

import dataclasses
import os
from pathlib import Path

import pytest
from sqlalchemy import select

from sendproof_core import directory
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import AuditEntry, Credential
from sendproof_postfix import check_mail_route
from sendproof_postfix.check_mail_route import Door
from sendproof_postfix.doctor import CannotLook
from sendproof_postfix.doctor_postfix import PostfixConfiguration
from sendproof_postfix.doctor_subject import MailWanted
from sendproof_testing import doctor_subjects

NOW = doctor_subjects.NOW
SERVICE = "  -o smtpd_sasl_auth_enable=yes\n  -o smtpd_milters=unix:/run/milter.sock\n"


def door(folder: Path, main: str, master: str) -> Door:
    doctor_subjects.postfix(folder, main, master)
    return check_mail_route.door(doctor_subjects.subject(folder, '[milter]\nsocket = "/run/milter.sock"\n'))


def test_a_service_is_asked_where_it_listens(tmp_path: Path) -> None:
    wrapped = "  -o smtpd_tls_wrappermode=yes\n  -o smtpd_tls_cert_file=/etc/cert.pem\n"
    found = door(tmp_path, "", f"127.0.0.2:4650 inet n - n - - smtpd\n{SERVICE}{wrapped}")
    assert found == Door("127.0.0.2:4650/inet", "127.0.0.2", 4650, True, (Path("/etc/cert.pem"),))
    named = door(tmp_path, "inet_interfaces = all\n", f"submission inet n - n - - smtpd\n{SERVICE}")
    assert (named.host, named.port, named.is_wrapped) == ("localhost", 587, False)


def test_without_a_service_that_asks_our_milter_nothing_is_sent(tmp_path: Path) -> None:
    with pytest.raises(CannotLook, match="no service"):
        door(tmp_path, "", "submission inet n - n - - smtpd\n  -o smtpd_sasl_auth_enable=yes\n")


def test_a_service_that_asks_only_milters_of_others_is_passed_over(tmp_path: Path) -> None:
    others = "smtp inet n - n - - smtpd\n  -o smtpd_sasl_auth_enable=yes\n"
    main = "smtpd_milters = unix:/run/opendkim.sock\n"
    found = door(tmp_path, main, f"{others}submission inet n - n - - smtpd\n{SERVICE}")
    assert (found.service, found.port) == ("submission/inet", 587)
    with pytest.raises(CannotLook, match="no service"):
        door(tmp_path, main, others)


def test_the_mail_goes_to_who_is_named_or_to_root_if_mail_is_delivered_here(tmp_path: Path) -> None:
    here = PostfixConfiguration(doctor_subjects.postfix(tmp_path, "mydestination = localhost, $myhostname\n"))
    assert check_mail_route.recipient(MailWanted(), here) == f"root@{doctor_subjects.HOST}"
    assert check_mail_route.recipient(MailWanted(to="a@far.example"), here) == "a@far.example"
    nowhere = PostfixConfiguration(doctor_subjects.postfix(tmp_path))
    with pytest.raises(CannotLook, match="mydestination"):
        check_mail_route.recipient(MailWanted(), nowhere)


@pytest.fixture
def account(sqlite_database: Database) -> Database:
    with sqlite_database.writing() as session:
        directory.add_plan(session, "p", QuotaLimits())
        for login in ("max", "eva"):
            directory.add_account(
                session, login=login, password="x" * 12, plan_name="p", time_zone="UTC", tracking=False,
                notice_address=None, now=NOW,
            )  # fmt: skip
        owner = directory.find_account(session, "max")
        directory.prove_domain(directory.add_domain(session, "own.example", owner, NOW), NOW)
    return sqlite_database


def live(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(Credential.login).where(Credential.revoked_at.is_(None))))


def test_a_credential_for_an_account_is_good_only_meanwhile(account: Database, tmp_path: Path) -> None:
    passwd = tmp_path / "passwd"
    subject = doctor_subjects.subject(tmp_path, f'[sasl]\npasswd_file = "{passwd}"\n')
    with check_mail_route.sender(subject, MailWanted(account="max")) as sender:
        assert sender.address == "sendproof-doctor@own.example"
        assert live(account) == [sender.login]
        assert sender.login in passwd.read_text()
        assert sender.password not in passwd.read_text()
        assert sender.password not in repr(sender)
    assert live(account) == []
    assert sender.login not in passwd.read_text()
    with account.reading() as session:
        assert list(session.scalars(select(AuditEntry.event).order_by(AuditEntry.id))) == [
            "credential added",
            "credential revoked",
        ]


def test_a_credential_is_revoked_whatever_happens_and_one_that_was_left_behind_too(
    account: Database, tmp_path: Path
) -> None:
    subject = doctor_subjects.subject(tmp_path, f'[sasl]\npasswd_file = "{tmp_path}/passwd"\n')
    with account.writing() as session:
        owner = directory.find_account(session, "max")
        left = {"login": "sendproof-doctor-0123456789ab", "label": check_mail_route.LABEL}
        directory.add_credential(session, owner, **left, secret="y" * 12, now=NOW)
        directory.add_credential(session, owner, login="laptop", label=check_mail_route.LABEL, secret="z" * 12, now=NOW)
    with (
        pytest.raises(KeyboardInterrupt),
        check_mail_route.sender(subject, MailWanted(account="max")),
    ):
        raise KeyboardInterrupt
    assert live(account) == ["laptop"]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder away")
def test_the_passwd_file_stays_whose_the_folder_is(account: Database, tmp_path: Path) -> None:
    folder = tmp_path / "dovecot"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    subject = doctor_subjects.subject(tmp_path, f'[sasl]\npasswd_file = "{folder}/passwd"\n')
    with check_mail_route.sender(subject, MailWanted(account="max")):
        pass
    assert live(account) == []
    assert {path.name: path.stat().st_uid for path in folder.iterdir()} == {"passwd": 65534, ".passwd.lock": 65534}


def test_an_account_that_may_send_from_nowhere_is_named(account: Database, tmp_path: Path) -> None:
    subject = doctor_subjects.subject(tmp_path, f'[sasl]\npasswd_file = "{tmp_path}/passwd"\n')
    with (
        pytest.raises(UserError, match="eva may send from no address"),
        check_mail_route.sender(subject, MailWanted(account="eva")),
    ):
        pass
    assert live(account) == []


def test_the_notices_credential_is_used_where_nobody_is_named(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    notices = f'login = "n"\npassword_file = "{tmp_path}/password"\nfrom_address = "n@own.example"\n'
    subject = doctor_subjects.subject(tmp_path, f"[notices]\n{notices}")
    with check_mail_route.sender(subject, MailWanted()) as sender:
        assert dataclasses.astuple(sender) == ("n", "secret", "n@own.example")
    with (
        pytest.raises(CannotLook, match="nobody was named"),
        check_mail_route.sender(doctor_subjects.subject(tmp_path), MailWanted()),
    ):
        pass


def test_a_credential_that_is_given_sends_from_its_accounts_domain(account: Database, tmp_path: Path) -> None:
    with account.writing() as session:
        owner = directory.find_account(session, "max")
        directory.add_credential(session, owner, login="laptop", label="Laptop", secret="z" * 12, now=NOW)
    subject = doctor_subjects.subject(tmp_path)
    with check_mail_route.sender(subject, MailWanted(login="laptop", password="z")) as sender:
        assert sender.address == "sendproof-doctor@own.example"
