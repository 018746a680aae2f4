"""Whether mail comes to our milter with what it needs, whether the milter answers, and who is after it."""

import os
from collections.abc import Iterator
from pathlib import Path

from sendproof_postfix import check_milter_protocol
from sendproof_postfix.check_milter_protocol import Negotiated, NoMilter
from sendproof_postfix.configuration import Service
from sendproof_postfix.doctor import CannotLook, Finding, Verdicts
from sendproof_postfix.doctor_postfix import MilterUse, PostfixConfiguration
from sendproof_postfix.doctor_subject import Subject, user_may

# What the milter asks for at MAIL FROM by itself, from protocol 6 on; before that, Postfix's own lists have to have it.
WANTED_AT_MAIL = ("i", "{auth_authen}", "{daemon_name}", "{client_addr}", "{tls_version}", "{cipher}")
_PROTOCOL_WITH_LISTS = 6
# Names of services whose mail is ours even where nobody signed in.
OUR_DAEMONS = frozenset({"submission", "submissions", "resubmit"})
_STILL_OURS = "Run `sendproof postfix plan`; it says which setting differs."


def look_at_order(subject: Subject, verdicts: Verdicts) -> Iterator[Finding]:
    """Macros, the services that ask our milter, and what comes after it."""
    postfix = subject.postfix
    ours = [(service, use) for service in _smtpd(postfix) for use in our_uses(subject, service)]
    submissions = postfix.submission_services()
    if not any(service in submissions for service, _ in ours):
        yield verdicts.error("no service where people sign in asks our milter.", "Run `sendproof postfix apply`.")
        return
    trouble = False
    for finding in _troubles(subject, ours, verdicts):
        trouble = True
        yield finding
    if not trouble:
        names = ", ".join(service.name for service, _ in ours)
        yield verdicts.ok(f"asked by {names}, with the macros that it needs; nothing changes the mail after it.")


def _troubles(subject: Subject, ours: list[tuple[Service, MilterUse]], verdicts: Verdicts) -> Iterator[Finding]:
    postfix = subject.postfix
    covered = {service.key for service, _ in ours}
    for service in postfix.submission_services():
        if service.key not in covered:
            yield verdicts.warning(
                f"{service.key} lets people sign in and does not ask our milter: that mail is neither counted nor "
                "signed.",
                "Run `sendproof postfix plan`, or close the service.",
            )
    yield from judge_macros(
        {name: postfix.value(f"milter_{name}_macros") for name in ("connect", "mail", "data", "end_of_data")},
        min(_protocol(postfix, service, use) for service, use in ours),
        verdicts,
    )
    for service, use in ours:
        yield from judge_daemon_name(service, postfix, verdicts)
        yield from _after(postfix, service, use, verdicts)
        action = use.options.get("default_action") or postfix.value("milter_default_action", service)
        if action != "tempfail":
            yield verdicts.warning(
                f"{service.key} does {action!r} with mail while our milter is away, not tempfail.",
                f"Mail would go out unsigned and uncounted, or be refused for ever. {_STILL_OURS}",
            )


def judge_macros(lists: dict[str, str], protocol: int, verdicts: Verdicts) -> Iterator[Finding]:
    """Whether the milter will be told the queue id and who signed in. ``lists``: Postfix's, by their moment."""
    at_end = {*lists["data"].split(), *lists["end_of_data"].split()}
    if not at_end & {"i", "{i}"}:
        yield verdicts.error(
            "neither milter_data_macros nor milter_end_of_data_macros has i: the milter is not told the queue id.",
            'Let milter_end_of_data_macros begin with "i", as it does without a setting of yours.',
        )
    if protocol < _PROTOCOL_WITH_LISTS:
        told = {*lists["connect"].split(), *lists["mail"].split()}
        missing = [name for name in WANTED_AT_MAIL[1:4] if name not in told]
        if missing:
            yield verdicts.error(
                f"milter_protocol is {protocol}, and milter_mail_macros lacks {', '.join(missing)}.",
                "Set milter_protocol = 6: the milter asks for what it needs then.",
            )


def judge_daemon_name(service: Service, postfix: PostfixConfiguration, verdicts: Verdicts) -> Iterator[Finding]:
    """Whether the milter will know the mail of a service for ours."""
    name = postfix.value("milter_macro_daemon_name", service)
    signs_in = postfix.value("smtpd_sasl_auth_enable", service) == "yes"
    if name not in OUR_DAEMONS and not signs_in:
        yield verdicts.error(
            f"{service.key} asks our milter as {name!r}, which takes no notice of such mail.", _STILL_OURS
        )


def _after(postfix: PostfixConfiguration, service: Service, use: MilterUse, verdicts: Verdicts) -> Iterator[Finding]:
    uses = postfix.milters(service)
    for later in uses[uses.index(use) + 1 :]:
        try:
            answer: Negotiated | str = check_milter_protocol.negotiate(_endpoint(later, postfix, service))
        except NoMilter as error:
            answer = str(error)
        yield from judge_later(service, later, answer, verdicts)
    content_filter = postfix.value("content_filter", service)
    if content_filter:
        yield verdicts.warning(
            f"{service.key} gives mail to the content filter {content_filter} after it was signed.",
            "If the filter changes mail, the signature breaks: let it come first, or not see submitted mail "
            f"(-o content_filter= for {service.key}).",
        )


def judge_later(
    service: Service, later: MilterUse, negotiated: Negotiated | str, verdicts: Verdicts
) -> Iterator[Finding]:
    """A milter that comes after ours; ``negotiated``: what it asked to be allowed, or why it did not answer."""
    where = f"the milter {later.endpoint} comes after ours in {service.key}"
    move = "Let it stand before ours in smtpd_milters."
    if isinstance(negotiated, str):
        yield verdicts.warning(f"{where}, and cannot be asked what it does ({negotiated}).", move)
    elif negotiated.changes_message:
        yield verdicts.warning(f"{where}, and may change the message: that breaks the signature.", move)
    elif negotiated.adds_fields:
        yield verdicts.note(f"{where}, and may add header fields.", f"If it adds any that are signed: {move}")


def look_at_answer(subject: Subject, verdicts: Verdicts) -> Iterator[Finding]:
    """Whether the milter answers where Postfix looks for it, for the user that asks."""
    postfix = subject.postfix
    asked: dict[str, Service] = {}
    for service in _smtpd(postfix):
        for use in our_uses(subject, service):
            asked.setdefault(_endpoint(use, postfix, service), service)
    for endpoint, service in asked.items():
        yield _answer(endpoint, service, subject, verdicts)
    if not asked:
        socket = subject.text("milter", "socket")
        if not socket:
            raise CannotLook("the settings have no [milter] socket, and Postfix asks no milter of ours.")
        yield _answer(f"unix:{socket}", None, subject, verdicts)


def _answer(endpoint: str, service: Service | None, subject: Subject, verdicts: Verdicts) -> Finding:
    started = "Look whether sendproof-milter runs, and what it logged (`journalctl -u sendproof-milter`)."
    path = Path(endpoint.removeprefix("unix:"))
    if not _exists(path):
        chroot = (
            ", where the chrooted smtpd looks for it"
            if service is not None and subject.postfix.is_chrooted(service)
            else ""
        )
        return verdicts.error(f"the milter's socket {path} is not there{chroot}.", started)
    refused = _may_not_connect(subject.postfix, service, path)
    if refused:
        return verdicts.error(
            refused, "Look at [milter] socket_group, and at the rights of the folders on the way to the socket."
        )
    try:
        answer = check_milter_protocol.negotiate(endpoint)
    except NoMilter as error:
        return verdicts.error(f"the milter at {path} does not answer: {error}.", started)
    lacking = [name for name in WANTED_AT_MAIL if name not in answer.macros.get("mail", ())]
    if lacking:
        return verdicts.warning(
            f"what answers at {path} is a milter, and not ours: it does not ask for {', '.join(lacking)}.",
            "Look which program has that socket.",
        )
    return verdicts.ok(f"the milter answers at {path} (protocol {answer.version}).")


def _may_not_connect(postfix: PostfixConfiguration, service: Service | None, path: Path) -> str | None:
    """Why Postfix's user cannot connect; None: it can, or nobody but root can tell."""
    user = postfix.user_of(service) if service is not None else postfix.value("mail_owner") or "postfix"
    allowed = user_may(user, "w", path)
    return f"the user {user} may not connect to the milter's socket {path}." if allowed is False else None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        if os.geteuid() == 0:
            raise
        raise CannotLook(f"{path} cannot be seen by this user.", "Run as root.") from None


def _smtpd(postfix: PostfixConfiguration) -> list[Service]:
    return [service for service in postfix.services if service.command == "smtpd"]


def our_uses(subject: Subject, service: Service) -> list[MilterUse]:
    """Our milter in a service's list: known by its socket, as that process sees it."""
    socket = subject.text("milter", "socket")
    postfix = subject.postfix
    wanted = os.path.realpath(socket)
    found = [(use, _endpoint(use, postfix, service)) for use in postfix.milters(service)]
    return [
        use
        for use, endpoint in found
        if socket and endpoint.startswith("unix:") and os.path.realpath(endpoint.removeprefix("unix:")) == wanted
    ]


def _endpoint(use: MilterUse, postfix: PostfixConfiguration, service: Service) -> str:
    """As it is outside the chroot: absolute."""
    kind, _, path = use.endpoint.partition(":")
    return f"unix:{postfix.seen_from_outside(path, service)}" if kind in ("unix", "local") else use.endpoint


def _protocol(postfix: PostfixConfiguration, service: Service, use: MilterUse) -> int:
    text = use.options.get("protocol") or postfix.value("milter_protocol", service)
    digits = text.split()[0] if text.split() else ""
    return int(digits) if digits.isdigit() else _PROTOCOL_WITH_LISTS
