import datetime as dt
import json

from sendproof_core.identity import QueueFileKey
from sendproof_logparser import grammar, syslog_line, transcript
from sendproof_logparser.grammar import IRRELEVANT, Irrelevant
from sendproof_logparser.transcript import Attempted, Change, Conversations, DeliveryState, QueueFileFacts

_NOW = dt.datetime(2026, 12, 31, tzinfo=dt.UTC)
_MX = "mx.example.net[192.0.2.1]:25"
_MX2 = "mx2.example.net[192.0.2.2]:25"


def _advance(
    conversations: Conversations, text: str, *, daemon: str = "smtp", pid: int = 7, at: str = "10:00:00"
) -> list[Change]:
    line = syslog_line.parse(f"Nov 22 {at} relay postfix/{daemon}[{pid}]: {text}", dt.UTC, _NOW)
    assert line is not None
    event = grammar.parse(daemon, line.text)
    assert event is not None
    return [] if isinstance(event, Irrelevant) else transcript.advance(conversations, line, event)


def _deliveries(*texts: str, daemon: str = "smtp") -> list[DeliveryState]:
    """The deliveries that come out of one process's lines, each as it is at the end."""
    conversations = Conversations()
    changes = [change for text in texts for change in _advance(conversations, text, daemon=daemon)]
    changes += conversations.finish_batch()[0]
    last = {change.delivery: change for change in changes if isinstance(change, DeliveryState)}
    used = {change.delivery for change in changes if isinstance(change, Attempted)} - {None}
    assert used == set(last)
    return list(last.values())


def _spoken(delivery: DeliveryState) -> list[str]:
    return [f"{speaker} {text}" for _, speaker, text in delivery.dialogue]


def _status(
    queue_id: str = "4F5C64474F", *, to: str = "a@example.net", relay: str = _MX, status: str = "sent (250 ok)"
) -> str:
    return f"{queue_id}: to=<{to}>, relay={relay}, delay=1, delays=0/0/0/1, dsn=2.0.0, status={status}"


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
    assert [text for _, text in delivery.troubles] == [
        "connect to mx1.example.net[192.0.2.8]:25: Connection refused",
        f"host {_MX[:-3]} said: 450 later (in reply to RCPT TO command)",
    ]
    assert _spoken(delivery) == ["S 220 mx2"]


def test_a_recipient_who_goes_on_to_the_next_server_takes_the_refusal_along() -> None:
    first, second = _deliveries(
        f"< {_MX}: 220 mx", "4F5C64474F: host mx said: 450 later", _status(), f"< {_MX2}: 220 mx2",
        _status(to="b@example.net", relay=_MX2),
    )  # fmt: skip
    assert [text for _, text in second.troubles] == ["host mx said: 450 later"] == [text for _, text in first.troubles]


def test_troubles_of_one_queue_file_are_not_anothers() -> None:
    _, second = _deliveries(
        f"< {_MX}: 220 mx", _status(), "4F5C64474F: lost connection with mx while sending QUIT", f"< {_MX}: 220 mx",
        _status("5F5C64474F"),
    )  # fmt: skip
    assert second.troubles == ()


def test_without_any_connection_there_is_no_delivery() -> None:
    assert _deliveries(_status(relay="none", status="bounced (Host not found)")) == []
    assert _deliveries(_status(), daemon="local") == []


def test_without_dialogue_lines_tls_lines_mark_the_deliveries() -> None:
    tls = f"Untrusted TLS connection established to {_MX}: TLSv1.3"
    first, second = _deliveries(tls, _status(), tls, _status("5F5C64474F"))
    assert (first.tls, second.tls, first.key.queue_id, second.key.queue_id) == (tls, tls, "4F5C64474F", "5F5C64474F")


def test_processes_do_not_mix() -> None:
    conversations = Conversations()
    _advance(conversations, f"< {_MX}: 220 one", pid=1)
    _advance(conversations, f"< {_MX2}: 220 two", pid=2)
    state, _ = _advance(conversations, _status(), pid=1)
    assert isinstance(state, DeliveryState)
    assert _spoken(state) == ["S 220 one"]


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
    before, after = Conversations(), Conversations()
    _advance(before, f"< {_MX}: 220 mx")
    _advance(before, f"> {_MX}: AUTH LOGIN")
    for process, saved in before.finish_batch()[1].items():
        assert saved is not None
        after.restore(process, json.loads(json.dumps(saved)))
    _advance(after, f"> {_MX}: c2VjcmV0")
    state, _ = _advance(after, _status())
    assert isinstance(state, DeliveryState)
    assert _spoken(state) == ["S 220 mx", "C AUTH LOGIN [hidden]", "C [hidden]"]


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


def test_an_address_probe_is_no_attempt() -> None:
    assert _advance(Conversations(), _status(status="deliverable (250 ok)")) == []


def test_a_notification_names_its_parent() -> None:
    changes = _advance(Conversations(), "4F5C64474F: sender non-delivery notification: 5F5C64474F", daemon="bounce")
    at = dt.datetime(2026, 11, 22, 10, 0, tzinfo=dt.UTC)
    key = QueueFileKey("relay", "postfix", "5F5C64474F")
    assert changes == [QueueFileFacts(key, at, begins=False, parent_queue_id="4F5C64474F")]


def test_irrelevant_lines_are_no_events() -> None:
    assert grammar.parse("smtp", "smtp_stream_setup: maxtime=300") is IRRELEVANT
