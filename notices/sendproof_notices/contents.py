"""From a claimed notice to its letter: what the record says now of what it tells. Reads only; words nothing itself.

What is no longer so when its turn comes is not told: it is withdrawn, with the reason.
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from sendproof_core import site_links, transcript_queries
from sendproof_core.mail_requests import Letter as LetterKind
from sendproof_core.plans import zone
from sendproof_core.queue_times import QueueTimes
from sendproof_core.schema import Account, MailRequest, NoticeItem, QueueFile, Recipient, SiteLink
from sendproof_core.states import LinkPurpose, NoticeKind, RecipientState, Span
from sendproof_core.transcript_answer import Case
from sendproof_core.transcripts import Transcript
from sendproof_notices import letters
from sendproof_notices.letter import Letter
from sendproof_notices.outbox import Claim
from sendproof_notices.wording import OpenNews, PlanNews, Teller
from sendproof_notices.words import Words, words_for

# Which state a notice of that kind speaks of.
_SPOKEN_OF = {
    NoticeKind.FAILED: (RecipientState.BOUNCED, RecipientState.EXPIRED),
    NoticeKind.DEFERRED: (RecipientState.DEFERRED,),
    NoticeKind.DELIVERED: (RecipientState.DELIVERED,),
}


@dataclass(frozen=True)
class Source:
    """What letters are made of beside the record. ``links_key``: None where the site's links cannot be made."""

    site_url: str
    queue_times: QueueTimes
    links_key: bytes | None


@dataclass(frozen=True)
class Written:
    """A letter, and the language that it is in."""

    letter: Letter
    language: str


class NothingToTell(Exception):
    """The notice is to be withdrawn; the text says why."""


class CannotBeWritten(Exception):
    """Not now: something is missing that an operator can mend; the text says what."""


def write(session: Session, claimed: Claim, source: Source, now: dt.datetime) -> Written:
    """The letter of a notice.

    Raises:
        NothingToTell: it is of no use any more.
        CannotBeWritten: try again later.
    """
    if claimed.kind is NoticeKind.LETTER:
        return _letter(session, claimed, source, now)
    account = session.get(Account, claimed.account_id or 0)
    if account is None:
        raise NothingToTell("the account is gone")
    if not account.notice_address:
        raise NothingToTell("the account wants no notices any more")
    words = words_for(account.language, zone(account.time_zone))
    news = _News(session, account.id, source.queue_times, words, now)
    items = session.scalars(select(NoticeItem).where(NoticeItem.notice_id == claimed.notice_id).order_by(NoticeItem.id))
    return Written(_notice(claimed.kind, items.all(), news, Teller(words, source.site_url)), words.language)


def _notice(kind: NoticeKind, items: Sequence[NoticeItem], news: "_News", teller: Teller) -> Letter:
    cases = news.cases(items)
    match kind:
        case NoticeKind.FAILED | NoticeKind.DEFERRED | NoticeKind.DELIVERED:
            current = [case for case in cases if case.recipient.state in _SPOKEN_OF[kind]]
            if not current:
                raise NothingToTell(_why_not(cases))
            tell = {
                NoticeKind.FAILED: teller.failed,
                NoticeKind.DEFERRED: teller.deferred,
                NoticeKind.DELIVERED: teller.delivered,
            }[kind]
            return tell(current)
        case NoticeKind.OPENED:
            if not (opens := news.opens(items)):
                raise NothingToTell("the record no longer has this message")
            return teller.opened(opens)
        case NoticeKind.PLAN_USE:
            return teller.plan_use(news.plan(items))
        case _:
            opens, plan = news.opens(items), news.plan(items)
            known = [case for case in cases if any(case.recipient.state in states for states in _SPOKEN_OF.values())]
            if not (known or opens or plan):
                raise NothingToTell("nothing of it is news any more")
            return teller.digest(known, opens, plan)


def _why_not(cases: Sequence[Case]) -> str:
    if not cases:
        return "the record no longer has this recipient"
    return f"the recipient is {cases[0].recipient.state} by now"


class _News:
    """Reads what items speak of; each message once."""

    def __init__(
        self, session: Session, account_id: int, queue_times: QueueTimes, words: Words, now: dt.datetime
    ) -> None:
        self._session, self._account_id = session, account_id
        self._queue_times, self._words, self._now = queue_times, words, now
        self._read: dict[uuid.UUID, Transcript | None] = {}

    def cases(self, items: Sequence[NoticeItem]) -> list[Case]:
        """Each recipient once, as it is now, in the order in which they were found."""
        found: dict[int, Case] = {}
        for item in items:
            transcript = self._transcript(item.message_id) if item.recipient_id is not None else None
            if transcript is None:
                continue
            for recipient in transcript.recipients:
                if recipient.id == item.recipient_id:
                    found[recipient.id] = Case(
                        transcript.message, recipient, self._queue_times, self._words.zone, self._now
                    )
        return list(found.values())

    def opens(self, items: Sequence[NoticeItem]) -> list[OpenNews]:
        """What was looked at."""
        found = []
        for item in items:
            if item.kind != NoticeKind.OPENED or (transcript := self._transcript(item.message_id)) is None:
                continue
            message, number = transcript.message, int(item.data["number"])
            found.append(
                OpenNews(
                    item.message_id or uuid.UUID(int=0),
                    message.subject,
                    message.submitted_at,
                    self._address(transcript, number),
                    dt.datetime.fromisoformat(item.data["at"]),
                    str(item.data["grade"]),
                )
            )
        return found

    def plan(self, items: Sequence[NoticeItem]) -> list[PlanNews]:
        """How much of which limit was used, when it was seen."""
        return [
            PlanNews(
                str(item.data["limit"]),
                Span(item.data["span"]),
                int(item.data["used"]),
                int(item.data["allowed"]),
                int(item.data["percent"]),
                dt.datetime.fromisoformat(item.data["resets"]),
            )
            for item in items
            if item.kind == NoticeKind.PLAN_USE
        ]

    def _address(self, transcript: Transcript, number: int) -> str | None:
        """Of the recipient of that number; 0: the pixel is in everybody's copy."""
        if len(transcript.recipients) == 1:
            return transcript.recipients[0].address
        if number == 0:
            return None
        query = (
            select(Recipient.address)
            .join(QueueFile, QueueFile.id == Recipient.queue_file_id)
            .where(QueueFile.message_id == transcript.message.id, Recipient.number == number)
            .order_by(Recipient.id)
            .limit(1)
        )
        return self._session.scalar(query)

    def _transcript(self, message_id: uuid.UUID | None) -> Transcript | None:
        if message_id is None:
            return None
        if message_id not in self._read:
            self._read[message_id] = transcript_queries.load_transcript(self._session, message_id, self._account_id)
        return self._read[message_id]


def _letter(session: Session, claimed: Claim, source: Source, now: dt.datetime) -> Written:
    request = session.get(MailRequest, claimed.request_id or 0)
    if request is None:
        raise NothingToTell("the request for it is gone")
    account = session.get(Account, request.account_id) if request.account_id is not None else None
    words = words_for(
        request.language or (account.language if account else None), zone(account.time_zone) if account else dt.UTC
    )
    try:
        kind = LetterKind(request.kind)
    except ValueError:
        raise CannotBeWritten("no words for a letter of this kind; is the daemon older than the site?") from None
    link = _link(session, request.link_id, source, now) if request.link_id is not None else None
    letter = letters.write(kind, request.data, link, words, source.site_url)
    return Written(letter, words.language)


def _link(session: Session, link_id: uuid.UUID, source: Source, now: dt.datetime) -> str:
    row = session.get(SiteLink, link_id)
    if row is None or row.used_at is not None or row.expires_at <= now:
        raise NothingToTell("the link in it is used or no longer good")
    if source.links_key is None:
        raise CannotBeWritten("[secrets] has no links.key that can be read: run `sendproof secrets create`")
    return site_links.url(source.site_url, link_id, LinkPurpose(row.purpose), source.links_key)
