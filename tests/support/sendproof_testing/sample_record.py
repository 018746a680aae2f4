"""A small record as the logparser would have written it: a message with four fates, a much-travelled one, odd ones.

For tests of what reads the record, and for looking at pages. Sends no mail.
"""

import datetime as dt
import functools
import uuid
from typing import Any

from sqlalchemy.orm import Session

from sendproof_core import directory, passwords
from sendproof_core.links import LinkEvidence, LinkKind
from sendproof_core.plans import QuotaLimits
from sendproof_core.schema import Account, Attempt, Delivery, LogGap, Message, Open, QueueFile, Recipient, Refusal
from sendproof_core.states import RecipientState
from sendproof_logparser import derive

PASSWORD = "correct horse battery"
SENT_AT = dt.datetime(2026, 11, 22, 13, 3, 5, 214_000, dt.UTC)
OFFER_ID = uuid.UUID("019ab000-0000-7000-8000-000000000001")
UNKNOWN_ID = uuid.UUID("019ab000-0000-7000-8000-000000000002")
HOSTILE_ID = uuid.UUID("019ab000-0000-7000-8000-000000000003")
HANDED_ON_ID = uuid.UUID("019ab000-0000-7000-8000-000000000005")
FOREIGN_ID = uuid.UUID("019ab000-0000-7000-8000-000000000004")
HOSTILE = '<script>alert(1)</script>\x1b[31m"><img src=x onerror=alert(2)>\u202egpj'
TLS = (
    "Verified TLS connection established to mx1.example.net[192.0.2.25]:25: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 "
    "(256/256 bits) key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256"
)
GREYLISTED = (
    "host mx1.example.net[192.0.2.25] said: 450 4.2.0 <anna@example.net>: Recipient address rejected: Greylisted, see "
    "http://postgrey.example/help/example.net.html (in reply to RCPT TO command)"
)
REFUSED = (
    "host mx.example.com[2001:db8::19] said: 550-5.1.1 The email account that you tried to reach does not exist. "
    "Please try 550-5.1.1 double-checking the recipient's email address for typos or 550-5.1.1 unnecessary spaces. "
    "Learn more at 550 5.1.1 https://support.example.com/?p=NoSuchUser d9443c01a7336-2a2c (in reply to RCPT TO command)"
)
_EHLO = "mx1.example.net|PIPELINING|SIZE 52428800|STARTTLS|ENHANCEDSTATUSCODES|8BITMIME|DSN"


def fill(session: Session, *, older_messages: int = 0) -> None:
    """Two accounts, ``max`` with all sorts of messages (password `PASSWORD`) and ``eve`` with one."""
    directory.add_plan(session, "standard", QuotaLimits(recipients_per_day=500))
    ids = {login: _account(session, login).id for login in ("max", "eve")}
    _offer(session, ids["max"])
    lost = _message(
        session, ids["max"], UNKNOWN_ID, "Minutes of the meeting", SENT_AT - dt.timedelta(hours=2), "4dDmPz8xxx"
    )
    _recipient(session, lost, "ben@example.org", RecipientState.UNKNOWN, lost.born_at)
    _gap(session, lost.born_at)
    _handed_on(session, ids["max"])
    _hostile(session, ids["max"])
    foreign = _message(session, ids["eve"], FOREIGN_ID, "Not for max", SENT_AT, "4dDmPz9eve")
    _recipient(session, foreign, "zoe@example.org", RecipientState.QUEUED, SENT_AT)
    _refusal(session, ids["max"])
    for number in range(older_messages):
        at = SENT_AT - dt.timedelta(days=1, minutes=7 * number)
        queue_file = _message(
            session,
            ids["max"],
            uuid.UUID(int=OFFER_ID.int + 1000 + number),
            f"Invoice {900 - number}",
            at,
            f"4cOld{number}",
        )
        recipient = _recipient(session, queue_file, f"client{number}@example.net", RecipientState.DELIVERED, at)
        _attempt(session, recipient, None, at, "sent", "2.0.0", "250 2.0.0 Ok: queued as 4cTheirs")
    derive_all(session)


def derive_all(session: Session) -> None:
    """The words that the search finds, and the statistics: what the logparser does after each reading."""
    session.flush()
    derive.begin_anew(session)
    while derive.step(session):
        pass


def add_people(session: Session) -> None:
    """Who else signs in: ``boss``, the provider, and ``eva``, who has sent nothing (password `PASSWORD`)."""
    for login, is_provider in (("boss", True), ("eva", False)):
        account = _account(session, login)
        account.is_provider = is_provider
        account.address = account.address_key = f"{login}@{login}.example"
        account.address_confirmed_at = SENT_AT


@functools.cache
def _password_hash() -> str:
    """Made once: it takes a sixth of a second."""
    return passwords.hash_site_password(PASSWORD)


def _account(session: Session, login: str) -> Account:
    account = Account(
        login=login,
        password_hash=_password_hash(),
        plan_id=directory.find_plan(session, "standard").id,
        time_zone="Europe/Vienna",
        tracking=True,
        notice_address=None,
        created_at=SENT_AT,
        suspended_at=None,
        suspended_reason=None,
        test_mode=False,
        shared_pixel=False,
        tracking_image=None,
    )
    session.add(account)
    session.flush()
    return account


def _offer(session: Session, account_id: int) -> None:
    queue_file = _message(session, account_id, OFFER_ID, "Offer 2026-117", SENT_AT, "4dDmPz6NfkzXyz")
    second = dt.timedelta(seconds=1)

    anna = _recipient(session, queue_file, "anna@example.net", RecipientState.DELIVERED, SENT_AT + 936 * second, 1)
    spoken = [*_greeting("mx1.example.net"), ("C", "RCPT TO:<anna@example.net>"), ("C", "DATA"), ("S", "250 2.1.0 Ok")]
    words = GREYLISTED.partition(" said: ")[2].partition(" (in reply")[0]
    put_off = [*spoken, ("S", words[:100]), ("S", "554 5.5.1 Error: no valid recipients"), ("C", "QUIT")]
    at = SENT_AT + 0.904 * second
    first = _delivery(session, queue_file, at, TLS, put_off)
    _attempt(session, anna, first, at, "deferred", "4.2.0", GREYLISTED, "mx1.example.net[192.0.2.25]:25", 0.94)
    took = [*spoken, ("S", "250 2.1.5 Ok"), ("S", "354 End data with <CR><LF>.<CR><LF>"), ("C", "."), ("C", "QUIT")]
    took.append(("S", "250 2.0.0 Ok: queued as 4dDn2K1zQqz9sM2"))
    at = SENT_AT + 935.736 * second
    retry = _delivery(session, queue_file, at, TLS, took)
    reply = "250 2.0.0 Ok: queued as 4dDn2K1zQqz9sM2"
    _attempt(session, anna, retry, at, "sent", "2.0.0", reply, "mx1.example.net[192.0.2.25]:25", 936, "4dDn2K1zQqz9sM2")

    ben = _recipient(session, queue_file, "ben@example.org", RecipientState.DELIVERED, SENT_AT + 2 * second, 2)
    greeting = [
        line for line in _greeting("relay7.example.org") if "STARTTLS" not in line[1] and "Ready" not in line[1]
    ]
    spoken = [
        *greeting,
        ("C", "RCPT TO:<ben@example.org>"),
        ("C", "DATA"),
        ("S", "250 Sender ok"),
        ("S", "250 Recipient ok"),
    ]
    spoken += [("S", "354 Go ahead"), ("C", "."), ("C", "QUIT"), ("S", "250 OK id=1vMZqK-0000000AbCd-1eFg")]
    at = SENT_AT + 1.9 * second
    direct = _delivery(
        session,
        queue_file,
        at,
        None,
        spoken,
        [[at.isoformat(), "connect to mx-a.example.org[198.51.100.7]:25: Connection timed out"]],
    )
    reply = "250 OK id=1vMZqK-0000000AbCd-1eFg"
    _attempt(
        session,
        ben,
        direct,
        at,
        "sent",
        "2.0.0",
        reply,
        "mx-b.example.org[198.51.100.8]:25",
        2.1,
        "1vMZqK-0000000AbCd-1eFg",
    )

    carl = _recipient(session, queue_file, "carl@example.com", RecipientState.BOUNCED, SENT_AT + second, 3)
    lines = REFUSED.partition(" said: ")[2].partition(" (in reply")[0].replace(" 550", "|550").split("|")
    spoken = [
        *_greeting("mx.example.com"),
        ("C", "RCPT TO:<carl@example.com>"),
        ("S", "250 2.1.0 OK d9443c01a7336-2a2c"),
    ]
    spoken += [("S", line[:100]) for line in lines]
    at = SENT_AT + 1.2 * second
    refused = _delivery(session, queue_file, at, TLS.replace("Verified", "Untrusted"), [*spoken, ("C", "QUIT")])
    _attempt(session, carl, refused, at, "bounced", "5.1.1", REFUSED, "mx.example.com[2001:db8::19]:25", 1.4)

    dora = _recipient(session, queue_file, "dora@example.edu", RecipientState.DEFERRED, SENT_AT + 330 * second, 4)
    for after_seconds in (0.3, 330.0):
        at = SENT_AT + after_seconds * second
        silent = _delivery(session, queue_file, at, None, [])
        reason = "connect to mail.example.edu[203.0.113.77]:25: Connection refused"
        _attempt(session, dora, silent, at, "deferred", "4.4.1", reason, "none", after_seconds)

    proxy = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
    for after_seconds, grade, agent, number in ((1685, "proxy", proxy, 1), (940, "machine", "Mozilla/5.0", 0)):
        session.add(
            Open(
                message_id=OFFER_ID,
                recipient_number=number,
                opened_at=SENT_AT + after_seconds * second,
                grade=grade,
                user_agent=agent,
            )
        )


def _hostile(session: Session, account_id: int) -> None:
    queue_file = _message(session, account_id, HOSTILE_ID, HOSTILE, SENT_AT - dt.timedelta(hours=3), "4dDmPzHostile")
    victim = _recipient(session, queue_file, "victim@example.net", RecipientState.BOUNCED, queue_file.born_at)
    reply = f"host evil.example[192.0.2.66] said: 550 5.7.1 {HOSTILE} (in reply to RCPT TO command)"
    spoken = [("S", f"220 evil.example {HOSTILE}"), ("C", "EHLO relay.example"), ("S", f"550 5.7.1 {HOSTILE}")]
    delivery = _delivery(session, queue_file, queue_file.born_at, None, spoken)
    _attempt(session, victim, delivery, queue_file.born_at, "bounced", "5.7.1", reply, "evil.example[192.0.2.66]:25")


def _handed_on(session: Session, account_id: int) -> None:
    """Through a filter, by an alias to two, let rest, and put back by an administrator."""
    begin = SENT_AT - dt.timedelta(hours=1)
    second = dt.timedelta(seconds=1)
    first = _message(session, account_id, HANDED_ON_ID, "Plans for the team", begin, "4dDlHandedOn1")

    anna = _recipient(session, first, "anna@example.net", RecipientState.QUEUED, begin + second, 1)
    reply = "250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 4dDlFiltered2"
    _attempt(session, anna, None, begin + 2 * second, "sent", "2.0.0", reply, "127.0.0.1[127.0.0.1]:10024", 2.0)
    filtered = child_of(
        session, first, "4dDlFiltered2", begin + 1.5 * second, LinkKind.FILTER, LinkEvidence.ORIGINAL_QUEUE_ID
    )
    passed = _recipient(session, filtered, "anna@example.net", RecipientState.DELIVERED, begin + 4 * second, None)
    reply = "250 2.6.0 <7f3c@own.example> [InternalId=1234567, Hostname=X.prod.outlook.com] Queued mail for delivery"
    mx = "example-net.mail.protection.outlook.com[192.0.2.26]:25"
    _attempt(session, passed, None, begin + 4 * second, "sent", "2.6.0", reply, mx, 2.5, "1234567")

    team = _recipient(session, first, "team@own.example", RecipientState.QUEUED, begin + second, 2)
    _attempt(session, team, None, begin + 2 * second, "sent", "2.0.0", "forwarded as 4dDlForward3", "local", 2.0)
    forwarded = child_of(
        session, first, "4dDlForward3", begin + 2 * second, LinkKind.FORWARD, LinkEvidence.FORWARDED_AS
    )
    zoe = _recipient(session, forwarded, "zoe@example.org", RecipientState.DELIVERED, begin + 3 * second, None)
    _attempt(session, zoe, None, begin + 3 * second, "sent", "2.0.0", "250 OK id=1vMZqK-0000000AbCd-2eFg")
    ben = _recipient(session, forwarded, "ben@example.com", RecipientState.BOUNCED, begin + 3 * second, None)
    _attempt(session, ben, None, begin + 3 * second, "bounced", "5.1.1", REFUSED, "mx.example.com[2001:db8::19]:25")

    dora = _recipient(session, first, "dora@example.edu", RecipientState.DEFERRED, begin + 3300 * second, 3)
    dora.suspended_at, dora.suspensions = begin + 3300 * second, 4
    dora.suspended_because = "connect to mail.example.edu[203.0.113.77]:25: Connection refused"

    carl = _recipient(session, first, "carl@example.com", RecipientState.QUEUED, begin + 30 * second, 4)
    reason = (
        "host mx.example.com[2001:db8::19] said: 451 4.3.0 queue file write error (in reply to end of DATA command)"
    )
    _attempt(session, carl, None, begin + second, "deferred", "4.3.0", reason, "mx.example.com[2001:db8::19]:25")
    again = child_of(session, first, "4dDlRequeued4", begin + 600 * second, LinkKind.REQUEUE, LinkEvidence.ORIGINAL_ID)
    requeued = _recipient(session, again, "carl@example.com", RecipientState.DELIVERED, begin + 601 * second, None)
    reply = "250 2.0.0 Ok: queued as 1310930001DB"
    _attempt(session, requeued, None, begin + 601 * second, "sent", "2.0.0", reply, delay_seconds=1.2)


def fill_from_the_log(session: Session) -> None:
    """Mail of which only the mail log speaks, a week before the rest: ``OLD1`` through a filter, with a bounce.

    Another life of ``OLD1`` is a day older, and one more is on edge2; ``OLD9`` came out of a queue file not known here.
    """
    second = dt.timedelta(seconds=1)
    begin = SENT_AT - dt.timedelta(days=7)
    old = _log_file(session, "OLD1", begin, client="pc[203.0.113.7]", login="olga", envelope_sender="olga@old.example")
    old.message_id_header, old.size_bytes = "<old@old.example>", 2048
    for address in ("anna@example.net", "carl@example.com"):
        first = _recipient(session, old, address, RecipientState.QUEUED, begin + second, None)
        _attempt(session, first, None, begin + second, "sent", "2.0.0", "250 2.0.0 Ok: queued as OLD2", "127.0.0.1")
    filtered = child_of(session, old, "OLD2", begin + second, LinkKind.FILTER, LinkEvidence.QUEUED_AS)
    anna = _recipient(session, filtered, "anna@example.net", RecipientState.DELIVERED, begin + 2 * second, None)
    reply = "250 2.0.0 Ok: queued as THEIRS1"
    _attempt(session, anna, None, begin + 2 * second, "sent", "2.0.0", reply, remote_queue_id="THEIRS1")
    carl = _recipient(session, filtered, "carl@example.com", RecipientState.BOUNCED, begin + 2 * second, None)
    _attempt(session, carl, None, begin + 2 * second, "bounced", "5.1.1", REFUSED, "mx.example.com[2001:db8::19]:25")
    bounce = child_of(session, filtered, "OLD3", begin + 3 * second, LinkKind.NON_DELIVERY, LinkEvidence.NOTIFICATION)
    bounce.envelope_sender = ""
    olga = _recipient(session, bounce, "olga@old.example", RecipientState.DELIVERED, begin + 4 * second, None)
    _attempt(session, olga, None, begin + 4 * second, "sent", "2.0.0", "250 Ok")

    earlier = _log_file(session, "OLD1", begin - dt.timedelta(days=1), envelope_sender="root@old.example")
    _recipient(session, earlier, "admin@old.example", RecipientState.UNKNOWN, earlier.born_at, None)
    elsewhere = _log_file(session, "OLD1", begin - dt.timedelta(days=2), host="edge2")
    _recipient(session, elsewhere, "zoe@example.org", RecipientState.QUEUED, elsewhere.born_at, None)
    cut = _log_file(session, "OLD9", begin - dt.timedelta(days=3))
    cut.parent_queue_id, cut.link_kind = "OLD8", LinkKind.FORWARD.value
    _recipient(session, cut, "zoe@example.org", RecipientState.DELIVERED, cut.born_at, None)


def _log_file(session: Session, queue_id: str, at: dt.datetime, **values: str | None) -> QueueFile:
    file = QueueFile(**{"host": "edge1", "instance": "postfix", "queue_id": queue_id, "born_at": at, **values})
    session.add(file)
    session.flush()
    return file


def child_of(
    session: Session, parent: QueueFile, queue_id: str, at: dt.datetime, kind: LinkKind, evidence: LinkEvidence
) -> QueueFile:
    """A queue file that comes from another; the journal does not name it."""
    child = QueueFile(
        host=parent.host,
        instance=parent.instance,
        queue_id=queue_id,
        born_at=at,
        message_id=None,
        parent_queue_id=parent.queue_id,
        link_kind=kind.value,
        link_evidence=evidence.value,
    )
    session.add(child)
    session.flush()
    return child


def _gap(session: Session, after: dt.datetime) -> None:
    begin = after.replace(microsecond=0) + dt.timedelta(seconds=1)
    session.add(
        LogGap(
            host="edge1",
            source="edge1:/var/log/sendproof/mail.log",
            begins_at=begin,
            ends_at=begin + dt.timedelta(minutes=2, seconds=46),
            lines=4112,
            text="imuxsock lost 4112 messages from pid 612 due to rate-limiting",
            line_key=1,
        )
    )


def _greeting(name: str) -> list[tuple[str, str]]:
    capabilities = _EHLO.replace("mx1.example.net", name).split("|")
    answered = [("S", f"250{' ' if item == 'DSN' else '-'}{item}") for item in capabilities]
    return [
        ("S", f"220 {name} ESMTP Postfix"),
        ("C", "EHLO relay.example"),
        *answered,
        ("C", "STARTTLS"),
        ("S", "220 2.0.0 Ready to start TLS"),
        ("C", "EHLO relay.example"),
        *[line for line in answered if "STARTTLS" not in line[1]],
        ("C", "MAIL FROM:<max@own.example> SIZE=18655"),
    ]


def _message(
    session: Session, account_id: int, message_id: uuid.UUID, subject: str, at: dt.datetime, queue_id: str
) -> QueueFile:
    session.add(
        Message(
            id=message_id,
            account_id=account_id,
            login="max",
            credential_label="Thunderbird at home",
            submitted_at=at,
            envelope_sender="max@own.example",
            message_id_header="<7f3c@own.example>",
            subject=subject,
            size_bytes=18655,
            client_address="203.0.113.9",
            client_tls="TLSv1.3 TLS_AES_256_GCM_SHA384",
            recipient_count=1,
            signatures=[
                {"domain": "own.example", "selector": "sp2026a", "algorithm": "rsa-sha256"},
                {"domain": "relay.example", "selector": "sp1", "algorithm": "rsa-sha256"},
            ],
            pixel="inserted",
        )
    )
    queue_file = QueueFile(
        host="edge1",
        instance="postfix-sendproof",
        queue_id=queue_id,
        born_at=at - dt.timedelta(milliseconds=30),
        message_id=message_id,
        message_id_header="<7f3c@own.example>",
        envelope_sender="max@own.example",
        client="localhost[127.0.0.1]",
        login="max",
        size_bytes=18655,
        recipient_count=1,
        parent_queue_id=None,
        removed_at=None,
    )
    session.flush()
    session.add(queue_file)
    session.flush()
    return queue_file


def _recipient(
    session: Session,
    queue_file: QueueFile,
    address: str,
    state: RecipientState,
    at: dt.datetime,
    number: int | None = 1,
) -> Recipient:
    recipient = Recipient(
        queue_file_id=queue_file.id, address=address, final_address=None, number=number, state=state.value, state_at=at
    )
    session.add(recipient)
    session.flush()
    return recipient


def _delivery(
    session: Session,
    queue_file: QueueFile,
    at: dt.datetime,
    tls: str | None,
    dialogue: list[tuple[str, str]],
    troubles: list[Any] | None = None,
) -> Delivery:
    delivery = Delivery(
        queue_file_id=queue_file.id,
        service="smtp",
        pid=4711,
        began_at=at,
        tls=tls,
        dialogue=[[at.isoformat(), speaker, text] for speaker, text in dialogue],
        troubles=troubles or [],
    )
    session.add(delivery)
    session.flush()
    return delivery


def _attempt(
    session: Session,
    recipient: Recipient,
    delivery: Delivery | None,
    at: dt.datetime,
    status: str,
    dsn: str,
    text: str,
    relay: str = "mx1.example.net[192.0.2.25]:25",
    delay_seconds: float = 1.0,
    remote_queue_id: str | None = None,
) -> None:
    session.add(
        Attempt(
            recipient_id=recipient.id,
            delivery_id=delivery.id if delivery else None,
            attempted_at=at,
            service="smtp",
            status=status,
            dsn=dsn,
            relay=relay,
            delay_seconds=delay_seconds,
            delays_seconds=[0.04, 0.01, 0.32, 0.54] if relay != "none" else [0.04, 0.01, 0.2, 0],
            text=text,
            remote_queue_id=remote_queue_id,
        )
    )
    session.flush()


def _refusal(session: Session, account_id: int) -> None:
    session.add(
        Refusal(
            account_id=account_id,
            login="max",
            refused_at=SENT_AT - dt.timedelta(minutes=20),
            host="edge1",
            queue_id="4dDmRefused",
            envelope_sender="max@elsewhere.example",
            recipients=["anna@example.net"],
            subject="Quarterly figures",
            reason="foreign-sender",
            reply="550 5.7.1 <max@elsewhere.example> does not belong to your account: send with an address of your own "
            "domains",
        )
    )
