"""Whether the certificates of submission and of the site are good: end, name, key. Opens no connection.

That Postfix serves what is in the file is proved by the doctor's own message.
"""

import datetime as dt
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from sendproof_core import health, health_words
from sendproof_core.health import Grade
from sendproof_core.settings import SiteSettings, SubmissionSettings
from sendproof_postfix.check_milter import our_uses
from sendproof_postfix.check_record import SEVERITIES
from sendproof_postfix.configuration import Service
from sendproof_postfix.doctor import CannotLook, Finding, Verdicts
from sendproof_postfix.doctor_postfix import PostfixConfiguration
from sendproof_postfix.doctor_subject import Subject, owner_and_mode

_LARGEST = 1_000_000
_BLOCK = re.compile(rb"^-----BEGIN ([A-Z0-9 ]+)-----.*?^-----END \1-----", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Pair:
    """A certificate file and its key's; one may be the other. ``names``: one must be in it; none: not known here."""

    certificate: Path
    key: Path | None
    names: tuple[str, ...]


def look(subject: Subject, verdicts: Verdicts) -> Iterator[Finding]:
    """Each file once."""
    pairs = list(_pairs(subject))
    if not pairs:
        raise CannotLook("neither Postfix nor [site] certificates names a certificate.")
    for pair in pairs:
        yield from _judge(pair, subject.now(), verdicts)


def _pairs(subject: Subject) -> Iterator[Pair]:
    seen: set[Path] = set()
    for pair in (*_of_submission(subject), *_of_site(subject)):
        if pair.certificate not in seen:
            seen.add(pair.certificate)
            yield pair


def _of_submission(subject: Subject) -> Iterator[Pair]:
    try:
        postfix = subject.postfix
        services = postfix.submission_services()
    except CannotLook:  # the checks of Postfix say so
        return
    entered, own = _submission_host(subject), postfix.value("myhostname")
    # Other services where people may sign in (port 25, often) have a name that other servers know. Ours come first: a
    # certificate of both is judged once.
    ours = [service for service in services if our_uses(subject, service)]
    for service in [*ours, *(one for one in services if one not in ours)]:
        names = (entered,) if entered and service in ours else (entered or own, own)
        for files in certificate_files(postfix, service):
            yield Pair(*files, names)


def certificate_files(postfix: PostfixConfiguration, service: Service) -> tuple[tuple[Path, Path], ...]:
    """Certificates and their keys, of each kind of key that a service has (TLS_README); none: it has no certificate."""
    chain = postfix.value("smtpd_tls_chain_files", service).replace(",", " ").split()
    if chain:  # all others are not looked at then: postconf(5)
        return _in_chain([Path(name) for name in chain])
    found = []
    for kind in ("", "ec"):
        certificate = postfix.value(f"smtpd_tls_{kind}cert_file", service)
        if certificate not in ("", "none"):
            key = postfix.value(f"smtpd_tls_{kind}key_file", service)
            found.append((Path(certificate), Path(key or certificate)))
    return tuple(found)


def _in_chain(files: Sequence[Path]) -> tuple[tuple[Path, Path], ...]:
    """A key and then its certificates, the next key and so on; a key may be in a file of its own, before the chain."""
    found: list[tuple[Path, Path]] = []
    key: Path | None = None
    for path in files:
        try:
            labels = [block[1] for block in _BLOCK.finditer(_content(path))]
        except (FileNotFoundError, IsADirectoryError):
            found.append((path, path))
            continue
        for label in labels:
            if label.endswith(b"PRIVATE KEY"):
                key = path
            elif label == b"CERTIFICATE" and key is not None:
                found.append((path, key))
                key = None
    # What has no pair is no chain: the first file is judged as if it were both.
    return tuple(dict.fromkeys(found)) or ((files[0], files[0]),)


def shown_certificates(path: Path) -> list[x509.Certificate]:
    """What a server may show that has this file: the first certificate, and each that follows a key (postconf(5)).

    Raises:
        OSError: it cannot be read.
        ValueError: it holds none.
    """
    found: list[x509.Certificate] = []
    is_next = True
    for block in _BLOCK.finditer(_content(path)):
        if block[1].endswith(b"PRIVATE KEY"):
            is_next = True
        elif block[1] == b"CERTIFICATE" and is_next:
            found.append(x509.load_pem_x509_certificate(block[0]))
            is_next = False
    if not found:
        raise ValueError("no certificate")
    return found


def _submission_host(subject: Subject) -> str | None:
    """What people enter in their mail program; None: the settings do not say."""
    named = subject.file.table(SubmissionSettings).host
    return named or urlsplit(subject.text("site", "url")).hostname


def _of_site(subject: Subject) -> Iterator[Pair]:
    if subject.has("site"):
        for path in subject.file.table(SiteSettings).certificates:
            # Some are other services': their names are not known here.
            yield Pair(path, None, ())


def _judge(pair: Pair, now: dt.datetime, verdicts: Verdicts) -> Iterator[Finding]:
    reading = health.certificate(pair.certificate, now)
    if reading.grade is Grade.UNSURE:
        if pair.certificate.exists() and not os.access(pair.certificate, os.R_OK):
            raise PermissionError(13, "not readable", str(pair.certificate))
        yield verdicts.error(
            f"{pair.certificate} cannot be read as a certificate.", "Name the right file, in PEM form."
        )
        return
    yield Finding(
        verdicts.check, SEVERITIES[reading.grade], health_words.sentence(reading), health_words.advice(reading)
    )
    certificate, *others = shown_certificates(pair.certificate)
    for one in (certificate, *others):
        if pair.names:
            yield from judge_names(pair.certificate, names_in(one), pair.names, verdicts)
    if any(one.not_valid_after_utc <= now for one in others):
        yield verdicts.error(
            f"{pair.certificate} holds another certificate, and that one has ended.",
            "Renew it, too: which one is shown depends on the mail program.",
        )
    if pair.key is not None:
        yield from _judge_key(certificate, pair.key, verdicts)


def names_in(certificate: x509.Certificate) -> tuple[str, ...]:
    """The names that clients compare (RFC 9525: the subject's common name is none)."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(name.lower() for name in extension.value.get_values_for_type(x509.DNSName))


def judge_names(path: Path, found: Sequence[str], wanted: Sequence[str], verdicts: Verdicts) -> Iterator[Finding]:
    """Whether a certificate is for one of the names; the first one is what people enter."""
    if not any(covers(pattern, name) for pattern in found for name in wanted):
        shown = ", ".join(found[:5]) or "no name at all"
        yield verdicts.error(
            f"{path} is for {shown}, and not for {wanted[0]}.",
            "Get one for the name of your submission server ([submission] host): mail programs refuse another.",
        )


def covers(pattern: str, name: str) -> bool:
    """Whether a name of a certificate stands for a host (RFC 9525 section 6.3): ``*`` is one whole label, the first."""
    pattern, name = pattern.lower().rstrip("."), name.lower().rstrip(".")
    if pattern.startswith("*."):
        return "." in name and name.partition(".")[2] == pattern[2:]
    return pattern == name


def _judge_key(certificate: x509.Certificate, path: Path, verdicts: Verdicts) -> Iterator[Finding]:
    try:
        key = serialization.load_pem_private_key(_content(path), password=None)
    except FileNotFoundError:
        yield verdicts.error(f"the key {path} is not there.", "Name the certificate's key.")
        return
    except PermissionError:
        yield verdicts.skipped(f"the key {path} may not be read.", "Run as root.")
        return
    except (ValueError, TypeError):  # no key in it; or one with a password, which Postfix cannot read either
        yield verdicts.error(f"{path} holds no key that Postfix could use.", "Name a PEM file without a password.")
        return
    same = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*same) != certificate.public_key().public_bytes(*same):
        yield verdicts.error(
            f"the key {path} does not belong to its certificate.", "Name the two that belong together."
        )
    if path.stat().st_mode & 0o007:
        yield verdicts.error(
            f"everybody on this machine may read the key {path} ({owner_and_mode(path)}).", f"`chmod o-rwx {path}`."
        )


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LARGEST)
