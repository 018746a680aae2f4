"""The answer to "did it arrive?" for one recipient: its sentences, what it proves, and what to do. Pure.

Claims what the evidence supports and no more: a recipient whose evidence ends is `unknown`, never a guess.
"""

import datetime as dt
from dataclasses import dataclass, replace
from functools import cached_property

from sendproof_core import conversation, remote_reply, wording
from sendproof_core.hostile_text import visible
from sendproof_core.queue_times import QueueTimes
from sendproof_core.receipt import Receipt
from sendproof_core.remote_reply import Cause, RemoteReply
from sendproof_core.states import RecipientState
from sendproof_core.transcripts import AttemptView, GapView, MessageView, RecipientView
from sendproof_core.wording import ReadersTime, counted


@dataclass(frozen=True)
class Case:
    """One recipient of one message, and what the telling depends on beside them."""

    message: MessageView
    recipient: RecipientView
    queue_times: QueueTimes
    zone: dt.tzinfo
    now: dt.datetime
    # Not the sender reads it, but the recipient's IT department.
    to_outsider: bool = False

    @property
    def provider(self) -> str:
        """How the reader knows who runs our server."""
        return "the sender's provider" if self.to_outsider else "your provider"

    @cached_property
    def times(self) -> ReadersTime:
        """Writes moments for the reader; the day of the submission needs no mention."""
        day = self.message.submitted_at.astimezone(self.zone).date()
        return ReadersTime(self.zone, day, is_foreign=self.to_outsider)

    @cached_property
    def domain(self) -> str:
        """Where the recipient's mail goes."""
        return visible((self.recipient.final_address or self.recipient.address).rpartition("@")[2]) or "this address"

    @cached_property
    def tried(self) -> tuple[AttemptView, ...]:
        """The attempts at which something was tried: Postfix also logs that it waits."""
        return tuple(attempt for attempt in self.recipient.attempts if not remote_reply.read(attempt.reply).suspended)

    @cached_property
    def born(self) -> dt.datetime:
        """Since when Postfix counts the age of what it tries to deliver."""
        return self.recipient.queued_at or self.message.queued_at or self.message.submitted_at

    @cached_property
    def suspended(self) -> RemoteReply | None:
        """Why the queue manager lets the recipient's server rest, if that was the last that it said."""
        recipient = self.recipient
        if recipient.suspended_at is None or (
            recipient.attempts and recipient.attempts[-1].at > recipient.suspended_at
        ):
            return None
        return remote_reply.read(recipient.suspended_because or "")

    @cached_property
    def next_attempt(self) -> dt.datetime | None:
        """The earliest moment of the next attempt; None where nothing was put off."""
        if self.suspended and self.recipient.suspended_at:
            age_seconds = (self.recipient.suspended_at - self.born).total_seconds()
            return self.queue_times.next_attempt(self.recipient.suspended_at, age_seconds)
        if not self.recipient.attempts:
            return None
        last = self.recipient.attempts[-1]
        return self.queue_times.next_attempt(last.at, last.delay_seconds)

    @property
    def is_overdue(self) -> bool:
        """Whether an attempt should have been made, and the log has not spoken of it."""
        return self.next_attempt is not None and self.queue_times.overdue(self.next_attempt, self.now)

    @cached_property
    def last_evidence(self) -> dt.datetime:
        """The last moment at which the record speaks of the recipient."""
        moments = [self.message.queued_at or self.message.submitted_at, self.message.submitted_at]
        moments += [attempt.at for attempt in self.recipient.attempts] + [hop.at for hop in self.recipient.hops]
        moments += [self.recipient.suspended_at] if self.recipient.suspended_at else []
        return max(moments)

    def gaps_between(self, begin: dt.datetime, end: dt.datetime) -> tuple[GapView, ...]:
        """The gaps of the mail log in which lines about the recipient may have been lost."""
        # The mail log has whole seconds.
        begin = begin.replace(microsecond=0)
        return tuple(gap for gap in self.message.gaps if gap.ends_at >= begin and (gap.begins_at or begin) <= end)

    @cached_property
    def silent_gaps(self) -> tuple[GapView, ...]:
        """The gaps since the record last spoke of the recipient, as long as Postfix could have gone on trying."""
        until = self.queue_times.gives_up(max(self.last_evidence, self.born)) + _WHILE
        return self.gaps_between(self.last_evidence, min(until, self.now))

    @property
    def of_host(self) -> str:
        """`` of edge1``, to follow "the mail log": of the host that has the mail now, as far as is known."""
        hosts = [hop.host for hop in self.recipient.hops if hop.host]
        host = hosts[-1] if hosts else self.message.host
        return f" of {visible(host)}" if host else ""


# After the last attempt Postfix still has to return the message.
_WHILE = dt.timedelta(hours=2)


@dataclass(frozen=True)
class Answer:
    """``sentences``: the first answers. ``words``: the reply it rests on, where it refuses or puts off.

    ``receipt``: the reply it rests on, where that takes the message over.
    """

    sentences: tuple[str, ...]
    proof: str
    proof_title: str = "What this means"
    advice: str | None = None
    words: tuple[str, ...] = ()
    reference: str | None = None
    receipt: Receipt | None = None


_PROVES = "What this proves"
_WAIT = "You need not do anything: we keep trying."
_ASK_PROVIDER = "Ask your provider for the reason."
_NOT_GOT = "The recipient did not get it."


def answer(case: Case) -> Answer:
    """What to tell the sender of this recipient."""
    said = _of_the_evidence(case)
    # What the sender can do is nothing for somebody else.
    return replace(said, advice=None) if case.to_outsider else said


def _of_the_evidence(case: Case) -> Answer:
    if case.message.test_mode:
        return _test_mode(case)
    last = case.recipient.attempts[-1] if case.recipient.attempts else None
    match case.recipient.state:
        case RecipientState.DELIVERED if last:
            return _delivered(case, last)
        case RecipientState.BOUNCED if last:
            return _bounced(case, last)
        case RecipientState.DEFERRED if last or case.suspended:
            return _deferred(case, last)
        case RecipientState.EXPIRED:
            return _expired(case, last)
        case RecipientState.HELD:
            return _held(case)
        case RecipientState.CANCELLED:
            return _cancelled(case)
        case RecipientState.QUEUED:
            return _queued(case)
        case _:
            return _unknown(case, last)


def _test_mode(case: Case) -> Answer:
    whose = "it was a test" if case.to_outsider else "your account is in test mode"
    return Answer(
        (f"It was not delivered: {whose}. We accepted the message and threw it away.", _NOT_GOT),
        "Everything until the queue was done as for ordinary mail: the checks, the edits and the signatures.",
        advice="Ask your provider to end test mode when you want to send.",
    )


def _delivered(case: Case, attempt: AttemptView) -> Answer:
    reply = remote_reply.read(attempt.reply)
    if reply.code is None:
        return Answer(
            (f"It was delivered on our own server {case.times.at(attempt.at)}: {visible(attempt.reply)}.",),
            "Our own server put the message where that address leads. It does not prove that anybody has read it.",
            _PROVES,
        )
    # Postfix's own measure is finer than the clock of its log, and the log's clock counts whole seconds only; but it
    # begins with the queue file, which may be a later one.
    submitted = case.message.submitted_at
    waited_seconds = max((case.born - submitted).total_seconds(), 0)
    after_seconds = max(waited_seconds + attempt.delay_seconds, (attempt.at - submitted).total_seconds())
    whom = visible(case.recipient.final_address or case.recipient.address)
    version = wording.tls_version(attempt.tls)
    over = f"over {version}" if version else "without encryption"
    came = "it was submitted" if case.to_outsider else "you sent it"
    came = came if case.message.is_admitted else "it was queued"
    whom_to_tell = "the sender" if case.to_outsider else "you"
    took = (
        f"{_server(attempt)} took the message {case.times.at(attempt.at)}, {wording.duration(after_seconds)} after "
        f"{came}, {over}."
    )
    return Answer(
        (took, *_put_off_first(case)),
        f'A server that is responsible for {case.domain} said "{reply.code}", that is, it took over the message and '
        f"the duty to deliver it or to tell {whom_to_tell}. It does not prove that {whom} has read "
        "it, or that no filter moved it aside afterwards.",
        _PROVES,
        reference=attempt.remote_queue_id or (attempt.receipt.remote_queue_id if attempt.receipt else None),
        receipt=attempt.receipt,
    )


def _put_off_first(case: Case) -> tuple[str, ...]:
    causes = {remote_reply.read(earlier.reply).cause for earlier in case.recipient.attempts[:-1]}
    if Cause.GREYLISTED in causes:
        return ("It was greylisted first: that server asks every new sender to come back once.",)
    if Cause.PERHAPS_GREYLISTED in causes:
        return ("It was put off first, most likely greylisted: many servers ask a new sender to come back once.",)
    return ()


_REFUSED = {
    Cause.UNKNOWN_USER: " It says that there is no such mailbox.",
    Cause.MAILBOX_FULL: " It says that the mailbox is full.",
    Cause.TOO_LARGE: " It says that the message is too large.",
    Cause.BLOCKED: " It says that a filter or a blacklist is against it.",
    Cause.MAILBOX_DISABLED: " It says that the mailbox is switched off.",
    Cause.SENDER_REFUSED: " It says that it takes no mail from this sender.",
    Cause.AUTHENTICATION: " It says that the sender's domain does not vouch for the message (SPF, DKIM or DMARC).",
    Cause.OUR_NAME: " It says that the name of our server in DNS is not right.",
    Cause.NOT_RESPONSIBLE: " It says that it is not responsible for that address.",
}
_REFUSED_ADVICE = {
    Cause.UNKNOWN_USER: "Check the address letter by letter, or ask the recipient, by another way, for the right one.",
    Cause.MAILBOX_FULL: "Tell the recipient, by another way, that the mailbox is full; send again when there is room.",
    Cause.TOO_LARGE: "Send it again with smaller attachments, or with a link to them.",
    Cause.BLOCKED: "Send this transcript to the recipient's IT department, and tell your provider: the words above "
    "name the list or the rule.",
    Cause.NO_SUCH_DOMAIN: "Check the part of the address after the @: no mail can be sent to that domain.",
    Cause.GREYLISTED: "That server puts unknown senders off, but called it final. Send the message again in an hour.",
    Cause.MAILBOX_DISABLED: "Ask the recipient, by another way, for an address that is in use.",
    Cause.SENDER_REFUSED: "Check the address that you send from. If it is right, show the words above to your "
    "provider.",
    Cause.AUTHENTICATION: "Ask your provider to check the records of your domain (SPF, DKIM, DMARC).",
    Cause.OUR_NAME: "Show the words above to your provider.",
    Cause.NOT_RESPONSIBLE: "Tell the recipient, by another way: the mail of their domain is sent to a server that does "
    "not take it.",
    Cause.NO_TLS: "Tell your provider: that server does not offer the encryption that is asked for.",
    Cause.OUR_TROUBLE: "Show the words above to your provider.",
}
_REFUSED_OTHERWISE = "Send the words above to the recipient, by another way: their IT department knows what they mean."


def _bounced(case: Case, attempt: AttemptView) -> Answer:
    reply = remote_reply.read(attempt.reply)
    advice = _REFUSED_ADVICE.get(reply.cause, _REFUSED_OTHERWISE)
    if reply.code is None:
        return Answer(
            (f"It could not be delivered: we gave up {case.times.at(attempt.at)}.", _NOT_GOT),
            f"No server of {case.domain} has taken the message over.",
            advice=advice,
            words=reply.lines,
        )
    refused = f"{_server(attempt)} refused the message {case.times.at(attempt.at)}, for good."
    stage = f" in answer to our {visible(reply.stage)}" if reply.stage else ""
    return Answer(
        (refused + _REFUSED.get(reply.cause, ""), _NOT_GOT),
        f'A server that is responsible for {case.domain} said "{reply.code}"{stage}, and did not take the message '
        "over. The words above are its own, in whole.",
        _PROVES,
        advice,
        reply.lines,
    )


def _deferred(case: Case, attempt: AttemptView | None) -> Answer:
    reply = remote_reply.read(attempt.reply) if attempt else case.suspended or remote_reply.read("")
    server = _server(attempt) if attempt else visible(reply.server) if reply.server else "the server"
    what, advice = {
        Cause.GREYLISTED: (
            f"{server} has greylisted it, that is, it asks every new sender to come back once.",
            "Nothing is wrong, and you need not do anything.",
        ),
        Cause.PERHAPS_GREYLISTED: (
            f"{server} has put it off, most likely greylisted it: many servers ask a new sender to come back once.",
            _WAIT,
        ),
        Cause.UNREACHABLE: (f"no mail server of {case.domain} can be reached at the moment.", _WAIT),
        Cause.NO_SUCH_DOMAIN: (
            f"the mail servers of {case.domain} cannot be found in DNS at the moment.",
            "Check the part of the address after the @. If it is right, you need not do anything: we keep trying.",
        ),
        Cause.INTERRUPTED: (f"the connection with {server} broke off.", _WAIT),
        Cause.MAILBOX_FULL: (
            f"{server} says that the recipient's mailbox is full.",
            "Tell the recipient, by another way. We keep trying.",
        ),
        Cause.BLOCKED: (
            f"{server} has put it off: it says that a filter or a blacklist is against it.",
            "Tell your provider: the words above name the list or the rule. We keep trying.",
        ),
        Cause.SLOWED_DOWN: (f"{server} takes mail from our server more slowly than it comes.", _WAIT),
        Cause.THEIR_TROUBLE: (f"{server} has trouble of its own at the moment.", _WAIT),
        Cause.SENDER_REFUSED: (
            f"{server} does not take mail from this sender at the moment.",
            "Check the address that you send from. If it is right, you need not do anything: we keep trying.",
        ),
        Cause.AUTHENTICATION: (
            f"{server} asks that the sender's domain vouches for the message (SPF, DKIM or DMARC).",
            "Ask your provider to check the records of your domain. We keep trying.",
        ),
        Cause.OUR_NAME: (
            f"{server} finds the name of our server in DNS not right.",
            "Show the words above to your provider. We keep trying.",
        ),
        Cause.NO_TLS: (f"{server} does not offer the encryption that is asked for.", _WAIT),
        Cause.OUR_TROUBLE: (
            "our own server cannot deliver it at the moment.",
            "You need not do anything; if it lasts, show the words above to your provider.",
        ),
    }.get(reply.cause, (f"{server} has put it off.", _WAIT))
    rests = ("Our server lets that one rest for a while, and has not tried since.",) if attempt else ()
    rests = rests or ("It was not tried itself so far: our server lets that one rest for a while.",)
    return Answer(
        (f"Not yet: {what}", *(rests if case.suspended else ()), _what_comes(case)),
        "Nobody has taken the message over yet. It is in our queue, neither lost nor refused.",
        advice=advice,
        words=reply.lines if attempt or case.recipient.suspended_because else (),
    )


def _what_comes(case: Case) -> str:
    due = case.next_attempt or case.now
    gives_up = case.times.about(case.queue_times.gives_up(case.born))
    if case.is_overdue:
        return f"The next attempt was due {case.times.about(due)}; the mail log{case.of_host} has not spoken of it yet."
    return f"We try again {case.times.about(due)}, and give up {gives_up}."


def _expired(case: Case, attempt: AttemptView | None) -> Answer:
    tries = f" after {counted(len(case.tried), 'attempt')}" if case.tried else ""
    return Answer(
        (f"It could not be delivered: we gave up {case.times.at(case.recipient.state_at)}{tries}.", _NOT_GOT),
        f"No server of {case.domain} took the message over while we tried.",
        advice="Ask the recipient, by another way, whether their mail works; then send it again.",
        words=_last_words(case, attempt),
    )


def _held(case: Case) -> Answer:
    return Answer(
        (f"Not yet: {case.provider} put it on hold {case.times.at(case.recipient.state_at)}.",),
        f"It is in our queue, nobody has taken it over, and it stays there until {case.provider} releases it.",
        advice=_ASK_PROVIDER,
    )


def _cancelled(case: Case) -> Answer:
    removed = case.times.at(case.recipient.state_at)
    return Answer(
        (f"It was not delivered: {case.provider} removed it from the queue {removed}.", _NOT_GOT),
        f"No server of {case.domain} has taken the message over.",
        advice=_ASK_PROVIDER,
    )


def _queued(case: Case) -> Answer:
    where = f"it is in our queue{_since(case)}, and nothing is known of an attempt so far."
    if hops := case.recipient.hops:
        at, queue_id = case.times.at(hops[-1].at), visible(hops[-1].queue_id)
        where = f"it went on in our queue {at} as {queue_id}, and nothing is known of an attempt since."
    return Answer(
        (f"Not yet: {where}",),
        "We have the message and deliver it; nobody else has taken it over yet.",
    )


def _unknown(case: Case, last: AttemptView | None) -> Answer:
    gap = gap_words(case, case.silent_gaps)
    log = f"the mail log{case.of_host}"
    if last and last.at >= case.last_evidence:
        ends = f"The last that {log} says of it is from {case.times.clock(last.at)}"
        seen = f"{ends}; {gap}." if gap else f"{ends}."
    elif case.message.queue_id and case.recipient.hops:
        hop = case.recipient.hops[-1]
        seen = f"It went on in our queue {case.times.at(hop.at)} as {visible(hop.queue_id)}; "
        seen += f"{gap}." if gap else f"after that {log} says nothing of it."
    elif case.message.queue_id:
        seen = (
            f"It was queued{_since(case)}; {gap}."
            if gap
            else f"It was queued{_since(case)}; after that {log} says nothing of it."
        )
    else:
        seen = f"We let it through, and {log} never spoke of it."
        seen += f" {gap[0].upper()}{gap[1:]}." if gap else ""
    return Answer(
        ("We do not know what became of it.", seen, "We do not guess."),
        "The evidence ends here. It may have arrived, and it may not.",
        advice="Ask the recipient. You may send it again; it may then arrive twice.",
        words=_last_words(case, last),
    )


def gap_words(case: Case, gaps: tuple[GapView, ...]) -> str | None:
    """``the mail log of edge1 has a gap from 14:03:06 to 14:05:52 (the system log dropped 4,112 lines)``."""
    if not gaps:
        return None
    gap = gaps[0]
    end = case.times.clock(gap.ends_at.replace(microsecond=0))
    when = (
        f"from {case.times.clock(gap.begins_at.replace(microsecond=0))} to {end}" if gap.begins_at else f"before {end}"
    )
    dropped = counted(gap.lines, "line") if gap.lines is not None else "lines"
    more = f", and {counted(len(gaps) - 1, 'more gap')} after it" if len(gaps) > 1 else ""
    return f"the mail log of {visible(gap.host)} has a gap {when} (the system log dropped {dropped}){more}"


def _last_words(case: Case, last: AttemptView | None) -> tuple[str, ...]:
    if last:
        return remote_reply.read(last.reply).lines
    return case.suspended.lines if case.suspended and case.recipient.suspended_because else ()


def _server(attempt: AttemptView) -> str:
    name = conversation.server_name(attempt) or remote_reply.read(attempt.reply).server
    return visible(name) if name else "the server"


def _since(case: Case) -> str:
    as_queue_id = f" as {visible(case.message.queue_id)}" if case.message.queue_id else ""
    queued_at = case.message.queued_at or case.message.submitted_at
    return f" {case.times.at(max(queued_at, case.message.submitted_at))}{as_queue_id}"
