import json
from collections.abc import Callable
from pathlib import Path

import click.testing
import pytest

from sendproof_core.commands_context import Context
from sendproof_core.commands_transcript import transcript
from sendproof_core.database import Database
from sendproof_core.errors import UserError
from sendproof_testing import sample_record

Run = Callable[..., str]


@pytest.fixture
def run(config: Path, sqlite_database: Database) -> Run:
    """Runs one of the commands over the sample record; what it printed."""
    with sqlite_database.writing() as session:
        sample_record.fill(session)

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


def test_a_search_as_json_is_an_object_a_line(run: Run) -> None:
    lines = [json.loads(line) for line in run("search", "--format", "json").splitlines()]
    assert len(lines) == 5
    assert lines[0]["recipients"][0].keys() == {"address", "state"}


def test_hostile_text_is_made_visible(run: Run) -> None:
    for output in (run("search"), run("show", "4dDmPzHostile")):
        assert "\\x1b[31m" in output
        assert "\x1b" not in output


@pytest.mark.parametrize("moment", ["yesterday", "2026-13-01", "0001-01-01T00:00+14:00"])
def test_a_moment_that_is_none_is_a_sentence(run: Run, moment: str) -> None:
    with pytest.raises(UserError, match="--before must be a moment such as"):
        run("search", "--before", moment)
