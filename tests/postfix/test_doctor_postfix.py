"""Postfix's configuration as the checks ask for it."""

from pathlib import Path

import pytest

from sendproof_postfix.doctor import CannotLook
from sendproof_postfix.doctor_postfix import MilterUse, PostfixConfiguration, milter_uses, run
from sendproof_testing import doctor_subjects

MASTER = """\
submission inet n - y - - smtpd
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_milters=unix:/sendproof/milter.sock
  -o { milter_macro_daemon_name = submission }
2525 inet n n n - - smtpd
"""


@pytest.fixture
def postfix(tmp_path: Path) -> PostfixConfiguration:
    return PostfixConfiguration(doctor_subjects.postfix(tmp_path, "smtp_helo_name = $myhostname\n", MASTER))


def test_values_are_expanded_and_a_services_own_come_first(postfix: PostfixConfiguration) -> None:
    (submission,) = postfix.submission_services()
    assert postfix.value("smtp_helo_name") == doctor_subjects.HOST
    assert postfix.value("milter_macro_daemon_name", submission) == "submission"
    assert postfix.value("milter_macro_daemon_name") == doctor_subjects.HOST
    assert postfix.value("mail_version").startswith("3.")
    assert postfix.value("no_such_parameter") == ""


def test_paths_of_a_chrooted_service_are_below_the_queue_directory(
    postfix: PostfixConfiguration, tmp_path: Path
) -> None:
    submission, plain = (one for one in postfix.services if one.command == "smtpd")
    assert postfix.seen_from_outside("/sendproof/milter.sock", submission) == tmp_path / "spool/sendproof/milter.sock"
    assert postfix.seen_from_outside("/run/milter.sock", plain) == Path("/run/milter.sock")
    assert postfix.seen_from_outside("private/auth", plain) == tmp_path / "spool/private/auth"
    assert (postfix.user_of(submission), postfix.user_of(plain)) == ("postfix", "root")


def test_a_list_of_milters_is_read_with_its_options() -> None:
    text = "inet:localhost:8891, { unix:/run/a.sock, connect_timeout = 10s, default_action=accept } unix:b"
    assert milter_uses(text) == (
        MilterUse("inet:localhost:8891"),
        MilterUse("unix:/run/a.sock", {"connect_timeout": "10s", "default_action": "accept"}),
        MilterUse("unix:b"),
    )
    assert milter_uses("{unix:/run/a.sock,protocol=6}") == (MilterUse("unix:/run/a.sock", {"protocol": "6"}),)
    assert milter_uses("") == ()


def test_a_configuration_that_cannot_be_read_is_said_with_its_reason(tmp_path: Path) -> None:
    directory = doctor_subjects.postfix(tmp_path, master="nonsense\n")
    with pytest.raises(CannotLook, match="configuration cannot be read"):
        PostfixConfiguration(directory).value("myhostname")


def test_a_program_that_is_missing_or_hangs_is_named() -> None:
    with pytest.raises(CannotLook, match="no program /no/such"):
        run("/no/such")
    with pytest.raises(CannotLook, match="did not come to an end"):
        run("sleep", "30", seconds=0.1)
