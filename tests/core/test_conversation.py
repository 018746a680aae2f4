import dataclasses
import datetime as dt

from sendproof_core import conversation
from sendproof_core.transcripts import AttemptView, DialogueLine

AT = dt.datetime(2026, 11, 22, 13, 3, 6, tzinfo=dt.UTC)
LONG = (
    "450 4.2.0 <anna@example.net>: Recipient address rejected: Greylisted, see http://postgrey.example/help/example.net"
)


def attempt(*dialogue: str, reply: str = "250 2.0.0 Ok: queued as 4dDn", tls: str | None = None) -> AttemptView:
    lines = tuple(DialogueLine(AT, line.startswith("S"), line[2:]) for line in dialogue)
    return AttemptView(AT, "sent", "2.0.0", "mx[192.0.2.25]:25", 1.0, (), reply, None, tls, (), lines)


def spoken(view: AttemptView) -> list[str]:
    return [f"{line.speaker} {line.text}" for line in conversation.as_spoken(view, 1234)]


def test_a_reply_that_the_dialogue_cuts_is_completed_from_the_status_line() -> None:
    view = attempt(
        "C RCPT TO:<a@b>", f"S {LONG[:100]}", reply=f"host mx[192.0.2.25] said: {LONG} (in reply to RCPT TO command)"
    )
    assert spoken(view)[-1] == f"S {LONG}"


def test_each_line_of_a_long_refusal_is_completed_by_its_own() -> None:
    first, last = f"550-5.1.1 {'a' * 120}", f"550 5.1.1 {'b' * 120}"
    view = attempt(f"S {first[:100]}", f"S {last[:100]}", reply=f"host mx[192.0.2.25] said: {first} {last}")
    assert spoken(view) == [f"S {first}", f"S {last}"]


def test_a_short_reply_is_never_taken_for_a_cut_one() -> None:
    assert spoken(attempt("S 250 2.0.0 Ok", "S 250 2.0.0 Ok: queued as 4dDn")) == [
        "S 250 2.0.0 Ok",
        "S 250 2.0.0 Ok: queued as 4dDn",
    ]


def test_the_servers_capabilities_share_a_line_and_a_refusal_keeps_its_lines() -> None:
    view = attempt(
        "C EHLO relay.example", "S 250-mx", "S 250-PIPELINING", "S 250 DSN", "C MAIL FROM:<>", "S 550-no", "S 550 sorry"
    )
    assert spoken(view)[1:] == ["S 250-mx  250-PIPELINING  250 DSN", "C MAIL FROM:<>", "S 550-no", "S 550 sorry"]


def test_the_final_dot_stands_for_the_message() -> None:
    assert spoken(attempt("C MAIL FROM:<a@b> SIZE=18655", "C ."))[1] == "C (18,655 octets, then the final dot)"
    assert spoken(attempt("C ."))[0] == "C (1,234 octets, then the final dot)"


def test_the_tls_session_is_noted_where_it_began() -> None:
    view = attempt(
        "C STARTTLS", "S 220 2.0.0 Ready to start TLS", tls="Trusted TLS connection established to x: TLSv1.3"
    )
    assert conversation.as_spoken(view, 0)[-1].note == "TLSv1.3, certificate trusted"


def test_the_server_is_named_as_it_greets_else_as_dns_names_it() -> None:
    view = attempt("S 220-mx1.example.net ESMTP Postfix", "C EHLO relay.example", "S 220 2.0.0 Ready to start TLS")
    assert conversation.server_name(view) == "mx1.example.net"
    assert conversation.relay_words(view) == "mx1.example.net [192.0.2.25]:25"
    view = attempt("C MAIL FROM:<>", "S 220 2.0.0 Ready to start TLS")
    assert conversation.relay_words(view) == "mx [192.0.2.25]:25"
    assert conversation.relay_words(dataclasses.replace(view, relay="none")) is None
