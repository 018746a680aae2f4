import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sendproof_core.errors import UserError
from sendproof_core.settings import SettingsFile
from sendproof_postfix import apply as applying
from sendproof_postfix import plan
from sendproof_postfix.plan import Instance
from sendproof_testing.operators_postfix import CORPUS, OperatorsPostfix

Make = Callable[[str], OperatorsPostfix]


def settings_file(**tables: object) -> SettingsFile:
    given = {"milter": {"socket": "/run/milter.sock"}, "sasl": {"passwd_file": "/passwd"}, "postfix": {}}
    return SettingsFile(Path("sendproof.toml"), given | tables)


def test_a_plan_changes_nothing(operators: Make) -> None:
    made = operators("submission")
    before = made.tree()
    found = plan.plan(made.instance)
    assert len(found.changes) > 10
    assert made.tree() == before


def test_every_change_has_its_reason(operators: Make) -> None:
    found = plan.plan(operators("opendkim").instance)
    assert [one.where for one in found.changes if len(one.reason) < 10] == []


def test_programs_read_what_would_change(operators: Make) -> None:
    found = plan.plan(operators("short queue ids").instance).as_json()
    assert found["changed"] is True
    assert found["conflicts"] == [
        {
            "where": "enable_long_queue_ids",
            "found": "no",
            "needed": "yes",
            "why": found["conflicts"][0]["why"],
            "fatal": False,
        }
    ]
    where = {change["where"]: change["after"] for change in found["changes"]}
    assert where["master.cf smtp/unix/debug_peer_level"] == "1"
    assert where["main.cf sendproof-split_destination_recipient_limit"] == "1"


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("main.cf", "default_process_limit = abc\n", "default_process_limit"),
        ("master.cf", "relay inet\n", "bad field count"),
        ("main.cf", "queue_directory = /none/at/all\n", "/none/at/all"),
    ],
)
def test_a_broken_postfix_is_said_in_its_own_words(operators: Make, file: str, text: str, words: str) -> None:
    made = operators("stock")
    with (made.directory / file).open("a") as config:
        config.write(text)
    before = made.tree()
    with pytest.raises(UserError, match=words):
        plan.plan(made.instance)
    assert made.tree() == before


@pytest.mark.parametrize("name", ["main.cf", "master.cf"])
def test_a_file_that_is_not_there_is_named(operators: Make, name: str) -> None:
    made = operators("stock")
    (made.directory / name).unlink()
    with pytest.raises(UserError, match=f"there is no {made.directory / name}"):
        plan.plan(made.instance)


def test_a_linked_file_is_named(operators: Make) -> None:
    made = operators("stock")
    (made.directory / "main.cf").rename(made.folder / "elsewhere.cf")
    (made.directory / "main.cf").symlink_to(made.folder / "elsewhere.cf")
    with pytest.raises(UserError, match="symbolic link"):
        plan.plan(made.instance)


def test_a_port_on_which_another_listens_is_in_the_way(operators: Make) -> None:
    made = operators("stock")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = plan.plan(made.with_settings(resubmit_port=port, submission_port=f"127.0.0.1:{port}"))
    assert [one.where for one in found.fatal] == ["[postfix] submission_port", "[postfix] resubmit_port"]
    assert found.changes == ()


def test_our_own_service_is_no_other_program_however_its_port_is_written(operators: Make) -> None:
    made = operators("stock")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with (made.directory / "master.cf").open("a") as master:
            master.write(f"localhost:{port} inet n - n - - smtpd -o smtpd_sasl_auth_enable=no\n")
        found = plan.plan(made.with_settings(submission_port=f"127.0.0.1:{port}"))
    assert [one.where for one in found.fatal] == [f"localhost:{port}/inet/smtpd_sasl_auth_enable"]


def test_a_running_service_of_ours_may_get_its_port_in_other_words(operators: Make) -> None:
    made = operators("stock")
    applying.apply(made.with_settings(submission_port="submission", submissions_port=""), reload=False)
    with socket.create_server(("127.0.0.1", 587)):
        assert plan.plan(made.with_settings(submission_port="127.0.0.1:587", submissions_port="")).fatal == ()


def test_a_port_of_another_instance_is_in_the_way_though_nobody_listens_there(operators: Make, tmp_path: Path) -> None:
    made = operators("stock")
    (tmp_path / "second").mkdir()
    second = OperatorsPostfix(tmp_path / "second", CORPUS["stock"], tmp_path / "second" / "queue2")
    applying.apply(made.instance, reload=False)
    other = replace(made.instance, config_directory=second.directory)
    found = plan.plan(other)
    assert [(one.where, str(made.directory) in one.why) for one in found.fatal] == [("[postfix] resubmit_port", True)]
    free = replace(made.with_settings(resubmit_port=10027), config_directory=second.directory)
    assert plan.plan(free).fatal == ()


def test_a_port_without_a_number_is_named(operators: Make) -> None:
    with pytest.raises(UserError, match="no-such-service"):
        plan.plan(operators("stock").with_settings(submission_port="no-such-service"))


def test_dovecots_own_file_is_not_overwritten(operators: Make) -> None:
    made = operators("stock")
    made.instance.settings.dovecot_config.write_text("protocols = imap\n")
    with pytest.raises(UserError, match="dovecot_config"):
        plan.plan(made.instance)


def test_a_socket_in_the_queue_is_named_as_postfix_sees_it_in_a_chroot(operators: Make) -> None:
    made = operators("stock")
    found = {one.where: one.after for one in plan.plan(made.instance).changes}
    assert "{unix:sendproof/milter.sock," in str(found["master.cf submission/inet"])


def test_the_milters_socket_must_be_told() -> None:
    for milter in ({}, {"socket": "relative"}, {"socket": "/with blank"}):
        with pytest.raises(UserError, match="socket"):
            Instance.of(settings_file(milter=milter))
    assert Instance.of(settings_file(), Path("/etc/postfix-out")).config_directory == Path("/etc/postfix-out")


def test_who_is_not_root_may_look(operators: Make) -> None:
    made = operators("stock")
    for path in (made.folder, *made.folder.parents):
        if path.stat().st_mode & 0o005 != 0o005:
            path.chmod(path.stat().st_mode | 0o055)
    (made.directory / "master.cf").chmod(0o644)
    child = os.fork()
    if child == 0:  # in a process of its own, which can become somebody else
        status = 1
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            status = 0 if len(plan.plan(made.instance).changes) > 10 else 1
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
