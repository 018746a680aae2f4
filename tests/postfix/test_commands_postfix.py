import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from sendproof_core import cli
from sendproof_postfix import commands_postfix
from sendproof_testing.operators_postfix import OperatorsPostfix

Make = Callable[[str], OperatorsPostfix]


def run(made: OperatorsPostfix, *arguments: str) -> Result:
    command = ["--config", str(made.folder / "sendproof.toml"), "postfix", *arguments]
    return CliRunner().invoke(cli.root, command, catch_exceptions=True)


def test_the_group_is_part_of_the_command() -> None:
    assert cli.root.commands["postfix"] is commands_postfix.postfix


def test_the_exit_status_says_whether_there_is_something_to_do(operators: Make) -> None:
    made = operators("stock")
    first = run(made, "plan")
    assert (first.exit_code, "enable_long_queue_ids = yes" in first.output) == (1, True)
    applied = run(made, "apply", "--no-reload")
    assert (applied.exit_code, "postfix revert` takes it back" in applied.output) == (0, True)
    again = run(made, "apply", "--no-reload", "--json")
    assert (again.exit_code, json.loads(again.output)["changed"]) == (0, False)
    assert run(made, "plan").exit_code == 0
    back = run(made, "revert", "--no-reload")
    assert (back.exit_code, "as it was" in back.output) == (0, True)
    assert "nothing to do" in run(made, "revert").output


def test_what_stands_in_the_way_is_shown_with_its_parameter(operators: Make) -> None:
    made = operators("stock")
    with (made.directory / "master.cf").open("a") as master:
        master.write("587 inet n - y - - smtpd\n")
    for arguments in (["plan"], ["apply"]):
        found = run(made, *arguments)
        assert (found.exit_code, "587/inet/smtpd_sasl_auth_enable" in found.output) == (2, True)
    for arguments in (["plan", "--json"], ["apply", "--json"]):
        found = run(made, *arguments)
        assert found.exit_code == 2
        assert [one["where"] for one in json.loads(found.output)["conflicts"] if one["fatal"]] == [
            "587/inet/smtpd_sasl_auth_enable"
        ]


def test_a_difference_reads_as_diff_writes_it(operators: Make) -> None:
    found = run(operators("stock"), "plan", "--diff")
    assert "\n+enable_long_queue_ids = yes\n" in found.output
    assert "\n-smtp      unix  -       -       y       -       -       smtp\n" in found.output


@pytest.mark.parametrize(
    "name", ["main.cf", "master.cf", "dovecot.conf", "sendproof-split", "outgoing.cf", "cleanup.cf"]
)
def test_every_template_can_be_shown(operators: Make, name: str) -> None:
    made = operators("stock")
    found = run(made, "show", name)
    assert found.exit_code == 0
    assert found.output.startswith("#")
    assert "{{" not in found.output


def test_another_directory_is_another_postfix(operators: Make) -> None:
    made = operators("stock")
    found = run(made, "plan", "--config-dir", str(made.folder / "none"))
    assert found.exit_code != 0
    assert f"there is no {made.folder}/none/" in str(found.exception)
