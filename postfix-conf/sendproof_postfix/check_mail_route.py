"""Where the doctor's own message is submitted, as whom, from whom and to whom. Submits nothing."""

import os
import secrets as random_source
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from sendproof_core import account_changes, audit, directory, passwords
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.schema import Account, Credential, Domain, OwnAddress
from sendproof_core.settings import SaslSettings
from sendproof_postfix.check_certificates import certificate_files
from sendproof_postfix.check_milter import our_uses
from sendproof_postfix.configuration import Service, elements
from sendproof_postfix.doctor import CannotLook
from sendproof_postfix.doctor_postfix import PostfixConfiguration
from sendproof_postfix.doctor_subject import MailWanted, Subject

LABEL = "sendproof doctor"
_LOGIN_PREFIX = "sendproof-doctor-"
_PASSWORD_OCTETS = 18
_LOCAL_PART = "sendproof-doctor"
_MAILBOX = "root"


@dataclass(frozen=True)
class Door:
    """A submission service. ``certificates``: the files of which it should show one."""

    service: str
    host: str
    port: int
    is_wrapped: bool
    certificates: tuple[Path, ...]


@dataclass(frozen=True, repr=False)
class Sender:
    """Who signs in. Not printable: it holds a password."""

    login: str
    password: str
    address: str


def door(subject: Subject) -> Door:
    """The first service where people sign in and that asks our milter.

    Raises:
        CannotLook: there is none.
    """
    postfix = subject.postfix
    services = [one for one in postfix.submission_services() if one.kind == "inet" and our_uses(subject, one)]
    if not services:
        raise CannotLook("no service takes submitted mail to our milter.", "Run `sendproof postfix apply`.")
    service = services[0]
    host, port = _listens(service, postfix)
    certificates = tuple(certificate for certificate, _ in certificate_files(postfix, service))
    wrapped = postfix.value("smtpd_tls_wrappermode", service) == "yes"
    return Door(service.key, host, port, wrapped, certificates)


def _listens(service: Service, postfix: PostfixConfiguration) -> tuple[str, int]:
    host, _, port = service.name.rpartition(":")
    if not host:
        own = [one.strip("[]") for one in elements(postfix.value("inet_interfaces", service))]
        loopback = {"all", "loopback-only", "localhost", "127.0.0.1"} & set(own)
        host = "localhost" if loopback or not own else own[0]
    try:
        number = int(port) if port.isdigit() else socket.getservbyname(port, "tcp")
    except OSError:
        raise CannotLook(f"no port is known for the service {port} (/etc/services).") from None
    return host.strip("[]"), number


@contextmanager
def sender(subject: Subject, wanted: MailWanted) -> Iterator[Sender]:
    """Who the message is from: a credential that was given, the notices' own, or one that is good only meanwhile.

    Raises:
        CannotLook: nobody was named.
    """
    if wanted.login is not None and wanted.password is not None:
        address = wanted.sender or _address_of_credential(subject.database, wanted.login)
        yield Sender(wanted.login, wanted.password, address)
    elif wanted.account is not None:
        with _meanwhile(subject, wanted.account, wanted.sender) as made:
            yield made
    elif subject.has("notices"):
        yield _of_notices(subject, wanted.sender)
    else:
        raise CannotLook(
            "no mail was sent: nobody was named to send it.",
            "Name an account with --account, or a credential with --login; --no-mail leaves this out.",
        )


def recipient(wanted: MailWanted, postfix: PostfixConfiguration) -> str:
    """To whom: who was named, or the mailbox of root, if mail to this machine's name is delivered here.

    Raises:
        CannotLook: neither.
    """
    if wanted.to is not None:
        return wanted.to
    name = postfix.value("myhostname")
    if name.lower() not in [one.lower() for one in elements(postfix.value("mydestination"))]:
        raise CannotLook(
            f"no mail was sent: Postfix delivers nothing here ({name} is not in mydestination).",
            "Name an address with --to; --no-mail leaves this out.",
        )
    return f"{_MAILBOX}@{name}"


def _of_notices(subject: Subject, address: str | None) -> Sender:
    path = next(iter(subject.paths("notices", "password_file")), None)
    login, own = subject.text("notices", "login"), subject.text("notices", "from_address")
    if path is None or not login or not (address or own):
        raise CannotLook("no mail was sent: [notices] names no credential.", "Name an account with --account.")
    try:
        password = path.read_text(encoding="ascii").removesuffix("\n")
    except FileNotFoundError:
        raise CannotLook(f"no mail was sent: the notices' password file {path} is not there.") from None
    except UnicodeDecodeError:
        raise CannotLook(f"no mail was sent: the notices' password file {path} holds no password.") from None
    return Sender(login, password, address or own)


@contextmanager
def _meanwhile(subject: Subject, account_login: str, address: str | None) -> Iterator[Sender]:
    passwd_file = subject.file.table(SaslSettings).passwd_file
    database = subject.database
    login = _LOGIN_PREFIX + random_source.token_hex(6)
    password = random_source.token_hex(_PASSWORD_OCTETS)
    secret_hash = passwords.hash_credential(password)
    with database.writing() as session:
        owner = directory.find_account(session, account_login)
        if owner.suspended_at is not None:
            raise UserError(f"the account {account_login} is suspended; name another with --account.")
        address = address or _address_of(session, owner)
        _revoke_forgotten(session, subject)
        now = subject.now()
        directory.add_credential(session, owner, login=login, label=LABEL, secret_hash=secret_hash, now=now)
        details = {"login": login, "label": LABEL}
        audit.record(session, "credential added", audit.COMMAND, now, account_id=owner.id, details=details)
    try:
        _sync(database, passwd_file)
        yield Sender(login, password, address)
    finally:
        with database.writing() as session:
            account_changes.revoke_credential(session, login, audit.COMMAND, subject.now())
        _sync(database, passwd_file)


def _sync(database: Database, passwd_file: Path) -> None:
    """What root writes is to be whose the folder is: who writes there otherwise has to be able to do so again."""
    directory.sync_passwd_file(database, passwd_file)
    owner = passwd_file.parent.stat().st_uid
    if os.geteuid() == 0 and owner != 0:
        for path in (passwd_file, passwd_file.with_name(f".{passwd_file.name}.lock")):
            if path.exists() and path.stat().st_uid == 0:
                os.chown(path, owner, -1, follow_symlinks=False)


def _revoke_forgotten(session: Session, subject: Subject) -> None:
    """Of a doctor that was killed; nobody knows their passwords."""
    left = select(Credential.login).where(
        Credential.label == LABEL, Credential.login.startswith(_LOGIN_PREFIX), Credential.revoked_at.is_(None)
    )
    for login in session.scalars(left).all():
        account_changes.revoke_credential(session, login, audit.COMMAND, subject.now())


def _address_of_credential(database: Database, login: str) -> str:
    with database.reading() as session:
        owner = session.scalar(
            select(Account).join(Credential, Credential.account_id == Account.id).where(Credential.login == login)
        )
        if owner is None:
            raise UserError(f"there is no credential {login!r}; name its sender's address with --from.")
        return _address_of(session, owner)


def _address_of(session: Session, owner: Account) -> str:
    """One that the account may send from."""
    proved = select(Domain.name).where(Domain.account_id == owner.id, Domain.proved_at.is_not(None))
    domain = session.scalar(proved.order_by(Domain.name).limit(1))
    if domain is not None:
        return f"{_LOCAL_PART}@{domain}"
    own = session.scalar(select(OwnAddress.address).where(OwnAddress.account_id == owner.id).limit(1))
    if own is None:
        raise UserError(f"the account {owner.login} may send from no address yet; name another account.")
    return own
