import datetime as dt
import json
from typing import NamedTuple

import pytest

from sendproof_logparser import grammar, syslog_line, transcript
from sendproof_logparser.events import IRRELEVANT, ClientSeen, Irrelevant, NotificationSent, SubmissionRefused
from sendproof_logparser.process import Process
from sendproof_logparser.transcript import Conversation, Conversations, Fact

_NOW = dt.datetime(2026, 12, 31, tzinfo=dt.UTC)
_MX = "mx.example.net[192.0.2.1]:25"
_MX2 = "mx2.example.net[192.0.2.2]:25"


class _Delivery(NamedTuple):
    """What a batch says of one delivery."""

    process: Process
    queue_id: str
    tls: str | None
    dialogue: list[tuple[str, str, str]]
    troubles: list[str]


def _advance(
    conversations: Conversations, text: str, *, daemon: str = "smtp", pid: int = 7, at: str = "10:00:00"
) -> list[Fact]:
    """What one line says; ``daemon``: as it is tagged, also ``submission/smtpd``."""
    line = syslog_line.parse(f"Nov 22 {at} relay postfix/{daemon}[{pid}]: {text}", dt.UTC, _NOW)
    assert line is not None
    known = grammar.instance_and_daemon(line.program)
    assert known is not None
    event = grammar.parse(known[1], line.text)
    assert event is not None
    facts: list[Fact] = []
    if not isinstance(event, Irrelevant):
        process = Process(line.host, line.program, line.pid or 0, *known)
        handler = transcript.HANDLERS.get(type(event))
        if handler is None:
            facts.append((0, line.at, process, event, None))
        else:
            handler(conversations, 0, line.at, process, event, facts)
    return facts


def _of(facts: list[Fact]) -> Conversation:
    """The delivery that a status line came out of."""
    ((_, _, _, _, delivery),) = facts
    assert delivery is not None
    return delivery


def _deliveries(*texts: str, daemon: str = "smtp") -> list[_Delivery]:
    """The deliveries that come out of one process's lines, each as it is at the end of the batch."""
    conversations = Conversations()
    facts = [fact for text in texts for fact in _advance(conversations, text, daemon=daemon)]
    grown, _ = conversations.finish_batch()
    used = dict.fromkeys(delivery for *_, delivery in facts if delivery is not None)
    assert set(used) <= set(grown)
    return [
        _Delivery(one.process, one.queue_id, one.tls, one.dialogue, [text for _, text, _ in one.troubles])
        for one in used
    ]


def _spoken(delivery: _Delivery | Conversation) -> list[str]:
    return [f"{speaker} {text}" for _, speaker, text in delivery.dialogue]


def _status(
    queue_id: str = "4F5C64474F", *, to: str = "a@example.net", relay: str = _MX, status: str = "sent (250 ok)"
) -> str:
    return f"{queue_id}: to=<{to}>, relay={relay}, delay=1, delays=0/0/0/1, dsn=2.0.0, status={status}"


def _restarted(conversations: Conversations, row_id: int | None = None) -> Conversations:
    """What a reader knows that begins where the last one ended: what it kept, as JSON."""
    after = Conversations()
    for process, state in conversations.finish_batch()[1].items():
        if state is not None:
            plain = state.to_plain() if isinstance(state, Conversation) else state
            after.restore(process, json.loads(json.dumps(plain)), row_id)
    return after


def test_status_lines_in_the_middle_and_at_the_end_share_the_conversation() -> None:
    (delivery,) = _deliveries(
        f"< {_MX}: 220 mx", f"> {_MX}: MAIL FROM:<m@own.example>", _status(to="b@example.net", status="bounced (no)"),
        f"> {_MX}: QUIT", f"< {_MX}: 250 queued", _status(), f"< {_MX}: 221 bye",
    )  # fmt: skip
    assert _spoken(delivery) == ["S 220 mx", "C MAIL FROM:<m@own.example>", "C QUIT", "S 250 queued", "S 221 bye"]


def test_a_greeting_begins_the_next_delivery() -> None:
    first, second = _deliveries(
        f"< {_MX}: 220-mx", f"< {_MX}: 220 mx", f"> {_MX}: QUIT", _status(),
        f"< {_MX}: 220 mx again", f"> {_MX}: QUIT", _status(),
    )  # fmt: skip
    assert _spoken(first) == ["S 220-mx", "S 220 mx", "C QUIT"]
    assert _spoken(second) == ["S 220 mx again", "C QUIT"]


def test_starttls_is_not_answered_by_a_greeting() -> None:
    (delivery,) = _deliveries(
        f"< {_MX}: 220 mx", f"> {_MX}: STARTTLS", f"< {_MX}: 220 2.0.0 Ready to start TLS",
        f"Trusted TLS connection established to {_MX}: TLSv1.3 with cipher X", f"> {_MX}: EHLO relay", _status(),
    )  # fmt: skip
    assert _spoken(delivery)[-1] == "C EHLO relay"
    assert delivery.tls == f"Trusted TLS connection established to {_MX}: TLSv1.3 with cipher X"


def test_a_refusing_greeting_after_quit_begins_the_next_delivery() -> None:
    first, second = _deliveries(
        f"< {_MX}: 220 mx", f"> {_MX}: .", f"> {_MX}: QUIT", f"< {_MX}: 550 no", _status(status="bounced (no)"),
        f"< {_MX}: 554 go away", _status("5F5C64474F", status="deferred (go away)"),
    )  # fmt: skip
    assert _spoken(first) == ["S 220 mx", "C .", "C QUIT", "S 550 no"]
    assert _spoken(second) == ["S 554 go away"]


def test_on_a_reused_connection_mail_from_begins_the_next_delivery() -> None:
    first, second = _deliveries(
        f"< {_MX}: 220 mx", f"Trusted TLS connection established to {_MX}: TLSv1.3",
        f"> {_MX}: MAIL FROM:<1@own.example>",
        _status(), f"> {_MX}: RSET", f"< {_MX}: 250 ok",
        f"> {_MX}: XFORWARD IDENT=x", f"> {_MX}: MAIL FROM:<2@own.example>", _status("5F5C64474F"),
    )  # fmt: skip
    assert _spoken(first)[-2:] == ["C RSET", "S 250 ok"]
    assert _spoken(second) == ["C XFORWARD IDENT=x", "C MAIL FROM:<2@own.example>"]
    assert first.tls == second.tls is not None


def test_failures_before_a_conversation_are_its_troubles() -> None:
    (delivery,) = _deliveries(
        "connect to mx1.example.net[192.0.2.8]:25: Connection refused",
        f"< {_MX}: 220 mx", f"4F5C64474F: host {_MX[:-3]} said: 450 later (in reply to RCPT TO command)",
        f"> {_MX}: QUIT",
        f"< {_MX2}: 220 mx2", _status(relay=_MX2),
    )  # fmt: skip
    assert delivery.troubles == [
        "connect to mx1.example.net[192.0.2.8]:25: Connection refused",
        f"host {_MX[:-3]} said: 450 later (in reply to RCPT TO command)",
    ]
    assert _spoken(delivery) == ["S 220 mx2"]


def test_a_recipient_who_goes_on_to_the_next_server_takes_the_refusal_along() -> None:
    first, second = _deliveries(
        f"< {_MX}: 220 mx", "4F5C64474F: host mx said: 450 later", _status(), f"< {_MX2}: 220 mx2",
        _status(to="b@example.net", relay=_MX2),
    )  # fmt: skip
    assert second.troubles == ["host mx said: 450 later"] == first.troubles


def test_troubles_of_one_queue_file_are_not_anothers() -> None:
    _, second = _deliveries(
        f"< {_MX}: 220 mx", _status(), "4F5C64474F: lost connection with mx while sending QUIT", f"< {_MX}: 220 mx",
        _status("5F5C64474F"),
    )  # fmt: skip
    assert second.troubles == []


def test_without_any_connection_there_is_no_delivery() -> None:
    assert _deliveries(_status(relay="none", status="bounced (Host not found)")) == []
    assert _deliveries(_status(), daemon="local") == []


def test_without_dialogue_lines_tls_lines_mark_the_deliveries() -> None:
    tls = f"Untrusted TLS connection established to {_MX}: TLSv1.3"
    first, second = _deliveries(tls, _status(), tls, _status("5F5C64474F"))
    assert (first.tls, second.tls, first.queue_id, second.queue_id) == (tls, tls, "4F5C64474F", "5F5C64474F")


def test_processes_do_not_mix() -> None:
    conversations = Conversations()
    _advance(conversations, f"< {_MX}: 220 one", pid=1)
    _advance(conversations, f"< {_MX2}: 220 two", pid=2)
    assert _spoken(_of(_advance(conversations, _status(), pid=1))) == ["S 220 one"]


def test_what_authenticates_is_hidden() -> None:
    (delivery,) = _deliveries(
        f"< {_MX}: 220 mx", f"> {_MX}: AUTH PLAIN AGEAYg==", f"< {_MX}: 535 5.7.8 no", f"> {_MX}: AUTH LOGIN",
        f"< {_MX}: 334 VXNlcm5hbWU6", f"> {_MX}: bWF4", f"< {_MX}: 334 UGFzc3dvcmQ6", f"> {_MX}: QUIT",
        f"< {_MX}: 235 2.7.0 ok", f"> {_MX}: c2VjcmV0", f"> {_MX}: MAIL FROM:<m@own.example>", _status(),
    )  # fmt: skip
    assert _spoken(delivery) == [
        "S 220 mx", "C AUTH PLAIN [hidden]", "S 535 5.7.8 no", "C AUTH LOGIN [hidden]", "S 334 [hidden]", "C [hidden]",
        "S 334 [hidden]", "C [hidden]", "S 235 2.7.0 ok", "C [hidden]", "C MAIL FROM:<m@own.example>",
    ]  # fmt: skip


def test_a_conversation_goes_on_after_a_restart() -> None:
    before = Conversations()
    _advance(before, f"< {_MX}: 220 mx")
    _advance(before, f"> {_MX}: AUTH LOGIN")
    after = _restarted(before)
    _advance(after, f"> {_MX}: c2VjcmV0")
    assert _spoken(_of(_advance(after, _status()))) == ["S 220 mx", "C AUTH LOGIN [hidden]", "C [hidden]"]


def test_a_stored_delivery_is_the_same_one_after_a_restart() -> None:
    before = Conversations()
    for text in ("connect to mx0[192.0.2.9]:25: Connection refused", f"< {_MX}: 220 mx", _status()):
        _advance(before, text)
    after = _restarted(before, row_id=17)
    _advance(after, f"> {_MX}: QUIT")
    delivery = _of(_advance(after, _status(to="b@example.net")))
    (grown,) = after.finish_batch()[0]
    assert grown is delivery
    assert (delivery.row_id, _spoken(delivery)) == (17, ["S 220 mx", "C QUIT"])
    assert [text for _, text, _ in delivery.troubles] == ["connect to mx0[192.0.2.9]:25: Connection refused"]


def test_what_an_older_version_kept_of_a_conversation_is_understood() -> None:
    """An upgrade comes while mail is under way."""
    kept = {
        "number": 1, "began_at": "2026-11-22T10:00:00+00:00", "changed_at": "2026-11-22T10:00:00+00:00", "peer": _MX,
        "tls": None, "dialogue": [["2026-11-22T10:00:00+00:00", "S", "220 mx"]],
        "troubles": [["2026-11-22T10:00:00+00:00", "connect to mx0[192.0.2.9]:25: Connection refused", ""]],
        "queue_id": "4F5C64474F", "relay": _MX, "last_verb": "", "mail_from_seen": False, "authenticating": False,
        "unanswered": 0, "reply_continues": False, "is_delivery": True, "unreported": False,
    }  # fmt: skip
    conversations = Conversations()
    conversations.restore(Process("relay", "postfix/smtp", 7, "postfix", "smtp"), kept, 17)
    delivery = _of(_advance(conversations, _status(to="b@example.net")))
    assert (delivery.row_id, _spoken(delivery), len(delivery.troubles)) == (17, ["S 220 mx"], 1)


def test_a_delivery_is_said_to_have_grown_when_it_has() -> None:
    conversations = Conversations()
    for text in (f"< {_MX}: 220 mx", _status()):
        _advance(conversations, text)
    assert len(conversations.finish_batch()[0]) == 1
    assert conversations.finish_batch() == ([], {})
    _advance(conversations, _status(to="b@example.net"))
    assert conversations.finish_batch()[0] == []
    _advance(conversations, f"> {_MX}: QUIT")
    _advance(conversations, f"< {_MX}: 220 mx again")
    (grown,) = conversations.finish_batch()[0]
    assert _spoken(grown) == ["S 220 mx", "C QUIT"]


def test_idle_processes_are_forgotten() -> None:
    conversations = Conversations()
    _advance(conversations, f"< {_MX}: 220 mx", pid=1)
    _advance(conversations, f"< {_MX}: 220 mx", pid=2, at="11:00:01")
    saved = conversations.finish_batch()[1]
    assert [state is None for _, state in sorted(saved.items())] == [True, False]
    assert len(conversations) == 1


def test_a_dialogue_without_end_is_cut() -> None:
    (delivery,) = _deliveries(*[f"< {_MX}: 220-more"] * 3000, _status())
    assert len(delivery.dialogue) == 2000


def test_a_trouble_that_stands_twice_in_the_log_is_one() -> None:
    (delivery,) = _deliveries(*["connect to mx0[192.0.2.9]:25: Connection refused"] * 2, _status())
    assert delivery.troubles == ["connect to mx0[192.0.2.9]:25: Connection refused"]


def test_troubles_without_end_are_cut() -> None:
    (delivery,) = _deliveries(*(f"connect to mx{n}[192.0.2.9]:25: Connection refused" for n in range(200)), _status())
    assert len(delivery.troubles) == 100


@pytest.mark.parametrize("status", ["deliverable", "undeliverable", "undeliverable-but-not-cached"])
def test_an_address_probe_is_no_attempt(status: str) -> None:
    assert _advance(Conversations(), _status(status=f"{status} (250 ok)")) == []


def test_a_notification_names_its_parent() -> None:
    facts = _advance(Conversations(), "4F5C64474F: sender non-delivery notification: 5F5C64474F", daemon="bounce")
    process = Process("relay", "postfix/bounce", 7, "postfix", "bounce")
    event = NotificationSent("4F5C64474F", "5F5C64474F", "non-delivery")
    assert facts == [(0, dt.datetime(2026, 11, 22, 10, 0, tzinfo=dt.UTC), process, event, None)]


def test_irrelevant_lines_are_no_events() -> None:
    assert grammar.parse("smtp", "smtp_stream_setup: maxtime=300") is IRRELEVANT


# --- whose client an smtpd process has ---


_SIGNED_IN = "4F5C64474F: client=unknown[203.0.113.9], sasl_method=PLAIN, sasl_username=max"
_REFUSED = (
    "{}: reject: RCPT from unknown[203.0.113.9]: 550 5.7.1 no; from=<max@own.example> to=<a@example.net> proto=ESMTP"
    " helo=<laptop>"
)
_GONE = "disconnect from unknown[203.0.113.9] ehlo=1 quit=1 commands=2"


def _login(facts: list[Fact]) -> str | None:
    ((_, _, _, event, _),) = facts
    assert isinstance(event, SubmissionRefused)
    return event.login


def test_a_refusal_has_the_login_that_the_same_client_signed_in_with() -> None:
    conversations = Conversations()
    (seen,) = _advance(conversations, _SIGNED_IN, daemon="smtpd")
    assert isinstance(seen[3], ClientSeen)
    refused = _advance(conversations, _REFUSED.format("NOQUEUE"), daemon="smtpd")
    assert _login(refused) == "max"
    # A HELO name can hold words that look like a login: what the process said before is better evidence.
    named = _REFUSED.format("NOQUEUE") + " sasl_username=<eva>"
    assert _login(_advance(conversations, named, daemon="smtpd")) == "max"
    assert _login(_advance(Conversations(), named, daemon="smtpd")) == "eva"


def test_a_client_of_whom_no_queue_file_is_made_has_a_login_too() -> None:
    """A before-queue filter has the message."""
    conversations = Conversations()
    before = "NOQUEUE: client=unknown[203.0.113.9], sasl_method=PLAIN, sasl_username=max"
    assert _advance(conversations, before, daemon="smtpd") == []
    assert _login(_advance(conversations, _REFUSED.format("NOQUEUE"), daemon="smtpd")) == "max"


@pytest.mark.parametrize("changes", [{"pid": 8}, {"daemon": "submissions/smtpd"}])
def test_a_login_is_not_another_process_s(changes: dict[str, object]) -> None:
    conversations = Conversations()
    _advance(conversations, _SIGNED_IN, daemon="submission/smtpd")
    options = {"daemon": "submission/smtpd", **changes}
    assert _login(_advance(conversations, _REFUSED.format("NOQUEUE"), **options)) is None  # type: ignore[arg-type] # pid or daemon


def test_a_login_is_forgotten_when_its_client_leaves() -> None:
    conversations = Conversations()
    _advance(conversations, _SIGNED_IN, daemon="submission/smtpd")
    assert list(conversations.finish_batch()[1].values()) == [
        {"login": "max", "changed_at": "2026-11-22T10:00:00+00:00"}
    ]
    assert _advance(conversations, _GONE, daemon="submission/smtpd") == []
    assert _login(_advance(conversations, _REFUSED.format("NOQUEUE"), daemon="submission/smtpd")) is None
    assert list(conversations.finish_batch()[1].values()) == [None]


def test_a_login_is_known_after_a_restart() -> None:
    before = Conversations()
    _advance(before, _SIGNED_IN, daemon="smtpd")
    after = _restarted(before)
    assert _login(_advance(after, _REFUSED.format("NOQUEUE"), daemon="smtpd")) == "max"
    assert len(after) == 0  # no SMTP process of ours is in mid-conversation


def test_a_login_of_long_ago_is_forgotten() -> None:
    """Its smtpd process was killed: nobody said that the client left."""
    conversations = Conversations()
    _advance(conversations, _SIGNED_IN, daemon="submission/smtpd")
    conversations.finish_batch()
    _advance(conversations, f"< {_MX}: 220 mx", at="11:00:01")
    states = conversations.finish_batch()[1]
    assert [state for process, state in states.items() if process.daemon == "smtpd"] == [None]
    assert _login(_advance(conversations, _REFUSED.format("NOQUEUE"), daemon="submission/smtpd")) is None


@pytest.mark.parametrize(
    ("text", "daemon", "counts"),
    [
        # spam from outside: of no customer
        (_REFUSED.format("NOQUEUE"), "smtpd", False),
        (_REFUSED.format("NOQUEUE"), "submission/smtpd", True),
        (_REFUSED.format("NOQUEUE") + " sasl_username=<max>", "smtpd", True),
        ("4F5C64474F: milter-reject: END-OF-MESSAGE from x[192.0.2.9]: 5.7.1 no; from=<a@b> to=<c@d> proto=ESMTP"
         " helo=<x>", "cleanup", True),
    ],
)  # fmt: skip
def test_refusals_count_that_are_a_customer_s_or_may_be(text: str, daemon: str, counts: bool) -> None:
    assert len(_advance(Conversations(), text, daemon=daemon)) == counts
