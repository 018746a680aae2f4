"""The answer to "did it arrive?" for one recipient: its sentences, what it proves, and what to do. Pure.

Claims what the evidence supports and no more: a recipient whose evidence ends is `unknown`, never a guess.
"""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property

from sendproof_core import conversation, remote_reply, wording
from sendproof_core.hostile_text import visible
from sendproof_core.queue_times import QueueTimes
from sendproof_core.remote_reply import Cause
from sendproof_core.states import RecipientState
from sendproof_core.transcripts import AttemptView, MessageView, RecipientView
from sendproof_core.wording import ReadersTime, counted


@dataclass(frozen=True)
class Case:
    """One recipient of one message, and what the telling depends on beside them."""

    message: MessageView
    recipient: RecipientView
    queue_times: QueueTimes
    zone: dt.tzinfo
    now: dt.datetime

    @cached_property
    def times(self) -> ReadersTime:
        """Writes moments for the reader; the day of the submission needs no mention."""
        return ReadersTime(self.zone, self.message.submitted_at.astimezone(self.zone).date())

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
        """Since when Postfix counts the message's age."""
        return self.message.queued_at or self.message.submitted_at

    @property
    def of_host(self) -> str:
        """`` of edge1``, to follow "the mail log"."""
        return f" of {visible(self.message.host)}" if self.message.host else ""


@dataclass(frozen=True)
class Answer:
    """``sentences``: the first answers. ``words``: the reply it rests on, where it refuses or puts off."""

    sentences: tuple[str, ...]
    proof: str
    proof_title: str = "What this means"
    advice: str | None = None
    words: tuple[str, ...] = ()
    reference: str | None = None


_PROVES = "What this proves"
_WAIT = "You need not do anything: we keep trying."
_ASK_PROVIDER = "Ask your provider for the reason."
_NOT_GOT = "The recipient did not get it."


def answer(case: Case) -> Answer:
    """What to tell the sender of this recipient."""
    if case.message.test_mode:
        return _test_mode()
    last = case.recipient.attempts[-1] if case.recipient.attempts else None
    match case.recipient.state:
        case RecipientState.DELIVERED if last:
            return _delivered(case, last)
        case RecipientState.BOUNCED if last:
            return _bounced(case, last)
        case RecipientState.DEFERRED if last:
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


def _test_mode() -> Answer:
    return Answer(
        ("It was not delivered: your account is in test mode. We accepted the message and threw it away.", _NOT_GOT),
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
    # Postfix's own measure is finer than the clock of its log, and the log's clock counts whole seconds only.
    after_seconds = max(attempt.delay_seconds, (attempt.at - case.message.submitted_at).total_seconds())
    version = wording.tls_version(attempt.tls)
    over = f"over {version}" if version else "without encryption"
    took = (
        f"{_server(attempt)} took the message {case.times.at(attempt.at)}, {wording.duration(after_seconds)} after you "
        f"sent it, {over}."
    )
    return Answer(
        (took, *_put_off_first(case)),
        f'A server that is responsible for {case.domain} said "{reply.code}", that is, it took over the message and '
        f"the duty to deliver it or to tell you. It does not prove that {visible(case.recipient.address)} has read "
        "it, or that no filter moved it aside afterwards.",
        _PROVES,
        reference=attempt.remote_queue_id,
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
}
_REFUSED_ADVICE = {
    Cause.UNKNOWN_USER: "Check the address letter by letter, or ask the recipient, by another way, for the right one.",
    Cause.MAILBOX_FULL: "Tell the recipient, by another way, that the mailbox is full; send again when there is room.",
    Cause.TOO_LARGE: "Send it again with smaller attachments, or with a link to them.",
    Cause.BLOCKED: "Send this transcript to the recipient's IT department, and tell your provider: the words above "
    "name the list or the rule.",
    Cause.NO_SUCH_DOMAIN: "Check the part of the address after the @: no mail can be sent to that domain.",
    Cause.GREYLISTED: "That server puts unknown senders off, but called it final. Send the message again in an hour.",
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


def _deferred(case: Case, attempt: AttemptView) -> Answer:
    reply = remote_reply.read(attempt.reply)
    server = _server(attempt)
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
    }.get(reply.cause, (f"{server} has put it off.", _WAIT))
    return Answer(
        (f"Not yet: {what}", _what_comes(case, attempt)),
        "Nobody has taken the message over yet. It is in our queue, neither lost nor refused.",
        advice=advice,
        words=reply.lines,
    )


def _what_comes(case: Case, attempt: AttemptView) -> str:
    due = case.queue_times.next_attempt(attempt.at, attempt.delay_seconds)
    gives_up = case.times.about(case.queue_times.gives_up(case.born))
    if case.queue_times.overdue(due, case.now):
        return f"The next attempt was due {case.times.about(due)}; the mail log{case.of_host} has not spoken of it yet."
    return f"We try again {case.times.about(due)}, and give up {gives_up}."


def _expired(case: Case, attempt: AttemptView | None) -> Answer:
    tries = f" after {counted(len(case.tried), 'attempt')}" if case.tried else ""
    return Answer(
        (f"It could not be delivered: we gave up {case.times.at(case.recipient.state_at)}{tries}.", _NOT_GOT),
        f"No server of {case.domain} took the message over while we tried.",
        advice="Ask the recipient, by another way, whether their mail works; then send it again.",
        words=remote_reply.read(attempt.reply).lines if attempt else (),
    )


def _held(case: Case) -> Answer:
    return Answer(
        (f"Not yet: your provider put it on hold {case.times.at(case.recipient.state_at)}.",),
        "It is in our queue, nobody has taken it over, and it stays there until your provider releases it.",
        advice=_ASK_PROVIDER,
    )


def _cancelled(case: Case) -> Answer:
    removed = case.times.at(case.recipient.state_at)
    return Answer(
        (f"It was not delivered: your provider removed it from the queue {removed}.", _NOT_GOT),
        f"No server of {case.domain} has taken the message over.",
        advice=_ASK_PROVIDER,
    )


def _queued(case: Case) -> Answer:
    return Answer(
        (f"Not yet: it is in our queue{_since(case)}, and nothing is known of an attempt so far.",),
        "We have the message and deliver it; nobody else has taken it over yet.",
    )


def _unknown(case: Case, last: AttemptView | None) -> Answer:
    if last:
        seen = f"The last that the mail log{case.of_host} says of it is from {case.times.clock(last.at)}."
    elif case.message.queue_id:
        seen = f"It was queued{_since(case)}; after that the mail log{case.of_host} says nothing of it."
    else:
        seen = f"We let it through, and the mail log{case.of_host} never spoke of it."
    return Answer(
        ("We do not know what became of it.", seen, "We do not guess."),
        "The evidence ends here. It may have arrived, and it may not.",
        advice="Ask the recipient. You may send it again; it may then arrive twice.",
        words=remote_reply.read(last.reply).lines if last else (),
    )


def _server(attempt: AttemptView) -> str:
    name = conversation.server_name(attempt) or remote_reply.read(attempt.reply).server
    return visible(name) if name else "the server"


def _since(case: Case) -> str:
    as_queue_id = f" as {visible(case.message.queue_id)}" if case.message.queue_id else ""
    return f" {case.times.at(max(case.born, case.message.submitted_at))}{as_queue_id}"
