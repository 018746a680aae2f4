import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendproof_core.remote_reply import Cause, Fault, RemoteReply, read


def test_a_multi_line_reply_is_split_where_its_code_repeats() -> None:
    text = (
        "host gmail-smtp-in.l.google.com[2607:f8b0:400e:c04::1b] said: 550-5.7.1 [2001:db8::2      12] Our system has "
        "detected that this 550-5.7.1 message is likely unsolicited mail. 550 messages a day 550 5.7.1 are too many. "
        "qc12si8475009pab.211 - gsmtp (in reply to end of DATA command)"
    )
    assert read(text) == RemoteReply(
        "gmail-smtp-in.l.google.com",
        550,
        (
            "550-5.7.1 [2001:db8::2      12] Our system has detected that this",
            "550-5.7.1 message is likely unsolicited mail. 550 messages a day",
            "550 5.7.1 are too many. qc12si8475009pab.211 - gsmtp",
        ),
        "end of DATA command",
        Cause.BLOCKED,
        suspended=False,
        enhanced_code="5.7.1",
        fault=Fault.SENDER,
    )


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("250 2.0.0 Ok: not on any blacklist", Cause.ACCEPTED),
        (
            "host h[1.2.3.4] said: 450 4.2.0 <a@b>: Recipient address rejected: Greylisted, see http://x",
            Cause.GREYLISTED,
        ),
        ("host h[1.2.3.4] said: 451 4.7.1 Greylisting in action, please come back later", Cause.GREYLISTED),
        (
            "host h[1.2.3.4] said: 451 4.7.1 Please try again later (in reply to RCPT TO command)",
            Cause.PERHAPS_GREYLISTED,
        ),
        ("host h[1.2.3.4] said: 450 4.2.0 <a@b>: not now (in reply to RCPT TO command)", Cause.PERHAPS_GREYLISTED),
        (
            "host h[1.2.3.4] said: 450 4.7.1 Client host rejected: cannot find your hostname, [192.0.2.1]",
            Cause.OUR_NAME,
        ),
        ("host h[1.2.3.4] said: 451 4.7.1 too many messages, try again later", Cause.SLOWED_DOWN),
        ("host h[1.2.3.4] said: 452 4.2.2 The email account is over quota, try again", Cause.MAILBOX_FULL),
        ("host h[1.2.3.4] said: 550 5.1.1 <a@b>: Recipient address rejected: User unknown", Cause.UNKNOWN_USER),
        ("host h[1.2.3.4] said: 550 No such user here (in reply to RCPT TO command)", Cause.UNKNOWN_USER),
        ("host h[1.2.3.4] said: 450 4.1.1 <a@b>: unverified address: try again", Cause.OTHER),
        ("host h[1.2.3.4] said: 552 5.3.4 Message size exceeds fixed limit", Cause.TOO_LARGE),
        ("host h[1.2.3.4] refused to talk to me: 554 5.7.1 [192.0.2.1] listed by zen.spamhaus.org", Cause.BLOCKED),
        ("connect to h.example[2001:db8::1]:25: Connection timed out", Cause.UNREACHABLE),
        ("lost connection with h.example[192.0.2.1] while sending end of data", Cause.INTERRUPTED),
        (
            "conversation with h.example[192.0.2.1] timed out while receiving the initial server greeting",
            Cause.INTERRUPTED,
        ),
        (
            "Host or domain name not found. Name service error for name=x.example type=MX: Host not found, try again",
            Cause.NO_SUCH_DOMAIN,
        ),
        ("delivery temporarily suspended: connect to h.example[192.0.2.1]:25: Connection refused", Cause.UNREACHABLE),
        ("mail transport unavailable", Cause.OUR_TROUBLE),
        ("nobody knows these words", Cause.OTHER),
    ],
)
def test_a_cause_is_named_only_where_the_words_say_it(text: str, cause: Cause) -> None:
    assert read(text).cause is cause


def test_what_postfix_repeats_while_it_waits_is_no_attempt() -> None:
    assert read("delivery temporarily suspended: connect to h.example[192.0.2.1]:25: Connection refused").suspended
    assert not read("connect to h.example[192.0.2.1]:25: Connection refused").suspended


def test_a_reply_that_imitates_postfix_is_still_the_servers_words() -> None:
    reply = read(
        "host h[192.0.2.1] said: 550 5.7.1 (in reply to nothing) status=sent (250 ok) (in reply to MAIL FROM command)"
    )
    assert reply.lines == ("550 5.7.1 (in reply to nothing) status=sent (250 ok)",)
    assert reply.stage == "MAIL FROM command"


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    for candidate in (text, f"host h[192.0.2.1] said: {text}", f"550-{text}"):
        assert read(candidate).lines


def test_a_reply_that_was_read_is_not_read_again() -> None:
    text = "host h[192.0.2.1] said: 450 4.2.0 once"
    assert read(text) is read(text)
