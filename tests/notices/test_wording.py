"""What a notice says, from the record to the words."""

import datetime as dt
import uuid
import zoneinfo

from sendproof_core.queue_times import QueueTimes
from sendproof_core.states import RecipientState, Span
from sendproof_core.transcript_answer import Case
from sendproof_core.transcripts import AttemptView, MessageView, RecipientView
from sendproof_notices import mail
from sendproof_notices.wording import OpenNews, PlanNews, Teller
from sendproof_notices.words import Words
from sendproof_testing.notice_record import GREYLISTED, NOW, TAKEN

VIENNA = zoneinfo.ZoneInfo("Europe/Vienna")
TELLER = Teller(Words("en", VIENNA), "https://mail.relay.example")
MESSAGE_ID = uuid.UUID("0192f3a0-0000-7000-8000-000000000001")
REFUSED = "host mx1.example.net[192.0.2.25] said: 550 5.1.1 <anna@example.net>: No such user (in reply to RCPT TO)"


def attempt(minute: float, status: str, dsn: str, reply: str) -> AttemptView:
    return AttemptView(
        at=NOW + dt.timedelta(minutes=minute),
        status=status,
        dsn=dsn,
        relay="mx1.example.net[192.0.2.25]:25",
        delay_seconds=minute * 60 + 2,
        delays_seconds=(),
        reply=reply,
        remote_queue_id="4Xyz" if status == "sent" else None,
        tls="Verified TLS connection established to mx1.example.net: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384",
        troubles=(),
        dialogue=(),
    )


def case(
    state: RecipientState,
    *attempts: AttemptView,
    subject: str | None = "Offer 2026-117",
    address: str = "anna@example.net",
    now: dt.datetime = NOW + dt.timedelta(minutes=3),
) -> Case:
    message = MessageView(
        id=MESSAGE_ID,
        account_id=1,
        login="max",
        credential_label="laptop",
        submitted_at=NOW,
        envelope_sender="max@own.example",
        message_id_header=None,
        subject=subject,
        size_bytes=1000,
        client_address=None,
        client_tls=None,
        signatures=(),
        pixel="off",
        host="edge",
        queue_id="Q1",
        queued_at=NOW,
    )
    recipient = RecipientView(
        id=1,
        address=address,
        final_address=None,
        state=state,
        state_at=attempts[-1].at if attempts else NOW,
        attempts=attempts,
        opens=(),
    )
    return Case(message, recipient, QueueTimes(), VIENNA, now)


def test_a_failure_names_recipient_time_reply_advice_and_transcript() -> None:
    letter = TELLER.failed([case(RecipientState.BOUNCED, attempt(0, "bounced", "5.1.1", REFUSED))])
    assert letter.subject == "Not delivered to anna@example.net: Offer 2026-117"
    assert mail.as_text(letter) == (
        "Your message “Offer 2026-117”, sent 22 Nov 2026, 14:03 CET, was not\n"
        "delivered to anna@example.net.\n\n"
        "anna@example.net\n----------------\n\n"
        "Their server says that there is no such mailbox. This is final.\n\n"
        "Their server's words:\n\n"
        "    550 5.1.1 <anna@example.net>: No such user\n\n"
        "What you can do: Look for a typing error, or ask the recipient for the\n"
        "address in another way.\n\n"
        "Every attempt, and what the servers said:\n"
        "    https://mail.relay.example/messages/0192f3a0-0000-7000-8000-000000000001\n\n"
        "-- \n"
        "You get this mail because you chose to be told. Change that here:\n"
        "    https://mail.relay.example/account/notices\n"
    )


def test_a_greylisted_mails_story_reads_right_from_delay_to_delivery() -> None:
    waits = case(RecipientState.DEFERRED, attempt(0, "deferred", "4.2.0", GREYLISTED))
    delayed = TELLER.deferred([waits])
    assert delayed.subject == "Delayed, to anna@example.net: Offer 2026-117"
    text = " ".join(mail.as_text(delayed).split())
    assert "has not been delivered yet to anna@example.net" in text
    assert "Their server has greylisted it: it asks every sender that it does not know to come back once." in text
    assert "That is usual. Nothing is wrong, and you need not do anything." in text
    assert "Next attempt, at the earliest: 22 Nov 2026, 14:08 CET" in text
    assert "We give up: 27 Nov 2026, 14:03 CET" in text
    assert "450 4.2.0 Greylisted, come back later" in text
    assert "We write again once it is delivered, or given up." in text

    arrived = case(
        RecipientState.DELIVERED,
        attempt(0, "deferred", "4.2.0", GREYLISTED),
        attempt(5.5, "sent", "2.0.0", f"host mx1.example.net[192.0.2.25] said: {TAKEN}"),
    )
    delivered = TELLER.delivered([arrived])
    assert delivered.subject == "Delivered after all to anna@example.net: Offer 2026-117"
    text = " ".join(mail.as_text(delivered).split())
    assert "mx1.example.net took it over at 14:08:35, 5 min 32 s after you sent it, over TLS 1.3." in text
    assert "It was greylisted first" in text
    assert "Their reference: 4Xyz" in text
    assert "does not prove that anybody has read it" in text


def test_an_attempt_that_is_overdue_is_not_promised() -> None:
    late = case(RecipientState.DEFERRED, attempt(0, "deferred", "4.2.0", GREYLISTED), now=NOW + dt.timedelta(hours=1))
    assert "Next attempt" not in mail.as_text(TELLER.deferred([late]))


def test_what_our_own_server_noted_is_not_put_in_the_mouth_of_theirs() -> None:
    reply = "Host or domain name not found. Name service error for name=exampel.net type=A: Host not found"
    text = mail.as_text(TELLER.failed([case(RecipientState.BOUNCED, attempt(0, "bounced", "5.4.4", reply))]))
    assert "What our mail server noted:" in text
    assert "Their server's words:" not in text
    assert "Look for a typing error after the @ sign." in text


def test_an_expired_recipient_is_told_how_long_was_tried() -> None:
    expired = case(RecipientState.EXPIRED, attempt(60, "deferred", "4.2.0", GREYLISTED))
    text = " ".join(mail.as_text(TELLER.failed([expired])).split())
    assert "We tried again and again, until its time was up at 15:03:05. This is final." in text


def test_without_subject_and_attempt_a_notice_still_says_what_is_known() -> None:
    text = mail.as_text(TELLER.failed([case(RecipientState.BOUNCED, subject=None)]))
    assert "(no subject)" in text
    assert "words:" not in text


def test_of_many_recipients_the_first_are_told_in_full_and_the_rest_counted() -> None:
    cases = [
        case(RecipientState.BOUNCED, attempt(0, "bounced", "5.1.1", REFUSED), address=f"client{number}@example.net")
        for number in range(1_000)
    ]
    letter = TELLER.failed(cases)
    assert letter.subject == "Not delivered to 1,000 recipients: Offer 2026-117"
    text = mail.as_text(letter)
    assert "client0@example.net" in text
    assert "client24@example.net" in text
    assert "client25@example.net" not in text
    assert "And 975 more." in text
    assert len(text) < 10_000


def test_an_open_is_told_as_a_hint_with_its_grade() -> None:
    def news(address: str | None, grade: str) -> OpenNews:
        return OpenNews(MESSAGE_ID, "Offer", NOW, address, NOW + dt.timedelta(minutes=5), grade)

    letter = TELLER.opened([news("anna@example.net", "person"), news(None, "proxy")])
    assert letter.subject == "Opened: Offer"
    text = " ".join(mail.as_text(letter).split())
    assert "anna@example.net: 22 Nov 2026, 14:08 CET, by a mail reader." in text
    assert "one of the recipients: 22 Nov 2026, 14:08 CET, by a mail service that fetches pictures" in text
    assert "This is a hint, never proof" in text


def test_a_plan_says_how_much_is_used_and_when_the_count_begins_anew() -> None:
    def news(percent: int) -> PlanNews:
        return PlanNews("recipients_per_day", Span.DAY, 12 * percent, 1200, percent, NOW + dt.timedelta(hours=10))

    early, full = TELLER.plan_use([news(80)]), TELLER.plan_use([news(100)])
    assert early.subject == "80 % of your plan is used: recipients per day"
    assert full.subject == "Your plan is used up: recipients per day"
    text = " ".join(mail.as_text(full).split())
    assert "recipients per day: 1,200 of 1,200" in text
    assert "The count begins anew: 23 Nov 2026, 00:03 CET" in text
    assert "What you send until then is refused" in text


def test_a_digest_shows_each_recipient_as_it_is_now() -> None:
    letter = TELLER.digest(
        [
            case(RecipientState.DEFERRED, attempt(0, "deferred", "4.2.0", GREYLISTED), address="ben@example.org"),
            case(RecipientState.DELIVERED, attempt(0, "sent", "2.0.0", TAKEN)),
        ],
        [OpenNews(MESSAGE_ID, "Offer", NOW, "anna@example.net", NOW, "person")],
        [PlanNews("messages_per_day", Span.DAY, 8, 10, 80, NOW)],
    )
    assert letter.subject == "4 pieces of news of your mail"
    text = mail.as_text(letter)
    order = ["Not delivered yet (1)", "ben@example.org", "Delivered (1)", "anna@example.net", "Probably looked at (1)"]
    order += ["Your plan", "messages per day: 8 of 10"]
    places = [text.index(words) for words in order]
    assert places == sorted(places)
