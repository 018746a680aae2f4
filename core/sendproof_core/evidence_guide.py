"""The guide for "they say they did not get it": what the evidence says, what to do next, wording ready to send. Pure.

Sends nothing and makes no link. Begins where `transcript_answer` ends, and claims no more than it does.
"""

import datetime as dt
import enum
from dataclasses import dataclass

from sendproof_core import conversation, remote_reply
from sendproof_core.hostile_text import visible
from sendproof_core.receipt import Receiver
from sendproof_core.remote_reply import Cause, Fault
from sendproof_core.states import RecipientState
from sendproof_core.transcript_answer import Answer, Case, answer
from sendproof_core.transcripts import MACHINE, AttemptView
from sendproof_core.wording import ReadersTime


class Situation(enum.StrEnum):
    """Where the recipient's copy is, as far as the evidence goes."""

    ACCEPTED = "accepted"
    HERE = "delivered here"
    REFUSED = "refused"
    PUT_OFF = "put off"
    GREYLISTED = "greylisted"
    GIVEN_UP = "given up"
    IN_OUR_QUEUE = "in our queue"
    ON_HOLD = "on hold"
    REMOVED = "removed"
    TEST = "test"
    UNKNOWN = "unknown"


class Addressee(enum.StrEnum):
    """Whom a wording is for."""

    RECIPIENT = "recipient"
    IT = "IT department"
    PROVIDER = "provider"


@dataclass(frozen=True)
class Wording:
    """A message ready to send. ``to``: None where mail does not arrive there: by another way, then."""

    addressee: Addressee
    to: str | None
    subject: str
    body: str


@dataclass(frozen=True)
class Guide:
    """What to do. ``headline``: the finding; ``answer``: what it rests on; ``steps``: in the order to try them.

    ``hand_over_helps``: whether the recipient's IT department can do something with the transcript.
    """

    situation: Situation
    headline: str
    answer: Answer
    steps: tuple[str, ...]
    wordings: tuple[Wording, ...]
    hand_over_helps: bool


def guide(case: Case, link: str | None = None) -> Guide:
    """The guide of one recipient. ``link``: to the transcript that was handed over, to stand in the wording."""
    said = answer(case)
    situation = _situation(case, said)
    found = _advised(situation, case, said, _Letters(case, said, link))
    helps = situation in (Situation.ACCEPTED, Situation.REFUSED, Situation.GIVEN_UP, Situation.PUT_OFF)
    helps = helps and bool(case.recipient.attempts) and _last_reply(case).cause not in _WRONG_ADDRESS
    return Guide(situation, found.headline, said, found.steps, found.wordings, helps)


@dataclass(frozen=True)
class _Advised:
    headline: str
    steps: tuple[str, ...]
    wordings: tuple[Wording, ...] = ()


def _advised(situation: Situation, case: Case, said: Answer, letters: "_Letters") -> _Advised:
    steps: tuple[str, ...]
    match situation:
        case Situation.ACCEPTED:
            headline = "It is on their side: their server took it over."
            return _Advised(headline, _accepted(case, said), (letters.look_for_it(), letters.find_it()))
        case Situation.HERE:
            steps = ("Ask the recipient to look into every folder, spam included.", _ASK_YOUR_PROVIDER)
            return _Advised("It is in the mailbox on our own server.", steps, (letters.look_for_it(),))
        case Situation.REFUSED | Situation.GIVEN_UP:
            their_doing = situation is Situation.REFUSED and _spoke(case)
            headline = (
                f"They are right: {'their server did not take it' if their_doing else 'it could not be delivered'}."
            )
            return _Advised(headline, _refused(case, said), letters.it_was_refused())
        case Situation.GREYLISTED:
            steps = (_NOTHING_WRONG, *_until(case), "There is no need to send it again: it would wait as well.")
            headline = "It is on its way: their server asked us to come back once."
            return _Advised(headline, steps, (letters.it_is_late(),))
        case Situation.PUT_OFF:
            headline = "Not yet: their server has not taken it, and we keep trying."
            return _Advised(headline, _put_off(case, said), (letters.it_is_late(),))
        case Situation.IN_OUR_QUEUE:
            steps = ("Wait a few minutes and load this page again.", _ASK_YOUR_PROVIDER)
            return _Advised("Not yet: it is still with us.", steps)
        case Situation.ON_HOLD | Situation.REMOVED:
            steps = ("Ask your provider for the reason.",)
            return _Advised("They are right: it did not leave our server.", steps, (letters.ask_the_provider(),))
        case Situation.TEST:
            steps = ("End test mode under Account, Preferences, and send it again.",)
            return _Advised("They are right: it was only a test.", steps)
        case Situation.UNKNOWN:
            steps = (
                "Ask the recipient to look into every folder, spam included.",
                "If it is not there, send it again. It may then arrive twice.",
                "Show this page to your provider: what is missing may still be in the mail log.",
            )
            wordings = (letters.look_for_it(), letters.ask_the_provider())
            return _Advised("We do not know: the evidence ends too early.", steps, wordings)


# What no IT department can mend.
_WRONG_ADDRESS = frozenset((Cause.UNKNOWN_USER, Cause.NO_SUCH_DOMAIN))


_NOTHING_WRONG = "Nothing is wrong. Many servers put off the first message of a sender they do not know, against spam."
_ASK_YOUR_PROVIDER = "If that does not help, show this page to your provider."


def _situation(case: Case, said: Answer) -> Situation:
    if case.message.test_mode:
        return Situation.TEST
    match case.recipient.state:
        case RecipientState.DELIVERED if case.recipient.attempts:
            return Situation.ACCEPTED if said.receipt or _spoke(case) else Situation.HERE
        case RecipientState.BOUNCED if case.recipient.attempts:
            return Situation.REFUSED
        case RecipientState.DEFERRED if case.recipient.attempts or case.suspended:
            is_greylisted = _last_reply(case).cause in (Cause.GREYLISTED, Cause.PERHAPS_GREYLISTED)
            return Situation.GREYLISTED if is_greylisted and not case.is_overdue else Situation.PUT_OFF
        case RecipientState.EXPIRED:
            return Situation.GIVEN_UP
        case RecipientState.HELD:
            return Situation.ON_HOLD
        case RecipientState.CANCELLED:
            return Situation.REMOVED
        case RecipientState.QUEUED:
            return Situation.IN_OUR_QUEUE
        case _:
            return Situation.UNKNOWN


def _last(case: Case) -> AttemptView | None:
    return case.recipient.attempts[-1] if case.recipient.attempts else None


def _last_reply(case: Case) -> remote_reply.RemoteReply:
    last = _last(case)
    return remote_reply.read(last.reply) if last else case.suspended or remote_reply.read("")


def _spoke(case: Case) -> bool:
    """Whether a server of theirs said something, rather than our own software."""
    return _last_reply(case).code is not None


# --- steps ----------------------------------------------------------------------------------------------------------

_WHERE_TO_LOOK = {
    Receiver.GMAIL: "In Gmail, a search for in:anywhere from:{sender} finds it in every folder, spam and bin too.",
    Receiver.EXCHANGE: "With Microsoft 365 or Outlook: look into Junk Email, into Other beside Focused, and into the "
    "quarantine. Their IT department finds it with a message trace by the Message-ID.",
    Receiver.MIMECAST: "With Mimecast: look at the messages on hold. Their IT department finds it in the message "
    "center by the reference.",
    Receiver.PROOFPOINT: "With Proofpoint: look into the quarantine digest. Their IT department finds it in Smart "
    "Search by the reference.",
    Receiver.AMAZON: "With Amazon WorkMail: look into the junk folder; their IT department has the message tracking.",
}


def _accepted(case: Case, said: Answer) -> tuple[str, ...]:
    sender = visible(case.message.envelope_sender or "") or "your address"
    steps = [
        f"Ask the recipient to search every folder for {sender}: spam or junk, the quarantine, the bin, and folders "
        "that a rule fills.",
    ]
    receiver = said.receipt.receiver if said.receipt else None
    if receiver in _WHERE_TO_LOOK:
        steps.append(_WHERE_TO_LOOK[receiver].format(sender=sender))
    seen = [view for view in case.recipient.opens if view.grade != MACHINE and not view.shared]
    if seen:
        steps.append(
            f"The picture in it was fetched {case.times.at(seen[0].at)}: somebody probably opened it. That is a hint "
            "for the talk, never proof."
        )
    if said.reference:
        steps.append(f"If it is nowhere, their IT department finds it in their mail log by {visible(said.reference)}.")
    else:
        steps.append("If it is nowhere, their IT department finds it in their mail log by the Message-ID and the time.")
    steps.append("Sending it again seldom helps: the same filter does the same with it.")
    return tuple(steps)


def _refused(case: Case, said: Answer) -> tuple[str, ...]:
    steps = [said.advice] if said.advice else []
    if _last_reply(case).cause not in _WRONG_ADDRESS:
        steps.append(f"Tell the recipient by another way, a call say: mail to {case.domain} may not reach them now.")
    if _last_reply(case).fault in (Fault.THEIR_SERVER, None):
        steps.append("Hand the transcript over to their IT department: their server's words are in it, in whole.")
    return tuple(steps)


def _put_off(case: Case, said: Answer) -> tuple[str, ...]:
    steps = [*_until(case)]
    if said.advice:
        steps.insert(0, said.advice)
    steps.append("If it is urgent, tell the recipient by another way. Sending it again does not make it faster.")
    return tuple(steps)


def _until(case: Case) -> tuple[str, ...]:
    if case.is_overdue:
        return ("An attempt is overdue: show this page to your provider.",)
    if case.next_attempt is None:
        return ()
    gives_up = case.times.about(case.queue_times.gives_up(case.born))
    return (
        f"We try again {case.times.about(case.next_attempt)}, and then again and again, until we give up {gives_up}.",
        "If we give up, you get the message back, with the reason.",
    )


# --- wording --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Letters:
    """Words that the sender can send as they are."""

    case: Case
    said: Answer
    link: str | None

    @property
    def _address(self) -> str:
        return visible(self.case.recipient.final_address or self.case.recipient.address)

    @property
    def _subject(self) -> str:
        subject = self.case.message.subject
        return f'with the subject "{visible(subject)}"' if subject else "without a subject"

    @property
    def _sender(self) -> str:
        return visible(self.case.message.envelope_sender or "") or "me"

    def _both(self, at: dt.datetime) -> str:
        """The moment in the sender's zone and in UTC: it stands by itself."""
        here = ReadersTime(self.case.zone, at.astimezone(self.case.zone).date()).full(at)
        return f"{here} ({at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC)"

    def _sent(self) -> str:
        here = self.case.message.submitted_at.astimezone(self.case.zone)
        return f"on {here.day} {here:%B %Y} at {here:%H:%M}"

    def _transcript(self) -> list[str]:
        return ["", "The transcript of the delivery, with your server's own words:", self.link] if self.link else []

    def look_for_it(self) -> Wording:
        """To the recipient, who may have it."""
        lines = ["Hello,", "", f"{self._sent()} I sent you a message {self._subject}."]
        last = _last(self.case)
        if self.said.receipt and last:
            name = visible(conversation.server_name(last) or "your mail server")
            lines[-1] += f" Your mail server ({name}) took it over on {self._both(last.at)}."
        lines += [
            "",
            "Could you please look into your spam or junk folder, and into the quarantine if you have one? The sender "
            f"is {self._sender}.",
        ]
        if self.said.reference:
            lines += [
                "",
                "If it is not there, your IT department finds it in the log of your mail server by this reference: "
                f"{visible(self.said.reference)}",
            ]
        lines += self._transcript()
        subject = f"Did my message of {self.case.message.submitted_at.astimezone(self.case.zone):%d %B} arrive?"
        return Wording(Addressee.RECIPIENT, self._address, subject, _text(lines))

    def find_it(self) -> Wording:
        """To the recipient's IT department: what they need to find it."""
        last = _last(self.case)
        lines = [
            "Hello,",
            "",
            f"a message to {self._address} does not seem to have reached its mailbox, though your server took it over:",
            "",
            *self._facts(last),
            "",
            "Could you please look in your mail log what became of it, and tell me?",
            *self._transcript(),
        ]
        domain = self._address.rpartition("@")[2]
        reference = self.said.reference or self.case.message.message_id_header
        subject = f"Message accepted by your server, not in the mailbox: {visible(reference or self._address)}"
        return Wording(Addressee.IT, f"postmaster@{domain}", subject, _text(lines))

    def it_was_refused(self) -> tuple[Wording, ...]:
        """To the recipient, by another way; and to their IT department, where their server is the one to mend."""
        last, reply = _last(self.case), _last_reply(self.case)
        if reply.cause in (*_WRONG_ADDRESS, Cause.MAILBOX_DISABLED):
            asked = f"Is {self._address} your right address? If not, please tell me the right one."
        elif reply.cause is Cause.MAILBOX_FULL:
            asked = "Your mailbox is full. Please tell me when there is room again, and I send the message once more."
        else:
            asked = "Please show this to your IT department."
        what = "was refused by your mail server" if _spoke(self.case) else "could not be delivered to your mail server"
        words = [f"> {visible(line)}" for line in self.said.words]
        lines = [
            "Hello,",
            "",
            f"the message that I sent you {self._sent()} {self._subject} {what}:",
            "",
            *words,
            *([""] if words else []),
            asked,
            *self._transcript(),
        ]
        to_recipient = Wording(Addressee.RECIPIENT, None, "My message to you was not delivered", _text(lines))
        if reply.fault not in (Fault.THEIR_SERVER, None) or last is None:
            return (to_recipient,)
        lines = [
            "Hello,",
            "",
            f"your mail server does not take my mail to {self._address}:" if _spoke(self.case) else
            f"my mail to {self._address} cannot be delivered to your mail server:",
            "",
            *self._facts(last),
            "",
            "Could you please look into it, and tell me what I or my provider can change?",
            *self._transcript(),
        ]  # fmt: skip
        return to_recipient, Wording(Addressee.IT, None, f"Mail to {self._address} is not accepted", _text(lines))

    def it_is_late(self) -> Wording:
        """To the recipient, by another way."""
        lines = [
            "Hello,",
            "",
            f"the message that I sent you {self._sent()} {self._subject} is on its way, and late: your mail server has "
            "not taken it over so far.",
        ]
        if self.case.next_attempt is not None and not self.case.is_overdue:
            lines[-1] += f" My provider tries again {self.case.times.about(self.case.next_attempt)}."
        return Wording(Addressee.RECIPIENT, None, "My message to you is late", _text([*lines, *self._transcript()]))

    def ask_the_provider(self) -> Wording:
        """To who runs our server."""
        message = self.case.message
        lines = [
            "Hello,",
            "",
            f"what became of my message to {self._address}, sent {self._both(message.submitted_at)}?",
            "",
            *([f"Queue id: {visible(message.queue_id)}"] if message.queue_id else []),
            *([f"Message-ID: {visible(message.message_id_header)}"] if message.message_id_header else []),
            f"State: {self.case.recipient.state.value}",
        ]
        return Wording(Addressee.PROVIDER, None, "What became of my message?", _text(lines))

    def _facts(self, last: AttemptView | None) -> list[str]:
        message = self.case.message
        facts: list[tuple[str, str | None]] = [("Your reference (queue id)", self.said.reference)]
        if last is not None:
            facts += [
                ("Your server", conversation.relay_words(last)),
                ("When", self._both(last.at)),
                ("Your server's reply", " ".join(remote_reply.read(last.reply).lines)),
            ]
        facts += [
            ("Recipient", self.case.recipient.final_address or self.case.recipient.address),
            ("Envelope sender", message.envelope_sender),
            ("Message-ID", message.message_id_header),
        ]
        return [f"{name}: {visible(value)}" for name, value in facts if value]


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
