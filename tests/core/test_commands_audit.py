import json
from collections.abc import Callable

Command = Callable[..., str]


def test_what_commands_change_is_listed_newest_first(ready: Command) -> None:
    ready("account", "suspend", "max", "--reason", "unpaid")
    lines = ready("audit", "list").splitlines()
    assert lines[0].split() == ["AT", "(UTC)", "ACTOR", "ACCOUNT", "EVENT", "DETAILS"]
    assert [" ".join(line.split()[2:]) for line in lines[1:]] == [
        "command max account suspended reason: unpaid",
        "command max account created login: max, plan: personal",
        "command - plan created plan: personal, recipients per day: 200",
    ]


def test_the_list_can_be_narrowed_and_limited(ready: Command) -> None:
    assert ready("audit", "list", "--account", "max").count("\n") == 2
    assert ready("audit", "list", "--event", "plan").count("\n") == 2
    assert ready("audit", "list", "--limit", "1").count("\n") == 2
    assert ready("audit", "list", "--actor", "somebody") == "no entry fits\n"
    assert ready("audit", "list", "--until", "2020-01-01") == "no entry fits\n"


def test_programs_read_it_as_json(ready: Command) -> None:
    (line,) = ready("audit", "list", "--account", "max", "--json").splitlines()
    entry = json.loads(line)
    assert (entry["actor"], entry["event"], entry["details"]["login"]) == ("command", "account created", "max")


def test_no_password_is_ever_in_it(ready: Command) -> None:
    ready("credential", "add", "max", "phone", "--label", "Phone", "--password-stdin", given=b"very secret words\n")
    everything = ready("audit", "list", "--json")
    assert "very secret words" not in everything
    assert "a password for the site" not in everything
    assert "argon2" not in everything
