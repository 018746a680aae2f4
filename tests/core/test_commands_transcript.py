import json
from collections.abc import Callable
from pathlib import Path

import click.testing
import pytest

from sendproof_core.commands_context import Context
from sendproof_core.commands_transcript import transcript
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_core.schema import QueueFile
from sendproof_testing import sample_record

Run = Callable[..., str]


@pytest.fixture
def run(config: Path, sqlite_database: Database) -> Run:
    """Runs one of the commands over the sample record; what it printed."""
    with sqlite_database.writing() as session:
        sample_record.fill(session)
        sample_record.fill_from_the_log(session)

    def command(*arguments: str) -> str:
        context = Context(config)
        done = click.testing.CliRunner().invoke(transcript, arguments, obj=context)
        context.close()
        if done.exception is not None:
            raise done.exception
        return done.output

    return command


def test_a_transcript_is_shown_by_any_of_its_names(run: Run) -> None:
    for name in ("4dDmPz6NfkzXyz", str(sample_record.OFFER_ID), "4dDn2K1zQqz9sM2"):
        assert "Their reference: 4dDn2K1zQqz9sM2" in run("show", name)


def test_one_recipient_is_shown_alone(run: Run) -> None:
    shown = run("show", "4dDmPz6NfkzXyz", "--recipient", "Carl@example.com")
    assert shown.count(" To ") == 1
    assert "BOUNCED" in shown
    assert "BOUNCED" in run("show", "4dDlForward3", "--recipient", "ben@example.com")
    with pytest.raises(UserError, match=r"that message has no recipient 'nobody@example\.net'"):
        run("show", "4dDmPz6NfkzXyz", "--recipient", "nobody@example.net")


def test_as_json_it_is_one_object(run: Run) -> None:
    shown = json.loads(run("show", "4dDmPz6NfkzXyz", "--recipient", "anna@example.net", "--format", "json"))
    assert shown["message"]["id"] == str(sample_record.OFFER_ID)
    assert [recipient["address"] for recipient in shown["recipients"]] == ["anna@example.net"]


def test_what_does_not_exist_is_a_sentence(run: Run) -> None:
    with pytest.raises(UserError, match="no message has the queue id or message id 'nothing'"):
        run("show", "nothing")


def test_a_search_prints_a_line_for_each_message_with_its_recipients_states(run: Run) -> None:
    (line,) = run("search", "offer").splitlines()
    assert line == (
        f'2026-11-22 13:03:05 UTC  {sample_record.OFFER_ID}  "Offer 2026-117"  anna@example.net ACCEPTED, '
        "ben@example.org ACCEPTED, carl@example.com BOUNCED, dora@example.edu DEFERRED"
    )
    assert run("search", "--to", "zoe@", "--from", "eve") == "no message fits.\n"
    assert len(run("search", "--limit", "2").splitlines()) == 2
    lines = run("search", "--status", "unknown", "--before", "2026-11-23", "--after", "2026-11-22T00:00+01:00")
    assert lines.count("UNKNOWN") == 1
    (line,) = run("search", "olga").splitlines()
    assert line == (
        "2026-11-15 13:03:05 UTC  OLD1 on edge1  (subject unknown)  anna@example.net ACCEPTED, carl@example.com BOUNCED"
    )


def test_a_search_as_json_is_an_object_a_line(run: Run) -> None:
    lines = [json.loads(line) for line in run("search", "--format", "json").splitlines()]
    assert len(lines) == 9
    assert lines[0]["recipients"][0].keys() == {"address", "state"}
    assert (lines[5]["id"], lines[5]["queue_id"], lines[5]["host"]) == (None, "OLD1", "edge1")
    assert (lines[5]["opened"], lines[5]["test_mode"]) == (None, None)


def test_hostile_text_is_made_visible(run: Run) -> None:
    for output in (run("search"), run("show", "4dDmPzHostile")):
        assert "\\x1b[31m" in output
        assert "\x1b" not in output


@pytest.mark.parametrize("moment", ["yesterday", "2026-13-01", "0001-01-01T00:00+14:00"])
def test_a_moment_that_is_none_is_a_sentence(run: Run, moment: str) -> None:
    with pytest.raises(UserError, match="--before must be a moment such as"):
        run("search", "--before", moment)


def test_mail_that_no_journal_speaks_of_is_shown_and_said_to_be_so(run: Run) -> None:
    shown = " ".join(run("show", "OLD2").split())
    assert "(subject unknown) · sent 15 Nov 2026 13:03:05 UTC by olga@old.example (login olga)" in shown
    assert "No journal of the milter speaks of it" in shown
    assert "signed" not in shown
    assert "after it was queued" in shown
    bounce = " ".join(run("show", "OLD3").split())
    assert "(a non-delivery notification about OLD2)" in bounce
    assert "made by our own mail server, about OLD2" in bounce
    assert "made out of OLD8, of which nothing is here" in " ".join(run("show", "OLD9").split())
    assert "submitted nothing says from where" in " ".join(run("show", "OLD1", "--host", "edge2").split())


def test_of_several_with_one_name_the_others_are_named_and_can_be_chosen(run: Run) -> None:
    newest = " ".join(run("show", "OLD1").split())
    said = "2 others of that name (choose with --host or --before): 2026-11-14 13:03:05 UTC on edge1, "
    assert said + "2026-11-13 13:03:05 UTC on edge2." in newest
    assert "anna@example.net" in newest
    assert "To admin@old.example" in run("show", "OLD1", "--before", "2026-11-15")
    assert "To zoe@example.org" in run("show", "OLD1", "--host", "edge2")
    assert "of that name" not in run("show", "OLD1", "--host", "edge2")
    with pytest.raises(UserError, match="and fits --host and --before"):
        run("show", "OLD1", "--host", "edge3")


def test_mail_without_a_recipient_is_said_to_have_none(run: Run, sqlite_database: Database) -> None:
    with sqlite_database.writing() as session:
        session.add(QueueFile(host="edge1", instance="postfix", queue_id="BARE", born_at=sample_record.SENT_AT))
    shown = run("show", "BARE")
    assert "by an unknown sender (no login known)\nthe mail log names no recipient of it. No journal" in shown
    assert "BARE on edge1  (subject unknown)  no recipient known" in run("search", "BARE")


@pytest.mark.parametrize("words", [["word"] * 3000, ["%" * 60_000]])
def test_too_much_to_look_for_is_a_sentence(run: Run, words: list[str]) -> None:
    with pytest.raises(UserError, match="too much to look for"):
        run("search", *words)
