"""Whether the logparser keeps up, and whether the log has the conversations that transcripts are made of."""

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from sqlalchemy import select

from sendproof_core import health, health_words
from sendproof_core.health import Grade, Part
from sendproof_core.identity import SPLIT_SERVICE
from sendproof_core.schema import Attempt, Delivery, QueueFile, Recipient
from sendproof_core.source_names import source_name
from sendproof_postfix.doctor import CannotLook, Finding, Severity, Verdicts
from sendproof_postfix.doctor_postfix import run
from sendproof_postfix.doctor_subject import Subject

_LATELY = dt.timedelta(days=7)
_LOOKED_AT = 500
SEVERITIES: Mapping[Grade, Severity] = {
    Grade.GOOD: Severity.OK,
    Grade.UNSURE: Severity.NOTE,
    Grade.WATCH: Severity.WARNING,
    Grade.BAD: Severity.ERROR,
}


def look_at_reading(subject: Subject, verdicts: Verdicts) -> Iterator[Finding]:
    """How far this machine's logs were read, and what was lost."""
    if not subject.has("logparser"):
        raise CannotLook("the settings have no [logparser]: this machine reads no logs.")
    found = health.read(subject.database, (), subject.now())
    for reading in found.of(Part.READERS):
        if reading.values.get("host", subject.host) == subject.host:
            said, remedy = health_words.sentence(reading), health_words.advice(reading)
            yield Finding(verdicts.check, SEVERITIES[reading.grade], said, remedy)
    sources = [source for source in found.logs.sources if source.host == subject.host and not source.is_import]
    # A site's own journal is no source before the first pixel is fetched.
    reads_mail_log = bool(subject.paths("logparser", "maillogs")) or subject.setting("logparser", "journald") is True
    if reads_mail_log and found.logs.sources and not sources:
        yield verdicts.error(
            f"no log of {subject.host} was read yet.", "Start sendproof-logparser here; `[host] name` is its name."
        )
    if sources:
        yield from _unread(subject, {source.name for source in sources}, verdicts)


def _unread(subject: Subject, read: Collection[str], verdicts: Verdicts) -> Iterator[Finding]:
    for path in (*subject.paths("logparser", "maillogs"), *subject.paths("logparser", "journals")):
        if file_source(subject.host, path) not in read and _has_content(path):
            yield judge_unread(str(path), verdicts)
    directory = subject.text("logparser", "journald_directory")
    if subject.setting("logparser", "journald") is True and journald_source(subject.host, directory) not in read:
        shown = ["--directory", directory] if directory else []
        try:
            said = run("journalctl", "--lines=1", "--quiet", "--no-pager", "--facility=mail", *shown)
        except CannotLook:  # the check log-source says so
            return
        if said.stdout.strip():
            yield judge_unread("the system journal", verdicts)


def file_source(host: str, path: Path) -> str:
    """What the logparser calls a log file or journal of the settings."""
    return source_name(host, str(path.absolute()))


def journald_source(host: str, directory: str) -> str:
    """What the logparser calls the system journal. ``directory``: ``[logparser] journald_directory``."""
    return source_name(host, f"journald:{Path(directory).absolute()}" if directory else "journald")


def judge_unread(where: str, verdicts: Verdicts) -> Finding:
    """A log of the settings that has lines, and of which the record has none."""
    return verdicts.error(
        f"nothing of {where} was read yet.",
        "Restart sendproof-logparser: it reads its settings when it starts. `sendproof status` shows what it reads.",
    )


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:  # the check log-source says so
        return False


def look_at_dialogue(subject: Subject, verdicts: Verdicts) -> Iterator[Finding]:
    """Whether what was delivered lately has its conversation."""
    since = max(subject.now() - _LATELY, _configured_at(subject))
    sent = (
        select(Attempt.service, Delivery.dialogue)
        .join(Recipient, Recipient.id == Attempt.recipient_id)
        .join(QueueFile, QueueFile.id == Recipient.queue_file_id)
        .join(Delivery, Delivery.id == Attempt.delivery_id, isouter=True)
        .where(
            Attempt.attempted_at >= since,
            Attempt.status == "sent",
            Attempt.relay.not_in(("none", "local", "virtual")),
            # To a content filter or another instance of this machine: what is told of the mail is told further on.
            Recipient.handed_on_at.is_(None),
            QueueFile.host == subject.host,
        )
        .order_by(Attempt.id.desc())
        .limit(_LOOKED_AT)
    )
    quiet = quiet_services(subject)
    having: Counter[str] = Counter()
    lacking: Counter[str] = Counter()
    with subject.database.reading() as session:
        for service, dialogue in session.execute(sent):
            if service.endswith("smtp") and not service.endswith(SPLIT_SERVICE) and (dialogue or service not in quiet):
                (having if dialogue else lacking)[service] += 1
    for key in _loud(subject):
        yield verdicts.error(
            f"{key} signs in at other servers, and its conversation is logged, with the password.",
            "`sendproof postfix apply`, and take out a debug_peer_list of your own; then change the password and "
            "clear the old logs.",
        )
    if quiet:
        yield verdicts.note(
            f"{', '.join(sorted(quiet))} signs in at other servers: its conversations are not logged, because the "
            "password would stand in the log.",
            "For transcripts with conversations, relay without a password.",
        )
    if having or lacking or not quiet:
        yield judge_dialogue(having, lacking, verdicts)


def quiet_services(subject: Subject) -> frozenset[str]:
    """What the log calls the transports whose conversation is not logged, because they sign in at other servers."""
    return frozenset(name for name, is_logged in _signing_in(subject).values() if not is_logged)


def _loud(subject: Subject) -> list[str]:
    return [key for key, (_, is_logged) in _signing_in(subject).items() if is_logged]


def _signing_in(subject: Subject) -> dict[str, tuple[str, bool]]:
    """Transports that sign in at other servers: what the log calls each, and whether conversations of it are logged."""
    try:
        postfix = subject.postfix
        return {
            service.key: (
                f"{postfix.value('syslog_name', service) or 'postfix'}/smtp",
                bool(postfix.value("debug_peer_list", service)),
            )
            for service in postfix.services
            if service.command == "smtp" and postfix.value("smtp_sasl_auth_enable", service).lower() == "yes"
        }
    except CannotLook:
        return {}


def _configured_at(subject: Subject) -> dt.datetime:
    """When master.cf was changed last: what was delivered before says nothing of how it is now."""
    try:
        changed = (subject.postfix.directory / "master.cf").stat().st_mtime
    except (CannotLook, OSError):
        return dt.datetime.min.replace(tzinfo=dt.UTC)
    return dt.datetime.fromtimestamp(changed, dt.UTC)


def judge_dialogue(having: Mapping[str, int], lacking: Mapping[str, int], verdicts: Verdicts) -> Finding:
    """How many of the last deliveries of each service have a conversation, and how many have none."""
    good, bad = sum(having.values()), sum(lacking.values())
    if not good and not bad:
        return verdicts.note(
            "nothing was delivered to another server in the last week: whether conversations are logged is not known.",
            "Send a mail to an address elsewhere: `sendproof doctor --to ADDRESS`.",
        )
    silent = [service for service in lacking if not having.get(service)]
    remedy = (
        "The transports need debug_peer_list and debug_peer_level=1 in master.cf, and a log that takes all lines: run "
        "`sendproof postfix plan`."
    )
    if silent:
        return verdicts.error(f"the log has no conversation of {', '.join(sorted(silent))}.", remedy)
    if bad:
        return verdicts.warning(f"of the last {good + bad} deliveries, {bad} have no conversation in the log.", remedy)
    return verdicts.ok(f"deliveries of the last week that were looked at, each with its conversation: {good}.")
