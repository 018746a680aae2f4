"""A transcript in words: the answer first, what it proves, the timeline, the conversation, the evidence.

The page, the terminal and the mails take their sentences from here, so that they never differ. Renders nothing and
reads no clock. Every text in a story is safe to look at (`hostile_text.visible`); escaping for HTML is the page's.
"""

import datetime as dt
import enum
from collections.abc import Iterator
from dataclasses import dataclass

from sendproof_core import conversation, evidence_lines, remote_reply, wording
from sendproof_core.conversation import ConversationLine
from sendproof_core.hostile_text import visible
from sendproof_core.links import CONTINUES, LinkEvidence, LinkKind
from sendproof_core.queue_times import QueueTimes
from sendproof_core.remote_reply import Cause
from sendproof_core.states import RecipientState
from sendproof_core.transcript_answer import Case, answer, gap_words
from sendproof_core.transcripts import (
    AttemptView,
    HopView,
    MessageView,
    OpenView,
    OriginView,
    RecipientView,
    Transcript,
)
from sendproof_core.wording import ReadersTime, counted

_OPENS_SHOWN = 8


class Tone(enum.StrEnum):
    """How a state feels to the sender: the colour and the icon that go with its word."""

    GOOD = "good"
    WAITING = "waiting"
    BAD = "bad"
    UNSURE = "unsure"


@dataclass(frozen=True)
class StateLabel:
    """A state at a glance."""

    text: str
    tone: Tone


_LABELS = {
    RecipientState.QUEUED: StateLabel("QUEUED", Tone.WAITING),
    RecipientState.DEFERRED: StateLabel("DEFERRED", Tone.WAITING),
    RecipientState.DELIVERED: StateLabel("ACCEPTED", Tone.GOOD),
    RecipientState.BOUNCED: StateLabel("BOUNCED", Tone.BAD),
    RecipientState.EXPIRED: StateLabel("EXPIRED", Tone.BAD),
    RecipientState.HELD: StateLabel("ON HOLD", Tone.WAITING),
    RecipientState.CANCELLED: StateLabel("CANCELLED", Tone.BAD),
    RecipientState.UNKNOWN: StateLabel("UNKNOWN", Tone.UNSURE),
}

_TEST_MODE = StateLabel("TEST", Tone.UNSURE)


def state_label(state: RecipientState, *, test_mode: bool = False) -> StateLabel:
    """The word for a state, and its tone."""
    return _TEST_MODE if test_mode else _LABELS[state]


class EntryKind(enum.StrEnum):
    """What a timeline entry is about."""

    SUBMITTED = "submitted"
    SIGNED = "signed"
    QUEUED = "queued"
    HANDED_ON = "handed-on"
    ATTEMPT = "attempt"
    TROUBLE = "trouble"
    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    BOUNCED = "bounced"
    NEXT = "next"
    ENDED = "ended"
    OPENED = "opened"


@dataclass(frozen=True)
class Entry:
    """One step. ``at`` is None and ``time`` empty where it belongs to the moment of the entry before it."""

    kind: EntryKind
    at: dt.datetime | None
    time: str
    label: str
    detail: tuple[str, ...]


@dataclass(frozen=True)
class Conversation:
    """The SMTP dialogue of one attempt."""

    title: str
    lines: tuple[ConversationLine, ...]


@dataclass(frozen=True)
class Story:
    """Everything that is said of one recipient.

    ``answer``: sentences; the first answers "did it arrive?". ``words``: the reply that it rests on, line by line,
    where that refuses or puts off. ``receipt``: the reply that took the message over, line by line, ``receiver``: what
    kind of server speaks so, ``reference``: that server's queue id. ``advice``: what to do. ``leads_to``: the address
    behind the one that the sender wrote.
    """

    address: str
    leads_to: str | None
    label: StateLabel
    about: str
    answer: tuple[str, ...]
    words: tuple[str, ...]
    receipt: tuple[str, ...]
    receiver: str | None
    reference: str | None
    proof_title: str
    proof: str
    advice: str | None
    timeline: tuple[Entry, ...]
    conversations: tuple[Conversation, ...]
    evidence: str
    # What the mail log said of each attempt (`evidence_lines`).
    log_lines: tuple[str, ...] = ()


def tell_all(
    transcript: Transcript, queue_times: QueueTimes, zone: dt.tzinfo, now: dt.datetime, *, to_outsider: bool = False
) -> tuple[Story, ...]:
    """The stories of all recipients, in the order of RCPT TO. ``to_outsider``: not the sender reads them."""
    message = transcript.message
    cases = (Case(message, view, queue_times, zone, now, to_outsider=to_outsider) for view in transcript.recipients)
    return tuple(map(tell_case, cases))


def tell(
    message: MessageView, recipient: RecipientView, queue_times: QueueTimes, zone: dt.tzinfo, now: dt.datetime
) -> Story:
    """One recipient's story for the sender, with times in the reader's ``zone``."""
    return tell_case(Case(message, recipient, queue_times, zone, now))


def tell_case(case: Case) -> Story:
    """One recipient's story."""
    message, recipient, said = case.message, case.recipient, answer(case)
    return Story(
        address=visible(recipient.address),
        leads_to=visible(recipient.final_address) if recipient.final_address else None,
        label=state_label(recipient.state, test_mode=message.test_mode),
        about=about(message, case.zone),
        answer=said.sentences,
        words=tuple(visible(line) for line in said.words),
        receipt=tuple(visible(line) for line in said.receipt.lines) if said.receipt else (),
        receiver=said.receipt.receiver.value if said.receipt and said.receipt.receiver else None,
        reference=visible(said.reference) if said.reference else None,
        proof_title=said.proof_title,
        proof=said.proof,
        advice=said.advice,
        timeline=tuple(_timeline(case)),
        conversations=tuple(_conversations(case)),
        evidence=evidence(case),
        log_lines=tuple(visible(line) for line in evidence_lines.written(message, recipient)),
    )


def about(message: MessageView, zone: dt.tzinfo) -> str:
    """The message in one line: subject, when, by whom, with which credential; of a notification, what it is about."""
    times = ReadersTime(zone, message.submitted_at.astimezone(zone).date())
    subject = f'"{visible(message.subject)}"' if message.subject else "(no subject)"
    sender = "an unknown sender" if message.envelope_sender is None else visible(message.envelope_sender)
    who = f" (login {visible(message.login)})" if message.login else ""
    if message.credential_label is not None:
        who = f'{who[:-1]}, "{visible(message.credential_label)}")'
    if not message.is_admitted:
        who = who or " (no login known)"
        subject = f"({_origin(message.origin)})" if message.origin else "(subject unknown)"
    return f"{subject} · sent {times.full(message.submitted_at)} by {sender or 'the empty sender'}{who}"


_ABOUT = {
    LinkKind.NON_DELIVERY: "a non-delivery notification about",
    LinkKind.DELAY: "a notification of the delay of",
    LinkKind.DELIVERY_STATUS: "a delivery status notification about",
    LinkKind.POSTMASTER: "a notification to the postmaster about",
}


def _origin(origin: OriginView) -> str:
    return f"{_ABOUT.get(origin.kind, 'subject unknown; the mail comes from')} {visible(origin.queue_id)}"


# --- the timeline ---------------------------------------------------------------------------------------------------


def _timeline(case: Case) -> Iterator[Entry]:
    yield from _way_in(case)
    happened, opens = _what_happened(case), list(_opens(case))
    last = happened[-1][0] if happened else None
    # What comes next belongs to what was tried last; who opened it afterwards stands below.
    before = [(view.at, [view]) for view in opens if view.at and last and view.at < last]
    for _, entries in sorted((*happened, *before), key=_moment):
        yield from entries
    yield from _what_follows(case)
    yield from opens[len(before) :]


_Happened = tuple[dt.datetime, list[Entry]]


def _moment(happened: _Happened) -> dt.datetime:
    return happened[0]


def _what_happened(case: Case) -> list[_Happened]:
    """Attempts, and what went on from queue file to queue file, as it came."""
    moments: list[_Happened] = []
    number = 0
    for attempt in case.recipient.attempts:
        if attempt in case.tried:
            number += 1
            moments.append((attempt.at, list(_attempt(case, attempt, number))))
        else:
            rests = _entry(case, EntryKind.ATTEMPT, attempt.at, "not tried", _RESTS)
            moments.append((attempt.at, [rests]))
    moments += [(hop.at, [_hop(case, hop)]) for hop in case.recipient.hops if hop.kind is not LinkKind.COPY]
    if case.recipient.suspended_at is not None:
        moments.append((case.recipient.suspended_at, [_suspended(case, case.recipient.suspended_at)]))
    return sorted(moments, key=_moment)


_RESTS = "Postfix lets that server rest for a while"


def _suspended(case: Case, at: dt.datetime) -> Entry:
    recipient = case.recipient
    why = remote_reply.read(recipient.suspended_because or "")
    times = f"said {counted(recipient.suspensions, 'time')}, last now" if recipient.suspensions > 1 else ""
    detail = (_RESTS, *(visible(line) for line in why.lines), times)
    return _entry(case, EntryKind.DEFERRED, at, "not tried", *(line for line in detail if line))


_EVIDENCE = {
    LinkEvidence.ORIGINAL_QUEUE_ID: "shown by orig_queue_id= in the mail log",
    LinkEvidence.JOURNAL: "shown by the milter's journal",
    LinkEvidence.QUEUED_AS: 'shown by the reply "queued as" in the mail log',
    LinkEvidence.FILTER_LINE: "shown by the filter's own line in the mail log",
    LinkEvidence.FORWARDED_AS: 'shown by "forwarded as" in the mail log',
    LinkEvidence.ORIGINAL_ID: "shown by orig_id= in the mail log",
    LinkEvidence.RELAYED_AS: 'shown by the reply "queued as", and the same Message-ID in the mail log there',
}


def _hop(case: Case, hop: HopView) -> Entry:
    queue_id = visible(hop.queue_id)
    match hop.kind:
        case LinkKind.FORWARD:
            to = f" to {visible(case.recipient.final_address)}" if case.recipient.final_address else ""
            label, words = "forwarded", f"as {queue_id}{to}"
        case LinkKind.REQUEUE:
            label, words = "requeued", f"put back into the queue by an administrator as {queue_id}"
        case LinkKind.RELAY:
            server = f"our server {visible(hop.host)}" if hop.host else "another of our servers"
            label, words = "relayed", f"to {server}, as {queue_id}"
        case _ if hop.instance and hop.instance != hop.from_instance:
            label, words = "handed on", f"to another part of our mail server ({visible(hop.instance)}), as {queue_id}"
        case _:
            label, words = "filtered", f"handed to a content filter, which gave it back as {queue_id}"
    return _entry(case, EntryKind.HANDED_ON, hop.at, label, words, *_shown_by(hop))


def _shown_by(hop: HopView) -> tuple[str, ...]:
    return (_EVIDENCE[LinkEvidence(hop.evidence)],) if hop.evidence in set(_EVIDENCE) else ()


def _way_in(case: Case) -> Iterator[Entry]:
    message = case.message
    submitted = [_of_origin(message.origin)] if message.origin else []
    if message.client_address:
        tls = f" ({wording.tls_version(message.client_tls) or 'no TLS'})" if message.is_admitted else ""
        submitted.append(f"from {visible(message.client_address)}{tls}")
    if message.size_bytes is not None:
        submitted.append(wording.size(message.size_bytes))
    if message.message_id_header:
        submitted.append(f"message-id {visible(message.message_id_header)}")
    label = "submitted" if message.origin is None else "made"
    words = ", ".join(submitted) or "nothing says from where"
    yield _entry(case, EntryKind.SUBMITTED, message.submitted_at, label, words)
    if message.is_admitted:
        yield from _prepared(case)
    if message.queue_id:
        # A queue id is born before the message is complete: then the moment says nothing.
        later = message.queued_at if message.queued_at and message.queued_at > message.submitted_at else None
        on = f" on {visible(message.host)}" if message.host else ""
        yield _entry(case, EntryKind.QUEUED, later, "queued", f"{visible(message.queue_id)}{on}")
    for hop in case.recipient.hops:
        if hop.kind is LinkKind.COPY:
            own = f"{visible(hop.queue_id)}, a copy for this recipient alone"
            yield _entry(case, EntryKind.QUEUED, None, "copied", own, *_shown_by(hop))


def _of_origin(origin: OriginView) -> str:
    queue_id = visible(origin.queue_id)
    if origin.kind in CONTINUES:
        return f"out of {queue_id}, of which nothing is here"
    return f"by our own mail server, about {queue_id}"


def _prepared(case: Case) -> Iterator[Entry]:
    message = case.message
    signatures = ", ".join(
        f"d={visible(domain)} s={visible(selector)} ({visible(algorithm)})"
        for domain, selector, algorithm in message.signatures
    )
    alert = "opened alert on" if message.pixel == "inserted" else f"no opened alert: {no_pixel(message.pixel or '')}"
    edits = [_WIRE_EDITS.get(edit) or visible(edit) for edit in message.wire_edits]
    if edits:
        yield _entry(case, EntryKind.SIGNED, None, "prepared", "; ".join(edits))
    label = "signed" if signatures else "not signed"
    # Whether there is a picture is between the sender and us.
    detail = [part for part in (signatures, None if case.to_outsider else alert) if part]
    yield _entry(case, EntryKind.SIGNED, None, label, *(["; ".join(detail)] if detail else []))


# The names are the milter's, in its journal.
_NO_PIXEL = {
    "tracking-off": "it is off for this account",
    "opted-out": "you switched it off for this message",
    "multipart": "mail in several parts goes out as it is",
    "not-html": "plain text cannot carry a picture",
    "attachment": "the message is an attachment",
    "charset": "its character set does not allow it",
    "encoding": "its encoding does not allow it",
    "signed-or-encrypted": "signed and encrypted mail goes out as it is",
    "automatic": "automatic replies carry none",
    "malformed": "its structure is unclear, so it goes out as it is",
    "too-large": "its text is too large for mail readers to show all of it",
    "too-deep": "its parts are nested too deeply",
    "too-many-parts": "it has too many parts",
    "unknown-recipient": "nobody whom you named stands behind this copy",
    "test-mode": "test mode sends nothing",
}
# What was made safe for every server on the way, and what could not be: names of the milter's, too.
_WIRE_EDITS = {
    "long-header-lines": "long header lines folded",
    "8-bit-header": "header text encoded",
    "long-body-lines": "long lines encoded",
    "8-bit-parts": "8-bit text encoded",
    "8-bit-labels": "parts labelled as the 7-bit text that they are",
    "8-bit-header-word": "8-bit header text that cannot be encoded left as it is: a server may break the signature",
    "sealed-long-lines": "signed or encrypted very long lines left as they are: a server may break the signature",
    "sealed-8-bit": "signed or encrypted 8-bit content left as it is: a server may break its signature",
    "long-header-word": "a header word longer than a line left as it is: a server may break the signature",
    "malformed-long-lines": "long lines in an unclear structure left as they are: a server may break the signature",
    "malformed-8-bit": "8-bit text in an unclear structure left as it is: a server may break the signature",
}


def no_pixel(reason: str) -> str:
    """Why a message carries no picture, from the milter's name for it."""
    return _NO_PIXEL.get(reason) or visible(reason)


_OUTCOMES = {
    "sent": (EntryKind.ACCEPTED, "accepted"),
    "deferred": (EntryKind.DEFERRED, "deferred"),
    "bounced": (EntryKind.BOUNCED, "bounced"),
}


def _attempt(case: Case, attempt: AttemptView, number: int) -> Iterator[Entry]:
    relay = conversation.relay_words(attempt)
    where = f"{relay}, {wording.tls(attempt.tls)}" if relay else f"no server of {case.domain} was reached"
    yield _entry(case, EntryKind.ATTEMPT, attempt.at, f"attempt {number}", where, *_delays(attempt))
    for trouble in attempt.troubles:
        if trouble != attempt.reply:  # the last server's trouble is the reason of the status line
            yield _entry(case, EntryKind.TROUBLE, None, "before that", visible(trouble))
    reply = remote_reply.read(attempt.reply)
    words = reply.lines if reply.code is not None else (attempt.reply,)
    kind, label = _OUTCOMES.get(attempt.status, (EntryKind.DEFERRED, visible(attempt.status)))
    label = "greylisted" if attempt.status == "deferred" and reply.cause is Cause.GREYLISTED else label
    yield _entry(case, kind, None, label, *(visible(line) for line in words))


def _delays(attempt: AttemptView) -> tuple[str, ...]:
    """What this attempt took. The first of Postfix's four delays is the message's age: the times show it."""
    if len(attempt.delays_seconds) != 4:
        return ()
    names = ("in the queue manager", "to connect", "to transmit")
    spans = zip(attempt.delays_seconds[1:], names, strict=True)
    took = [f"{wording.duration(seconds)} {name}" for seconds, name in spans if seconds > 0]
    return (", ".join(took),) if took else ()


def _what_follows(case: Case) -> Iterator[Entry]:
    recipient = case.recipient
    match recipient.state:
        case RecipientState.DEFERRED if case.next_attempt is not None:
            due = case.times.minute(case.next_attempt)
            gives_up = case.times.about(case.queue_times.gives_up(case.born))
            yield _entry(case, EntryKind.NEXT, None, "next attempt", f"{due} (about), giving up {gives_up}")
        case RecipientState.EXPIRED:
            yield _entry(case, EntryKind.ENDED, recipient.state_at, "gave up", "returned to the sender")
        case RecipientState.HELD:
            yield _entry(case, EntryKind.ENDED, recipient.state_at, "on hold", "by the provider")
        case RecipientState.CANCELLED:
            why = "test mode" if case.message.test_mode else "by the provider"
            yield _entry(case, EntryKind.ENDED, recipient.state_at, "removed", why)
        case _:
            return


_GRADES = {
    "person": "by a mail reader: someone probably looked at it. Never proof.",
    "proxy": "by a mail proxy ({proxy}): a person probably looked at it. Never proof.",
    "machine": "by a machine, such as a filter or a prefetch: it says nothing about a person.",
}


def _opens(case: Case) -> Iterator[Entry]:
    opens = case.recipient.opens
    if case.recipient.state not in (RecipientState.DELIVERED, RecipientState.UNKNOWN):
        # A picture that all copies share was fetched from another recipient's copy.
        opens = tuple(view for view in opens if not view.shared)
    for view in opens[:_OPENS_SHOWN]:
        yield _entry(case, EntryKind.OPENED, view.at, "opened", _open_words(view), *_opener(view))
    if len(opens) > _OPENS_SHOWN:
        more = counted(len(opens) - _OPENS_SHOWN, "more time")
        yield _entry(case, EntryKind.OPENED, opens[-1].at, "opened", f"{more}; this was the last")


def _open_words(view: OpenView) -> str:
    agent = view.user_agent
    proxy = "Gmail" if "GoogleImageProxy" in agent else "Yahoo" if "YahooMailProxy" in agent else "a mail service's"
    words = _GRADES.get(view.grade, "by we do not know what. Never proof.").format(proxy=proxy)
    return f"{words} The picture is the same in every recipient's copy." if view.shared else words


def _opener(view: OpenView) -> Iterator[str]:
    """Who it was, where the account keeps that."""
    if view.client_address is not None:
        with_what = f', which says it is "{visible(view.user_agent)}"' if view.user_agent else ""
        yield f"From {visible(view.client_address)}{with_what}."


def _entry(case: Case, kind: EntryKind, at: dt.datetime | None, label: str, *detail: str) -> Entry:
    return Entry(kind, at, case.times.clock(at) if at else "", label, detail)


# --- the conversation and the evidence ------------------------------------------------------------------------------


def _conversations(case: Case) -> Iterator[Conversation]:
    for number, attempt in enumerate(case.tried, start=1):
        if attempt.dialogue:
            yield Conversation(f"attempt {number}", conversation.as_spoken(attempt, case.message.size_bytes))


# Of mail of which only the mail log speaks.
NO_JOURNAL = "No journal of the milter speaks of it: it was never admitted by the milter, or the journal is not here."


def evidence(case: Case) -> str:
    """What the story rests on, and whether something of it is missing."""
    message = case.message
    hosts = dict.fromkeys(host for host in (message.host, *(hop.host for hop in case.recipient.hops)) if host)
    of_host = f" of {visible(message.host)}" if message.host else ""
    parts = [f"1 line of the milter's journal{of_host} (message {message.id})"] if message.is_admitted else []
    log = "its mail log" if message.is_admitted else f"the mail log{of_host}"
    if len(hosts) > 1:
        log = f"the mail logs of {' and '.join(map(visible, hosts))}"
    if message.queue_id:
        statuses = (
            counted(len(case.recipient.attempts), "delivery line") if case.recipient.attempts else "no delivery line"
        )
        spoken = sum(len(attempt.dialogue) for attempt in case.tried)
        dialogue = f" and {counted(spoken, 'line')} of dialogue" if spoken else ""
        went_on = "".join(f", then {visible(hop.queue_id)}" for hop in case.recipient.hops)
        parts.append(f"{statuses}{dialogue} of {log} (queue id {visible(message.queue_id)}{went_on})")
    journal = "" if message.is_admitted else f" {NO_JOURNAL}"
    return f"{', '.join(parts)}.{journal} {_missing(case)} {_times_are(case)}"


_WAITING = (RecipientState.QUEUED, RecipientState.DEFERRED, RecipientState.HELD)


def _missing(case: Case) -> str:
    """Whether the record has all that there was."""
    recipient = case.recipient
    is_unknown = recipient.state is RecipientState.UNKNOWN
    is_unproved = recipient.state in (RecipientState.DELIVERED, RecipientState.BOUNCED) and not recipient.attempts
    if is_unknown or is_unproved:
        gap = gap_words(case, case.silent_gaps)
        return f"What followed is missing: {gap}." if gap else "What followed is missing."
    is_waiting = recipient.state in _WAITING
    until = case.now if is_waiting else recipient.state_at
    if gap := gap_words(case, case.gaps_between(case.message.submitted_at, until)):
        return f"Lines may be missing: {gap}."
    if recipient.state is RecipientState.DEFERRED and case.is_overdue:
        return "The attempt that was due is missing."
    return "Nothing is missing so far." if is_waiting else "Nothing is missing."


def _times_are(case: Case) -> str:
    here = case.message.submitted_at.astimezone(case.zone)
    name, offset = wording.zone_name(here), here.isoformat()[-6:]
    return f"Times are {name} (UTC{offset})." if name.isalpha() and name != "UTC" else f"Times are {name}."
