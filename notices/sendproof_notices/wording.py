"""What a notice about messages or a plan says. Decides and words; reads no record, sends nothing.

Where the transcript has a page for it, the notice says the short of it and leads there. Everything about a message
came over a wire: `mail` makes it harmless.
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sendproof_core import conversation, remote_reply, wording
from sendproof_core.remote_reply import RemoteReply
from sendproof_core.reply_rules import Cause
from sendproof_core.states import RecipientState, Span
from sendproof_core.transcript_answer import Case
from sendproof_core.transcripts import AttemptView
from sendproof_notices import causes
from sendproof_notices.letter import Block, Entry, Facts, Heading, Letter, Link, Paragraph, Quote
from sendproof_notices.words import Words

# More recipients are counted only: the page has them all.
_IN_FULL, _BY_NAME = 5, 20
PROXY = "proxy"


@dataclass(frozen=True)
class OpenNews:
    """The first sign that somebody looked at a message. ``address`` None: the pixel does not tell which recipient."""

    message_id: uuid.UUID
    subject: str | None
    submitted_at: dt.datetime
    address: str | None
    opened_at: dt.datetime
    grade: str


@dataclass(frozen=True)
class PlanNews:
    """How much of a limit is used. ``name``: of `plans.QuotaLimits`; ``percent``: 80, or 100."""

    name: str
    span: Span
    used: int
    limit: int
    percent: int
    resets: dt.datetime


@dataclass(frozen=True)
class Teller:
    """Who tells: in whose language and time, and on which site the rest stands."""

    words: Words
    site_url: str

    # --- one message --------------------------------------------------------------------------------------------

    def failed(self, cases: Sequence[Case]) -> Letter:
        """These recipients of one message were not reached, and it is final."""
        _, about = self.words.gettext, self._about(cases)
        blocks: list[Block] = [
            Paragraph(
                _("Your message “%(subject)s”, sent %(when)s, was not delivered to %(whom)s.", **about), strong=True
            )
        ]
        for case in cases[:_IN_FULL]:
            blocks += self._failed_recipient(case)
        blocks += self._further(cases)
        blocks.append(self._transcript(cases[0]))
        return Letter(_("Not delivered to %(whom)s: %(subject)s", **about), tuple(blocks), self._foot())

    def _failed_recipient(self, case: Case) -> list[Block]:
        _ = self.words.gettext
        reply = _reply(case)
        is_expired = case.recipient.state is RecipientState.EXPIRED
        final = (
            _("We tried again and again, until its time was up at %(when)s. This is final.", when=self._at(case))
            if is_expired
            else _("This is final.")
        )
        # What an expired message was last put off with is the other table's.
        why = causes.why_deferred(reply.cause, self.words)[0] if is_expired else None
        why = why or causes.why_refused(reply.cause, self.words)
        blocks: list[Block] = [Heading(self._address(case)), Paragraph(f"{why} {final}" if why else final)]
        blocks += self._quote(reply)
        if is_expired and reply.cause in (Cause.GREYLISTED, Cause.PERHAPS_GREYLISTED, Cause.OTHER):
            advice = causes.advice_refused(Cause.UNREACHABLE, self.words)
        else:
            advice = causes.advice_refused(reply.cause, self.words)
        blocks.append(Paragraph(_("What you can do: %(advice)s", advice=advice)))
        return blocks

    def deferred(self, cases: Sequence[Case]) -> Letter:
        """These recipients of one message still wait: why, until when, and that nothing is lost."""
        _, about = self.words.gettext, self._about(cases)
        blocks: list[Block] = [
            Paragraph(
                _("Your message “%(subject)s”, sent %(when)s, has not been delivered yet to %(whom)s.", **about),
                strong=True,
            )
        ]
        for case in cases[:_IN_FULL]:
            blocks += self._deferred_recipient(case)
        blocks += self._further(cases)
        blocks.append(Paragraph(_("We write again once it is delivered, or given up.")))
        blocks.append(self._transcript(cases[0]))
        return Letter(_("Delayed, to %(whom)s: %(subject)s", **about), tuple(blocks), self._foot())

    def _deferred_recipient(self, case: Case) -> list[Block]:
        _ = self.words.gettext
        reply = _reply(case)
        why, todo = causes.why_deferred(reply.cause, self.words)
        times = [(_("We give up"), self.words.moment(case.queue_times.gives_up(case.born)))]
        if case.next_attempt and case.next_attempt > case.now:
            times.insert(0, (_("Next attempt, at the earliest"), self.words.moment(case.next_attempt)))
        blocks: list[Block] = [Heading(self._address(case)), Paragraph(f"{why} {todo}"), Facts(tuple(times))]
        return blocks + self._quote(reply)

    def delivered(self, cases: Sequence[Case]) -> Letter:
        """Servers of these recipients of one message took it over."""
        _, about = self.words.gettext, self._about(cases)
        was_put_off = all(_was_put_off(case) for case in cases)
        if was_put_off:
            title = _("Delivered after all to %(whom)s: %(subject)s", **about)
            text = _("Your message “%(subject)s”, sent %(when)s, was delivered after all to %(whom)s.", **about)
        else:
            title = _("Delivered to %(whom)s: %(subject)s", **about)
            text = _("Your message “%(subject)s”, sent %(when)s, was delivered to %(whom)s.", **about)
        blocks: list[Block] = [Paragraph(text, strong=True)]
        for case in cases[:_IN_FULL]:
            blocks += [Heading(self._address(case)), Paragraph(self._taken(case)), *self._reference(case)]
        blocks += self._further(cases)
        blocks.append(
            Paragraph(_("It does not prove that anybody has read it, or that no filter moved it aside afterwards."))
        )
        blocks.append(self._transcript(cases[0]))
        return Letter(title, tuple(blocks), self._foot())

    def _taken(self, case: Case) -> str:
        _ = self.words.gettext
        last = case.recipient.attempts[-1] if case.recipient.attempts else None
        if last is None or remote_reply.read(last.reply).code is None:
            return _("It was put into a mailbox of our own server at %(when)s.", when=self._at(case))
        values = {
            "server": conversation.server_name(last) or remote_reply.read(last.reply).server or "?",
            "when": self._clock(case, last.at),
            "after": wording.duration(max((last.at - case.message.submitted_at).total_seconds(), last.delay_seconds)),
        }
        version = wording.tls_version(last.tls)
        taken = (
            _("%(server)s took it over at %(when)s, %(after)s after you sent it, over %(tls)s.", **values, tls=version)
            if version
            else _("%(server)s took it over at %(when)s, %(after)s after you sent it, without encryption.", **values)
        )
        first = {remote_reply.read(earlier.reply).cause for earlier in case.recipient.attempts[:-1]}
        if first & {Cause.GREYLISTED, Cause.PERHAPS_GREYLISTED}:
            taken += " " + _("It was greylisted first: their server asks senders that it does not know to come back.")
        return taken

    def _reference(self, case: Case) -> list[Block]:
        last = case.recipient.attempts[-1] if case.recipient.attempts else None
        if last is None or not (reference := _their_queue_id(last)):
            return []
        return [Facts(((self.words.gettext("Their reference"), reference),))]

    # --- opens and plans ----------------------------------------------------------------------------------------

    def opened(self, news: Sequence[OpenNews]) -> Letter:
        """Somebody probably looked at one message: ``news`` of its recipients."""
        _ = self.words.gettext
        first = news[0]
        title = _("Opened: %(subject)s", subject=self._subject_of(first.subject))
        blocks: list[Block] = [
            Paragraph(
                _("Your message “%(subject)s”, sent %(when)s, was probably looked at.",
                  subject=self._subject_of(first.subject), when=self.words.moment(first.submitted_at)),
                strong=True,
            )
        ]  # fmt: skip
        blocks += [Paragraph(self._opened_by(one)) for one in news[:_BY_NAME]]
        if len(news) > _BY_NAME:
            blocks.append(Paragraph(self._and_more(len(news) - _BY_NAME)))
        blocks.append(
            Paragraph(
                _("This is a hint, never proof: the picture in it was fetched, and what fetched it does not look like "
                  "a machine.")
            )
        )  # fmt: skip
        blocks.append(Link(_("All about this message"), f"{self.site_url}/messages/{first.message_id}"))
        return Letter(title, tuple(blocks), self._foot())

    def _opened_by(self, news: OpenNews) -> str:
        _ = self.words.gettext
        whom, when = news.address or _("one of the recipients"), self.words.moment(news.opened_at)
        if news.grade == PROXY:
            return _(
                "%(whom)s: %(when)s, by a mail service that fetches pictures for its readers.", whom=whom, when=when
            )
        return _("%(whom)s: %(when)s, by a mail reader.", whom=whom, when=when)

    def plan_use(self, news: Sequence[PlanNews]) -> Letter:
        """How far limits of the plan are used up."""
        _ = self.words.gettext
        worst = max(news, key=lambda one: one.percent)
        is_full = worst.percent >= 100
        limit = self._limit(worst)
        title = (
            _("Your plan is used up: %(limit)s", limit=limit)
            if is_full
            else _("%(percent)s %% of your plan is used: %(limit)s", percent=worst.percent, limit=limit)
        )
        blocks: list[Block] = [Paragraph(title + ".", strong=True)]
        blocks += [Facts(self._use(one)) for one in news]
        blocks.append(
            Paragraph(
                _("What you send until then is refused, and your mail program says so. What was accepted before is "
                  "delivered.")
                if is_full
                else _("When it is used up, what you send is refused until the count begins anew.")
            )
        )  # fmt: skip
        blocks.append(Paragraph(_("If you need more, ask your provider for a larger plan.")))
        blocks.append(Link(_("Your plan and its use"), f"{self.site_url}/account"))
        return Letter(title, tuple(blocks), self._foot())

    def _use(self, news: PlanNews) -> tuple[tuple[str, str], ...]:
        _ = self.words.gettext
        used = _("%(used)s of %(limit)s", used=self.words.number(news.used), limit=self.words.number(news.limit))
        return ((self._limit(news), used), (_("The count begins anew"), self.words.moment(news.resets)))

    def _limit(self, news: PlanNews) -> str:
        _ = self.words.gettext
        return {
            "messages_per_hour": _("messages per hour"),
            "recipients_per_hour": _("recipients per hour"),
            "messages_per_day": _("messages per day"),
            "recipients_per_day": _("recipients per day"),
            "messages_per_month": _("messages per month"),
            "recipients_per_month": _("recipients per month"),
            "new_recipients_per_day": _("new recipients per day"),
        }.get(news.name, news.name)

    # --- several in one -----------------------------------------------------------------------------------------

    def digest(self, cases: Sequence[Case], opens: Sequence[OpenNews], plan: Sequence[PlanNews]) -> Letter:
        """What has happened since the last digest, each recipient as it is now."""
        _ = self.words.gettext
        blocks: list[Block] = []
        for title, states in (
            (_("Not delivered"), (RecipientState.BOUNCED, RecipientState.EXPIRED)),
            (_("Not delivered yet"), (RecipientState.DEFERRED,)),
            (_("Delivered"), (RecipientState.DELIVERED,)),
        ):
            chosen = [case for case in cases if case.recipient.state in states]
            blocks += self._section(title, [self._case_entry(case) for case in chosen])
        blocks += self._section(_("Probably looked at"), [self._open_entry(one) for one in opens])
        if plan:
            blocks.append(Heading(_("Your plan")))
            blocks += [Facts(self._use(one)) for one in plan]
        count = len(cases) + len(opens) + len(plan)
        title = self.words.ngettext(
            "%(number)s piece of news of your mail", "%(number)s pieces of news of your mail", count
        )
        blocks.append(Link(_("Your messages"), f"{self.site_url}/messages"))
        return Letter(title, (Paragraph(title + ".", strong=True), *blocks), self._foot())

    def _section(self, title: str, entries: list[Entry]) -> list[Block]:
        if not entries:
            return []
        blocks: list[Block] = [Heading(f"{title} ({self.words.number(len(entries))})"), *entries[:_BY_NAME]]
        if len(entries) > _BY_NAME:
            blocks.append(Paragraph(self._and_more(len(entries) - _BY_NAME)))
        return blocks

    def _case_entry(self, case: Case) -> Entry:
        _ = self.words.gettext
        cause = _reply(case).cause
        match case.recipient.state:
            case RecipientState.DELIVERED:
                text = self._taken(case)
            case RecipientState.DEFERRED:
                text = " ".join(causes.why_deferred(cause, self.words))
            case _:
                text = causes.why_refused(cause, self.words) or _("This is final.")
        subject = self._subject_of(case.message.subject)
        return Entry(f"{case.recipient.address} · {subject}", text, self._url(case))

    def _open_entry(self, news: OpenNews) -> Entry:
        url = f"{self.site_url}/messages/{news.message_id}"
        return Entry(self._subject_of(news.subject), self._opened_by(news), url)

    # --- pieces -------------------------------------------------------------------------------------------------

    def _about(self, cases: Sequence[Case]) -> dict[str, str]:
        """What the sentences about one message have places for."""
        message = cases[0].message
        return {
            "subject": self._subject_of(message.subject),
            "when": self.words.moment(message.submitted_at),
            "whom": self._whom(cases),
        }

    def _whom(self, cases: Sequence[Case]) -> str:
        if len(cases) == 1:
            return cases[0].recipient.address
        return self.words.ngettext("%(number)s recipient", "%(number)s recipients", len(cases))

    def _address(self, case: Case) -> str:
        """As the sender wrote it, and where that leads if that is another address."""
        recipient = case.recipient
        if recipient.final_address is None:
            return recipient.address
        return self.words.gettext(
            "%(address)s (leads to %(final_address)s)", address=recipient.address, final_address=recipient.final_address
        )

    def _subject_of(self, subject: str | None) -> str:
        return subject or self.words.gettext("(no subject)")

    def _further(self, cases: Sequence[Case]) -> list[Block]:
        rest = cases[_IN_FULL:]
        if not rest:
            return []
        blocks: list[Block] = [Heading(self.words.gettext("Also"))]
        blocks.append(Facts(tuple(("", case.recipient.address) for case in rest[:_BY_NAME])))
        if len(rest) > _BY_NAME:
            blocks.append(Paragraph(self._and_more(len(rest) - _BY_NAME)))
        return blocks

    def _and_more(self, number: int) -> str:
        return self.words.ngettext("And %(number)s more.", "And %(number)s more.", number)

    def _quote(self, reply: RemoteReply) -> list[Block]:
        _ = self.words.gettext
        if not any(reply.lines):
            return []
        return [
            Quote(_("What our mail server noted:") if reply.code is None else _("Their server's words:"), reply.lines)
        ]

    def _transcript(self, case: Case) -> Link:
        label = self.words.gettext("Every attempt, and what the servers said")
        return Link(label, self._url(case))

    def _url(self, case: Case) -> str:
        return f"{self.site_url}/messages/{case.message.id}"

    def _at(self, case: Case) -> str:
        return self._clock(case, case.recipient.state_at)

    def _clock(self, case: Case, moment: dt.datetime) -> str:
        return self.words.clock(moment, case.message.submitted_at.astimezone(self.words.zone).date())

    def _foot(self) -> tuple[Block, ...]:
        _ = self.words.gettext
        return (Link(_("You get this mail because you chose to be told. Change that here"),
                     f"{self.site_url}/account/notices"),)  # fmt: skip


def _reply(case: Case) -> RemoteReply:
    """What the recipient's state rests on; empty where nobody said anything."""
    if case.recipient.attempts:
        return remote_reply.read(case.recipient.attempts[-1].reply)
    return remote_reply.read(case.recipient.suspended_because or "")


def _was_put_off(case: Case) -> bool:
    return any(attempt.status == "deferred" for attempt in case.recipient.attempts)


def _their_queue_id(attempt: AttemptView) -> str | None:
    receipt = attempt.receipt
    return attempt.remote_queue_id or (receipt.remote_queue_id if receipt else None)
