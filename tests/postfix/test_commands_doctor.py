"""`sendproof doctor` as people and monitoring see it."""

import json
from pathlib import Path

import click
import click.testing
import pytest

from sendproof_core.cli import root
from sendproof_core.errors import UserError
from sendproof_postfix import commands_doctor
from sendproof_postfix.doctor import Finding, Severity
from sendproof_testing import doctor_subjects


def invoke(*arguments: str, given: bytes | None = None) -> click.testing.Result:
    return click.testing.CliRunner().invoke(root, arguments, input=given)


def plain(finding: Finding, width: int) -> list[str]:
    return [click.unstyle(line) for line in commands_doctor.lines(finding, width)]


def test_a_finding_is_a_line_with_its_remedy_and_its_evidence_below() -> None:
    finding = Finding("disk", Severity.ERROR, "no room.", "Make some.", ("evidence",))
    assert plain(finding, 80) == [
        "ERROR    disk              no room.",
        "                           -> Make some.",
        "                           evidence",
    ]


def test_no_line_is_wider_than_the_terminal_and_nothing_harmful_reaches_it() -> None:
    finding = Finding("names", Severity.WARNING, "a name \x1b[31m " * 20, "do this " * 30)
    lines = plain(finding, 70)
    assert max(map(len, lines)) <= 70
    assert not any("\x1b" in line for line in lines)
    wide = Finding("mail", Severity.OK, "well.", details=("x" * 75, "\x1b[31m"))
    assert plain(wide, 80)[1:] == [f"         {'x' * 75}", "         \\x1b[31m"]


@pytest.mark.parametrize(
    ("severities", "words"),
    [
        ([Severity.OK, Severity.NOTE], "The chain holds: 0 errors, 0 warnings, 1 note, 1 ok, 0 skipped."),
        ([Severity.WARNING], "The chain holds, and something needs you: 0 errors, 1 warning,"),
        ([Severity.ERROR, Severity.SKIPPED], "The chain is broken: 1 error,"),
    ],
)
def test_the_last_line_says_how_it_is_altogether(severities: list[Severity], words: str) -> None:
    found = [Finding("x", severity, "said.") for severity in severities]
    assert words in click.unstyle(commands_doctor.summary(found))


def test_settings_that_cannot_be_read_are_an_error_for_people_and_for_monitoring(tmp_path: Path) -> None:
    arguments = ["--config", f"{tmp_path}/missing.toml", "doctor"]
    shown = invoke(*arguments)
    assert shown.exit_code == 2
    assert shown.output.startswith("ERROR    settings")
    document = json.loads(invoke(*arguments, "--json").output)
    assert document["host"] is None
    assert document["exit_status"] == 2
    assert document["findings"][0]["check"] == "settings"


def test_in_a_pipe_there_is_no_colour(tmp_path: Path) -> None:
    path = doctor_subjects.settings(tmp_path)
    assert "\x1b" not in invoke("--config", str(path), "doctor", "--no-mail", "--config-dir", str(tmp_path)).output


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (["--login", "max"], None, "--password-file"),
        (["--login", "max", "--account", "max", "--password-file", "-"], b"x\n", "exclude each other"),
        (["--password-file", "-"], b"x\n", "needs --login"),
        (["--login", "max", "--password-file", "-"], b"\n", "no password"),
        (["--login", "max", "--password-file", "-"], b"\xff\n", "no password"),
        (["--to", "a@b>\nRCPT TO:<c@d"], None, "--to must be a mail address"),
        (["--from", "nobody"], None, "--from must be a mail address"),
    ],
)
def test_options_that_do_not_fit_are_named(
    tmp_path: Path, arguments: list[str], given: bytes | None, said: str
) -> None:
    path = doctor_subjects.settings(tmp_path)
    done = invoke("--config", str(path), "doctor", *arguments, given=given)
    assert isinstance(done.exception, UserError)
    assert said in str(done.exception)
