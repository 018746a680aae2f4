import dataclasses
import datetime as dt
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sendproof_core import transcript_json
from sendproof_core.addresses import address_key
from sendproof_core.links import LinkKind
from sendproof_core.queue_times import QueueTimes
from sendproof_core.redaction import ANOTHER, for_recipient
from sendproof_core.states import RecipientState
from sendproof_core.transcript_story import tell_all
from sendproof_core.transcript_text import render
from sendproof_core.transcripts import (
    AttemptView,
    GapView,
    HopView,
    OpenView,
    RecipientView,
    Transcript,
)
from sendproof_testing.transcript_values import AT, MESSAGE, SENDER, attempt, said


def recipient(address: str, *attempts: AttemptView, leads_to: str | None = None) -> RecipientView:
    opens = (OpenView(AT, "person", "Thunderbird", shared=False),)
    return RecipientView(1, address, leads_to, RecipientState.DELIVERED, AT, attempts, opens)


def texts(found: Transcript, key: str) -> str:
    """Everything that somebody who follows a link can read."""
    redacted = for_recipient(found, key)
    stories = tell_all(redacted, QueueTimes(), dt.UTC, AT, to_outsider=True)
    shown = [render(story, width=200_000, whole=True, to_outsider=True) for story in stories]
    shown += [repr(stories), repr(redacted)]
    shown.append(json.dumps(transcript_json.hand_over(redacted, QueueTimes(), AT), ensure_ascii=False))
    return "\n".join(shown)


def dialogue_of(found: Transcript, key: str) -> list[str]:
    (view,) = for_recipient(found, key).recipients
    return [("S " if line.from_server else "C ") + line.text for line in view.attempts[0].dialogue]


def test_other_recipients_lines_and_the_replies_to_them_are_left_out_and_marked_once() -> None:
    spoken = said(
        "S 220 mx.x.example ESMTP", "C MAIL FROM:<max@own.example>", "C RCPT TO:<ben@x.example>",
        "C RCPT TO:<carl@x.example>", "C RCPT TO:<anna@x.example>", "C RCPT TO:<dora@x.example>", "C DATA",
        "S 250 2.1.0 Ok", "S 550-5.1.1 no such user", "S 550 5.1.1 look it up", "S 250 2.1.5 Ok ",
        "S 250 2.1.5 for anna", "S 452 4.2.2 full", "S 354 Go ahead", "C .", "C QUIT",
        "S 250 Ok: queued as 4Xy for <anna@x.example>,<dora@x.example>",
    )  # fmt: skip
    shared = attempt(spoken)
    found = Transcript(
        MESSAGE, tuple(recipient(f"{name}@x.example", shared) for name in ("ben", "carl", "anna", "dora"))
    )
    assert dialogue_of(found, "anna@x.example") == [
        "S 220 mx.x.example ESMTP", "C MAIL FROM:<max@own.example>", f"C {ANOTHER}", "C RCPT TO:<anna@x.example>",
        f"C {ANOTHER}", "C DATA", "S 250 2.1.0 Ok", f"S {ANOTHER}", "S 250 2.1.5 for anna", f"S {ANOTHER}",
        "S 354 Go ahead", "C .", "C QUIT", f"S 250 Ok: queued as 4Xy for <anna@x.example>,<{ANOTHER}>",
    ]  # fmt: skip


def test_where_lines_are_missing_only_what_names_the_recipient_stays() -> None:
    spoken = said(
        "C MAIL FROM:<max@own.example>", "C RCPT TO:<ben@x.example>", "C RCPT TO:<anna@x.example>", "C DATA",
        "S 550 5.1.1 this is about ben", "S 250 2.1.5 <anna@x.example> Ok", "S 354 Go ahead", "C .", "S 250 Ok",
    )  # fmt: skip
    found = Transcript(MESSAGE, (recipient("ben@x.example"), recipient("anna@x.example", attempt(spoken))))
    shown = dialogue_of(found, "anna@x.example")
    assert "S 250 2.1.5 <anna@x.example> Ok" in shown
    assert not any("about ben" in line for line in shown)


def test_alone_nothing_is_hidden_also_where_lines_are_missing() -> None:
    spoken = said("C RCPT TO:<anna@x.example>", "S 250 Ok", "C DATA")
    found = Transcript(MESSAGE, (recipient("anna@x.example", attempt(spoken)),))
    assert dialogue_of(found, "anna@x.example") == ["C RCPT TO:<anna@x.example>", "S 250 Ok", "C DATA"]


def test_a_recipient_that_the_record_does_not_know_is_hidden_as_well() -> None:
    spoken = said("C RCPT TO:<anna@x.example>", "C RCPT TO:<bcc@secret.example>", "S 250 Ok", "S 250 Ok", "C QUIT")
    found = Transcript(MESSAGE, (recipient("anna@x.example", attempt(spoken)),))
    assert "secret" not in "".join(dialogue_of(found, "anna@x.example"))


def test_nothing_of_the_account_is_told() -> None:
    spoken = said(
        "C XFORWARD NAME=pc ADDR=203.0.113.9 IDENT=4dDm", "S 250 Ok", "C RCPT TO:<anna@x.example>", "S 250 Ok"
    )
    refused = attempt(spoken, "550 5.7.1 203.0.113.9 is listed", status="bounced")
    shown = texts(Transcript(MESSAGE, (recipient("anna@x.example", refused),)), "anna@x.example")
    for secret in ("login-of-max", "Thunderbird", "203.0.113.9", "person", "8-bit", "opened alert", "you sent"):
        assert secret not in shown, secret
    assert "account_id=None" in shown


def test_an_alias_that_leads_to_several_is_one_recipient() -> None:
    found = Transcript(
        MESSAGE,
        (
            recipient("team@own.example", attempt(), leads_to="zoe@x.example"),
            recipient("team@own.example", attempt(), leads_to="ben@y.example"),
            recipient("ben@y.example", attempt(reply="250 Ok <carl@z.example>")),
            recipient("carl@z.example", attempt(reply="250 Ok ben@y.example zoe@x.example")),
        ),
    )
    team = for_recipient(found, "team@own.example")
    assert [view.final_address for view in team.recipients] == ["zoe@x.example", "ben@y.example"]
    assert "carl" not in texts(found, "team@own.example")
    shown = texts(found, "carl@z.example")
    assert "zoe" not in shown
    assert "ben" not in shown
    assert "team" not in shown
    # Who was written to directly is not shown what somebody else's alias leads to.
    assert len(for_recipient(found, "ben@y.example").recipients) == 1


def test_there_may_be_no_such_recipient() -> None:
    assert for_recipient(Transcript(MESSAGE, (recipient("a@x.example"),)), "b@x.example").recipients == ()


def test_the_sender_who_is_a_recipient_too_is_still_the_sender() -> None:
    spoken = said(
        "C MAIL FROM:<max@own.example>", "S 250 Ok", "C RCPT TO:<max@own.example>", "S 250 2.1.5 the copy to himself"
    )
    found = Transcript(MESSAGE, (recipient(SENDER), recipient("anna@x.example", attempt(spoken))))
    assert dialogue_of(found, "anna@x.example") == [
        "C MAIL FROM:<max@own.example>",
        "S 250 Ok",
        f"C {ANOTHER}",
        f"S {ANOTHER}",
    ]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("550 <BEN@X.Example> unknown", f"550 <{ANOTHER}> unknown"),
        ("250 to=ben@x.example, anna@x.example", f"250 to={ANOTHER}, anna@x.example"),
        ("550 <ben> unknown", f"550 <{ANOTHER}> unknown"),
        ("550 <ben@inside.x.example>... no", f"550 <{ANOTHER}>... no"),
        ('550 "ben"@x.example', f"550 {ANOTHER}"),
        ("250 bigben@x.example", f"250 big{ANOTHER}"),
        ("250 queued for anna@x.example, ben@x.exa", f"250 queued for anna@x.example, {ANOTHER}"),
        ("250 jörg@xn--mnchen-3ya.example", f"250 {ANOTHER}"),
        ("250 queued for anna@x.example", "250 queued for anna@x.example"),
        ("250 benefit", "250 benefit"),
    ],
)
def test_a_mention_is_hidden_in_any_spelling_and_nothing_else(text: str, left: str) -> None:
    others = (recipient("ben@x.example"), recipient("jörg@münchen.example"))
    found = Transcript(MESSAGE, (*others, recipient("anna@x.example", attempt(reply=text))))
    (view,) = for_recipient(found, "anna@x.example").recipients
    assert view.attempts[0].reply == left


def test_a_reason_that_may_be_about_somebody_else_is_left_out() -> None:
    of_another = "host mx.x.example[192.0.2.25] said: 450 come back (in reply to RCPT TO command)"
    of_all = "connect to mx.x.example[192.0.2.25]:25: Connection refused"
    view = recipient("anna@x.example", attempt(troubles=(of_another, of_all)))
    view = dataclasses.replace(view, suspended_because=of_another)
    (kept,) = for_recipient(Transcript(MESSAGE, (view, recipient("ben@x.example"))), "anna@x.example").recipients
    assert kept.attempts[0].troubles == (ANOTHER, of_all)
    assert kept.suspended_because == ANOTHER
    (alone,) = for_recipient(Transcript(MESSAGE, (view,)), "anna@x.example").recipients
    assert alone.attempts[0].troubles == (of_another, of_all)


# --- whatever servers say -------------------------------------------------------------------------------------------

LOCALS = st.sampled_from(["anna", "ben", "b", "ben.b", "max+tag", "O'Hara", '"a b"', "ANNA", "jörg", "root", "x" * 64])
DOMAINS = st.sampled_from(["x.example", "y.example", "X.Example", "münchen.example", "xx.example", "x.example.org"])
ADDRESSES = st.builds(lambda local, domain: f"{local}@{domain}", LOCALS, DOMAINS)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Transcript, str, str]:
    """A message to several in one conversation; whom to show; a mark that stands in the replies to others."""
    addresses = draw(st.lists(ADDRESSES, min_size=1, max_size=5, unique_by=address_key))
    shown = draw(st.sampled_from(addresses))

    def mention(among: list[str] = addresses) -> str:
        address = draw(st.sampled_from(among))
        form = draw(st.sampled_from(["{}", "<{}>", "to={},", "x{}y", "'{}'", ""]))
        return form.format(draw(st.sampled_from([address, address.upper(), address.casefold()])))

    def reply(code: str, words: str, among: list[str] = addresses) -> list[str]:
        more = [f"S {code}-{words} {mention(among)}" for _ in range(draw(st.integers(0, 2)))]
        return [*more, f"S {code} {words} {mention(among)}"[: draw(st.sampled_from([102, 400]))]]

    commands = [f"C RCPT TO:<{address}>" for address in addresses]
    # No server answers RCPT TO for one by naming another that it was asked for.
    answers = [
        reply(draw(st.sampled_from(["250", "450", "550"])), "hello" if one == shown else "HIDDEN-MARK", [one])
        for one in addresses
    ]
    lines = [*reply("220", "mx.x.example"), "C EHLO relay.example", *reply("250", "mx"), f"C MAIL FROM:<{SENDER}>"]
    if draw(st.booleans()):
        lines += [*commands, "C DATA", *reply("250", "Ok"), *[line for one in answers for line in one]]
    else:
        lines += reply("250", "Ok")
        for command, answer in zip(commands, answers, strict=True):
            lines += [command, *answer]
        lines.append("C DATA")
    lines += [*reply("354", "Go"), "C .", "C QUIT", *reply("250", "Ok: queued as 4Xy"), *reply("221", "Bye")]
    if draw(st.booleans()):
        del lines[draw(st.integers(0, len(lines) - 1))]
    shared = attempt(said(*lines))
    views = []
    for address in addresses:
        leads_to = draw(st.sampled_from([None, None, "someone@else.example"])) if address != shown else None
        troubles = (
            (f"host mx said: 450 {mention()} HIDDEN-MARK (in reply to RCPT TO command)",) if address != shown else ()
        )
        own = dataclasses.replace(
            shared, reply=f"250 Ok {mention()}", troubles=(mention(), *troubles), relay=mention(), host=mention()
        )
        view = recipient(address, own, leads_to=leads_to)
        hop = HopView(AT, LinkKind.FILTER, "4dDm", "4dDn", None, "", mention(), mention())
        views.append(dataclasses.replace(view, suspended_because=mention(), suspended_at=AT, hops=(hop,)))
    gap = GapView("edge1", "mail.log", None, AT, 1, mention())
    message = dataclasses.replace(MESSAGE, subject=mention(), message_id_header=mention(), gaps=(gap,))
    return Transcript(message, tuple(views)), shown, "HIDDEN-MARK"


@settings(deadline=None)
@given(conversations())
def test_no_address_of_another_recipient_is_anywhere(drawn: tuple[Transcript, str, str]) -> None:
    found, shown, mark = drawn
    text = texts(found, address_key(shown)).casefold()
    own = {address_key(shown), SENDER, shown.casefold()}
    # What stays may hold a shorter one in itself.
    text = re.sub("|".join(sorted(map(re.escape, own), key=len, reverse=True)), "", text)
    for view in found.recipients:
        for other in (view.address, view.final_address):
            if other and address_key(other) not in own:
                assert other.casefold() not in text
                assert address_key(other) not in text
    assert mark.casefold() not in text


@given(conversations())
def test_reducing_twice_is_reducing_once(drawn: tuple[Transcript, str, str]) -> None:
    found, shown, _ = drawn
    once = for_recipient(found, address_key(shown))
    again = for_recipient(once, address_key(shown))
    assert again.message == once.message
    assert [view.attempts[0].reply for view in again.recipients] == [view.attempts[0].reply for view in once.recipients]
